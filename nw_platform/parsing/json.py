"""Format `json`: one JSON object a record.

A record whose time is `ts` (the default) is a wire record: the keys of docs/formats.md fill the envelope, and a record
in which one of them has the wrong type is `bad_type`. In any other record those keys fill the envelope where they can,
and are like all other keys where they cannot; an `id` identifies nothing there. Where no time is declared, a record
without `ts` is such a record if one of `TIME_NAMES` holds a time.

A declared column is the member of that name in `fields`, or else in the record. What fills no column is kept in
`extra`, without the `fields` around it: `fields.x` is key `x`, or `fields.x` where the record itself has an `x` too.
A known or declared key whose value is null stays in `extra` as null, so that it differs from one that is missing.
Numbers reach string columns and `extra` in their shortest form (1.50 as 1.5).
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.finish import Block, BlockFormat, Extracted
from nw_platform.parsing.json_objects import Mask, ObjectReader
from nw_platform.parsing.json_times import JsonTime
from nw_platform.parsing.pieces import put
from nw_platform.parsing.text_times import TIME_NAMES, is_default_field, year_option

__all__ = ["RULES_VERSION", "JsonFormat"]

RULES_VERSION: Final = 2


class JsonFormat(BlockFormat):
    """Wire records, or any JSON objects."""

    def __init__(self, options: ParseOptions) -> None:
        super().__init__(options, {})
        declared, year = options.event_time, year_option(options)

        def reader(names: tuple[str, ...], *, wire: bool) -> ObjectReader:
            time = JsonTime(names, declared, year)
            return ObjectReader(tuple(options.columns), self._columns, time, self._zone, wire=wire)

        if declared is None or is_default_field(declared):
            self._reader = reader(TIME_NAMES[:1], wire=True)
            self._other: ObjectReader | None = reader(TIME_NAMES[1:], wire=False)
        else:
            self._reader = reader((declared.field,), wire=False)
            self._other = None

    def extract(self, block: Block) -> Extracted:
        """Read the records as wire records, and those that have no `ts` as any objects."""
        read = self._reader.read(block.text, block.received)
        wire = read.extracted
        if self._other is None:
            return wire
        if wire.bad_format is not None and wire.bad_format.any():
            self._search_again(wire, block)
        if read.timeless is None:
            return wire
        rows = pa.array(read.timeless)
        other = self._other.read(block.text.filter(rows), block.received.filter(rows)).extracted
        return _merged(wire, other, read.timeless)

    def _search_again(self, wire: Extracted, block: Block) -> None:
        """Look for other names of the time in broken records in which no `ts` was found."""
        if self._other is None or wire.event_time is None or wire.bad_format is None:
            return
        unread = wire.bad_format & wire.event_time.is_null().to_numpy(zero_copy_only=False)
        rows = pa.array(unread)
        wire.event_time = put(
            wire.event_time, unread, self._other.search(block.text.filter(rows), block.received.filter(rows))
        )


def _merged(wire: Extracted, other: Extracted, asked: Mask) -> Extracted:
    """`wire` with what `other` says of the rows in `asked`, one each, of which it knows the time."""
    if other.event_time is None:
        return wire
    timed = other.event_time.is_valid()
    rows = asked.copy()
    rows[asked] = timed.to_numpy(zero_copy_only=False)
    if not rows.any():
        return wire

    def place(mine: pa.Array | None, theirs: pa.Array | None) -> pa.Array | None:
        if theirs is not None:
            base = pa.nulls(len(rows), theirs.type) if mine is None else mine
            return put(base, rows, theirs.filter(timed))
        return None if mine is None else put(mine, rows, pa.nulls(int(rows.sum()), mine.type))

    bad_type = np.zeros(len(rows), dtype=np.bool_) if wire.bad_type is None else wire.bad_type.copy()
    bad_type[rows] = False if other.bad_type is None else other.bad_type[timed.to_numpy(zero_copy_only=False)]
    names = dict.fromkeys((*wire.columns, *other.columns))
    placed = {name: place(wire.columns.get(name), other.columns.get(name)) for name in names}
    columns = {name: values for name, values in placed.items() if values is not None}
    time, extra = place(wire.event_time, other.event_time), place(wire.extra, other.extra)
    return Extracted(time, wire.bad_format, bad_type, columns, extra)
