"""Lists that come in pages: read to their end, within bounds, and from nobody else."""

import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from executor.http_plans import HOST
from executor.test_connectors import TOKEN, plan_of, run
from executor.upstream import Seen, answer, json_answer
from hardpoint_executor.broker.fetch import FetchRequest
from hardpoint_executor.broker.limits import BrokerLimits
from hardpoint_kit.errors import ActionFailed

CURSOR = {"kind": "cursor", "items": "data.rows", "cursor": "data.next", "parameter": "after"}
PAGE = {"kind": "page", "items": "data.rows", "parameter": "page"}
LINK = {"kind": "link", "items": "data"}
KEY_IN_QUERY = {"type": "api_key", "name": "key", "in": "query"}


def query(seen: Seen) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(seen.target).query))


def page(link: str, *rows: Any) -> bytes:
    return answer(json.dumps(rows).encode(), headers={"Link": link, "Content-Type": "application/json"})


@pytest.mark.parametrize("last", [{}, {"next": ""}, {"next": None}])
async def test_a_cursor_leads_to_the_next_page_until_there_is_none(last: dict[str, Any]) -> None:
    plan = plan_of({"pagination": CURSOR, "params": {"q": "a b", "after": "start"}})
    pages = [{"rows": [1, 2], "next": "x&y=1"}, {"rows": [], "next": 7}, {"rows": [3], **last}]
    output, seen = await run(plan, [json_answer(one) for one in pages])
    assert output == {"items": [1, 2, 3], "more": False}
    assert [query(one) for one in seen] == [
        {"q": "a b", "after": "start"},
        {"q": "a b", "after": "x&y=1"},
        {"q": "a b", "after": "7"},
    ]


async def test_a_number_counts_until_a_page_is_empty() -> None:
    plan = plan_of({"pagination": {**PAGE, "first": 0}})
    output, seen = await run(plan, [json_answer({"rows": rows}) for rows in ([1], [2], [])])
    assert output == {"items": [1, 2], "more": False}
    assert [query(one)["page"] for one in seen] == ["0", "1", "2"]


async def test_links_are_followed_on_the_same_host() -> None:
    plan = plan_of({"pagination": LINK}, auth={"type": "bearer"})
    pages = [
        page(f'<https://{HOST}/v1/items?p=0>; rel="prev", <https://{HOST}/v1/items?p=2>; rel="next"', 1),
        page("</v1/items?p=3>; title=x; rel=next", 2),
        page(f'<https://{HOST}/v1/items?p=1>; rel="first"', 3),
    ]
    output, seen = await run(plan, pages, secrets={"API_TOKEN": TOKEN})
    assert output == {"items": [1, 2, 3], "more": False}
    assert [one.target for one in seen] == ["/v1/items", "/v1/items?p=2", "/v1/items?p=3"]
    assert {one.header("authorization") for one in seen} == {f"Bearer {TOKEN}"}


async def test_a_key_in_the_query_is_sent_again_although_the_link_cannot_repeat_it() -> None:
    plan = plan_of({"pagination": LINK}, auth=KEY_IN_QUERY)

    def respond(seen: Seen) -> bytes:
        following = f'<https://{HOST}{seen.target}&p=2>; rel="next"' if "p" not in query(seen) else ""
        return page(following, 1)

    output, seen = await run(plan, respond, secrets={"API_KEY": TOKEN})
    assert output == {"items": [1, 1], "more": False}
    assert [query(one) for one in seen] == [{"key": TOKEN}, {"p": "2", "key": TOKEN}]


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.test/v1/items",
        "//evil.test/",
        f"http://{HOST}/v1/items",
        f"https://{HOST}:8443/v1/items",
        f"https://{HOST}@evil.test/",
        f"https://me@{HOST}/",
        f"https://{HOST}.evil.test/",
        "https://[::1",
        "javascript:alert(1)",
    ],
)
async def test_a_link_to_another_host_ends_the_call(link: str) -> None:
    plan = plan_of({"pagination": LINK}, auth={"type": "bearer"})
    error, seen = await run(plan, [page(f'<{link}>; rel="next"', 1)], secrets={"API_TOKEN": TOKEN})
    assert isinstance(error, ActionFailed)
    assert (error.reason, len(seen)) == ("REDIRECT_REFUSED", 1)


