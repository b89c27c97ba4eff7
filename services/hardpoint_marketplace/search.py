"""Owns how words become a ranked search: pure functions that build SQL and its parameters.

Words are searched with and without English stemming, in names first, then tags and categories, then summaries. There
is no index for it: row level security tests each row before an operator that could tell of its contents sees it.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hardpoint_marketplace.domain import ListingQuery

DOCUMENT = " || ".join(
    f"setweight(to_tsvector('{language}', {text}), '{weight}')"
    for weight, text in (
        ("A", ":display_name || ' ' || :capability"),
        ("B", "array_to_string(CAST(:tags AS text[]) || CAST(:categories AS text[]), ' ')"),
        ("C", ":summary"),
    )
    for language in ("english", "simple")
)
"""The tsvector of a listing's row, as SQL over the parameters that the row is written with."""

_WHOLE = "websearch_to_tsquery('english', :words) || websearch_to_tsquery('simple', :words)"
_HEAD = "websearch_to_tsquery('english', :head) || websearch_to_tsquery('simple', :head)"
# Ranks are compared as integers, which a page token carries exactly.
_SCORE = "CAST(1000000 * ts_rank(search, {tsquery}) AS bigint)"
_MATCH = "(search @@ ({tsquery}) OR strpos(lower(display_name), lower(:words)) > 0)"


@dataclass(frozen=True, slots=True)
class Parts:
    """A search as SQL over a listing's columns: what to sort by, highest first, and what must hold."""

    score: str
    conditions: tuple[str, ...]
    parameters: Mapping[str, Any]


def parts(query: ListingQuery) -> Parts:
    """Return the SQL of a search; without words, featured listings come first."""
    conditions = ["state = 'LISTED'"]
    parameters: dict[str, Any] = {}
    score = "CAST(featured AS integer)"
    words = query.words.strip()
    if words:
        tsquery = _tsquery(words, parameters)
        score = _SCORE.format(tsquery=tsquery)
        conditions.append(_MATCH.format(tsquery=tsquery))
    for column, wanted in (("categories", query.category), ("tags", query.tag)):
        if wanted:
            conditions.append(f":{column} = ANY({column})")
            parameters[column] = wanted
    if query.featured_only:
        conditions.append("featured")
    if query.free_only:
        conditions.append("price_amount IS NULL")
    return Parts(score, tuple(conditions), parameters)


def _tsquery(words: str, parameters: dict[str, Any]) -> str:
    """Return the SQL of a query that finds the words, the last one also when only its beginning was typed yet."""
    parameters["words"] = words
    split = re.fullmatch(r"(?P<head>.*?)(?P<last>\w+)", words, re.DOTALL)
    if split is None or _has_operators(words):
        return _WHOLE
    parameters["head"] = split["head"]
    parameters["last"] = f"'{split['last']}':*"
    return f"{_WHOLE} || (({_HEAD}) && to_tsquery('simple', :last))"


def _has_operators(words: str) -> bool:
    """Tell whether somebody who knows the syntax of web searches wrote this: then it means what it says."""
    return '"' in words or any(word.startswith("-") or word.lower() == "or" for word in words.split())
