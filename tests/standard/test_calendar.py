"""The calendar through a real CalDAV server: a clock put forward, what repeats, and hostile invitations."""

from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from executor.brokers import Place, broker_of, client_of
from executor.caldav import HOME, calendar_server
from executor.upstream import Upstream, answer
from hardpoint_executor.writes import Circumstances, Ledger, Writes
from standard.conftest import Standard

PASSWORD = "canary-77c1d0e2ab"
HOST = "dav.example.com"
WORK = f"{HOME}work/"
Do = Callable[..., Awaitable[Any]]


class Dav:
    """A calendar `work`, and what strangers put into it."""

    def __init__(self, place: str) -> None:
        self.place = place

    def put(self, name: str, *lines: str) -> None:
        event = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *lines, "END:VCALENDAR", ""]
        answered = httpx.put(
            f"http://{self.place}{WORK}{name}.ics",
            content="\r\n".join(event),
            auth=("ada", PASSWORD),
            headers={"content-type": "text/calendar"},
        )
        assert answered.status_code == 201, answered.text

    def event(self, name: str, *lines: str) -> None:
        self.put(name, "BEGIN:VEVENT", f"UID:{name}", "DTSTAMP:20260101T000000Z", *lines, "END:VEVENT")


@pytest.fixture
def dav(tmp_path: Any) -> Any:
    with calendar_server(tmp_path, PASSWORD) as place:
        named = '<mkcalendar xmlns="urn:ietf:params:xml:ns:caldav" xmlns:d="DAV:"><d:set><d:prop>'
        named += "<d:displayname>Work &amp; more</d:displayname></d:prop></d:set></mkcalendar>"
        made = httpx.request("MKCALENDAR", f"http://{place}{WORK}", content=named, auth=("ada", PASSWORD))
        assert made.status_code == 201
        yield Dav(place)


@pytest.fixture
async def do(standard: Standard, dav: Dav) -> AsyncIterator[Do]:
    async with client_of({HOST: Place(dav.place)}) as client:

        async def do(
            action: str, *, key: str = "", fails: bool = False, ledger: Ledger | None = None, **input: Any
        ) -> Any:
            secrets = {"CALDAV_URL": f"https://ada:{PASSWORD}@{HOST}{HOME}"}
            broker = broker_of(client, secrets=secrets, idempotency_key=key, writes=Writes(ledger))
            ran = await standard.ran(f"calendar.{action}", input, broker=broker)
            assert (ran.error is not None) == fails, ran.error or ran.output
            return ran.error if fails else ran.output

        yield do


async def test_what_stays_at_nine_when_the_clock_is_put_forward(do: Do) -> None:
    [calendar] = (await do("calendars"))["calendars"]
    assert calendar == {"calendar": WORK, "name": "Work & more"}
    standup = {
        "calendar": WORK,
        "summary": "Standup; daily,\nreally",
        "start": "2026-03-27T09:00",
        "end": "2026-03-27T09:15",
        "time_zone": "Europe/Berlin",
        "repeats": "FREQ=DAILY;COUNT=5",
    }
    made = await do("create", key="run/one", **standup)
    assert await do("create", key="run/one", **standup) == made

    found = await do("events", calendar=WORK, start="2026-03-28", end="2026-03-31", time_zone="Europe/Berlin")
    assert [(one["start"], one["end"]) for one in found["events"]] == [
        ("2026-03-28T09:00:00+01:00", "2026-03-28T09:15:00+01:00"),
        ("2026-03-29T09:00:00+02:00", "2026-03-29T09:15:00+02:00"),
        ("2026-03-30T09:00:00+02:00", "2026-03-30T09:15:00+02:00"),
    ]
    assert (found["more"], found["left_out"]) == (False, [])
    one = found["events"][0]
    assert (one["summary"], one["recurring"], one["busy"]) == (standup["summary"], True, True)
    assert {name: one[name] for name in ("event", "etag")} == made

    seen = {"event": one["event"], "etag": one["etag"]}
    changed = await do("update", **seen, start="2026-03-27T10:00", location="Room 2")
    late = await do("update", **seen, fails=True, summary="Late")
    assert late.reason == "EVENT_CHANGED"
    found = await do("events", calendar=WORK, start="2026-03-29", end="2026-03-30")
    assert [(one["start"], one["end"], one["location"]) for one in found["events"]] == [
        ("2026-03-29T10:00:00+02:00", "2026-03-29T10:15:00+02:00", "Room 2")
    ]
    assert (await do("delete", **seen, fails=True)).reason == "EVENT_CHANGED"
    assert await do("delete", **changed) == {}
    assert (await do("events", calendar=WORK, start="2026-03-01", end="2026-04-01"))["events"] == []


