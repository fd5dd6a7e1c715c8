"""Says in words how a stream's times are read: from where, in which unit or layout, in which zone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.csv import header_names
from nw_platform.parsing.log4j_layout import DEFAULT_LAYOUT, compile_layout
from nw_platform.parsing.regex_pattern import compile_pattern
from nw_platform.parsing.text_times import TIME_NAMES, find_time_field, is_default_field

__all__ = ["RECEIVED", "describe"]

RECEIVED: Final = "when they were received: the records say no time"
_UNITS: Final = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds"}


def describe(options: ParseOptions, header: str | None, keys: Sequence[str], *, has_own: bool) -> str:
    """Say how event times come about.

    `keys` are those of the first JSON records. `has_own`: some record's time differs from when it was received.
    """
    if options.format == "lines" or not has_own:
        return RECEIVED
    declared = options.event_time
    if options.message_format is not None:
        return f"of the message ({options.message_format}), else key ts"
    if options.format == "json":
        return f"{_key(declared, keys)}, {_value(declared)}"
    if options.format in ("csv", "regex"):
        return f"{_field(options, header)}, {_value(declared)}"
    return _of_line(options)


def _value(declared: EventTime | None) -> str:
    """How a value is read as a time."""
    zone = declared.zone if declared is not None else "UTC"
    if declared is not None and declared.layout is not None:
        return f"layout {declared.layout}, zone {zone} where they name none"
    unit = declared.unit if declared is not None else None
    numbers = f"numbers as {_UNITS[unit]} since 1970" if unit else "numbers as s, ms, us or ns since 1970 by their size"
    return f"{numbers}, texts as ISO 8601 and other common forms, zone {zone} where they name none"


def _key(declared: EventTime | None, keys: Sequence[str]) -> str:
    """Name the key of a JSON record that holds the time."""
    if declared is not None and not is_default_field(declared):
        return f"key {declared.field}"
    present = [name for name in TIME_NAMES if name in keys]
    return f"key {present[0]}" if present else f"the first key of {', '.join(TIME_NAMES[:4])} ..."


def _field(options: ParseOptions, header: str | None) -> str:
    """Name the column or group that holds the time."""
    if options.format == "csv":
        names = header_names(header, options) if header is not None else list(options.columns)
        kind = "column"
    else:
        names = list(compile_pattern(str(options.options.get("pattern"))).names)
        kind = "group"
    at = find_time_field(names, options.event_time)
    return f"{kind} {names[at]}" if at is not None else f"{kind} of the time"


def _of_line(options: ParseOptions) -> str:
    """How formats that have a place for the time of a line read it."""
    zone = options.event_time.zone if options.event_time is not None else "UTC"
    if options.format == "log4j":
        layout = str(options.options.get("layout") or DEFAULT_LAYOUT)
        try:
            zone = compile_layout(layout).date.zone or zone
        except ConfigError:
            return f"by the layout {layout}"
        return f"by the layout {layout}, zone {zone} where they name none"
    if options.format == "combined":
        own = options.event_time.layout if options.event_time is not None else None
        return f"in brackets, layout {own or '%d/%b/%Y:%H:%M:%S %z'}"
    year = options.options.get("year")
    years = f", year {year} where they name none" if year else ""
    return f"at the beginning of the line, zone {zone} where they name none{years}"
