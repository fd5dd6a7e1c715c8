"""What a route or a maintenance window is about: names with `*` and `?`, and times of the week.

A timetable is read off the clock on the wall of its zone. Where clocks are changed, a time of day that is skipped is
never in effect that day, and one that is there twice is in effect twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from zoneinfo import ZoneInfo

from nw_platform.alerts.alert import PLATFORM
from nw_platform.record.hours import to_datetime
from nw_platform.streams.channels import Selection
from nw_platform.streams.expectations import WEEK

__all__ = ["Names", "Timetable", "stream_name"]

_MINUTES: Final = 60
_DAYS: Final = 7


@dataclass(frozen=True, slots=True)
class Names:
    """Some names, with `*` for anything and `?` for one letter; without any pattern: all names."""

    pattern: re.Pattern[str] | None = None

    @classmethod
    def of(cls, globs: Sequence[str] | None) -> Names:
        """The names that fit one of `globs`; None: all."""
        if globs is None:
            return cls()
        parts = ("".join(_LETTERS.get(letter) or re.escape(letter) for letter in glob) for glob in globs)
        return cls(re.compile("|".join(parts), re.DOTALL))

    def hold(self, name: str) -> bool:
        """Whether `name` is one of them."""
        return self.pattern is None or self.pattern.fullmatch(name) is not None


_LETTERS: Final = {"*": ".*", "?": "."}


@dataclass(frozen=True, slots=True)
class Timetable:
    """Times of the week in a time zone."""

    days: frozenset[int]  # of those on which it begins; 0 is Monday
    hours: tuple[int, int] | None  # minutes of the day: begin and end; an end before the begin is of the next day
    zone: str

    @classmethod
    def of(cls, selection: Selection) -> Timetable:
        """What the configuration says."""
        return cls(frozenset(WEEK.index(day) for day in selection.days), selection.hours, selection.zone)

    def covers(self, now: int) -> bool:
        """Whether it is in effect at `now` (microseconds since the epoch). It ends just before its last minute."""
        local = to_datetime(now).astimezone(ZoneInfo(self.zone))
        today, minute = local.weekday(), local.hour * _MINUTES + local.minute
        if self.hours is None:
            return today in self.days
        begin, end = self.hours
        if begin < end:
            return today in self.days and begin <= minute < end
        if minute >= begin:
            return today in self.days
        return minute < end and (today - 1) % _DAYS in self.days


def stream_name(stream: str) -> str:
    """The name under which routes and windows speak of a stream: findings about the platform itself have none."""
    return stream or PLATFORM
