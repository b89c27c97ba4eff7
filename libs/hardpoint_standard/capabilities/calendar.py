"""The organisation's calendars by CalDAV: what is in them, when somebody is busy, and events that come, change and go.

What a server says is XML and iCalendar, in which strangers write invitations. So no document type is read, and an event
that cannot be understood, or repeats itself without sense, is named rather than being the end of a call.
"""

import hashlib
import re
import sys
from datetime import UTC, date, datetime, time, timedelta
from xml.etree import ElementTree
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrulestr
from icalendar import Calendar as ICalendar
from icalendar import Event, vRecur

from hardpoint_sdk import BrokerError, action, capability

LONGEST = timedelta(days=400)
"""What one call looks at."""
MOST_STEPS, MOST_STEPS_OF_ONE = 1_000_000, 100_000
"""Of the search for the times of all events, and of one; what came every day since 1970 takes 90,000."""
NAMES = {"d": "DAV:", "c": "urn:ietf:params:xml:ns:caldav"}
RULE = re.compile(r"[A-Z]+=[A-Z0-9,+-]+(?:;[A-Z]+=[A-Z0-9,+-]+)*")
BEFORE_ROOT = re.compile(r"\s*(?:<\?.*?\?>\s*|<!--.*?-->\s*)*+<[A-Za-z_]", re.DOTALL)

COLLECTIONS = """<propfind xmlns="DAV:" xmlns:c="urn:ietf:params:xml:ns:caldav"><prop>
<displayname/><resourcetype/><c:supported-calendar-component-set/></prop></propfind>"""
QUERY = """<c:calendar-query xmlns:c="urn:ietf:params:xml:ns:caldav" xmlns="DAV:">
<prop><getetag/><c:calendar-data/></prop>
<c:filter><c:comp-filter name="VCALENDAR"><c:comp-filter name="VEVENT">
<c:time-range start="{start}" end="{end}"/></c:comp-filter></c:comp-filter></c:filter></c:calendar-query>"""

CALENDAR = {
    "name": "calendar",
    "type": "string",
    "required": True,
    "description": "Which one: `calendar` of what `calendars` gives",
}
RANGE = [
    {"name": "start", "type": "string", "required": True, "description": "A day, or a time: 2026-03-28T09:00"},
    {"name": "end", "type": "string", "required": True, "description": "The first moment that is not asked for"},
]
ZONE = {
    "name": "time_zone",
    "type": "string",
    "default": "UTC",
    "description": "Of times that say none: Europe/Berlin",
}
FIELDS = [
    {"name": "description", "type": "string"},
    {"name": "location", "type": "string"},
    {"name": "repeats", "type": "string", "description": "How it repeats, as an RRULE: FREQ=WEEKLY;COUNT=10"},
]
WRITTEN = [
    {"name": "event", "type": "string", "required": True, "description": "Its path, by which it is changed"},
    {"name": "etag", "type": "string", "required": True, "description": "What it is now; empty: read it to know"},
]
SEEN = [
    {"name": "event", "type": "string", "required": True, "description": "`event` of what `events` gives"},
    {"name": "etag", "type": "string", "required": True, "description": "Its `etag`, so that nobody's change is lost"},
]
OCCURRENCE = [
    *WRITTEN,
    {"name": "uid", "type": "string", "required": True},
    {"name": "summary", "type": "string", "required": True},
    {"name": "start", "type": "string", "required": True, "description": "A day where it is all day"},
    {"name": "end", "type": "string", "required": True},
    {"name": "all_day", "type": "boolean", "required": True},
    {"name": "recurring", "type": "boolean", "required": True},
    {"name": "busy", "type": "boolean", "required": True, "description": "Whether it takes up the time"},
    {"name": "location", "type": "string", "required": True},
    {"name": "description", "type": "string", "required": True},
]
LEFT_OUT = {
    "name": "left_out",
    "type": "array",
    "required": True,
    "items": {"type": "string"},
    "description": "Events that nobody can make sense of, by path",
}


