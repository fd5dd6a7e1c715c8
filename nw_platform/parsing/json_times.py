"""When a JSON record says that it happened."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.contract import EventTime
from nw_platform.parsing.json_leaves import Member, string_of
from nw_platform.parsing.native import literal, query
from nw_platform.parsing.pieces import put
from nw_platform.parsing.text_times import parse_text
from nw_platform.parsing.times import UNIT_LIMITS, from_us
from nw_platform.parsing.typed import typed
from nw_platform.record.envelope import TIMESTAMP

__all__ = ["JsonTime"]

_TO_US: Final = {"s": 1_000_000, "ms": 1_000, "us": 1}
_LAST_MS: Final = 9_214_646_400_000  # the year 2262
_SMALLEST: Final = 10**8  # a smaller number may be a day, 20261120
_NULL: Final = pa.scalar(None, pa.string())


class JsonTime:
    """Reads event times as declared: by layout, by unit, or in the forms that text times may have.

    A field name with dots is a way into nested objects, or a key that has dots. Of several names the first counts
    whose value is a time.
    """

    def __init__(self, names: Sequence[str], declared: EventTime | None, year: int | None = None) -> None:
        self._declared = declared or EventTime()
        self._year = year
        self.names = tuple(names)
        self._ways = {name: _ways(name) for name in self.names}
        self.members: tuple[Member, ...] = tuple(member for ways in self._ways.values() for member in ways)

    def read(self, leaves: Mapping[Member, pa.Array], received: pa.Array) -> tuple[pa.Array, list[pa.Array]]:
        """The event times (timestamp us UTC, null where there is none that can be used), and which name had each.

        The second answer has a mask for each of `names`: rows whose time was read from it.
        """
        times = pa.nulls(len(received), TIMESTAMP)
        used: list[pa.Array] = []
        for name in self.names:
            leaf = _first_given([leaves[member] for member in self._ways[name]])
            if times.null_count < len(times):
                leaf = pc.if_else(pc.is_null(times), leaf, _NULL)
            found = self._read_leaf(leaf, received)
            used.append(pc.is_valid(found))
            times = found if times.null_count == len(times) else pc.coalesce(times, found)
        return times, used

    def search(self, text: pa.Array, received: pa.Array) -> pa.Array:
        """The event times of records that are no JSON, most of them cut short: the first member of each name."""
        times = pa.nulls(len(received), TIMESTAMP)
        for name in self.names:
            if times.null_count:
                times = pc.coalesce(times, self._search_name(name, text, received))
        return times

    def _search_name(self, name: str, text: pa.Array, received: pa.Array) -> pa.Array:
        key = re.escape(name.rsplit(".", 1)[-1])
        string, number = r'"(?:[^"\\]|\\.)*"', r"-?[0-9]+(?:\.[0-9]+)?\s*[,}\s]"
        pattern = rf'"{key}"\s*:\s*({string}|{number})'
        found = query(
            "SELECT CASE WHEN json_valid(t) THEN t END AS t FROM "
            f"(SELECT rtrim(regexp_extract(x, {literal(pattern)}, 1), ' ,}}\t\r\n') AS t FROM texts)",
            texts=pa.table({"x": text}),
        )
        return self._read_leaf(found.column("t").combine_chunks(), received)

    def _read_leaf(self, leaf: pa.Array, received: pa.Array) -> pa.Array:
        if leaf.null_count == len(leaf):
            return pa.nulls(len(leaf), TIMESTAMP)
        declared = self._declared
        if declared.layout is None:
            times = _integers(leaf, declared.unit)
            if times.null_count == leaf.null_count:
                return times
        else:
            times = pa.nulls(len(leaf), TIMESTAMP)
        unread = pc.and_(pc.is_null(times), pc.is_valid(leaf))
        rest = leaf.filter(unread)
        texts = pc.coalesce(string_of(rest), rest)
        read = parse_text(texts, declared, received.filter(unread), self._year)
        return put(times, unread.to_numpy(zero_copy_only=False), read)


def _ways(name: str) -> tuple[Member, ...]:
    """The members that a name may mean."""
    nested: tuple[Member, ...] = (tuple(name.split(".")),) if "." in name.strip(".") else ()
    return ((name,), *nested)


def _first_given(leaves: Sequence[pa.Array]) -> pa.Array:
    first, *others = leaves
    return pc.coalesce(first, *others) if others else first


def _integers(leaf: pa.Array, unit: str | None) -> pa.Array:
    """Whole numbers of `unit` as times; without a unit, of the one that all of them show by their size, if one does."""
    values, _ = typed(leaf, pa.int64())
    unit = unit or _common_unit(values)
    if unit is None:
        return pa.nulls(len(leaf), TIMESTAMP)
    if unit == "ns":
        return from_us(pc.divide(values, 1000))
    factor = _TO_US[unit]
    if factor > 1:
        most = _LAST_MS * 1000 // factor
        inside = pc.and_(pc.greater_equal(values, 0), pc.less_equal(values, most))
        values = pc.multiply(pc.if_else(inside, values, pa.scalar(None, pa.int64())), factor)
    return from_us(values)


def _common_unit(values: pa.Array) -> str | None:
    """The unit of the least and of the largest number by UNIT_LIMITS; None where they differ or are small."""
    ends = pc.min_max(values).as_py()
    if ends["min"] is None or ends["min"] < _SMALLEST:
        return None
    units = [next((unit for unit, limit in UNIT_LIMITS if end < limit), None) for end in ends.values()]
    return units[0] if units[0] == units[1] else None