async def test_an_event_is_written_and_changed_as_it_was_planned_and_not_otherwise(do: Do) -> None:
    met = Circumstances(at=datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    event = {"calendar": WORK, "summary": "Review", "start": "2026-03-27T09:00", "description": "with Ann"}

    def dry() -> Ledger:
        return Ledger(dry_run=True, circumstances=met)

    def held(plan: Ledger) -> Ledger:
        return Ledger(dry_run=False, expected=plan.planned, circumstances=plan.circumstances)

    plan = dry()
    assert (await do("create", **event, key="dry-run/one", ledger=plan))["etag"] == ""
    for other in ({"summary": "Party"}, {"start": "2026-03-28T09:00"}, {"description": "with Ann and Eve"}):
        assert (await do("create", **event | other, ledger=held(plan), fails=True)).reason == "EFFECT_NOT_PLANNED"
    by_itself = Ledger(dry_run=False, expected=plan.planned)
    assert (await do("create", **event, ledger=by_itself, fails=True)).reason == "EFFECT_NOT_PLANNED"
    made = await do("create", **event, key="two", ledger=held(plan))
    assert await do("create", **event, key="three", ledger=held(plan)) == made, "it is the one event of the plan"

    change = {"event": made["event"], "etag": made["etag"], "start": "2026-03-27T10:00"}
    plan = dry()
    await do("update", **change, ledger=plan)
    later = change | {"start": "2026-03-27T11:00"}
    assert (await do("update", **later, ledger=held(plan), fails=True)).reason == "EFFECT_NOT_PLANNED"
    await do("update", **change, ledger=held(plan))
    [found] = (await do("events", calendar=WORK, start="2026-03-27", end="2026-03-28"))["events"]
    assert (found["summary"], found["start"]) == ("Review", "2026-03-27T10:00:00+00:00")
    gone = await do("update", **change, ledger=held(plan), fails=True)
    assert gone.reason == "EFFECT_NOT_PLANNED", "the event is another one by now"


async def test_changed_skipped_and_endless_times_days_and_other_zones(do: Do, dav: Dav) -> None:
    dav.put(
        "weekly",
        *("BEGIN:VEVENT", "UID:weekly", "DTSTAMP:20260101T000000Z", "SUMMARY:Review"),
        *("DTSTART;TZID=America/New_York:20251101T013000", "DURATION:PT1H"),
        *("RRULE:FREQ=DAILY;UNTIL=20251104T063000Z", "EXDATE;TZID=America/New_York:20251103T013000", "END:VEVENT"),
        *("BEGIN:VEVENT", "UID:weekly", "DTSTAMP:20260101T000000Z", "SUMMARY:Review moved"),
        *("RECURRENCE-ID:20251104T063000Z", "DTSTART:20251105T120000Z", "DTEND:20251105T130000Z", "END:VEVENT"),
    )
    dav.event("trip", "SUMMARY:Trip", "DTSTART;VALUE=DATE:20251102", "DTEND;VALUE=DATE:20251104", "TRANSP:TRANSPARENT")
    dav.event("lunch", "SUMMARY:Lunch", "DTSTART:20251102T061500Z", "DTEND:20251102T070000Z", "RDATE:20251110T061500Z")
    dav.event("off", "SUMMARY:Off", "DTSTART:20251102T200000Z", "DTEND:20251102T210000Z", "STATUS:CANCELLED")

    asked = {"calendar": WORK, "start": "2025-11-02", "end": "2025-11-30", "time_zone": "America/New_York"}
    found = await do("events", **asked)
    assert [(one["summary"], one["start"], one["end"]) for one in found["events"]] == [
        ("Trip", "2025-11-02", "2025-11-04"),
        # Half past one comes twice in that night; the first one counts, and an hour later is half past one again.
        ("Review", "2025-11-02T01:30:00-04:00", "2025-11-02T01:30:00-05:00"),
        ("Lunch", "2025-11-02T06:15:00+00:00", "2025-11-02T07:00:00+00:00"),
        ("Off", "2025-11-02T20:00:00+00:00", "2025-11-02T21:00:00+00:00"),
        ("Review moved", "2025-11-05T12:00:00+00:00", "2025-11-05T13:00:00+00:00"),
        ("Lunch", "2025-11-10T06:15:00+00:00", "2025-11-10T07:00:00+00:00"),
    ]
    assert (await do("events", **asked, limit=2))["more"] is True
    assert (await do("busy", **asked))["busy"] == [
        {"start": "2025-11-02T01:30:00-04:00", "end": "2025-11-02T02:00:00-05:00"},
        {"start": "2025-11-05T07:00:00-05:00", "end": "2025-11-05T08:00:00-05:00"},
        {"start": "2025-11-10T01:15:00-05:00", "end": "2025-11-10T02:00:00-05:00"},
    ]


INVITED = """<response><href>/ada/work/{}.ics</href><propstat><prop><c:calendar-data>BEGIN:VCALENDAR
BEGIN:VEVENT
UID:{}
{}
END:VEVENT
END:VCALENDAR</c:calendar-data></prop><status>HTTP/1.1 200 OK</status></propstat></response>"""
HOSTILE = {
    "never": "DTSTART:20260101T090000Z\nRRULE:FREQ=DAILY;BYMONTH=2;BYMONTHDAY=30",
    "seconds": "DTSTART:19700101T090000Z\nRRULE:FREQ=SECONDLY",
    "nonsense": "DTSTART:20260101T090000Z\nRRULE:FREQ=WHENEVER;BYDAY=XX",
    "backwards": "DTSTART:20260105T090000Z\nDTEND:yesterday",
    "mixed": "DTSTART:20260105T090000Z\nDTEND;VALUE=DATE:20260106",
    "nowhen": "SUMMARY:no start",
    "zone": "DTSTART;TZID=../../etc/passwd:20260105T090000",
    "late": "DTSTART:99991231T235959Z\nDURATION:P99999999W",
}


async def test_an_invitation_that_makes_no_sense_is_named_and_the_others_are_shown(standard: Standard) -> None:
    """A server that a stranger may mail invitations to, which no CalDAV server of good manners would keep."""
    invited = [INVITED.format(name, name, lines) for name, lines in HOSTILE.items()]
    invited.append(INVITED.format("good", "good", "DTSTART:20260105T090000Z\nSUMMARY:Good"))
    body = f'<multistatus xmlns="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav">{"".join(invited)}</multistatus>'
    bombs = "".join(f'<!ENTITY b{n} "&b{n - 1};&b{n - 1};&b{n - 1};&b{n - 1};">' for n in range(1, 30))
    bomb = f'<?xml version="1.0"?><!-- <a> --><!DOCTYPE x [<!ENTITY b0 "b">{bombs}]><multistatus>&b29;</multistatus>'
    outside = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>'
    hidden = '<?x?><!DOCTYPE x [<!ENTITY z "?><a"><!ENTITY e "E">]><multistatus>&e;</multistatus>'
    said = {"/ada/work/": body, "/ada/bomb/": bomb, "/ada/outside/": outside, "/ada/broken/": "<multistatus>"}
    said |= {"/ada/hidden/": hidden, "/ada/endless/": "<??>" * 60 + "<!"}
    async with (
        Upstream(lambda seen: answer(said[seen.target].encode(), 207)) as upstream,
        client_of({HOST: upstream}) as client,
    ):
        secrets = {"CALDAV_URL": f"https://ada:{PASSWORD}@{HOST}/ada/"}

        async def events(calendar: str) -> Any:
            input = {"calendar": calendar, "start": "2026-01-05", "end": "2026-01-06"}
            return await standard.ran("calendar.events", input, broker=broker_of(client, secrets=secrets))

        ran = await events("/ada/work/")
        assert ran.error is None, ran.error
        shown = [one["uid"] for one in ran.output["events"]]
        assert "good" in shown
        named = [path.removeprefix("/ada/work/").removesuffix(".ics") for path in ran.output["left_out"]]
        assert {"never", "seconds", "nonsense", "backwards", "mixed", "nowhen", "late"} <= set(named)
        assert {*shown, *named} <= {"good", *HOSTILE}
        for path in ("bomb", "outside", "broken", "hidden", "endless"):
            refused = (await events(f"/ada/{path}/")).error
            assert refused is not None
            assert refused.metadata["name"] == "NotUnderstood", refused


@pytest.mark.parametrize(
    ("action", "input", "says"),
    [
        ("events", {"start": "tomorrow", "end": "2026-01-01"}, "start is no time"),
        ("events", {"start": "2026-01-02", "end": "2026-01-02"}, "end is not after start"),
        ("events", {"start": "2026-01-02", "end": "2036-01-02"}, "ask for less at once"),
        ("events", {"start": "2026-01-01", "end": "2026-01-02", "time_zone": "../../etc/passwd"}, "is no time zone"),
        ("create", {"summary": "s", "start": "2026-01-01", "end": "2026-01-01T09:00"}, "one of the two is a day"),
        ("create", {"summary": "s", "start": "2026-01-01", "repeats": "FREQ=DAILY\r\nX:y"}, "repeats is no rule"),
        ("create", {"summary": "s", "start": "2026-01-01", "repeats": "FREQ=DAILY;X"}, "repeats is no rule"),
        ("create", {"summary": "s", "start": "2026-01-01", "calendar": "/eve/work/"}, "not below that of CALDAV_URL"),
        ("delete", {"event": "/ada/../eve/x.ics", "etag": '"1"'}, "not below that of CALDAV_URL"),
    ],
)
async def test_what_makes_no_sense_is_said_before_anything_is_sent(
    standard: Standard, action: str, input: dict[str, Any], says: str
) -> None:
    calendar = {} if action == "delete" else {"calendar": WORK}
    async with Upstream() as upstream, client_of({HOST: upstream}) as client:
        broker = broker_of(client, secrets={"CALDAV_URL": f"https://ada:{PASSWORD}@{HOST}{HOME}"})
        refused = (await standard.ran(f"calendar.{action}", calendar | input, broker=broker)).error
        assert refused is not None
        assert says in refused.message
        assert upstream.seen == []