class NotUnderstood(Exception):
    """What the server said, or what is asked, is not what it should be."""


@capability(
    id="calendar",
    name="Calendar",
    icon="📅",
    version="1.0.0",
    author="Hardpoint",
    description="Read calendars, find free time, and write events, by CalDAV",
    category="productivity",
    tags=["calendar", "caldav"],
    libraries=["icalendar", "python-dateutil", "tzdata"],
    permissions=["integration.calendar", "compute.heavy"],
)
class Calendar:
    @action(
        description="The calendars that there are",
        outputs=[
            {
                "name": "calendars",
                "type": "array",
                "required": True,
                "items": {
                    "type": "object",
                    "properties": [
                        {"name": "calendar", "type": "string", "required": True, "description": "Its path"},
                        {"name": "name", "type": "string", "required": True},
                    ],
                },
            }
        ],
        effect="read",
    )
    async def calendars(self, _input):
        found = []
        for path, of in responses(await self.calendar.propfind("", COLLECTIONS)):
            holds = [one.get("name") for one in of.iterfind(".//c:comp", NAMES)]
            if of.find(".//d:resourcetype/c:calendar", NAMES) is not None and (not holds or "VEVENT" in holds):
                found.append({"calendar": path, "name": said(of, "d:displayname") or path.rstrip("/").split("/")[-1]})
        return {"calendars": found}

    @action(
        description="Events between two moments, the earliest first; one that repeats comes once for each time",
        inputs=[CALENDAR, *RANGE, ZONE, {"name": "limit", "type": "integer", "default": 100}],
        outputs=[
            {
                "name": "events",
                "type": "array",
                "required": True,
                "items": {"type": "object", "properties": OCCURRENCE},
            },
            {"name": "more", "type": "boolean", "required": True, "description": "Whether there are more than `limit`"},
            LEFT_OUT,
        ],
        effect="read",
    )
    async def events(self, input):
        events, left_out = await self.between(input)
        shown = [event["shown"] for event in events[: input["limit"]]]
        return {"events": shown, "more": len(events) > len(shown), "left_out": left_out}

    @action(
        description="When somebody is busy between two moments: the times that events take up, those that touch as one",
        inputs=[CALENDAR, *RANGE, ZONE],
        outputs=[
            {
                "name": "busy",
                "type": "array",
                "required": True,
                "items": {
                    "type": "object",
                    "properties": [
                        {"name": "start", "type": "string", "required": True},
                        {"name": "end", "type": "string", "required": True},
                    ],
                },
            },
            LEFT_OUT,
        ],
        effect="read",
    )
    async def busy(self, input):
        events, left_out = await self.between(input)
        zone, merged = zone_of(input), []
        for event in events:
            if not event["shown"]["busy"] or event["start"] == event["end"]:
                continue
            if merged and event["start"] <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], event["end"])
            else:
                merged.append([event["start"], event["end"]])
        written = [{"start": written_as(a.astimezone(zone)), "end": written_as(b.astimezone(zone))} for a, b in merged]
        return {"busy": written, "left_out": left_out}

    @action(
        description="Write an event into a calendar; a day as `start` makes one of whole days",
        inputs=[
            CALENDAR,
            {"name": "summary", "type": "string", "required": True},
            {"name": "start", "type": "string", "required": True, "description": "2026-03-28T09:00, or 2026-03-28"},
            {"name": "end", "type": "string", "description": "The first moment, or day, after it; an hour, or a day"},
            ZONE,
            *FIELDS,
        ],
        outputs=WRITTEN,
        effect="write",
        idempotent=True,
    )
    async def create(self, input):
        known = await self.context.get()
        uid = hashlib.sha256(f"{known['seed']}\n{input['calendar']}".encode()).hexdigest()[:32]
        event = Event()
        put(event, "uid", f"{uid}@hardpoint")
        put(event, "dtstamp", datetime.fromisoformat(known["at"]))
        change(event, input)
        path = f"{input['calendar'].rstrip('/')}/{uid}.ics"
        try:
            made = await self.calendar.put(path, document(event))
        except BrokerError as refused:
            if refused.code != "EVENT_CHANGED":
                raise
            made = await self.calendar.get(path)  # an attempt before this one wrote it
        return {"event": path, "etag": made["etag"]}

    @action(
        description="Change an event that is as it was read, each time of it; what is not given stays as it is",
        inputs=[
            *SEEN,
            {"name": "summary", "type": "string"},
            {"name": "start", "type": "string", "description": "Without `end` it stays as long as it was"},
            {"name": "end", "type": "string"},
            {"name": "time_zone", "type": "string", "description": "Of times that say none; else the event's own"},
            *FIELDS,
        ],
        outputs=WRITTEN,
        effect="write",
    )
    async def update(self, input):
        whole = read(await self.calendar.get(input["event"]))
        event = next((one for one in whole.walk("VEVENT") if "RECURRENCE-ID" not in one), None)
        if event is None:
            raise NotUnderstood("it is a single time of an event whose rest is elsewhere: change that one")
        own = getattr(getattr(event["DTSTART"].dt, "tzinfo", None), "key", "UTC")
        change(event, {"time_zone": own, **input})
        put(event, "sequence", int(event.get("SEQUENCE", 0)) + 1)
        put(event, "dtstamp", datetime.fromisoformat((await self.context.get())["at"]))
        whole.add_missing_timezones()
        text = whole.to_ical().decode()
        return {"event": input["event"], **await self.calendar.put(input["event"], text, etag=input["etag"])}

    @action(description="Remove an event that is as it was read", inputs=SEEN, effect="write")
    async def delete(self, input):
        await self.calendar.delete(input["event"], etag=input["etag"])
        return {}

    async def between(self, input):
        """The events of a call that asks for some time, each as it is `shown` with its `start` and `end` in UTC."""
        zone = zone_of(input)
        start, end = (moment(input, name, zone) for name in ("start", "end"))
        if not timedelta(0) < end - start <= LONGEST:
            raise NotUnderstood(f"end is not after start, or more than {LONGEST.days} days: ask for less at once")
        asked = QUERY.format(start=f"{start:%Y%m%dT%H%M%SZ}", end=f"{end:%Y%m%dT%H%M%SZ}")
        events, left_out, patience = [], [], Patience()
        for path, of in responses(await self.calendar.report(input["calendar"], asked)):
            try:
                whole = read({"text": said(of, "c:calendar-data")})
                for one, begins, ends in occurrences(whole, start, end, zone, patience):
                    if begins < end and (ends > start or begins == ends == start):
                        events.append({"start": begins, "end": ends, "shown": shown(path, of, one, begins, ends, zone)})
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError, NotUnderstood):
                left_out.append(path)
        return sorted(events, key=lambda event: (event["start"], event["end"])), left_out


