"""What each standard action makes of its input: what it asks the platform for, gives back, and refuses."""

from collections.abc import Mapping
from typing import Any

import pytest

from executor.kept import UNTIL, Kept
from hardpoint_executor.jail import JailCall, Jails
from hardpoint_executor.jail.interface import Outcome
from hardpoint_standard import shipped
from standard.conftest import Standard

ORDER = {
    "type": "object",
    "properties": {
        "number": {"type": "string", "pattern": "^INV-"},
        "date": {"type": "string", "format": "date"},
        "items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}},
    },
    "required": ["number", "vendor"],
}


class Platform:
    """Answers what code asks its platform for, by service and method, and remembers it."""

    def __init__(self, **answers: Any) -> None:
        self.answers = answers
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        self.asked.append((f"{service}.{method}", arguments))
        return self.answers[f"{service}_{method}"]


async def called(jails: Jails, platform: Platform, name: str, input: Any, **settings: Any) -> Outcome:
    capability, action = name.split(".")
    code = {one.filename: one for one in shipped()}[f"{capability}.py"]
    call = JailCall("python", code.source.decode(), code.filename, action, input, settings, org="a", capability=name)
    return await jails.run(call, platform)


async def failed(standard: Standard, name: str, input: Mapping[str, Any], kept: Kept | None = None) -> tuple[str, str]:
    """The error's own name and what it says."""
    done = await standard.ran(name, input, kept)
    assert done.error is not None, done.output
    assert done.error.reason == "USER_ERROR", done.error
    return str(done.error.metadata["name"]), done.error.message


async def test_a_value_that_fits_its_schema_comes_back_as_it_is(standard: Standard) -> None:
    value = {"number": "INV-1", "vendor": "ACME", "date": "2024-02-29", "items": [{"price": 1.5}], "more": None}
    done = await standard.ran("validate.schema", {"input": value, "schema": ORDER})
    assert (done.error, done.output) == (None, value)


async def test_each_place_that_does_not_fit_is_named(standard: Standard) -> None:
    value = {"number": "7", "date": "2023-02-29", "items": [{"price": 1}, {"price": "two"}]}
    name, said = await failed(standard, "validate.schema", {"input": value, "schema": ORDER})
    assert (name, said.removeprefix("DoesNotFit: ").split("; ")) == (
        "DoesNotFit",
        [
            "input: 'vendor' is a required property",
            "input.date: '2023-02-29' is not a 'date'",
            "input.items[1].price: 'two' is not of type 'number'",
            "input.number: '7' does not match '^INV-'",
        ],
    )
    many = {"input": ["x"] * 500, "schema": {"items": {"type": "number"}}}
    assert (await failed(standard, "validate.schema", many))[1].endswith("; and 480 more")


@pytest.mark.parametrize(
    ("schema", "says"),
    [
        ({"type": "text"}, "schema.type: 'text' is not valid under any of the given schemas"),
        ({"properties": {"a": {"minimum": "1"}}}, "schema.properties.a.minimum: '1' is not of type 'number'"),
        ({"$ref": "http://example.com/schema.json"}, "it refers to http://example.com/schema.json, which is not in it"),
        ({"$ref": "#/$defs/missing"}, "it refers to /$defs/missing, which is not in it"),
    ],
)
async def test_a_schema_that_is_none_is_told_apart_from_a_value_that_does_not_fit(
    standard: Standard, schema: dict[str, Any], says: str
) -> None:
    name, said = await failed(standard, "validate.schema", {"input": {"a": 1}, "schema": schema})
    assert name == "SchemaUnusable"
    assert says in said