async def test_an_upstream_without_end_is_read_to_the_bound_and_it_is_said() -> None:
    endless = json_answer({"rows": [1, 2, 3], "next": "again"})
    output, seen = await run(plan_of({"pagination": {**CURSOR, "max_pages": 4}}), lambda _: endless)
    assert (output, len(seen)) == ({"items": [1, 2, 3] * 4, "more": True}, 4)
    output, seen = await run(plan_of({"pagination": {**CURSOR, "max_items": 4}}), lambda _: endless)
    assert (output, len(seen)) == ({"items": [1, 2, 3, 1], "more": True}, 2)
    plan = plan_of({"pagination": CURSOR})
    output, seen = await run(plan, lambda _: endless, limits=BrokerLimits(calls=3))
    assert (output["more"], len(seen)) == (True, 3)


async def test_a_list_that_ends_at_the_bound_has_no_more() -> None:
    output, _ = await run(plan_of({"pagination": {**CURSOR, "max_items": 2}}), [json_answer({"rows": [1, 2]})])
    assert output == {"items": [1, 2], "more": False}


async def test_a_mapping_names_what_was_collected() -> None:
    endpoint = {
        "pagination": CURSOR,
        "outputs": {"names": {"type": "array"}, "total": {"type": "integer"}, "cut": {"type": "boolean"}},
        "response_mapping": {"names": "items.map(one, one.name)", "total": "data.total", "cut": "more"},
    }
    pages = [{"rows": [{"name": "a"}], "next": "x", "total": 1}, {"rows": [{"name": "b"}], "total": 2}]
    output, _ = await run(plan_of(endpoint), [json_answer(one) for one in pages])
    assert output == {"names": ["a", "b"], "total": 2, "cut": False}


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"rows": "many"}, "TYPE_MISMATCH"),
        ({"list": []}, "MAPPING_MISSING"),
        ({"rows": [1], "next": {"a": 1}}, "TYPE_MISMATCH"),
        ({"rows": [1], "next": True}, "TYPE_MISMATCH"),
    ],
)
async def test_a_page_that_is_none_is_an_error(wrong: dict[str, Any], reason: str) -> None:
    error, _ = await run(plan_of({"pagination": CURSOR}), [json_answer({"rows": [1], "next": 1}), json_answer(wrong)])
    assert (error.reason, error.place) == (reason, "pagination")


async def test_a_page_that_fails_fails_the_call() -> None:
    error, _ = await run(plan_of({"pagination": CURSOR}), [json_answer({"rows": [1], "next": 1}), json_answer({}, 500)])
    assert (error.reason, error.metadata["status"]) == ("UPSTREAM_ERROR", "500")


async def test_each_page_is_asked_again_where_that_was_allowed() -> None:
    later = answer(b"{}", 503, {"Retry-After": "0"})
    pages = [later, json_answer({"rows": [1], "next": "x"}), later, json_answer({"rows": [2]})]
    output, seen = await run(plan_of({"pagination": CURSOR, "retry": 1}), pages)
    assert (output["items"], [query(one).get("after") for one in seen]) == ([1, 2], [None, None, "x", "x"])


async def test_each_page_is_an_effect_of_its_own_and_an_attempt_of_it_is_the_same() -> None:
    """An upstream that knows a key gives the first page again for it."""
    plan = plan_of({"pagination": CURSOR, "retry": 1, "idempotency": {"header": "Idempotency-Key"}})
    later = answer(b"{}", 503, {"Retry-After": "0"})
    pages = [json_answer({"rows": [1], "next": "x"}), later, json_answer({"rows": []})]
    _, seen = await run(plan, pages, key="r1/list")
    assert [one.header("idempotency-key") for one in seen] == ["r1/list", "r1/list/1", "r1/list/1"]


@pytest.mark.parametrize(
    "header",
    ["", "nonsense", "<x", "<x>; rel=nextish", '<x>; rel="prev xnext"', '<x>; rel="previous"', ";rel=next", "<" * 8000],
)
async def test_a_header_without_a_next_link_ends_the_list(header: str) -> None:
    output, seen = await run(plan_of({"pagination": LINK}), [page(header, 1)])
    assert (output, len(seen)) == ({"items": [1], "more": False}, 1)


async def test_a_header_of_relations_without_end_is_read_in_one_go() -> None:
    """One that is tried again for each of its words would take minutes."""

    async def ask(_request: FetchRequest) -> dict[str, Any]:
        return {"data": [1], "headers": {"link": '<x>; rel="' + "next " * 200_000}}

    pages = plan_of({"pagination": LINK}).pages
    assert pages is not None
    found = await pages.collect(ask, FetchRequest("GET", f"https://{HOST}/"), lambda _: False, lambda: True)
    assert (found["items"], found["more"]) == ([1], False)
