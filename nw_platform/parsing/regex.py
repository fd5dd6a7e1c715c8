"""Format `regex`: a pattern with named groups; each group is a column, typed by `columns`.

Options: `pattern` (searched for anywhere in the record: anchor it with ^ and $ where that matters; run by RE2) and
`year` (of times that name none). A group that took no part, or matched nothing, is null; in a column that is no
string so is `-`.
"""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.finish import Block, BlockFormat, Extracted, fillable
from nw_platform.parsing.groups import Mask, blank_to_null, match_groups, scatter
from nw_platform.parsing.regex_pattern import Pattern, compile_pattern
from nw_platform.parsing.text_times import find_time_field, parse_text, year_option
from nw_platform.record.envelope import RESERVED_COLUMNS, TIMESTAMP

__all__ = ["RULES_VERSION", "RegexFormat"]

RULES_VERSION: Final = 2

_TIME_COLUMN: Final = "event_time"


class RegexFormat(BlockFormat):
    """Its columns are the groups of its pattern; a group named as an envelope column fills that one."""

    def __init__(self, options: ParseOptions) -> None:
        self._pattern = _pattern_of(options)
        super().__init__(options, _columns_of(self._pattern, options))
        self._year = year_option(options)
        at = find_time_field(self._pattern.names, options.event_time)
        if at is None and options.event_time is not None:
            raise ConfigError(
                f"event_time.field: the pattern has no group {options.event_time.field!r}; its groups are"
                f" {', '.join(self._pattern.names)}"
            )
        self._time = None if at is None else self._pattern.names[at]

    def extract(self, block: Block) -> Extracted:
        """Match, and give each group its column."""
        groups, found = match_groups(block.text, self._pattern.regex)
        time = self._times(block, groups, found)
        places = {name.lower(): name for name in self._columns}
        columns: dict[str, pa.Array] = {}
        for name, values in groups.items():
            place = fillable(name) or places.get(name.lower())
            if place is None:  # only a group called event_time, which is in that column already
                continue
            if name == self._time and self._columns.get(place) == TIMESTAMP and time is not None:
                columns[place] = time
            else:
                columns[place] = self._clean(place, values)
        return Extracted(time, None if found.all() else ~found, columns=columns)

    def _clean(self, place: str, values: pa.Array) -> pa.Array:
        values = blank_to_null(values)
        if place in ("pid", "seq") or self._columns.get(place, pa.string()) != pa.string():
            return pc.if_else(pc.equal(values, "-"), pa.scalar(None, pa.string()), values)
        return values

    def _times(self, block: Block, groups: dict[str, pa.Array], found: Mask) -> pa.Array | None:
        """The event times, also of lines that match up to their time only. None: the pattern has no time."""
        if self._time is None:
            return None
        text = groups[self._time]
        beginning = self._pattern.beginnings.get(self._time)
        if beginning is not None and not found.all():
            rest, _ = match_groups(block.text.filter(pa.array(~found)), beginning)
            text = scatter(rest[self._time], ~found, text)
        return parse_text(text, self._options.event_time, block.received, self._year)


def _pattern_of(options: ParseOptions) -> Pattern:
    pattern: Any = options.options.get("pattern")
    if not isinstance(pattern, str) or not pattern:
        raise ConfigError("pattern: missing; format regex needs one, for example '^(?P<time>\\S+) (?P<message>.*)$'")
    return compile_pattern(pattern)


def _columns_of(pattern: Pattern, options: ParseOptions) -> dict[str, pa.DataType]:
    """The groups that become columns of their own; a declared column takes the place of a group of its name."""
    declared = {name.lower() for name in options.columns}
    columns: dict[str, pa.DataType] = {}
    for name in pattern.names:
        lower = name.lower()
        if fillable(name) is not None or lower == _TIME_COLUMN or (lower in declared and name not in options.columns):
            continue
        if lower in RESERVED_COLUMNS:
            raise ConfigError(f"pattern: the group name {name!r} is the platform's own; give the group another name")
        columns[name] = pa.string()
    return columns
