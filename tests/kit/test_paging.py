"""A page token starts the next page of its own query, and is refused everywhere else."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint.audit.v1.audit_pb2 import ListEventsRequest
from hardpoint.config.v1.config_pb2 import CreateSecretRequest
from hardpoint_kit.errors import InvalidArgument
from hardpoint_kit.idempotency import request_fingerprint
from hardpoint_kit.paging import PageToken, page_size, query_fingerprint

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
cursors = st.lists(texts | st.integers(-(2**62), 2**62), max_size=3).map(tuple)


@given(st.text(max_size=10), cursors)
def test_token_and_back_is_the_same_cursor(query: str, cursor: tuple[str | int, ...]) -> None:
    shape = [type(part) for part in cursor]
    assert PageToken.decode(PageToken.encode(query, cursor), query, *shape) == cursor


@given(st.text(max_size=10), st.text(max_size=10), cursors)
def test_token_of_another_query_is_refused(query: str, other: str, cursor: tuple[str | int, ...]) -> None:
    if query != other:
        with pytest.raises(InvalidArgument) as caught:
            PageToken.decode(PageToken.encode(query, cursor), other)
        assert caught.value.reason == "PAGE_TOKEN_MISMATCH"
        assert caught.value.place == "page_token"


@given(
    st.text(min_size=1)
    | st.recursive(st.none() | st.booleans() | st.floats(), st.lists).map(
        lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode()
    )
)
def test_invented_tokens_are_refused(token: str) -> None:
    with pytest.raises(InvalidArgument):
        PageToken.decode(token, "query")


@pytest.mark.parametrize("cursor", [("a",), (1, 2), ("1",), (), (2**63,)])
def test_a_cursor_of_another_shape_is_refused(cursor: tuple[str | int, ...]) -> None:
    with pytest.raises(InvalidArgument):
        PageToken.decode(PageToken.encode("query", cursor), "query", int)


def test_a_zero_character_in_a_cursor_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        PageToken.decode(PageToken.encode("query", ("a\0",)), "query", str)


def test_no_token_is_the_first_page() -> None:
    assert PageToken.decode("", "query") is None


def test_fingerprint_is_of_the_query_and_not_of_the_page() -> None:
    first = query_fingerprint(ListEventsRequest(parent="orgs/acme", page_size=5))
    assert query_fingerprint(ListEventsRequest(parent="orgs/acme", page_size=9, page_token="x")) == first
    assert query_fingerprint(ListEventsRequest(parent="orgs/other", page_size=5)) != first


def test_fingerprint_of_a_write_leaves_the_request_id_out() -> None:
    first = request_fingerprint(CreateSecretRequest(parent="orgs/acme", secret_id="a", request_id="1"))
    assert request_fingerprint(CreateSecretRequest(parent="orgs/acme", secret_id="a", request_id="2")) == first
    assert request_fingerprint(CreateSecretRequest(parent="orgs/acme", secret_id="b", request_id="1")) != first


def test_page_size() -> None:
    assert (page_size(0), page_size(7), page_size(999)) == (50, 7, 200)
    with pytest.raises(InvalidArgument):
        page_size(-1)