async def test_files_are_saved_and_read_as_text_and_as_bytes(standard: Standard) -> None:
    kept = Kept()
    done = await standard.ran("files.save", {"name": "a.csv", "data": "é,1", "type": "text/csv"}, kept)
    assert done.output["file"]["name"] == "a.csv"
    assert list(kept.saved.values()) == [("a.csv", "text/csv", "é,1".encode())]
    await standard.ran("files.save", {"name": "b", "data": "/w==", "encoding": "base64"}, kept)
    assert kept.saved["orgs/acme/files/saved1"] == ("b", "", b"\xff")
    assert (await failed(standard, "files.save", {"name": "b", "data": "?", "encoding": "base64"}))[0] == "NotText"

    kept = Kept(text="héllo".encode(), bytes=b"\xff\xfe")
    text, raw = ({"id": f"orgs/acme/files/{name}"} for name in ("text", "bytes"))
    assert (await standard.ran("files.read", {"input": text}, kept)).output == {"data": "héllo", "bytes": 6}
    part = {"input": text, "offset": 3, "length": 2}
    assert (await standard.ran("files.read", part, kept)).output == {"data": "ll", "bytes": 2}
    as_base64 = {"input": raw, "encoding": "base64"}
    assert (await standard.ran("files.read", as_base64, kept)).output == {"data": "//4=", "bytes": 2}
    name, said = await failed(standard, "files.read", {"input": raw}, kept)
    assert (name, "read them with encoding base64" in said) == ("NotText", True)
    listed = (await standard.ran("files.list", {}, kept)).output["files"]
    assert sorted(file["name"] for file in listed) == ["bytes", "text"]


async def test_a_temporary_file_says_when_it_is_gone(standard: Standard) -> None:
    kept = Kept()
    text = {"name": "a.csv", "data": "é,1", "type": "text/csv"}
    done = await standard.ran("files.temporary", {**text, "expires_in": 60}, kept)
    assert (done.output["file"]["name"], done.output["file"]["expire_time"]) == ("a.csv", UNTIL)
    await standard.ran("files.temporary", {"name": "b", "data": "/w==", "encoding": "base64"}, kept)
    assert list(kept.saved.values()) == [("a.csv", "text/csv", "é,1".encode()), ("b", "", b"\xff")]
    assert list(kept.expiring.values()) == [60, 3600]
    longer = await standard.ran("files.temporary", {**text, "expires_in": 2_592_001}, kept)
    assert (longer.error.reason, "30 days" in longer.error.message) == ("INVALID_ARGUMENT", True)


async def test_the_model_is_asked_for_an_object_and_its_object_is_what_comes_back(jails: Jails) -> None:
    platform = Platform(ai_chat={"text": '{"number": 7}', "data": {"number": 7}, "usage": {}})
    input = {"input": "Invoice 7", "prompt": "Extract the number"}
    assert (await called(jails, platform, "ai.analyze", input)).value == {"number": 7}
    assert platform.asked == [("ai.chat", {**input, "schema": {"type": "object"}})]
    schema = {"type": "object", "properties": {"number": {"type": "integer"}}}
    await called(jails, platform, "ai.analyze", {**input, "schema": schema, "model": "large"})
    assert platform.asked[1] == ("ai.chat", {**input, "schema": schema, "model": "large"})
    for answer in ({"text": "I cannot", "usage": {}}, {"text": "[1]", "data": [1], "usage": {}}):
        refused = await called(jails, Platform(ai_chat=answer), "ai.analyze", input)
        assert (refused.error_name, "say in the prompt what to give" in refused.message) == ("NoObject", True)


async def test_chat_and_embeddings_are_those_of_the_platform(jails: Jails) -> None:
    platform = Platform(ai_chat={"text": "Hello"}, ai_embed=[[0.5, 1.0]])
    messages = [{"role": "user", "content": "Hi"}]
    assert (await called(jails, platform, "ai.chat", {"messages": messages})).value == {"text": "Hello"}
    assert (await called(jails, platform, "ai.embed", {"input": "one"})).value == {"vectors": [[0.5, 1.0]]}
    await called(jails, platform, "ai.embed", {"input": ["one", "two"], "model": "m"})
    assert platform.asked == [
        ("ai.chat", {"messages": messages}),
        ("ai.embed", {"texts": ["one"]}),
        ("ai.embed", {"texts": ["one", "two"], "model": "m"}),
    ]