def responses(text):
    """What a multistatus says of each path that has something; XML without a document type, so without entities."""
    if not BEFORE_ROOT.match(text):
        raise NotUnderstood("the calendar server did not answer with XML that has no document type")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - without a document type there are no entities
    except ElementTree.ParseError as error:
        raise NotUnderstood(f"the calendar server's XML is broken: {error}") from None
    for response in root.iterfind("d:response", NAMES):
        path = said(response, "d:href").strip()
        for of in response.iterfind("d:propstat", NAMES):
            if path and " 200 " in f"{said(of, 'd:status')} ":
                yield re.sub(r"\Ahttps?://[^/]*", "", path), of


def said(of, name):
    """The text of an element somewhere below, empty where there is none."""
    return of.findtext(f".//{name}", "", NAMES)


def read(found):
    try:
        return ICalendar.from_ical(found["text"])
    except (ValueError, IndexError, KeyError) as error:
        raise NotUnderstood(f"the event is no iCalendar: {error}") from None


def occurrences(whole, start, end, zone, patience):
    """Each time of the event as (component, begin, end), in UTC: that time's own component where it has one."""
    components = whole.walk("VEVENT")
    apart = {in_utc(one["RECURRENCE-ID"].dt, zone): one for one in components if "RECURRENCE-ID" in one}
    for one in components:
        if "RECURRENCE-ID" in one:
            yield one, in_utc(one["DTSTART"].dt, zone), ended(one, one["DTSTART"].dt, zone)
            continue
        for begin in times(one, start, end, zone, patience):
            begins = in_utc(begin, zone)
            if begins not in apart:
                yield one, begins, ended(one, begin, zone)


