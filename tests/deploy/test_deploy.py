"""What `deploy/` says is true of the code: its variables are options, its paths exist, its preparation works.

No container is started here: `test_oci.py` starts the executor's.
"""

import asyncio
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import AsyncIterator, Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import grpc.aio
import psycopg
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health
from sqlalchemy import make_url

from hardpoint_config.crypto import load_keyring
from hardpoint_kit.auth import Verifier
from hardpoint_kit.database import Database, migrate
from hardpoint_kit.options import Options
from hardpointd.catalog import PEERS, UNITS, WITHOUT_DATABASE, server_module
from hardpointd.options import DaemonOptions
from hardpointd.postgres import EmbeddedPostgres
from hardpointd.postgres.binaries import find_binaries

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]
_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
KEEPING_STATE = [unit for unit in UNITS if unit not in WITHOUT_DATABASE]


def options_of(unit: str) -> list[type[Options]]:
    """The classes of options that a process which serves this unit reads."""
    return [DaemonOptions, server_module(unit).Options]


def variables() -> set[str]:
    return {f"HARDPOINT_{name.upper()}" for unit in UNITS for kind in options_of(unit) for name in kind.model_fields}


def files() -> Iterator[Path]:
    secrets, here = DEPLOY / "secrets", (path for path in DEPLOY.rglob("*") if path.is_file())
    return (path for path in here if secrets not in path.parents and path.suffix != ".pyc")


def test_every_variable_is_an_option():
    # The token and the address of the command line are no options of a server.
    known = variables() | {"HARDPOINT_TOKEN", "HARDPOINT_ADDRESS"}
    named = {(str(path), name) for path in files() for name in re.findall(r"HARDPOINT_[A-Z_]+[A-Z]", path.read_text())}
    assert {(path, name) for path, name in named if name not in known} == set()
    assert len(named) > 20


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_takes_what_compose_gives_it(unit: str, monkeypatch: pytest.MonkeyPatch):
    service = SERVICES[unit]
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, value)
    daemon, own = (kind() for kind in options_of(unit))
    given = set(service["environment"])
    read = {f"HARDPOINT_{name.upper()}" for kind in options_of(unit) for name in kind.model_fields}
    assert given <= read, "a variable of another unit does nothing here"
    assert service["command"] == [unit]
    assert {peer: daemon.address_of(peer) for peer in UNITS if daemon.address_of(peer)} == {
        peer: f"{peer}:7700" for peer in PEERS[unit]
    }
    assert daemon.listen == "0.0.0.0:7700"
    if unit in KEEPING_STATE:
        assert make_url(getattr(own, f"{unit}_database_url")).password is None, "a password stands in the file alone"


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_finds_its_secrets(unit: str):
    service = SERVICES[unit]
    paths = set(re.findall(r"/run/secrets/([a-z-]+)", " ".join(map(str, service["environment"].values()))))
    assert paths == set(service["secrets"])
    assert set(service["secrets"]) <= set(COMPOSE["secrets"])


def test_only_units_that_keep_state_reach_the_database():
    assert {name for name in UNITS if "database" in SERVICES[name]["networks"]} == set(KEEPING_STATE)
    assert COMPOSE["networks"]["database"]["internal"] is True


def test_the_executor_has_no_token_and_no_privilege():
    executor = SERVICES["executor"]
    assert executor["secrets"] == ["jwks"]
    assert executor["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in executor["security_opt"]
    assert not {"privileged", "cap_add"} & set(executor)
    assert "seccomp=./seccomp/executor.json" in executor["security_opt"]
    assert (DEPLOY / "seccomp/executor.json").exists()
    assert "HARDPOINT_SERVICE_TOKEN_FILE" not in executor["environment"]


def test_published_ports_are_on_loopback():
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert len(published) == len(UNITS)
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_collector_knows_what_its_pipelines_name():
    collector = yaml.safe_load((DEPLOY / "otel" / "collector.yaml").read_text())
    for pipeline in collector["service"]["pipelines"].values():
        for kind, names in pipeline.items():
            assert set(names) <= set(collector[kind])


def test_the_image_copies_what_exists():
    text = (DEPLOY / "docker" / "Dockerfile").read_text()
    copied = [line.split()[1:-1] for line in text.splitlines() if line.startswith("COPY ") and "--from" not in line]
    paths = [path for line in copied for path in line]
    allowed = (DEPLOY / "docker" / "Dockerfile.dockerignore").read_text().splitlines()
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert [path for path in paths if f"!{Path(path).parts[0]}" not in allowed] == []
    assert all((ROOT / line[1:]).exists() for line in allowed if line.startswith("!"))
    assert 'ENTRYPOINT ["hardpointd", "serve"]' in text, "compose gives the unit alone"


async def test_the_health_check_tells_serving_from_not():
    server = grpc.aio.server()
    state = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    kind, _, *arguments = SERVICES["runtime"]["healthcheck"]["test"]
    command = [sys.executable, *(argument.replace("7700", str(port)) for argument in arguments)]
    try:
        assert kind == "CMD"
        for status, code in ((_SERVING, 0), (_NOT_SERVING, 1)):
            await state.set("", status)
            assert await _ended(command) == code
    finally:
        await server.stop(None)
    assert await _ended(command) != 0, "nobody answers"


async def _ended(command: list[str], environment: dict[str, str] | None = None) -> int:
    quiet = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=quiet, stderr=quiet)
    return await asyncio.wait_for(process.wait(), 60)


