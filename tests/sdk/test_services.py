"""What `db`, `ai`, `email` and `calendar` ask of the broker: the same in Python, on Node and on QuickJS."""

import base64
from collections.abc import Mapping
from typing import Any

import pytest

from hardpoint_executor.jail import BrokerDenied, JailCall, Jails
from jail.programs import javascript, python

PYTHON = """
await self.db.query('SELECT * FROM a WHERE b = $1', ['open'])
await self.db.query('SELECT 1', connection='REPORTING_URL')
await self.db.execute('DELETE FROM a WHERE b = $1', [None])
await self.db.insert('a', {'b': [1, {'c': 2.5}]})
await self.db.insert('a', [{'b': 1}], connection='REPORTING_URL')
await self.db.update('a', {'b': 1}, {'c': None})
await self.db.delete('a', {'c': 'd'}, connection='REPORTING_URL')
await self.ai.chat(prompt='sum up', input={'a': 1}, schema={'type': 'object'}, model='small')
await self.ai.chat(messages=[{'role': 'user', 'content': 'hi'}], tools=[{'name': 'f'}], max_tokens=5)
await self.ai.embed(['one', 'two'])
await self.ai.embed(['one'], model='small')
mail = {'to': 'a@example.com', 'subject': 's', 'body': 'b'}
await self.email.send(**mail)
return await self.email.send(**mail, cc=['c@example.com'], attachments=[
    {'name': 'a.txt', 'data': 'text\\u20ac'}, {'name': 'b.bin', 'type': 'image/png', 'data': b'\\x00\\xff'},
    {'id': 'orgs/acme/files/f', 'name': 'c.pdf'},
])
"""
JAVASCRIPT = """
await this.db.query('SELECT * FROM a WHERE b = $1', ['open']);
await this.db.query('SELECT 1', [], { connection: 'REPORTING_URL' });
await this.db.execute('DELETE FROM a WHERE b = $1', [null]);
await this.db.insert('a', { b: [1, { c: 2.5 }] });
await this.db.insert('a', [{ b: 1 }], { connection: 'REPORTING_URL' });
await this.db.update('a', { b: 1 }, { c: null });
await this.db.delete('a', { c: 'd' }, { connection: 'REPORTING_URL' });
const open = await this.db.delete('a', { b: 1, c: undefined }).catch((error) => error.name);
if (open !== 'TypeError') throw new Error(`deleted by half a condition: ${open}`);
await this.ai.chat({ prompt: 'sum up', input: { a: 1 }, schema: { type: 'object' }, model: 'small' });
await this.ai.chat({ messages: [{ role: 'user', content: 'hi' }], tools: [{ name: 'f' }], max_tokens: 5 });
await this.ai.embed(['one', 'two']);
await this.ai.embed(['one'], { model: 'small' });
const mail = { to: 'a@example.com', subject: 's', body: 'b' };
await this.email.send(mail);
return this.email.send({ ...mail, cc: ['c@example.com'], attachments: [
  { name: 'a.txt', data: 'text\\u20ac' }, { name: 'b.bin', type: 'image/png', data: new Uint8Array([0, 255]) },
  { id: 'orgs/acme/files/f', name: 'c.pdf' },
] });
"""
MAIL = {"to": "a@example.com", "subject": "s", "body": "b"}
ASKED = [
    ("db", "query", {"sql": "SELECT * FROM a WHERE b = $1", "params": ["open"]}),
    ("db", "query", {"sql": "SELECT 1", "params": [], "connection": "REPORTING_URL"}),
    ("db", "execute", {"sql": "DELETE FROM a WHERE b = $1", "params": [None]}),
    ("db", "insert", {"table": "a", "rows": {"b": [1, {"c": 2.5}]}}),
    ("db", "insert", {"table": "a", "rows": [{"b": 1}], "connection": "REPORTING_URL"}),
    ("db", "update", {"table": "a", "values": {"b": 1}, "where": {"c": None}}),
    ("db", "delete", {"table": "a", "where": {"c": "d"}, "connection": "REPORTING_URL"}),
    ("ai", "chat", {"prompt": "sum up", "input": {"a": 1}, "schema": {"type": "object"}, "model": "small"}),
    ("ai", "chat", {"messages": [{"role": "user", "content": "hi"}], "tools": [{"name": "f"}], "max_tokens": 5}),
    ("ai", "embed", {"texts": ["one", "two"]}),
    ("ai", "embed", {"texts": ["one"], "model": "small"}),
    ("email", "send", MAIL),
    (
        "email",
        "send",
        {
            **MAIL,
            "cc": ["c@example.com"],
            "attachments": [
                {"name": "a.txt", "data": base64.b64encode("text\u20ac".encode()).decode()},
                {"name": "b.bin", "type": "image/png", "data": "AP8="},
                {"id": "orgs/acme/files/f", "name": "c.pdf"},
            ],
        },
    ),
]


