"""Schedules: when they come through the hours that clocks skip and repeat, once over all processes, caught up once."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hardpoint.manifest.v1.manifest_pb2 import Verifier
from hardpoint.runtime.v1 import trigger_pb2
from hardpoint_kit.database import Database
from hardpoint_runtime.domain.schedules import Schedule
from hardpoint_runtime.service import room
from hardpoint_runtime.service.scheduler import Scheduler
from hardpoint_runtime.store import Store
from runtime.fakes import Gate
from runtime.triggers import create, history, settled

NAME = "orgs/acme/agents/helper/triggers/daily"
BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def times(cron: str, zone: str, after: str, count: int) -> list[str]:
    schedule, moment, found = Schedule.parse(cron, zone), at(after), []
    for _ in range(count):
        moment = schedule.after(moment)
        found.append(f"{moment:%m-%d %H:%M}")
    return found


def test_a_time_is_meant_in_its_zone():
    assert times("0 9 * * mon-fri", BERLIN, "2026-01-02T08:00", 2) == ["01-05 08:00", "01-06 08:00"]
    assert times("0 9 * * mon-fri", BERLIN, "2026-07-02T08:00", 1) == ["07-03 07:00"]
    assert times("0 9 * * *", "", "2026-01-01T09:00", 1) == ["01-02 09:00"]


def test_a_time_that_the_clock_skips_comes_as_much_later():
    """On 29 March 2026 clocks in Berlin go from 2:00 to 3:00, at 1:00 UTC."""
    assert times("30 2 * * *", BERLIN, "2026-03-28T02:00", 2) == ["03-29 01:30", "03-30 00:30"]
    assert times("0 3 * * *", BERLIN, "2026-03-28T03:00", 2) == ["03-29 01:00", "03-30 01:00"]


def test_a_time_that_the_clock_repeats_comes_once():
    """On 25 October 2026 clocks in Berlin go from 3:00 back to 2:00, at 1:00 UTC."""
    assert times("30 2 * * *", BERLIN, "2026-10-24T02:00", 2) == ["10-25 00:30", "10-26 01:30"]


def test_what_comes_every_hour_comes_in_each_real_hour():
    assert times("0 * * * *", BERLIN, "2026-10-24T23:30", 4) == [
        "10-25 00:00",
        "10-25 01:00",
        "10-25 02:00",
        "10-25 03:00",
    ]
    assert times("0 * * * *", BERLIN, "2026-03-28T23:30", 3) == ["03-29 00:00", "03-29 01:00", "03-29 02:00"]
    assert times("0 */2 * * *", BERLIN, "2026-03-28T22:30", 3) == ["03-28 23:00", "03-29 02:00", "03-29 04:00"]
    quarter = times("*/15 * * * *", BERLIN, "2026-10-24T23:50", 9)
    assert quarter == [f"10-25 0{hour}:{minute:02}" for hour in range(3) for minute in range(0, 60, 15)][:9]


def test_a_zone_that_shifts_by_half_an_hour_is_no_other():
    """Lord Howe Island puts its clocks half an hour forward at 2:00 on 4 October 2026."""
    assert times("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", 1) == ["10-03 15:45"]


@given(
    st.sampled_from(["*/5 * * * *", "30 2 * * *", "0 */2 * * *", "59 23 28-31 * *", "15 1,2,3 * * sun"]),
    st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    st.datetimes(datetime(2024, 1, 1), datetime(2027, 12, 31)),
    st.integers(0, 7200),
)
def test_the_next_time_is_later_and_the_first(cron, zone, moment, seconds):
    schedule, moment = Schedule.parse(cron, zone), moment.replace(tzinfo=UTC)
    found = schedule.after(moment)
    assert found > moment
    between = min(moment + timedelta(seconds=seconds), found - timedelta(microseconds=1))
    assert schedule.after(between) == found


async def daily(client, trigger_id="daily", **given):
    given = {"schedule": "0 9 * * *", "time_zone": BERLIN, **given}
    return await create(
        client,
        trigger_id,
        type=trigger_pb2.TRIGGER_TYPE_SCHEDULE,
        verifier=Verifier(),
        input={"location": "${event.time}"},
        **given,
    )


async def test_a_schedule_comes_once_over_two_runtimes(attached, another, clock, fakes):
    await another()
    made = await daily(attached)
    assert made.next_time.ToDatetime(tzinfo=UTC) == at("2026-03-02T08:00")
    clock.move(days=1)
    await settled(attached, "DELIVERED", name=NAME)
    clock.move(days=1)
    await settled(attached, "DELIVERED", "DELIVERED", name=NAME)
    inputs = [execution.input["location"] for execution in fakes.executor.executions]
    assert inputs == ["2026-03-02T08:00:00Z", "2026-03-03T08:00:00Z"]


async def test_a_time_that_does_not_fulfil_the_filter_starts_nothing(attached, clock, fakes):
    await daily(attached, filter="event.time.startsWith('2026-03-03')")
    states = ["FILTERED", "DELIVERED", "FILTERED"]
    for days in (1, 2, 3):
        clock.move(days=1)
        await settled(attached, *states[:days], name=NAME)
    assert [execution.input["location"] for execution in fakes.executor.executions] == ["2026-03-03T08:00:00Z"]


async def test_many_that_look_at_the_same_moment_write_it_once(attached, url, clock, query):
    await daily(attached)
    database = Database(url)
    store = Store(database)

    class Nobody:
        def wake(self) -> None: ...

    lookers = [Scheduler(store, Nobody(), clock) for _ in range(8)]  # type: ignore[arg-type]
    clock.move(days=1)
    await asyncio.gather(*(looker.tick() for looker in lookers))
    await database.close()
    assert await query("SELECT count(*) FROM deliveries") == [(1,)]


async def test_schedules_of_an_org_that_has_enough_waiting_are_refused(attached, clock, fakes, monkeypatch):
    monkeypatch.setattr(room, "MOST_WAITING", 1)
    fakes.executor.behave = gate = Gate()
    await daily(attached)
    for days in (["RUNNING"], ["RUNNING", "REFUSED"]):
        clock.move(days=1)
        await settled(attached, *days, name=NAME)
    (_, late) = await history(attached, NAME)
    assert (late.reason, late.message) == ("RESOURCE_EXHAUSTED", "1 deliveries of the org wait already")
    gate.released.set()
    await settled(attached, "DELIVERED", "REFUSED", name=NAME)


async def test_a_schedule_that_cannot_be_planned_any_more_holds_up_no_other(attached, clock, query):
    """Time zones come and go with the machine's tables."""
    await daily(attached)
    await daily(attached, trigger_id="other")
    await query("UPDATE triggers SET time_zone = 'Gone/Gone' WHERE trigger = 'daily'")
    clock.move(days=1)
    await settled(attached, "DELIVERED", name=NAME.replace("daily", "other"))
    await settled(attached, "DELIVERED", name=NAME)
    shown = await attached.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=NAME))
    assert not shown.HasField("next_time")


