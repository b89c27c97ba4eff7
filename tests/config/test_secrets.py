"""Secrets over the wire: kept, rotated, listed, deleted, and moved rows noticed."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from sqlalchemy import text

from config.calls import TOKEN, create, delete, leased, read, read_settings, rotate, update
from config.conftest import Dial, MakeUnit
from hardpoint.config.v1 import config_pb2
from hardpoint_kit.database import Database
from hardpoint_kit.errors import (
    AlreadyExists,
    Conflict,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    Unavailable,
)
from hardpoint_kit.paging import PageToken, query_fingerprint
from hardpoint_kit.rpc.server import Server
from serving import Serve, SetClock


async def test_a_secret_is_known_without_its_value(config: Any, clock: SetClock) -> None:
    created = await create(config, description="for the weather")
    assert (created.name, created.version, created.description) == (TOKEN, 1, "for the weather")
    clock.move(hours=1)
    rotated = await rotate(config)
    assert rotated.version == 2
    assert rotated.rotate_time.ToDatetime() > rotated.create_time.ToDatetime() == created.create_time.ToDatetime()
    assert rotated.etag != created.etag
    assert await read(config) == rotated


def test_no_message_but_a_lease_carries_bytes_out() -> None:
    carriers = {
        message.name
        for message in config_pb2.DESCRIPTOR.message_types_by_name.values()
        for field in message.fields
        if field.type == FieldDescriptor.TYPE_BYTES
    }
    secret = {"CreateSecretRequest", "RotateSecretRequest"}
    secret |= {"BeginConnectionRequest", "ConnectClientRequest", "ConnectUsersRequest"}
    assert carriers == secret | {"VerifySignatureRequest"}
    assert config_pb2.LeasedValues.DESCRIPTOR.fields_by_name["secrets"].message_type is not None


async def test_a_name_is_taken_once(config: Any, runtime: Any) -> None:
    await create(config, value=b"first")
    with pytest.raises(AlreadyExists):
        await create(config, value=b"second")
    await update(config, {}, {"KEY": TOKEN})
    assert await leased(runtime) == {"KEY": b"first"}


async def test_a_rotated_value_is_used_and_the_old_one_is_gone(config: Any, runtime: Any, url: str) -> None:
    await create(config)
    await update(config, {}, {"KEY": TOKEN})
    await rotate(config)
    assert await leased(runtime) == {"KEY": b"two"}
    database = Database(url)
    async with database.transaction("*") as connection:
        assert await connection.scalar(text("SELECT count(*) FROM secrets")) == 1
    await database.close()


async def test_values_are_bytes_of_any_kind(config: Any, runtime: Any) -> None:
    value = bytes(range(256)) * 256
    await create(config, value=value)
    await update(config, {}, {"KEY": TOKEN})
    assert await leased(runtime) == {"KEY": value}


@pytest.mark.parametrize("call", [rotate, read, delete])
async def test_a_secret_that_is_not_there_is_not_found(config: Any, call: Callable[..., Any]) -> None:
    with pytest.raises(NotFound):
        await call(config)


@pytest.mark.parametrize("call", [rotate, read, delete])
async def test_another_orgs_secret_does_not_exist(
    config: Any, server: Server, dial: Dial, call: Callable[..., Any]
) -> None:
    await create(config)
    with pytest.raises(NotFound):
        await call(dial(server, "other"))
    assert (await read(config)).version == 1


async def test_only_operators_keep_secrets(server: Server, dial: Dial) -> None:
    for role in ("viewer", "agent", "builder"):
        with pytest.raises(PermissionDenied):
            await create(dial(server, role=role))


async def test_a_bound_secret_is_not_deleted(config: Any) -> None:
    await create(config)
    await update(config, {}, {"KEY": TOKEN})
    with pytest.raises(Conflict) as refused:
        await delete(config)
    assert refused.value.reason == "SECRET_IN_USE"
    assert refused.value.metadata["installation"] == "weather"
    await update(config, {}, {}, mask=("secrets.KEY",))
    await delete(config)
    with pytest.raises(NotFound):
        await read(config)


async def test_a_deleted_secrets_row_is_gone(config: Any, url: str) -> None:
    await create(config)
    await delete(config)
    database = Database(url)
    async with database.transaction("*") as connection:
        assert await connection.scalar(text("SELECT count(*) FROM secrets")) == 0
    await database.close()


async def test_secrets_are_listed_by_name_page_by_page(config: Any, server: Server, dial: Dial) -> None:
    for secret in ("c", "a-b", "a", "b", "ab"):
        await create(config, secret)
    other = config_pb2.CreateSecretRequest(parent="orgs/other", secret_id="aa", value=b"x")
    await dial(server, "other").CreateSecret(other)
    names, token = [], ""
    while True:
        page = await config.ListSecrets(
            config_pb2.ListSecretsRequest(parent="orgs/acme", page_size=2, page_token=token)
        )
        names += [secret.name.removeprefix("orgs/acme/secrets/") for secret in page.secrets]
        token = page.next_page_token
        if not token:
            break
    assert names == ["a", "a-b", "ab", "b", "c"]


async def test_a_page_token_of_another_list_is_refused(config: Any, server: Server, dial: Dial) -> None:
    for secret in ("a", "b"):
        await create(config, secret)
    page = await config.ListSecrets(config_pb2.ListSecretsRequest(parent="orgs/acme", page_size=1))
    with pytest.raises(InvalidArgument) as refused:
        await dial(server, "other").ListSecrets(
            config_pb2.ListSecretsRequest(parent="orgs/other", page_token=page.next_page_token)
        )
    assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


async def test_a_made_up_page_token_is_refused(config: Any) -> None:
    query = query_fingerprint(config_pb2.ListSecretsRequest(parent="orgs/acme"))
    for cursor in ((), (1,), ("a", "b"), ("\0",)):
        with pytest.raises(InvalidArgument) as refused:
            await config.ListSecrets(
                config_pb2.ListSecretsRequest(parent="orgs/acme", page_token=PageToken.encode(query, cursor))
            )
        assert refused.value.reason == "PAGE_TOKEN_MISMATCH"


async def test_a_repeated_request_is_done_once(config: Any, runtime: Any) -> None:
    first = await create(config, request_id="c1")
    assert await create(config, request_id="c1") == first
    rotated = await rotate(config, request_id="r1")
    assert await rotate(config, request_id="r1") == rotated
    assert (await read(config)).version == 2
    await delete(config, request_id="d1")
    await delete(config, request_id="d1")


async def test_a_request_id_with_another_value_is_another_request(config: Any) -> None:
    await create(config, request_id="c1")
    for call, request_id in ((create, "c1"), (rotate, "r1")):
        if call is rotate:
            await rotate(config, value=b"one", request_id="r1")
        with pytest.raises(InvalidArgument) as refused:
            await call(config, value=b"another", request_id=request_id)
        assert refused.value.reason == "REQUEST_ID_REUSED"


@pytest.mark.parametrize(
    "swap",
    [
        # Another secret's row, its key and value alike.
        "UPDATE secrets SET (key_id, wrapped_key, ciphertext) = (SELECT key_id, wrapped_key, ciphertext FROM secrets"
        " WHERE org = 'acme' AND id = 'other') WHERE org = 'acme' AND id = 'token'",
        # Another org's secret of the same name.
        "UPDATE secrets SET (key_id, wrapped_key, ciphertext) = (SELECT key_id, wrapped_key, ciphertext FROM secrets"
        " WHERE org = 'other' AND id = 'token') WHERE org = 'acme' AND id = 'token'",
        # Its own value, said to be of another version.
        "UPDATE secrets SET version = version + 1 WHERE org = 'acme' AND id = 'token'",
    ],
)
async def test_a_row_that_was_moved_does_not_open(
    config: Any, runtime: Any, server: Server, dial: Dial, url: str, swap: str
) -> None:
    await create(config)
    await create(config, "other", b"of another secret")
    request = config_pb2.CreateSecretRequest(parent="orgs/other", secret_id="token", value=b"of another org")
    await dial(server, "other").CreateSecret(request)
    await update(config, {}, {"KEY": TOKEN})
    assert await leased(runtime) == {"KEY": b"one"}
    database = Database(url)
    async with database.transaction("*") as connection:
        assert (await connection.execute(text(swap))).rowcount == 1
    await database.close()
    with pytest.raises(Internal, match="does not open"):
        await leased(runtime)


async def test_without_keys_the_unit_is_not_ready_and_says_what_to_do(
    make_unit: MakeUnit, serve: Serve, dial: Dial
) -> None:
    unit = make_unit(config_keys="")
    config = dial(await serve(unit))
    (reason,) = await unit.ready()
    assert "HARDPOINT_CONFIG_KEY_FILE" in reason
    with pytest.raises(Unavailable, match="HARDPOINT_CONFIG_KEY_FILE"):
        await create(config)
    assert (await read_settings(config)).name


async def test_a_lost_key_is_noticed_at_the_start(config: Any, make_unit: MakeUnit, serve: Serve) -> None:
    await create(config)
    unit = make_unit(config_keys="k2:" + "A" * 43 + "=")
    await serve(unit)
    (reason,) = await unit.ready()
    assert "k1" in reason


async def test_another_key_of_the_same_name_is_noticed_at_the_start(
    config: Any, make_unit: MakeUnit, serve: Serve
) -> None:
    await create(config)
    unit = make_unit(config_keys="k1:" + "A" * 43 + "=")
    await serve(unit)
    assert await unit.ready() == [
        "secrets do not open with the keys k1, which are others of the same name; load those of before"
    ]
