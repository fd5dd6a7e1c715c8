"""Format `log4j`: what log4j, log4j2 and logback write by a PatternLayout, with stack traces.

A record is its first line and every line up to the next that begins as the layout does; the framer joins them, by
`default_multiline_start`. Options: `layout` (default `[%d{ISO8601}] %p %m (%c)%n`) and `year` (of times without one).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.finish import Block, BlockFormat, Extracted, fillable
from nw_platform.parsing.groups import as_extra, blank_to_null, match_groups, scatter
from nw_platform.parsing.log4j_layout import DEFAULT_LAYOUT, CompiledLayout, compile_layout
from nw_platform.parsing.text_times import parse_text, year_option
from nw_platform.parsing.times import check_zone, parse_iso, parse_unit

__all__ = ["RULES_VERSION", "Log4jFormat", "default_multiline_start"]

RULES_VERSION: Final = 2


class Log4jFormat(BlockFormat):
    """Adds `logger` and `thread`; fills severity, message (with the stack trace) and pid.

    What else a layout writes (line, method, `%X{key}`...) fills the declared column of that name, else goes to extra.
    """

    def __init__(self, options: ParseOptions) -> None:
        super().__init__(options, {"logger": pa.string(), "thread": pa.string()})
        self._layout = _layout_of(options)
        self._zone = check_zone(self._layout.date.zone or self._zone)
        self._year = year_option(options)

    def extract(self, block: Block) -> Extracted:
        """Take records apart by the layout's expression; where it fails, at least find the time."""
        groups, found = match_groups(block.text, self._layout.pattern)
        parts = _by_name(groups, self._layout.names)
        time = parts.pop("time")
        if not found.all():
            rest, _ = match_groups(block.text.filter(pa.array(~found)), self._layout.time_pattern)
            time = scatter(rest["time"], ~found, time)
        columns: dict[str, pa.Array] = {}
        if "level" in parts:
            columns["severity"] = parts.pop("level")
        columns["message"] = _with_trace(parts.pop("message"), parts.pop("trace", None))
        left: dict[str, pa.Array] = {}
        for name, values in parts.items():
            known = fillable(name) or (name if name in self._columns else None)
            (left if known is None else columns)[known or name] = blank_to_null(values)
        return Extracted(self._times(time, block.received), ~found, columns=columns, extra=as_extra(left))

    def _times(self, text: pa.Array, received: pa.Array) -> pa.Array:
        date = self._layout.date
        if date.unit is not None:
            return parse_unit(text, date.unit)
        if date.layout is None:
            return parse_iso(text, self._zone)
        declared = EventTime(unit=None, layout=date.layout, zone=self._zone)
        return parse_text(text, declared, received, self._year)


def _by_name(groups: Mapping[str, pa.Array], names: Mapping[str, str]) -> dict[str, pa.Array]:
    """What groups hold by what they stand for; of groups that stand for the same, the one that is filled."""
    parts: dict[str, pa.Array] = {}
    for group, values in groups.items():
        name = names[group]
        before = parts.get(name)
        parts[name] = values if before is None else pc.if_else(pc.equal(values, ""), before, values)
    return parts


def default_multiline_start(options: ParseOptions) -> str:
    """What the first line of a record begins with: a regular expression for Python's `re` and RE2, text or bytes.

    Raises:
        ConfigError: the layout is wrong.
    """
    return _layout_of(options).start


def _layout_of(options: ParseOptions) -> CompiledLayout:
    layout: Any = options.options.get("layout") or DEFAULT_LAYOUT
    if not isinstance(layout, str):
        raise ConfigError(f"layout: {layout!r} is no text; write a PatternLayout such as {DEFAULT_LAYOUT!r}")
    return compile_layout(layout)


def _with_trace(message: pa.Array, trace: pa.Array | None) -> pa.Array:
    """The message, and the lines that follow it."""
    if trace is None:
        return message
    tail = pc.if_else(pc.equal(trace, ""), "", pc.binary_join_element_wise("\n", trace, ""))
    return pc.binary_join_element_wise(message, tail, "")