def times(event, start, end, zone, patience):
    """When an event begins, again and again where it repeats, from a while before `start` to `end`.

    Rules go by the clock on the wall, so what is at nine stays at nine when the clock is put forward.
    """
    first = event["DTSTART"].dt
    if not {"RRULE", "RDATE"} & event.keys():
        return [first]
    whole_day = not isinstance(first, datetime)
    own = None if whole_day else first.tzinfo

    def wall(value):
        """A value of the event as the clock on its own wall shows it."""
        if not isinstance(value, datetime):
            return datetime.combine(value, time() if whole_day else time.max)
        return (value.astimezone(own) if own and value.tzinfo else value).replace(tzinfo=None)

    begin = datetime.combine(first, time()) if whole_day else first.replace(tzinfo=None)
    lines = []
    for rule in several(event.get("RRULE")):
        rule = vRecur(rule)
        if "UNTIL" in rule:
            rule["UNTIL"] = [wall(rule["UNTIL"][0]).replace(microsecond=0)]
        lines.append(f"RRULE:{rule.to_ical().decode().replace('Z', '')}")
    found = rrulestr("\n".join(lines), dtstart=begin, forceset=True, cache=False) if lines else [begin]
    dates = {name: {wall(one) for one in dated(event.get(name))} for name in ("RDATE", "EXDATE")}
    # A day more on both sides, since the range is in UTC.
    low = start.replace(tzinfo=None) - timedelta(days=1) - (ended(event, first, zone) - in_utc(first, zone))
    high = end.replace(tzinfo=None) + timedelta(days=1)
    kept = {one for one in dates["RDATE"] | ({begin} if not lines else set()) if low <= one <= high}
    with patience:
        for one in found:
            if one > high:
                break
            if one >= low:
                kept.add(one)
    kept -= dates["EXDATE"]
    return [one.date() if whole_day else one.replace(tzinfo=own) for one in sorted(kept)]


class Patience:
    """Ends a search that takes too many steps: the 30th of February is looked for until the year 9999."""

    def __init__(self):
        self.left, self.here = MOST_STEPS, 0

    def __enter__(self):
        self.here = min(self.left, MOST_STEPS_OF_ONE)
        self.left -= self.here
        sys.setprofile(self.step)

    def __exit__(self, *_):
        sys.setprofile(None)
        self.left += max(self.here, 0)

    def step(self, _frame, event, _argument):
        self.here -= event == "call"
        if self.here < 0:
            raise NotUnderstood("it repeats without an end to be found")


def several(value):
    return [] if value is None else value if isinstance(value, list) else [value]


def dated(value):
    """The dates of RDATE or EXDATE; of a period its begin."""
    for group in several(value):
        for one in group.dts:
            yield one.dt[0] if isinstance(one.dt, tuple) else one.dt


def ended(event, begin, zone):
    """When the event is over that begins then, in UTC. Whole days, and what ends on one clock, go by the wall."""
    first = event["DTSTART"].dt
    if "DTEND" in event:
        last = event["DTEND"].dt
        if isinstance(first, datetime) and str(first.tzinfo) != str(last.tzinfo):
            return in_utc(begin, zone) + (in_utc(last, zone) - in_utc(first, zone))
        if isinstance(first, datetime):
            return in_utc(begin + (last.replace(tzinfo=None) - first.replace(tzinfo=None)), zone)
        return in_utc(begin + (last - first), zone)
    if "DURATION" in event:
        days = timedelta(days=event["DURATION"].dt.days)
        return in_utc(begin + days, zone) + (event["DURATION"].dt - days)
    return in_utc(begin if isinstance(first, datetime) else begin + timedelta(days=1), zone)


