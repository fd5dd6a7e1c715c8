"""Event times of formats whose fields are text: which field holds the time, and what it may look like."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.contract import EventTime
from nw_platform.parsing.pieces import put
from nw_platform.parsing.time_forms import parse_forms
from nw_platform.parsing.times import is_number, parse_iso, parse_unit
from nw_platform.parsing.yearless_times import parse_by_layout, parse_yearless, year_option

__all__ = ["TIME_NAMES", "find_time_field", "is_default_field", "parse_text", "parse_yearless", "year_option"]

# The fields that hold the time where nothing is declared, in this order: the first that there is counts. In formats
# whose fields are text in any case, in json exactly so.
TIME_NAMES: Final = (
    "ts",
    "@timestamp",
    "timestamp",
    "time",
    "event_time",
    "eventTime",
    "datetime",
    "date",
    "Timestamp",
    "@t",
    "asctime",
    "time_iso8601",
    "time_local",
    "timeMillis",
    "__REALTIME_TIMESTAMP",
)


def is_default_field(declared: EventTime | None) -> bool:
    """Whether a declaration leaves open which field holds the time: then it is the first of TIME_NAMES there is."""
    return declared is None or declared.field == TIME_NAMES[0]


def find_time_field(names: Iterable[str], declared: EventTime | None) -> int | None:
    """The number of the field that holds the time: the declared one, else the first of TIME_NAMES; None: no field."""
    lower = [name.lower() for name in names]
    wanted = TIME_NAMES if declared is None or is_default_field(declared) else (declared.field,)
    present = (name.lower() for name in wanted if name.lower() in lower)
    first = next(present, None)
    return None if first is None else lower.index(first)


def parse_text(text: pa.Array, declared: EventTime | None, received: pa.Array, year: int | None = None) -> pa.Array:
    """Read times (strings, may hold nulls) as a declaration says.

    With a `layout`, by that layout, also one without a year. Else numbers count `unit` since 1970 (without one: the
    unit that their size tells), and anything else is ISO 8601 or one of the forms of `time_forms`.

    Returns:
        timestamp us UTC, null where there is no usable time.
    """
    zone = "UTC" if declared is None else declared.zone
    if declared is not None and declared.layout is not None:
        return parse_by_layout(text, declared.layout, zone, received, year)
    unit = None if declared is None else declared.unit
    times = parse_unit(text, unit)
    if times.null_count == text.null_count:
        return times
    times = pc.coalesce(times, parse_iso(text, zone))
    if times.null_count == text.null_count:
        return times
    unread = pc.and_(pc.is_null(times), pc.is_valid(text))
    if unit is not None:  # a number counts this unit and nothing else
        unread = pc.and_not(unread, pc.fill_null(is_number(text), fill_value=False))
    others = parse_forms(text.filter(unread), received.filter(unread), zone=zone, year=year)
    return put(times, unread.to_numpy(zero_copy_only=False), others)