@pytest.fixture(scope="module")
def prepared() -> Iterator[Path]:
    """The folder `deploy/secrets` as the README's commands make it."""
    text = (DEPLOY / "README.md").read_text().partition("## Prepare")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = [line[2:] for block in blocks for line in block.splitlines()]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, module in (("python", ""), ("hardpointd", "-m hardpointd")):
            program = root / "bin" / name
            program.parent.mkdir(exist_ok=True)
            program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            program.chmod(0o755)
        (root / "deploy").mkdir()
        environment = {
            **os.environ,
            "PATH": f"{root / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(sys.path),
        }
        script = "\n".join(["set -eu", *lines])
        subprocess.run(["bash", "-c", script], cwd=root, env=environment, check=True, timeout=60)
        yield root / "deploy" / "secrets"


def test_the_preparation_makes_every_secret(prepared: Path):
    made = {f"./secrets/{path.name}" for path in prepared.iterdir() if path.is_file()}
    assert {secret["file"] for secret in COMPOSE["secrets"].values()} <= made
    assert all(path.stat().st_mode & 0o077 == 0 for path in [prepared, *prepared.iterdir()])


def test_the_key_file_can_be_used(prepared: Path):
    assert load_keyring(prepared / "key-encryption-keys", "").problem == ""


@pytest.mark.parametrize("unit", ["marketplace", "runtime"])
async def test_the_service_tokens_verify(prepared: Path, unit: str):
    token = (prepared / f"service-token-{unit}").read_text().strip()
    caller = await Verifier(prepared / "jwks.json", "hardpoint").verify(token)
    assert caller.is_service
    assert caller.subject == f"units/{unit}"
    assert "d" not in json.loads((prepared / "jwks.json").read_text())["keys"][0], "the private half stays"


@pytest.fixture(scope="module")
def enterable() -> Iterator[Path]:
    """A folder that PostgreSQL's own user may enter."""
    folder = Path(tempfile.mkdtemp(prefix="hardpoint-deploy-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
async def server(prepared: Path, enterable: Path) -> AsyncIterator[EmbeddedPostgres]:
    """A PostgreSQL of its own, since roles belong to the whole server, after `roles.sql`."""
    async with EmbeddedPostgres(enterable, durable=False) as server:
        login = {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "postgres", "PGDATABASE": "postgres"}
        environment = {**os.environ, **login, "PGPASSWORD": server.password("postgres"), "PASSWORDS": str(prepared)}
        psql = [str(find_binaries().program("psql")), "--no-psqlrc", "--file", str(DEPLOY / "postgres" / "roles.sql")]
        assert await _ended(psql, environment) == 0
        yield server


def url_of(unit: str, server: EmbeddedPostgres, prepared: Path) -> str:
    """The unit's URL in compose, with this server and this folder in the place of the containers' own."""
    url: str = SERVICES[unit]["environment"][f"HARDPOINT_{unit.upper()}_DATABASE_URL"]
    return url.replace("@postgres/", f"@127.0.0.1:{server.port}/").replace("/run/secrets/", f"{prepared}/")


@pytest.mark.parametrize("unit", KEEPING_STATE)
async def test_a_role_can_do_its_units_work(unit: str, server: EmbeddedPostgres, prepared: Path):
    url = url_of(unit, server, prepared)
    await migrate(url, f"hardpoint_{unit}")
    database = Database(url)
    assert await database.reasons_not_ready() == []
    await database.close()


@pytest.mark.parametrize("unit", KEEPING_STATE)
async def test_a_role_enters_no_other_database(unit: str, server: EmbeddedPostgres, prepared: Path):
    url = make_url(url_of(unit, server, prepared)).set(drivername="postgresql")
    password = (prepared / f"postgres-{unit}").read_text().strip()
    others = {f"hardpoint_{other}" for other in KEEPING_STATE if other != unit} | {"postgres", "template1"}
    login: dict[str, Any] = {"host": url.host, "port": url.port, "user": url.username, "password": password}
    for other in others:
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            await psycopg.AsyncConnection.connect(**login, dbname=other)


def test_the_wheel_takes_every_file_of_a_package_that_is_no_code() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    files = {file for folder in ("libs", "services") for file in (ROOT / folder).glob("*/**/*") if file.is_file()}
    taken = [*data, "*.py", "*.pyc", ".generated"]
    assert ROOT / "services/hardpoint_executor/limits.toml" in files
    assert [file for file in files if not any(fnmatch(file.name, pattern) for pattern in taken)] == []
