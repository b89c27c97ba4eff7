"""Whatever is uploaded, deleted and forgotten: what is counted is what is there, and bytes are there for it alone."""

import hashlib
from datetime import UTC, datetime, timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from hardpoint_files.domain import File, Quota, new_name
from hardpoint_files.store import Store
from hardpoint_kit.caller import ANY_ORG
from hardpoint_kit.database import Database

NOW = datetime(2030, 1, 1, tzinfo=UTC)
QUOTA = Quota(files=6, size_bytes=40)
ORGS = st.sampled_from(["acme", "globex"])
ADD = st.tuples(st.just("add"), ORGS, st.sampled_from([b"", b"one", b"another", b"x" * 20]), st.booleans())
DELETE = st.tuples(st.just("delete"), ORGS, st.integers(0, 5), st.just(False))
SWEEP = st.tuples(st.just("sweep"), ORGS, st.just(0), st.just(False))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(ADD, DELETE, SWEEP), max_size=25))
async def test_what_is_counted_is_what_is_there(database: Database, steps: list[tuple[str, str, object, bool]]) -> None:
    store = Store(database)
    async with database.transaction(ANY_ORG) as connection:
        for table in ("files", "contents", "kept", "expired"):
            await connection.execute(text(f"DELETE FROM {table}"))
    there: dict[str, list[tuple[File, bytes]]] = {"acme": [], "globex": []}
    over: set[str] = set()
    for step, org, what, expires in steps:
        mine = there[org]
        async with store.transaction(ANY_ORG if step == "sweep" else org) as tx:
            if step == "sweep":
                await tx.delete_expired(NOW, 100)
                over |= {one[0].name.file for kept in there.values() for one in kept if one[0].expire_time}
                there = {key: [one for one in kept if one[0].expire_time is None] for key, kept in there.items()}
            elif step == "delete" and isinstance(what, int) and what < len(mine):
                assert await tx.delete(mine[what][0])
                assert not await tx.delete(mine.pop(what)[0])
            elif step == "add" and isinstance(what, bytes):
                digest = f"sha256:{hashlib.sha256(what).hexdigest()}"
                until = NOW - timedelta(days=1) if expires else None
                file = File(new_name(org), "a", "text/plain", digest, len(what), "ada", NOW, expire_time=until)
                fits = len(mine) < 6 and sum(len(data) for _, data in mine) + len(what) <= 40
                assert await tx.keep(org, len(what), QUOTA) == fits
                if fits:
                    await tx.add_content(org, digest, [what] if what else [])
                    await tx.add(file)
                    mine.append((file, what))
    async with database.transaction(ANY_ORG) as connection:
        kept = {row.org: (row.files, row.size_bytes) for row in await connection.execute(text("SELECT * FROM kept"))}
        contents = {(row.org, row.digest) for row in await connection.execute(text("SELECT * FROM contents"))}
        names = {row.file for row in await connection.execute(text("SELECT file FROM expired"))}
        parts = {(row.org, row.digest) for row in await connection.execute(text("SELECT org, digest FROM parts"))}
    assert names == over
    for org, mine in there.items():
        assert kept.get(org, (0, 0)) == (len(mine), sum(len(data) for _, data in mine))
    assert contents == {(org, file.digest) for org, mine in there.items() for file, _ in mine}
    assert parts == {(org, file.digest) for org, mine in there.items() for file, data in mine if data}