class Recorded:
    """Answers everything with its number."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Mapping[str, Any]]] = []

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        self.asked.append((service, method, arguments))
        return len(self.asked)


class Refusing:
    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        raise BrokerDenied("PERMISSION_NOT_GRANTED", f"{service} is not for you")


def call_of(engine: str, body: str) -> JailCall:
    return python(body, broker_calls=20) if engine == "python" else javascript(body, engine=engine, broker_calls=20)


def offered(jails: Jails, tier: str, engine: str) -> bool:
    """QuickJS runs in slots alone."""
    if engine != "quickjs":
        return True
    assert ("quickjs" in jails.engines("javascript")) is (tier == "slots")
    return tier == "slots"


@pytest.mark.parametrize("engine", ["python", "node", "quickjs"])
async def test_each_language_asks_the_same(jails: Jails, tier: str, engine: str) -> None:
    door = Recorded()
    if not offered(jails, tier, engine):
        return
    outcome = await jails.run(call_of(engine, PYTHON if engine == "python" else JAVASCRIPT), door)
    assert (outcome.value, outcome.message) == (len(ASKED), "")
    assert door.asked == ASKED


READ_IN_PYTHON = """
await self.email.search(subject='s', unseen=True)
mail = await self.email.fetch('1.2', folder='Old')
xml = await self.calendar.propfind('', '<a/>', depth=0) + await self.calendar.report('/a/', '<b/>')
event = await self.calendar.get('/a/b')
put = [await self.calendar.put('/a/b', 'B', etag=event['etag']), await self.calendar.put('/a/c', 'C')]
await self.calendar.delete('/a/b', etag='"1"')
return [len(mail), xml, event, put]
"""
READ_IN_JAVASCRIPT = """
await this.email.search({ subject: 's', unseen: true });
const mail = await this.email.fetch('1.2', { folder: 'Old' });
const xml = await this.calendar.propfind('', '<a/>', { depth: 0 }) + await this.calendar.report('/a/', '<b/>');
const event = await this.calendar.get('/a/b');
const put = [await this.calendar.put('/a/b', 'B', { etag: event.etag }), await this.calendar.put('/a/c', 'C')];
await this.calendar.delete('/a/b', { etag: '"1"' });
return [mail.length, xml, event, put];
"""
READ = [
    ("email", "search", {"subject": "s", "unseen": True}),
    ("email", "fetch", {"message": "1.2", "folder": "Old", "offset": 0}),
    ("email", "fetch", {"message": "1.2", "folder": "Old", "offset": 3}),
    ("calendar", "propfind", {"path": "", "body": "<a/>", "depth": 0}),
    ("calendar", "report", {"path": "/a/", "body": "<b/>"}),
    ("calendar", "get", {"path": "/a/b"}),
    ("calendar", "put", {"path": "/a/b", "body": "B", "etag": '"1"'}),
    ("calendar", "put", {"path": "/a/c", "body": "C"}),
    ("calendar", "delete", {"path": "/a/b", "etag": '"1"'}),
]


class Mailbox(Recorded):
    """Gives a mail of five bytes in two parts, and of calendars always the same."""

    async def ask(self, service: str, method: str, arguments: Mapping[str, Any], /) -> Any:
        await super().ask(service, method, arguments)
        if service == "calendar":
            return {"text": "T", "etag": '"1"'}
        part = b"mails"[arguments.get("offset", 0) :][:3]
        return {"data": base64.b64encode(part).decode(), "size": 5}


@pytest.mark.parametrize("engine", ["python", "node", "quickjs"])
async def test_each_language_reads_mail_and_calendars_alike(jails: Jails, tier: str, engine: str) -> None:
    door = Mailbox()
    if not offered(jails, tier, engine):
        return
    outcome = await jails.run(call_of(engine, READ_IN_PYTHON if engine == "python" else READ_IN_JAVASCRIPT), door)
    event = {"text": "T", "etag": '"1"'}
    assert (outcome.value, outcome.message) == ([5, "TT", event, [{"etag": '"1"'}] * 2], "")
    assert door.asked == READ


@pytest.mark.parametrize("engine", ["python", "node", "quickjs"])
async def test_a_refusal_is_an_error_with_its_code(jails: Jails, tier: str, engine: str) -> None:
    if not offered(jails, tier, engine):
        return
    body = (
        "from hardpoint_sdk import BrokerError\ntry: await self.db.query('SELECT 1')\n"
        "except BrokerError as error: return [error.code, str(error)]"
        if engine == "python"
        else "try { await this.db.query('SELECT 1'); } catch (error) { return [error.code, error.message]; }"
    )
    outcome = await jails.run(call_of(engine, body), Refusing())
    assert outcome.value == ["PERMISSION_NOT_GRANTED", "PERMISSION_NOT_GRANTED: db is not for you"]