async def test_what_was_missed_is_made_up_for_once(attached, clock, fakes):
    await daily(attached)
    clock.move(days=10)
    await settled(attached, "DELIVERED", name=NAME)
    (one,) = await history(attached, NAME)
    assert one.provider_id == "2026-03-02T08:00:00Z"
    shown = await attached.triggers.GetTrigger(trigger_pb2.GetTriggerRequest(name=NAME))
    assert shown.next_time.ToDatetime(tzinfo=UTC) == at("2026-03-12T08:00")
    assert len(fakes.executor.executions) == 1


async def test_a_schedule_is_changed_and_paused_while_it_runs(attached, clock, fakes):
    """What would come beside it at the old time shows that its own did not."""
    made = await daily(attached)
    beside = (await daily(attached, trigger_id="beside")).name
    wanted = trigger_pb2.Trigger(name=NAME, schedule="30 14 * * *", etag=made.etag)
    request = trigger_pb2.UpdateTriggerRequest(trigger=wanted)
    request.update_mask.paths.append("schedule")
    changed = await attached.triggers.UpdateTrigger(request)
    assert changed.next_time.ToDatetime(tzinfo=UTC) == at("2026-03-01T13:30")
    clock.move(hours=2)
    await settled(attached, "DELIVERED", name=NAME)
    assert await history(attached, beside) == []
    clock.move(hours=20)
    await settled(attached, "DELIVERED", name=beside)
    await attached.triggers.PauseTrigger(trigger_pb2.PauseTriggerRequest(name=NAME))
    clock.move(days=3)
    await settled(attached, "DELIVERED", "DELIVERED", name=beside)
    resumed = await attached.triggers.ResumeTrigger(trigger_pb2.ResumeTriggerRequest(name=NAME))
    assert resumed.next_time.ToDatetime(tzinfo=UTC) == at("2026-03-05T13:30"), "what it missed is not caught up"
    clock.move(days=1)
    await settled(attached, "DELIVERED", "DELIVERED", name=NAME)
    inputs = {execution.input["location"] for execution in fakes.executor.executions}
    assert inputs >= {"2026-03-01T13:30:00Z", "2026-03-05T13:30:00Z"}


@pytest.mark.parametrize("zone", ["Mars/Olympus", "/etc/passwd", "Europe/../UTC", "\0"])
def test_a_zone_that_is_none_is_refused(zone):
    with pytest.raises(Exception, match="time zone"):
        Schedule.parse("0 9 * * *", zone)
