"""Stored files from the command line."""

from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from cli.conftest import Run
from cli.fakes import WEATHER, World
from hardpoint.files.v1 import files_pb2
from hardpoint_kit.documents import from_struct, to_struct
from hardpoint_manifest.model import FILE_SCHEMA

FILE = "orgs/acme/files/f1"
HANDLE = {"id": FILE, "name": "invoice.pdf", "type": "application/pdf", "size": 3}


@pytest.fixture
def invoice(run: Run) -> Path:
    """A file in the folder of the test."""
    path = Path("folder") / "invoice.pdf"
    path.parent.mkdir()
    path.write_bytes(b"pdf")
    return path


@pytest.fixture
def reading(attached: World) -> World:
    """The agent's action takes a file, a note and a list of files."""
    release = attached.releases[f"{WEATHER}/releases/1.0.0"]
    inputs: dict[str, Any] = {
        "type": "object",
        "properties": {
            "file": {**FILE_SCHEMA, "description": "An invoice"},
            "note": {"type": "string"},
            "more": {"type": "array", "items": FILE_SCHEMA},
        },
        "additionalProperties": False,
    }
    release.manifest.actions[0].input_schema.CopyFrom(to_struct(inputs))
    return attached


def test_a_file_is_uploaded_listed_taken_and_deleted(cli: Run, world: World, invoice: Path) -> None:
    said = cli("file", "upload", str(invoice), "--type", "text/csv", "--json").json
    assert said["handle"] == {**HANDLE, "type": "text/csv"}
    assert world.contents[FILE] == b"pdf"
    header = world.asked["UploadFile"][0]
    assert (header.header.display_name, bool(header.request_id)) == ("invoice.pdf", True)
    assert "f1 | invoice.pdf | text/csv | 3 B" in cli("file", "list").table
    said = cli("file", "get", "f1").out
    assert "invoice.pdf" in said
    assert Path("invoice.pdf").read_bytes() == b"pdf"
    assert cli("file", "delete", "f1", "--json").json == {"file": FILE}
    assert world.files == {}
    assert cli("file", "delete", "f1", "--json").json["error"]["reason"] == "NOT_FOUND"


def test_a_file_may_be_forgotten_after_days(cli: Run, world: World, invoice: Path) -> None:
    for days in ("0", "1e9", "inf", "nan"):
        assert cli("file", "upload", str(invoice), "--days", days).code == 2
    assert not world.files
    cli("file", "upload", str(invoice), "--days", "7", "--name", "other.pdf")
    (kept,) = world.files.values()
    assert kept.display_name == "other.pdf"
    assert kept.expire_time.seconds > 0
    listed = cli("file", "list").table
    assert f"| {kept.expire_time.ToDatetime(tzinfo=UTC).astimezone():%Y-%m-%d %H:%M:%S} |" in listed


def test_what_is_there_is_not_written_over(cli: Run, world: World, invoice: Path) -> None:
    cli("file", "upload", str(invoice))
    Path("invoice.pdf").write_bytes(b"mine")
    said = cli("file", "get", "f1")
    assert said.code == 2
    assert Path("invoice.pdf").read_bytes() == b"mine"
    assert cli("file", "get", "f1", "--output", "other.pdf").code == 0
    assert Path("other.pdf").read_bytes() == b"pdf"
    assert cli("file", "get", "f1", "--force").code == 0
    assert Path("invoice.pdf").read_bytes() == b"pdf"


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "folder/out.txt"])
def test_a_name_leads_nowhere(cli: Run, world: World, run: Run, name: str) -> None:
    world.files[FILE] = files_pb2.File(name=FILE, display_name=name)
    world.contents[FILE] = b"x"
    cli("file", "get", "f1")
    assert Path("out.txt").read_bytes() == b"x"
    assert not Path("../out.txt").exists()


def test_a_call_uploads_what_stands_at_a_path(cli: Run, reading: World, invoice: Path) -> None:
    said = cli("call", "helper", "get-weather", f"file=@{invoice}", "note=@home")
    assert said.code == 0, said.err
    assert "invoice.pdf is stored as f1" in said.err
    (request,) = reading.asked["CallAction"]
    assert from_struct(request.input) == {"file": HANDLE, "note": "@home"}, "where no file is declared, @ is a letter"


def test_a_call_gives_along_what_the_agent_knows(cli: Run, reading: World, invoice: Path) -> None:
    said = '{"id": "c-1", "messages": [{"role": "user", "text": "hello"}]}'
    user, files = ("--user", "name=Ada", "--user", "locale=en-GB"), ("--file", f"@{invoice}", "--file", "f9")
    assert cli("call", "helper", "get-weather", "note=x", *user, "--conversation", said, *files).code == 0
    known = reading.asked["CallAction"][0].context
    assert (known.user.name, known.user.locale, known.conversation.messages[0].text) == ("Ada", "en-GB", "hello")
    assert list(known.files) == [FILE, "orgs/acme/files/f9"]
    for wrong in (("--user", "age=7"), ("--conversation", "[]"), ("--conversation", '{"said": "x"}')):
        assert cli("call", "helper", "get-weather", "note=x", *wrong).code != 0


def test_a_call_names_a_stored_file_by_its_id(cli: Run, reading: World) -> None:
    for given in ("f1", FILE, f'{{"id": "{FILE}"}}'):
        assert cli("call", "helper", "get-weather", f"file={given}").code == 0
    assert [from_struct(request.input) for request in reading.asked["CallAction"]] == [{"file": {"id": FILE}}] * 3
    assert reading.asked["UploadFile"] == []


def test_a_path_that_is_not_there_is_said_before_anything_is_sent(cli: Run, reading: World) -> None:
    said = cli("call", "helper", "get-weather", "file=@nothing.pdf")
    assert said.code == 2
    assert "there is no file nothing.pdf" in said.err
    assert (reading.asked["UploadFile"], reading.asked["CallAction"]) == ([], [])


def test_a_file_without_an_end_has_one(cli: Run, world: World) -> None:
    said = cli("file", "upload", "/dev/zero")
    assert said.code == 1
    assert "[FILE_TOO_LARGE]" in said.err
    assert not world.asked["UploadFile"]


def test_where_a_file_cannot_be_written_is_said(cli: Run, world: World, invoice: Path) -> None:
    cli("file", "upload", str(invoice))
    (file,) = world.files
    said = cli("file", "get", file.rpartition("/")[2], "--output", "nowhere/x")
    assert said.code == 1
    assert "nowhere/x: No such file or directory" in said.err
