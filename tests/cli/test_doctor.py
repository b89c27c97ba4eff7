"""The doctor finds what is wrong and says what to do."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from cli.conftest import Run
from cli.fakes import World
from cli.serving import Serving
from hardpoint.config.v1 import config_pb2
from hardpoint_cli import local
from hardpoint_cli.diagnosis import SERVICES, lacks
from hardpoint_client import Hardpoint, Login
from hardpoint_kit.auth import DevKeys
from hardpoint_kit.errors import Unavailable


def check(document: Any, name: str) -> Any:
    return next(one for one in document["checks"] if one["name"].startswith(name))


def test_all_is_well(cli: Run, world: World) -> None:
    said = cli("doctor")
    assert said.code == 0, said.out
    assert "All is well." in said.out
    assert "✓ | token | ada of acme, admin; good for 60 minutes" in said.table
    assert "✓ | executor | serving; ran Python in a jail" in said.table
    document = cli("doctor", "--json").json
    assert document["ok"] is True
    assert [one["name"].split()[0] for one in document["checks"]] == [
        "token",
        "server",
        "config",
        "registry",
        "marketplace",
        "files",
        "executor",
        "runtime",
        "contracts",
    ]


def test_a_unit_that_cannot_work_says_why(cli: Run, world: World) -> None:
    world.errors["ReadHeader"] = Unavailable("no user namespaces", reason="JAIL_UNAVAILABLE", fix="allow them")
    said = cli("doctor")
    assert said.code == 1
    assert "✗ | executor | no user namespaces [JAIL_UNAVAILABLE]" in said.table
    assert "executor: allow them" in said.out


def test_a_unit_that_is_not_ready(cli: Run, serving: Serving, world: World) -> None:
    serving.not_ready["marketplace"] = ["its database is away"]
    serving.report_health()
    found = check(cli("doctor", "--json").json, "marketplace")
    assert not found["ok"]
    assert found["found"] == "says that it is not ready"
    serving.not_ready.clear()
    serving.report_health()


def test_roles_that_allow_little_are_no_illness(cli: Run, world: World) -> None:
    said = cli("doctor", "--json", roles=("viewer",))
    assert said.code == 0
    assert "your roles do not allow it" in check(said.json, "config")["found"]


def test_nobody_answers(run: Run, keys: DevKeys) -> None:
    environment = {"HARDPOINT_ADDRESS": "127.0.0.1:1", "HARDPOINT_TOKEN": keys.mint("ada", "acme", ["admin"])}
    said = run("doctor", env=environment)
    assert said.code == 1
    assert "✗ | server 127.0.0.1:1 | does not answer" in said.table
    assert "make up" in said.out


def test_nobody_is_logged_in(run: Run) -> None:
    said = run("doctor", "--json")
    assert said.code == 1
    assert check(said.json, "login")["fix"]


def test_a_token_that_has_expired(run: Run, serving: Serving, keys: DevKeys, world: World) -> None:
    token = keys.mint("ada", "acme", ["admin"], ttl=-7200)
    said = run("doctor", "--json", env={"HARDPOINT_ADDRESS": f"127.0.0.1:{serving.port}", "HARDPOINT_TOKEN": token})
    assert said.code == 1
    assert check(said.json, "token")["fix"].startswith("set HARDPOINT_TOKEN")
    assert [one["name"] for one in said.json["checks"] if not one["ok"]] == ["token"]
    assert token not in said.out


def test_a_unit_that_is_served_elsewhere(run: Run, serving: Serving, keys: DevKeys, world: World) -> None:
    address = f"127.0.0.1:{serving.port}"
    environment = {
        "HARDPOINT_ADDRESS": address,
        "HARDPOINT_TOKEN": keys.mint("ada", "acme", ["admin"]),
        "HARDPOINT_CONFIG_ADDRESS": "127.0.0.1:1",
    }
    document = run("doctor", "--json", env=environment).json
    assert check(document, f"server {address}")["ok"]
    assert not check(document, "server 127.0.0.1:1")["ok"]
    assert check(document, "registry")["ok"]


def test_an_older_server_is_found_out() -> None:
    served = FileDescriptorProto()
    config_pb2.DESCRIPTOR.CopyToProto(served)
    service = SERVICES["config"][0]
    assert lacks([served], service) == []
    kept = [method for method in served.service[0].method if method.name != "ListSecrets"]
    del served.service[0].method[:]
    served.service[0].method.extend(kept)
    message = next(one for one in served.message_type if one.name == "Secret")
    del message.field[0]
    assert lacks([served], service) == ["ConfigService.ListSecrets", "Secret.name"]
    assert "ConfigService.GetSettings" in lacks([], service)


async def test_every_contract_of_the_client_is_looked_at() -> None:
    async with Hardpoint(Login("127.0.0.1:1", "e30.eyJvcmciOiJhY21lIn0.e30")) as client:
        stubs = [type(stub) for stub in vars(client).values() if type(stub).__name__.endswith("Stub")]
    names = {f"{stub.__module__.rpartition('.')[0]}.{stub.__name__.removesuffix('Stub')}" for stub in stubs}
    assert names == {service for services in SERVICES.values() for service in services}


def test_the_jail_of_this_machine_is_tried_without_a_server(run: Run) -> None:
    said = run("doctor", "--jail")
    assert said.code == 0, said.out + said.err
    assert "✓ | python network_ip | holds" in said.table
    assert "✓ | javascript network_ip | holds" in said.table
    assert "All is well." in said.out


def test_a_wall_that_is_down_is_said_with_what_to_do(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The executor's word is taken as it comes: here another program speaks in its place."""
    wall = {"jail": "python", "wall": "proc", "ok": False, "meaning": "/proc can be seen", "fix": "unmount it"}
    holds = {**wall, "wall": "sys", "ok": True, "fix": "unmount that"}
    fact = {"name": "cgroups", "ok": True, "found": "none", "fix": "hand them over"}
    reasons = ["python cannot be jailed: no"] * 2
    document = {"ok": False, "facts": [fact], "reasons": reasons, "walls": [wall, holds]}
    (tmp_path / "spoken.py").write_text(f"print({json.dumps(json.dumps(document))})")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(local, "CHECKUP", "spoken")
    said = run("doctor", "--jail")
    assert said.code == 1
    assert "✗ | python proc | /proc can be seen" in said.table
    assert "✗ | jail | python cannot be jailed: no" in said.table
    assert said.table.count("python cannot be jailed: no") == 1
    assert "python proc: unmount it" in said.out
    assert "unmount that" not in said.out
    assert "What could be better:\n  cgroups: hand them over" in said.out


def test_no_executor_is_installed(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CHECKUP", "hardpoint_absent.checkup")
    said = run("doctor", "--jail", "--json")
    assert said.code == 1
    assert check(said.json, "executor")["fix"] == "pip install 'hardpoint[executor]'"


def test_an_executor_that_cannot_be_started_says_why(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "CHECKUP", "json.absent")
    said = run("doctor", "--jail", "--json")
    assert said.code == 1
    assert "No module named json.absent" in check(said.json, "executor")["found"]
