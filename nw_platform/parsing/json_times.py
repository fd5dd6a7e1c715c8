"""When a JSON record says that it happened."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.contract import EventTime
from nw_platform.parsing.json_leaves import Member, string_of
from nw_platform.parsing.native import literal, query
from nw_platform.parsing.times import from_us, parse_iso, parse_layout, parse_unit
from nw_platform.parsing.typed import typed

__all__ = ["JsonTime"]

_WIRE_FIELD: Final = "ts"
_TO_US: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
_LAST_MS: Final = 9_214_646_400_000  # the year 2262
_NULL: Final = pa.scalar(None, pa.string())


class JsonTime:
    """Reads event times as declared: by layout, by unit, or ISO 8601 where a stream has its own time field.

    A field name with dots is a way into nested objects, or a key that has dots.
    """

    def __init__(self, declared: EventTime | None) -> None:
        self._declared = declared or EventTime()
        name = self._declared.field
        self.is_wire = name == _WIRE_FIELD
        nested: tuple[Member, ...] = (tuple(name.split(".")),) if "." in name.strip(".") else ()
        self.members: tuple[Member, ...] = ((name,), *nested)
        self.keys = (name,)

    def read(self, leaves: Mapping[Member, pa.Array], zone: str) -> pa.Array:
        """The event times: timestamp us UTC, null where there is none that can be used."""
        leaf = leaves[self.members[0]]
        for member in self.members[1:]:
            leaf = pc.coalesce(leaf, leaves[member])
        return self._read_leaf(leaf, zone)

    def search(self, text: pa.Array, zone: str) -> pa.Array:
        """The event times of records that are no JSON, most of them cut short: the first member of that name."""
        key = re.escape(self._declared.field.rsplit(".", 1)[-1])
        pattern = rf'"{key}"\\s*:\\s*("(?:[^"\\\\]|\\\\.)*"|-?[0-9]+(?:\\.[0-9]+)?\\s*[,}}\\s])'.replace("\\\\", "\\")
        found = query(f"SELECT regexp_extract(x, {literal(pattern)}, 1) AS t FROM texts", texts=pa.table({"x": text}))
        leaf = pc.ascii_rtrim(found.column("t").combine_chunks(), characters=" ,}\t\r\n")
        return self._read_leaf(pc.if_else(pc.equal(leaf, ""), _NULL, leaf), zone)

    def _read_leaf(self, leaf: pa.Array, zone: str) -> pa.Array:
        declared = self._declared
        if declared.layout is not None:
            return parse_layout(string_of(leaf), declared.layout, zone)
        unit = declared.unit or "ms"
        times = _integers(leaf, unit)
        if self.is_wire or times.null_count == leaf.null_count:
            return times
        return pc.coalesce(times, pc.coalesce(parse_unit(leaf, unit), parse_iso(string_of(leaf), zone)))


def _integers(leaf: pa.Array, unit: str) -> pa.Array:
    """Whole numbers of `unit` as times."""
    values, _ = typed(leaf, pa.int64())
    if unit == "ns":
        return from_us(pc.divide(values, 1000))
    factor = _TO_US[unit]
    if factor > 1:
        most = _LAST_MS * 1000 // factor
        inside = pc.and_(pc.greater_equal(values, 0), pc.less_equal(values, most))
        values = pc.multiply(pc.if_else(inside, values, pa.scalar(None, pa.int64())), factor)
    return from_us(values)