async def test_rows_go_into_the_database_and_come_out_of_it(jails: Jails) -> None:
    platform = Platform(db_insert={"rows": 1}, db_query=[{"n": 1}], db_update={"rows": 2}, db_delete={"rows": 3})
    row = {"table": "invoices", "data": {"number": "INV-1", "amount": 12.5}}
    assert (await called(jails, platform, "database.insert", row)).value == {"rows": 1}
    select = {"sql": "SELECT n FROM t WHERE n = $1", "params": [1]}
    assert (await called(jails, platform, "database.query", select)).value == {"rows": [{"n": 1}]}
    where = {"number": "INV-1"}
    update = {"table": "invoices", "data": {"amount": 1}, "where": where}
    assert (await called(jails, platform, "database.update", update)).value == {"rows": 2}
    delete = {"table": "invoices", "where": where}
    assert (await called(jails, platform, "database.delete", delete)).value == {"rows": 3}
    assert platform.asked == [
        ("db.insert", {"table": "invoices", "rows": row["data"]}),
        ("db.query", select),
        ("db.update", {"table": "invoices", "values": {"amount": 1}, "where": where}),
        ("db.delete", delete),
    ]


async def test_a_mail_goes_out_with_its_placeholders_filled_once_and_escaped_in_html(jails: Jails) -> None:
    platform = Platform(email_send={"message_id": "<1@example.com>"})
    mail = {
        "to": ["a@example.com"],
        "cc": "b@example.com",
        "subject": "Invoice {{ invoice.number }}",
        "body": "Dear {{name}}, {{count}} of {{nothing}}",
        "html": "<p>Dear {{name}}</p>",
        "values": {"name": "<b>{{count}}</b>", "count": 3, "nothing": None, "invoice": {"number": "INV-7"}},
    }
    assert (await called(jails, platform, "email.send", mail)).value == {"message_id": "<1@example.com>"}
    assert platform.asked == [
        (
            "email.send",
            {
                "to": ["a@example.com"],
                "cc": "b@example.com",
                "subject": "Invoice INV-7",
                "body": "Dear <b>{{count}}</b>, 3 of ",
                "html": "<p>Dear &lt;b&gt;{{count}}&lt;/b&gt;</p>",
            },
        )
    ]
    missing = await called(jails, platform, "email.send", {**mail, "values": {"name": "x", "count": 1}})
    assert (missing.error_name, "has {{invoice.number}}" in missing.message) == ("ValueMissing", True)
    plain = {"to": "a@example.com", "subject": "s", "body": "as {{it}} stands"}
    await called(jails, platform, "email.send", plain)
    assert platform.asked[-1] == ("email.send", plain)


async def test_a_file_is_attached_by_its_handle_and_does_not_pass_through_the_jail(jails: Jails) -> None:
    platform = Platform(email_send={"message_id": "<1@x>"})
    handle = {"id": "orgs/a/files/f", "name": "a.txt", "type": "text/plain", "size": 2}
    mail = {"to": "a@example.com", "subject": "s", "body": "b", "attachments": [handle, {"id": "orgs/a/files/g"}]}
    await called(jails, platform, "email.send", mail)
    [(_, sent)] = platform.asked
    assert sent["attachments"] == [handle, {"id": "orgs/a/files/g", "name": "attachment"}]


async def test_the_administrator_is_told_what_went_wrong(jails: Jails) -> None:
    platform = Platform(email_send={"message_id": "<1@x>"}, context_get={"org": "acme", "run": "orgs/acme/runs/r"})
    error = {"reason": "TYPE_MISMATCH", "message": "no number", "step": "validate"}
    await called(jails, platform, "notify.admin", {"error": error}, ADMIN_EMAIL="admin@example.com")
    await called(jails, platform, "notify.admin", {"subject": "Done", "message": "All"}, ADMIN_EMAIL="x@example.com")
    mails = [asked for name, asked in platform.asked if name == "email.send"]
    assert mails[0] == {
        "to": "admin@example.com",
        "subject": "Hardpoint: an error",
        "body": "Something went wrong.\n\nreason: TYPE_MISMATCH\nmessage: no number\nstep: validate\n\n"
        "org: acme\nrun: orgs/acme/runs/r",
    }
    assert (mails[1]["to"], mails[1]["subject"]) == ("x@example.com", "Done")
    assert mails[1]["body"].startswith("All\n\norg: acme")
    nobody = await called(jails, platform, "notify.admin", {"message": "All"})
    assert (nobody.error_name, "set ADMIN_EMAIL of the installation notify" in nobody.message) == ("NobodyToTell", True)