def in_utc(value, zone):
    """A moment in UTC; a day begins, and a time without a zone is, where the caller is."""
    if not isinstance(value, datetime):
        value = datetime.combine(value, time())
    return (value if value.tzinfo else value.replace(tzinfo=zone)).astimezone(UTC)


def shown(path, of, event, begins, ends, zone):
    first = event["DTSTART"].dt
    whole_day = not isinstance(first, datetime)
    own = zone if whole_day or first.tzinfo is None else first.tzinfo
    text = {name.lower(): str(event.get(name, "")) for name in ("UID", "SUMMARY", "LOCATION", "DESCRIPTION")}
    begin, end = begins.astimezone(own), ends.astimezone(own)
    return {
        "event": path,
        "etag": said(of, "d:getetag"),
        **text,
        "start": begin.date().isoformat() if whole_day else written_as(begin),
        "end": end.date().isoformat() if whole_day else written_as(end),
        "all_day": whole_day,
        "recurring": bool({"RRULE", "RDATE", "RECURRENCE-ID"} & event.keys()),
        "busy": event.get("TRANSP") != "TRANSPARENT" and event.get("STATUS") != "CANCELLED",
    }


def written_as(value):
    return value.isoformat(timespec="seconds")


def zone_of(input):
    name = input["time_zone"]
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise NotUnderstood(f"{name[:60]} is no time zone: write one such as Europe/Berlin") from None


def given(input, name):
    """A day or a time of the input, as it is written there."""
    text = input[name]
    try:
        return date.fromisoformat(text) if len(text) == 10 else datetime.fromisoformat(text)
    except ValueError:
        raise NotUnderstood(f"{name} is no time: write 2026-03-28T09:00, or a day, 2026-03-28") from None


def moment(input, name, zone):
    try:
        return in_utc(given(input, name), zone)
    except OverflowError:
        raise NotUnderstood(f"{name} is beyond all calendars") from None


def change(event, input):
    """Write what the input gives into an event."""
    for name in ("summary", "description", "location"):
        if name in input:
            put(event, name, input[name])
    if "repeats" in input:
        try:
            if not RULE.fullmatch(input["repeats"]):
                raise ValueError("it is not made as rules are")
            put(event, "rrule", vRecur.from_ical(input["repeats"]))
        except ValueError as error:
            raise NotUnderstood(f"repeats is no rule: {error}; write FREQ=WEEKLY;COUNT=10") from None
    if "start" not in input and "end" not in input:
        return
    zone = zone_of(input)
    before = event.get("DTSTART")
    start = in_zone(given(input, "start"), zone) if "start" in input else before.dt
    if "end" in input:
        end = in_zone(given(input, "end"), zone)
    elif before is not None:
        end = start + (ended(event, before.dt, zone) - in_utc(before.dt, zone))
    else:
        end = start + (timedelta(hours=1) if isinstance(start, datetime) else timedelta(days=1))
    if isinstance(start, datetime) != isinstance(end, datetime) or in_utc(end, zone) <= in_utc(start, zone):
        raise NotUnderstood("the end is not after the start, or one of the two is a day and the other a time")
    event.pop("DURATION", None)
    put(event, "dtstart", start)
    put(event, "dtend", end)


def put(event, name, value):
    """Write a property in place of what is there."""
    event.pop(name, None)
    event.add(name, value)


def in_zone(value, zone):
    if not isinstance(value, datetime):
        return value
    return value.astimezone(zone) if value.tzinfo else value.replace(tzinfo=zone)


def document(event):
    whole = ICalendar(version="2.0", prodid="-//Hardpoint//calendar//EN")
    whole.add_component(event)
    whole.add_missing_timezones()
    return whole.to_ical().decode()
