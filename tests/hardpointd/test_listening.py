"""An address that cannot be served at is refused before anything is started."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hardpoint_kit.errors import Conflict, InvalidArgument
from hardpointd.__main__ import app
from hardpointd.listening import address_to_serve


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_port_0_becomes_a_free_one(host: str) -> None:
    named, _, port = address_to_serve(f"{host}:0").rpartition(":")
    assert named == host
    assert address_to_serve(f"{host}:{port}") == f"{host}:{port}"


@pytest.mark.parametrize("listen", ["nonsense", "127.0.0.1:99999", "127.0.0.1:", "127.0.0.1:-1", ":7700", "a:¹", ""])
def test_what_is_no_address_is_refused(listen: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        address_to_serve(listen)
    assert refused.value.violations.keys() == {"HARDPOINT_LISTEN"}
    assert "port 0 takes a free one" in refused.value.fix


def test_a_host_of_another_machine_is_refused() -> None:
    with pytest.raises(Conflict, match=r"cannot listen on 192.0.2.1:7700: Cannot assign requested address") as refused:
        address_to_serve("192.0.2.1:7700")
    assert "of this machine" in refused.value.fix


def test_a_taken_port_is_said_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARDPOINT_STATE", str(tmp_path / "state"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setenv("HARDPOINT_LISTEN", f"127.0.0.1:{other.getsockname()[1]}")
        said = CliRunner().invoke(app, ["serve"])
    assert said.exit_code == 1
    assert "the port is taken" in said.output
    assert "set HARDPOINT_LISTEN to another host:port" in " ".join(said.output.split())
    assert not (tmp_path / "state").exists()
