"""The functions of PostgreSQL that only compute: what a capability's statement may call.

Left out on purpose: files and large objects, other servers, settings, sessions and locks, sequences, sleeping, sizes
and privileges, and whatever takes SQL as text (`query_to_xml`, `ts_stat`).
"""

from typing import Final

FUNCTIONS: Final = frozenset(
    """
    avg bit_and bit_or bit_xor bool_and bool_or count every max min sum array_agg string_agg json_agg jsonb_agg
    json_object_agg jsonb_object_agg corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept regr_r2
    regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp variance var_pop var_samp mode
    percentile_cont percentile_disc rank dense_rank percent_rank cume_dist row_number ntile lag lead first_value
    last_value nth_value range_agg any_value grouping

    abs cbrt ceil ceiling degrees div erf erfc exp factorial floor gcd lcm ln log log10 min_scale mod pi power pow
    radians round scale sign sqrt trim_scale trunc width_bucket random random_normal acos acosd asin asind atan
    atand atan2 atan2d cos cosd cot cotd sin sind tan tand sinh cosh tanh asinh acosh atanh

    ascii bit_length btrim casefold char_length character_length chr concat concat_ws convert convert_from
    convert_to decode encode format initcap left length lower lpad ltrim md5 normalize is_normalized octet_length
    overlay parse_ident position quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like
    regexp_match regexp_matches regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat
    replace reverse right rpad rtrim split_part starts_with string_to_array string_to_table strpos substr substring
    to_ascii to_bin to_hex to_oct translate unistr upper like_escape similar_to_escape like notlike sha224 sha256
    sha384 sha512 crc32 crc32c get_bit get_byte set_bit set_byte bit_count

    age clock_timestamp date_add date_bin date_part date_subtract date_trunc extract isfinite justify_days
    justify_hours justify_interval make_date make_interval make_time make_timestamp make_timestamptz now
    statement_timestamp timeofday timezone to_char to_date to_number to_timestamp transaction_timestamp overlaps
    date timestamp timestamptz interval time

    array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_string
    array_upper cardinality trim_array unnest generate_series generate_subscripts

    array_to_json json_array_elements json_array_elements_text json_array_length json_build_array json_build_object
    json_each json_each_text json_extract_path json_extract_path_text json_object json_object_keys
    json_populate_record json_populate_recordset json_strip_nulls json_to_record json_to_recordset json_typeof
    jsonb_array_elements jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object
    jsonb_each jsonb_each_text jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object
    jsonb_object_keys jsonb_path_exists jsonb_path_match jsonb_path_query jsonb_path_query_array
    jsonb_path_query_first jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax
    jsonb_strip_nulls jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json to_json to_jsonb

    num_nonnulls num_nulls nullif greatest least pg_typeof gen_random_uuid uuidv4 uuidv7 uuid_extract_timestamp
    uuid_extract_version isempty lower_inc lower_inf upper_inc upper_inf range_merge multirange int4range int8range
    numrange tsrange tstzrange daterange

    array_to_tsvector numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery to_tsvector
    tsquery_phrase ts_delete ts_filter ts_headline ts_rank ts_rank_cd tsvector_to_array websearch_to_tsquery

    area center diameter height point box circle line lseg path polygon radius slope width host masklen netmask
    network broadcast family abbrev hostmask inet_merge inet_same_family

    similarity word_similarity strict_word_similarity unaccent cosine_distance l1_distance l2_distance inner_product
    l2_normalize vector_dims vector_norm
    """.split()  # noqa: SIM905
)
