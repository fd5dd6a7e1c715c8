"""Hours and the longer periods that reports are made for. An hour is written `2026-11-22T05`, always UTC.

Instants are integers: microseconds since the epoch.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final

from nw_platform.errors import UsageError

HOUR_US: Final = 3_600_000_000
GRAINS: Final = ("hour", "day", "week", "month", "all")

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_HOUR: Final = re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}\Z")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z")


def to_us(moment: datetime) -> int:
    """Microseconds since the epoch of an aware datetime; exact."""
    return (moment - _EPOCH) // timedelta(microseconds=1)


def to_datetime(instant_us: int) -> datetime:
    """The aware UTC datetime of an instant."""
    return _EPOCH + timedelta(microseconds=instant_us)


def to_iso(instant_us: int) -> str:
    """ISO 8601 with `Z`; fractions only where there are any."""
    return to_datetime(instant_us).isoformat().replace("+00:00", "Z")


def hour_of(instant_us: int) -> str:
    """The hour an instant lies in."""
    return to_datetime(instant_us).strftime("%Y-%m-%dT%H")


@lru_cache(maxsize=100_000)  # the same few hours are asked for very often, and strptime is slow
def hour_start(hour: str) -> int:
    """The first instant of an hour."""
    return to_us(datetime.strptime(hour, "%Y-%m-%dT%H").replace(tzinfo=UTC))


def next_hour(hour: str) -> str:
    """The hour after `hour`."""
    return hour_of(hour_start(hour) + HOUR_US)


def partition_of(hour: str) -> tuple[str, str]:
    """(`dt`, `hour`) of the Hive-style directories of an hour: `2026-11-22`, `05`."""
    return hour[:10], hour[11:13]


def parse_bound(text: str) -> str:
    """A bound of a range as an hour: `2026-11-22T05`, or a day (its first hour).

    Raises:
        UsageError: `text` is neither.
    """
    hour = f"{text}T00" if _DAY.match(text) else text
    if _HOUR.match(hour):
        try:
            return hour_of(hour_start(hour))
        except ValueError:
            pass
    raise UsageError(f"{text!r} is no UTC hour or day; write it as 2026-11-22T05 or 2026-11-22")


def hours_between(first: str, last: str) -> list[str]:
    """Every hour from `first` to before `last`."""
    start, end = hour_start(first), hour_start(last)
    return [hour_of(at) for at in range(start, end, HOUR_US)]


def period_of(grain: str, hour: str) -> str:
    """The period of `grain` that `hour` belongs to: the hour itself, else the first day of the period, or `all`."""
    if grain == "hour":
        return hour
    if grain == "all":
        return "all"
    day = datetime.strptime(hour[:10], "%Y-%m-%d").replace(tzinfo=UTC)
    if grain == "week":
        day -= timedelta(days=day.weekday())
    elif grain == "month":
        day = day.replace(day=1)
    return day.strftime("%Y-%m-%d")


def period_directory(grain: str, period: str) -> str:
    """The `dt` of the directory a period's report file lies in."""
    return period if grain == "all" else period[:10]
