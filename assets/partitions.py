"""The partitions of each asset. Their keys are hours and days as everywhere else: `2026-11-22T05`, `2026-11-22`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from typing import Final

import dagster as dg

from nw_platform.record.hours import hour_of, hour_start, next_hour
from nw_platform.streams.declaration import StreamDecl

HOUR: Final = "%Y-%m-%dT%H"
DAY: Final = "%Y-%m-%d"
# Nothing can have arrived before this platform existed; a stream's history may begin much earlier.
FIRST_ARRIVALS: Final = date(2024, 1, 1)


def arrival_hours(stream: StreamDecl, arrivals_from: datetime | None = None) -> dg.HourlyPartitionsDefinition:
    """Arrival hours, the open one included. `arrivals_from`: when the lake's first batch arrived, if that is known."""
    first = arrivals_from or _midnight(max(FIRST_ARRIVALS, stream.history_from))
    return dg.HourlyPartitionsDefinition(start_date=first, end_offset=1, timezone="UTC", fmt=HOUR)


def event_hours(stream: StreamDecl) -> dg.HourlyPartitionsDefinition:
    """The event hours of a stream's history, the open one included."""
    until = _midnight(stream.history_until) if stream.history_until else None
    return dg.HourlyPartitionsDefinition(
        start_date=_midnight(stream.history_from), end_date=until, end_offset=1, timezone="UTC", fmt=HOUR
    )


def report_days(streams: Iterable[StreamDecl]) -> dg.DailyPartitionsDefinition:
    """The days of all streams' histories together, the open one included."""
    declared = list(streams)
    first = min((s.history_from for s in declared), default=FIRST_ARRIVALS)
    ends = [s.history_until for s in declared]
    until = None if not ends or None in ends else _midnight(max(end for end in ends if end))
    return dg.DailyPartitionsDefinition(
        start_date=_midnight(first), end_date=until, end_offset=1, timezone="UTC", fmt=DAY
    )


def bounds(partitions: dg.HourlyPartitionsDefinition, now: int) -> tuple[str, str]:
    """The first hour of some partitions and the hour after their last, as of `now`; equal if there are none yet."""
    first, last = partitions.start.strftime(HOUR), next_hour(hour_of(now))
    if partitions.end is not None:
        last = min(last, partitions.end.strftime(HOUR))
    return first, max(first, last)


def chosen_hours(context: dg.AssetExecutionContext) -> tuple[str, str]:
    """The first hour of a run's partitions and the hour after its last."""
    keys = context.partition_key_range
    return keys.start, next_hour(keys.end)


def chosen_days(context: dg.AssetExecutionContext) -> tuple[str, str]:
    """The first hour of a run's days and the hour after its last day."""
    keys = context.partition_key_range
    after = datetime.strptime(keys.end, DAY).replace(tzinfo=UTC) + timedelta(days=1)
    return f"{keys.start}T00", after.strftime(HOUR)


def is_open(last: str, now: int) -> bool:
    """Whether a range of hours that ends before `last` holds the open hour of `now`."""
    return hour_start(last) > hour_start(hour_of(now))


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
