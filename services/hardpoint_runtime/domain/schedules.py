"""Owns when a schedule comes: five fields of cron, meant in a time zone, through the hours that clocks skip or repeat.

A time of day that the clock skips comes as much later as the clock is put forward; one that it repeats comes once, the
first time. A schedule of every hour, or of every few, comes in each real hour instead.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import takewhile
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from hardpoint_kit.errors import InvalidArgument

_FIELD = re.compile(r"[0-9A-Za-z*/,#-]+", re.ASCII)
_RANDOM = re.compile(r"(?<![A-Za-z])[hHrR](?![A-Za-z])")
_LARGEST_SHIFT = timedelta(hours=3)
"""Of a clock, forward or back; one and a half hours more than any zone has had since 1970."""
_FIX = 'write minute, hour, day, month and weekday: "0 9 * * mon-fri"'


@dataclass(frozen=True, slots=True)
class Schedule:
    """Five fields of cron in a time zone."""

    cron: str
    zone: ZoneInfo

    @classmethod
    def parse(cls, cron: str, time_zone: str) -> "Schedule":
        """Read a schedule; raises InvalidArgument that says what is wrong with it."""
        fields = cron.split()
        if len(fields) != 5 or not all(_FIELD.fullmatch(part) for part in fields) or _RANDOM.search(cron):
            raise InvalidArgument({"schedule": f'"{cron}" is no schedule'}, fix=_FIX)
        try:
            croniter(cron, datetime(2000, 1, 1)).get_next(datetime)
        except (CroniterError, ValueError, OverflowError) as error:
            raise InvalidArgument({"schedule": f'"{cron}" is no schedule: {error}'}, fix=_FIX) from None
        return cls(" ".join(fields), _zone(time_zone))

    def after(self, moment: datetime) -> datetime:
        """The first time after a moment, in UTC."""
        local = moment.astimezone(self.zone).replace(tzinfo=None)
        times = croniter(self.cron, local - _LARGEST_SHIFT)
        near = takewhile(lambda time: time <= local + _LARGEST_SHIFT, iter(lambda: times.get_next(datetime), None))
        found = [instant for time in near for instant in self._instants(time) if instant > moment]
        if found:
            return min(found)
        times = croniter(self.cron, local + _LARGEST_SHIFT)
        while True:
            later = [instant for instant in self._instants(times.get_next(datetime)) if instant > moment]
            if later:
                return min(later)

    def _instants(self, local: datetime) -> list[datetime]:
        """When the clock shows a time: once, twice, or never."""
        first, second = (local.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1))
        if first == second:
            return [first]
        skipped = first.astimezone(self.zone).replace(tzinfo=None) != local
        if self._every_hour:
            return [] if skipped else [first, second]
        return [first]

    @property
    def _every_hour(self) -> bool:
        return self.cron.split()[1].startswith("*")


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        raise InvalidArgument(
            {"time_zone": f'"{name}" is no time zone'}, fix="name one of the IANA database: Europe/Berlin"
        ) from None
