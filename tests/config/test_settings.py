"""Settings over the wire: reading, changing, orgs kept apart."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from config.calls import NAME, create, delete, delete_settings, lease, read_settings, redeem, settings, update
from config.conftest import Dial
from hardpoint_kit.database import Database
from hardpoint_kit.errors import Conflict, InvalidArgument, NotFound, PermissionDenied, StaleEtag
from hardpoint_kit.rpc.server import Server
from serving import SetClock

DOCUMENT = {"TIMEOUT": 30, "RATIO": 0.5, "DEEP": {"zz": [1, None, True], "a": {"b": "ü"}}, "LONG_KEY": "", "B": 1e300}


async def test_a_document_that_was_never_set_is_empty(config: Any) -> None:
    found = await read_settings(config)
    assert (found.name, len(found.values), len(found.secrets)) == (NAME, 0, 0)
    assert found.etag
    assert not found.HasField("update_time")


async def test_what_is_set_is_read_back_with_the_same_etag(config: Any, clock: SetClock) -> None:
    secret = (await create(config)).name
    answer = await update(config, DOCUMENT, {"API_KEY": secret, "ALSO": secret})
    found = await read_settings(config)
    assert found == answer
    assert found.values == settings(DOCUMENT).values
    assert dict(found.secrets) == {"API_KEY": secret, "ALSO": secret}
    assert found.update_time.ToNanoseconds() == int(clock.time.timestamp() * 1e6) * 1000


async def test_masked_keys_change_and_the_others_stay(config: Any) -> None:
    secret = (await create(config)).name
    await update(config, {"A": 1, "B": 2, "C": 3}, {"KEY": secret})
    await update(config, {"A": 9, "B": 9}, mask=("values.B", "values.C", "secrets.KEY"))
    found = await read_settings(config)
    assert found.values == settings({"A": 1, "B": 9}).values
    assert not found.secrets


async def test_an_old_etag_is_refused_and_nothing_changes(config: Any) -> None:
    empty = await read_settings(config)
    first = await update(config, {"A": 1}, etag=empty.etag)
    with pytest.raises(StaleEtag):
        await update(config, {"A": 2}, etag=empty.etag)
    assert await read_settings(config) == first


async def test_of_two_updates_from_one_read_one_wins(config: Any) -> None:
    etag = (await read_settings(config)).etag
    answers = await asyncio.gather(
        *(update(config, {"WINNER": number}, etag=etag) for number in range(4)), return_exceptions=True
    )
    (winner,) = (answer for answer in answers if not isinstance(answer, Exception))
    assert sum(isinstance(answer, StaleEtag) for answer in answers) == 3
    assert await read_settings(config) == winner


async def test_updates_of_different_keys_do_not_undo_each_other(config: Any) -> None:
    await asyncio.gather(*(update(config, {f"KEY_{number}": number}) for number in range(8)))
    assert len((await read_settings(config)).values) == 8


async def test_a_secret_that_does_not_exist_cannot_be_bound(config: Any) -> None:
    with pytest.raises(Conflict) as refused:
        await update(config, {"A": 1}, {"KEY": "orgs/acme/secrets/missing"})
    assert refused.value.reason == "NOT_FOUND"
    assert refused.value.metadata["resource"] == "orgs/acme/secrets/missing"
    assert len((await read_settings(config)).values) == 0


CANNOT_BE_STORED: dict[str, dict[str, Any]] = {
    "settings.secrets.THEIRS": {"secrets": {"THEIRS": "orgs/other/secrets/token"}},
    "settings.secrets.KEY": {"secrets": {"KEY": "token"}},
    "settings.values.A": {"values": {"A": float("nan")}},
    "settings.values.B": {"values": {"B": "a\0b"}},
    "settings.values.1st": {"values": {"1st": 1}},
    "settings.name": {"name": "orgs/acme/secrets/x"},
}


async def test_what_cannot_be_stored_is_refused_by_place(config: Any) -> None:
    for place, given in CANNOT_BE_STORED.items():
        with pytest.raises(InvalidArgument) as refused:
            await update(config, **given)
        assert refused.value.place == place


async def test_a_repeated_request_is_answered_and_not_done_again(config: Any) -> None:
    first = await update(config, {"A": 1}, request_id="r1")
    await update(config, {"A": 2})
    assert await update(config, {"A": 1}, request_id="r1") == first
    assert (await read_settings(config)).values["A"] == 2
    with pytest.raises(InvalidArgument) as refused:
        await update(config, {"A": 3}, request_id="r1")
    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_a_deleted_document_is_as_if_never_set_and_its_secrets_are_free(
    config: Any, runtime: Any, audit: Callable[[], Any]
) -> None:
    never_set = await read_settings(config)
    secret = (await create(config)).name
    await update(config, {"A": 1}, {"KEY": secret})
    opened = await lease(runtime)
    await delete_settings(config, request_id="r1")
    assert await read_settings(config) == never_set
    values = await redeem(runtime, opened.token)
    assert (len(values.values), len(values.secrets)) == (0, 0)
    await delete(config, secret)
    events = [(event.action, event.resource) for event in await audit()]
    assert events[:2] == [("secret.delete", secret), ("settings.delete", NAME)]


async def test_a_document_that_is_not_there_is_deleted_already(config: Any, audit: Callable[[], Any]) -> None:
    await delete_settings(config)
    assert list(await audit()) == []
    await update(config, {"A": 1})
    await delete_settings(config, request_id="r1")
    await update(config, {"A": 2})
    await delete_settings(config, request_id="r1")
    assert (await read_settings(config)).values["A"] == 2, "a repeated request is answered and not done again"


async def test_deletions_and_updates_at_once_both_end_well(config: Any) -> None:
    for number in range(10):
        await asyncio.gather(*(update(config, {"A": number}), delete_settings(config), update(config, {"B": number})))


async def test_another_orgs_document_does_not_exist(config: Any, server: Server, dial: Dial) -> None:
    await update(config, {"A": 1})
    other = dial(server, "other")
    with pytest.raises(NotFound):
        await read_settings(other)
    with pytest.raises(NotFound):
        await update(other, {"A": 2})
    with pytest.raises(NotFound):
        await delete_settings(other)
    assert (await read_settings(config)).values["A"] == 1


async def test_only_operators_see_settings(server: Server, dial: Dial) -> None:
    for role in ("viewer", "agent", "builder"):
        with pytest.raises(PermissionDenied):
            await read_settings(dial(server, role=role))


async def test_another_orgs_rows_stay_invisible_to_a_raw_query(config: Any, runtime: Any, url: str) -> None:
    await update(config, {"A": 1}, {"KEY": (await create(config)).name}, request_id="r1")
    await lease(runtime)
    database = Database(url)
    for table in ("settings", "secrets", "bindings", "leases", "requests", "audit_events"):
        seen = {}
        for org in ("acme", "other", "", "*"):
            async with database.transaction(org) as connection:
                seen[org] = bool(await connection.scalar(text(f"SELECT count(*) FROM {table}")))
        assert seen == {"acme": True, "other": False, "": False, "*": True}, table
    await database.close()


async def test_every_write_leaves_an_event_without_values(config: Any, audit: Callable[[], Any]) -> None:
    await update(config, {"TIMEOUT": "not told"}, {"KEY": (await create(config)).name})
    newest, oldest = await audit()
    assert (newest.action, newest.resource, newest.subject) == ("settings.update", NAME, "ada")
    assert dict(newest.facts) == {"keys": "secrets.KEY, values.TIMEOUT"}
    assert oldest.action == "secret.create"
