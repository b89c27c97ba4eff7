"""The service `calendar` through a real CalDAV server: what it may ask for, where, and what nobody hears of it."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from executor.brokers import Place, broker_of, client_of, resolving
from executor.caldav import HOME, calendar_server
from executor.upstream import Seen, Upstream, answer, redirect
from hardpoint_executor.broker.broker import Broker
from hardpoint_executor.broker.denial import BrokerDenied, DenialCode
from hardpoint_executor.broker.http import HttpClient
from hardpoint_executor.writes import Ledger, Writes

PASSWORD = "canary-5c1e7720fa"
HOST = "dav.example.com"
URL = f"https://ada:{PASSWORD}@{HOST}{HOME}"
WORK = f"{HOME}work/"
EVENT = """BEGIN:VCALENDAR\r
VERSION:2.0\r
PRODID:test\r
BEGIN:VEVENT\r
UID:one\r
DTSTAMP:20260101T000000Z\r
DTSTART:20260302T090000Z\r
SUMMARY:{}\r
END:VEVENT\r
END:VCALENDAR\r
"""
NAMES = '<propfind xmlns="DAV:"><prop><displayname/></prop></propfind>'


def broker(client: HttpClient, **rest: Any) -> Broker:
    usual: dict[str, Any] = {
        "permissions": frozenset({"integration.calendar"}),
        "hosts": (),
        "secrets": {"CALDAV_URL": URL},
    }
    return broker_of(client, **usual | rest)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with calendar_server(tmp_path_factory.mktemp("caldav"), PASSWORD) as place:
        made = httpx.request("MKCALENDAR", f"http://{place}{WORK}", auth=("ada", PASSWORD))
        assert made.status_code == 201
        yield place


@pytest.fixture
async def client(place: str) -> AsyncIterator[HttpClient]:
    async with client_of({HOST: Place(place)}) as client:
        yield client


async def refused(broker: Broker, method: str, **arguments: Any) -> BrokerDenied:
    with pytest.raises(BrokerDenied) as denied:
        await broker.ask("calendar", method, arguments)
    said = denied.value.message + denied.value.fix + str(denied.value.facts)
    assert denied.value.fix
    assert PASSWORD not in said
    assert HOST not in said
    return denied.value


async def test_an_event_is_written_once_changed_by_who_has_seen_it_and_removed(client: HttpClient) -> None:
    mine = broker(client)
    path = f"{WORK}one.ics"
    assert "/ada/work/" in (await mine.ask("calendar", "propfind", {"path": "", "body": NAMES}))["text"]
    made = await mine.ask("calendar", "put", {"path": path, "body": EVENT.format("Standup")})
    again = await refused(mine, "put", path=path, body=EVENT.format("Other"))
    assert (again.code, again.facts["status"]) == (DenialCode.EVENT_CHANGED, "412")

    found = await mine.ask("calendar", "get", {"path": path})
    assert ("SUMMARY:Standup" in found["text"], found["etag"]) == (True, made["etag"])
    changed = await mine.ask("calendar", "put", {"path": path, "body": EVENT.format("Retro"), "etag": found["etag"]})
    assert changed["etag"] != found["etag"]
    late = await refused(mine, "put", path=path, body=EVENT.format("Late"), etag=found["etag"])
    assert late.message == "the event is there already, or was changed since it was read"
    assert (await refused(mine, "delete", path=path, etag=found["etag"])).code == DenialCode.EVENT_CHANGED
    await mine.ask("calendar", "delete", {"path": path, "etag": changed["etag"]})
    assert (await refused(mine, "get", path=path)).code == DenialCode.EVENT_NOT_FOUND
    assert mine.usage.permissions == {"integration.calendar"}
    assert (mine.usage.calls, mine.usage.hosts) == (9, set())


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/eve/work/",
        "/ada",
        "work/",
        "/ada/../eve/",
        "/ada/%2e%2e/eve/",
        "/ada/%252E%252e/eve/",
        "/ada/..%2feve/",
        "/ada/..;/eve/",
        "/ada/%c0%ae%c0%ae/eve/",
        "/ada//eve/",
        "/ada/..%5ceve/",
        "/ada/x?y=1",
        "/ada/x#y",
        "/ada/x%0d%0aX-Y: z",
        "/ada/x\r\nX-Y: z",
        "//evil.example.com/ada/",
        "https://evil.example.com/ada/",
        "/ada/\ud800",
        "%2Fada/work/",
    ],
)
async def test_no_path_leads_out_of_the_calendars(client: HttpClient, path: str) -> None:
    mine = broker(client)
    for method, body in (("propfind", NAMES), ("put", EVENT), ("delete", "")):
        denied = await refused(mine, method, path=path, body=body)
        assert denied.code == DenialCode.URL_REFUSED, denied.message
    assert mine.usage.calls == 0


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        ("proppatch", {"body": NAMES}),
        ("propfind", {"body": NAMES, "depth": "infinity"}),
        ("propfind", {"body": NAMES, "depth": True}),
        ("propfind", {}),
        ("put", {"path": f"{WORK}x.ics", "body": EVENT, "etag": '"a"\r\nX: y'}),
        ("put", {"path": f"{WORK}x.ics", "body": EVENT, "etag": "*"}),
        ("put", {"path": f"{WORK}x.ics", "body": "\ud800"}),
        ("delete", {"path": f"{WORK}x.ics", "etag": ""}),
        ("get", {"path": 7}),
    ],
)
async def test_what_means_nothing_is_not_asked(client: HttpClient, method: str, arguments: dict[str, Any]) -> None:
    mine = broker(client)
    denied = await refused(mine, method, **arguments)
    assert denied.code in (DenialCode.INVALID_ARGUMENT, DenialCode.SERVICE_UNKNOWN)
    assert mine.usage.calls == 0


async def test_without_the_permission_or_the_right_password_there_is_nothing(client: HttpClient) -> None:
    denied = await refused(broker(client, permissions=frozenset({"network.http.get"})), "get", path=WORK)
    assert (denied.code, denied.facts["permission"]) == (DenialCode.PERMISSION_NOT_GRANTED, "integration.calendar")
    unset = await refused(broker(client, secrets={}), "get", path=WORK)
    assert (unset.code, unset.facts["setting"]) == (DenialCode.SETTING_MISSING, "CALDAV_URL")
    stranger = {"CALDAV_URL": f"https://ada:wrong@{HOST}{HOME}"}
    denied = await refused(broker(client, secrets=stranger), "propfind", body=NAMES)
    assert (denied.code, denied.facts["setting"]) == (DenialCode.LOGIN_REFUSED, "CALDAV_URL")


@pytest.mark.parametrize(
    "url",
    [
        f"http://ada:{PASSWORD}@{HOST}/",
        f"https://{HOST}/",
        f"https://ada:{PASSWORD}@127.0.0.1/",
        f"https://ada:{PASSWORD}@[::1]/",
        f"https://ada:{PASSWORD}@localhost/",
        f"https://a%3Ab:{PASSWORD}@{HOST}/",
        f"https://ada:{PASSWORD}@{HOST}/ada/../",
        f"https://ada:{PASSWORD}@{HOST}/ada?x",
        f"https://ada:{PASSWORD}@{HOST}:port/",
        f"https://ada:{PASSWORD}@{HOST}:99999/",
        f"https://ada:{PASSWORD}#x@{HOST}/",
        f"https://ada:{PASSWORD}/x@{HOST}/",
        "nothing",
        f"https://ada:{PASSWORD}\uff1ax@{HOST}/",
        f"https://ada:[{PASSWORD}]@{HOST}/",
    ],
)
async def test_a_setting_that_is_no_place_for_calendars_is_said_without_being_repeated(
    client: HttpClient, url: str
) -> None:
    denied = await refused(broker(client, secrets={"CALDAV_URL": url}), "propfind", body=NAMES)
    assert (denied.code, denied.facts["setting"]) == (DenialCode.SETTING_INVALID, "CALDAV_URL")


async def test_a_name_of_an_inside_address_sees_no_packet() -> None:
    async with Upstream() as inside, client_of({}, resolving(["127.0.0.1"])) as client:
        secrets = {"CALDAV_URL": f"https://ada:{PASSWORD}@{HOST}:{inside.port}/"}
        denied = await refused(broker(client, secrets=secrets), "propfind", body=NAMES)
        assert (denied.code, inside.connections) == (DenialCode.ADDRESS_NOT_PUBLIC, 0)


async def test_a_server_that_leads_elsewhere_repeats_the_login_or_says_too_much_is_refused() -> None:
    def respond(request: Seen) -> bytes:
        said = request.header("authorization") or ""
        match request.target.removeprefix(HOME):
            case "moved":
                return redirect("http://169.254.169.254/latest/", 301)
            case "echo":
                return answer(f"<x>{said} {base64.b64decode(said.split()[1]).decode()}</x>".encode(), 207)
            case "etag":
                return answer(b"", 200, {"ETag": f'"{PASSWORD}"'})
            case "large":
                return answer(b" " * 1_100_000, 207)
        return answer(b"no", 503)

    async with Upstream(respond) as upstream, client_of({HOST: upstream}) as client:
        mine = broker(client)
        assert (await refused(mine, "propfind", path=f"{HOME}moved", body=NAMES)).code == DenialCode.REDIRECT_REFUSED
        assert (await refused(mine, "report", path=f"{HOME}large", body=NAMES)).code == DenialCode.RESPONSE_TOO_LARGE
        down = await refused(mine, "get", path=f"{HOME}else")
        assert (down.code, down.facts["status"], down.fix) == (DenialCode.UPSTREAM_ERROR, "503", "try again later")
        said = str(await mine.ask("calendar", "propfind", {"path": f"{HOME}echo", "body": NAMES}))
        said += str(await mine.ask("calendar", "get", {"path": f"{HOME}etag"}))
        assert PASSWORD not in said
        assert base64.b64encode(f"ada:{PASSWORD}".encode()).decode() not in said
        assert len(upstream.seen) == 5


async def test_a_dry_run_plans_a_change_and_what_was_planned_is_what_is_made(client: HttpClient) -> None:
    path = f"{WORK}planned.ics"
    event = {"path": path, "body": EVENT.format("Planned").replace("UID:", "UID:planned-")}
    ledger = Ledger(dry_run=True)
    dry = broker(client, writes=Writes(ledger))
    assert await dry.ask("calendar", "put", event) == {"text": "", "etag": ""}
    assert dry.usage.permissions == set()
    assert (await refused(broker(client), "get", path=path)).code == DenialCode.EVENT_NOT_FOUND
    (effect,) = ledger.planned
    assert (effect.service, effect.operation, effect.target) == ("calendar", "PUT", f"CALDAV_URL: {path}")
    assert PASSWORD not in repr(effect)
    held = broker(client, writes=Writes(Ledger(dry_run=False, expected=[effect])))
    other = await refused(held, "put", **event | {"body": event["body"].replace("Planned", "Another")})
    assert other.code == "EFFECT_NOT_PLANNED"
    held = broker(client, writes=Writes(Ledger(dry_run=False, expected=[effect])))
    assert (await refused(held, "put", **event, etag='"as-it-was"')).code == "EFFECT_NOT_PLANNED"
    again = broker(client, writes=Writes(Ledger(dry_run=False, expected=[effect])))
    assert (await again.ask("calendar", "put", event))["etag"]
