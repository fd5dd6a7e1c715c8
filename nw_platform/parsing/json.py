"""Format `json`: one JSON object a record.

A stream whose event time is `ts` (the default) holds wire records: the keys of CONTRACT.md fill the envelope, and a
record in which one of them has the wrong type is `bad_type`. In any other stream those keys fill the envelope where
they can, and are like all other keys where they cannot; an `id` identifies nothing there.

A declared column is the member of that name in `fields`, or else in the record. What fills no column is kept in
`extra`, without the `fields` around it: `fields.x` is key `x`, or `fields.x` where the record itself has an `x` too.
A known or declared key whose value is null stays in `extra` as null, so that it differs from one that is missing.
Numbers reach string columns and `extra` in their shortest form (1.50 as 1.5).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.finish import Block, BlockFormat, Extracted, any_of, fillable
from nw_platform.parsing.json_extra import expected_length, lengthened, rest, shortest_length
from nw_platform.parsing.json_leaves import (
    FIELDS,
    Member,
    from_leaf,
    is_string,
    leaves,
    loose,
    present,
    string_of,
    valid,
)
from nw_platform.parsing.json_times import JsonTime
from nw_platform.parsing.pieces import put
from nw_platform.record.envelope import ENVELOPE_FIELDS, SERIES

__all__ = ["RULES_VERSION", "JsonFormat"]

RULES_VERSION: Final = 1

Mask: TypeAlias = npt.NDArray[np.bool_]
Leaves: TypeAlias = dict[Member, pa.Array]

# Keys of a wire record and the columns they fill; `v` fills none.
_WIRE: Final[Mapping[str, str]] = {
    **{
        name: name
        for name in ("host", "ip", "process", "pid", "series", "spilled", "session", "seq", "severity", "message")
    },
    "type": "log_type",
    "type_version": "log_version",
}
_ENVELOPE_TYPES: Final = {field.name: field.type for field in ENVELOPE_FIELDS}
_SERIES: Final = pa.array(SERIES)
_NULL: Final = pa.scalar(None, pa.string())

# SQL: the value of a key cannot fill its column. `leaf` is its JSON text.
_UNUSABLE: Final = {
    pa.string(): "NOT starts_with(leaf, '\"')",
    pa.int32(): "NOT regexp_full_match(leaf, '-?[0-9]+') OR try_cast(leaf AS INTEGER) IS NULL",
    pa.int64(): "NOT regexp_full_match(leaf, '-?[0-9]+') OR try_cast(leaf AS BIGINT) IS NULL",
    pa.bool_(): "leaf NOT IN ('true', 'false')",
}
_UNUSABLE_SERIES: Final = "leaf NOT IN (" + ", ".join(f"'\"{name}\"'" for name in SERIES) + ")"
_IS_NULL: Final = "leaf = 'null'"


class JsonFormat(BlockFormat):
    """Wire records, or any JSON objects."""

    def __init__(self, options: ParseOptions) -> None:
        super().__init__(options, {})
        self._time = JsonTime(options.event_time)
        self._wire = self._time.is_wire
        # key -> column; a declared key that differs in case from an envelope column fills that column
        self._envelope = dict(_WIRE) | ({"id": "event_id"} if self._wire else {})
        self._own = {name: fillable(name) or name for name in options.columns}
        self._top = self._conditions()
        known: list[Member] = [(key,) for key in (*self._top, *self._own)] + [(FIELDS, key) for key in self._own]
        if not self._own:
            known.append((FIELDS,))  # all of it goes to `extra`
        self._members = list(dict.fromkeys([*known, *self._time.members]))
        self._counted = frozenset(known)

    def _conditions(self) -> dict[str, str]:
        """Keys of the record that fill something -> when their value stays in `extra` (see `rest`)."""
        found = dict.fromkeys((*self._envelope, *(["v"] if self._wire else []), *self._time.keys), _IS_NULL)
        if not self._wire:
            for key, column in self._envelope.items():
                found[key] = _UNUSABLE_SERIES if key == "series" else _UNUSABLE[_ENVELOPE_TYPES[column]]
        return {key: condition for key, condition in found.items() if key not in self._own}

    def extract(self, block: Block) -> Extracted:
        """Read the members that are known, then look for others where there must be some."""
        text, bad_format, found = self._read(block.text)
        left_over, not_json = self._complete(text, found, bad_format)
        bad_format = bad_format if not_json is None else bad_format | not_json
        columns, bad_type, unusable = self._values(found, len(text))
        if not self._wire:
            left_over |= unusable
        extra, fields_wrong = self._extra(text, found, left_over)
        if self._wire:
            bad_type = any_of(any_of(bad_type, unusable), fields_wrong)
        time = self._time.read(found, self._zone)
        if bad_format.any():
            time = put(time, bad_format, self._time.search(block.text.filter(pa.array(bad_format)), self._zone))
        return Extracted(time, bad_format, bad_type, columns, extra)

    def _read(self, text: pa.Array) -> tuple[pa.Array, Mask, Leaves]:
        """The records (those that are no JSON objects replaced by empty ones), which these are, and the leaves."""
        bad = ~pc.and_(pc.starts_with(text, "{"), pc.ends_with(text, "}")).to_numpy(zero_copy_only=False)
        if bad.any():  # nearly all that is broken was cut short; blanks around an object are harmless
            bad[bad] = ~valid(text.filter(pa.array(bad)))
            text = _emptied(text, bad)
        members = present(text, self._members)
        try:
            return text, bad, leaves(text, members)
        except duckdb.Error:
            broken = ~valid(text)
            text = _emptied(text, broken)
            return text, bad | broken, leaves(text, members)

    def _complete(self, text: pa.Array, found: Leaves, bad_format: Mask) -> tuple[Mask, Mask | None]:
        """Read what was not in the sample where it matters; which records hold more than is known, or are no JSON."""
        count = len(text)
        counted = {member: leaf for member, leaf in found.items() if member in self._counted}
        expected = expected_length(counted, count)
        odd = expected != pc.binary_length(text).to_numpy(zero_copy_only=False)
        for member, leaf in counted.items():
            if member == (FIELDS,) or (member[-1] in self._own and not _all_strings(leaf)):
                odd |= lengthened(leaf)
        odd &= ~bad_format
        omitted = [member for member in self._members if member not in found]
        found |= {member: pa.nulls(count, pa.string()) for member in omitted}
        left_over, not_json = np.zeros(count, dtype=np.bool_), None
        if odd.any():
            odd_text = text.filter(pa.array(odd))
            not_json = np.zeros(count, dtype=np.bool_)
            not_json[odd] = loose(odd_text)
            left_over[odd] = shortest_length(odd_text) != expected[odd]
            if omitted and left_over.any():
                for member, leaf in leaves(text.filter(pa.array(left_over)), omitted).items():
                    found[member] = put(found[member], left_over, leaf)
        for key in self._own:  # what stands in `fields` fills the column, so that what stands in the record is left
            inside, outside = found[(FIELDS, key)], found[(key,)]
            if inside.null_count < count and outside.null_count < count:
                left_over |= pc.and_(pc.is_valid(inside), pc.is_valid(outside)).to_numpy(zero_copy_only=False)
        return left_over, not_json

    def _values(self, found: Leaves, count: int) -> tuple[dict[str, pa.Array], Mask | None, Mask]:
        """The columns; where a declared one is of another type; where a key of the envelope is of another type."""
        columns: dict[str, pa.Array] = {}
        bad_type: Mask | None = None
        unusable = np.zeros(count, dtype=np.bool_)
        for key, column in self._envelope.items():
            leaf = found.get((key,))
            if leaf is None or leaf.null_count == count:
                continue
            columns[column], wrong = _envelope_value(leaf, column)
            if wrong is not None:
                unusable |= wrong
        version = found.get(("v",)) if self._wire else None
        if version is not None:
            _, wrong = from_leaf(version, pa.int64())
            bad_type = any_of(bad_type, wrong)
        for key, column in self._own.items():
            leaf = _either(found[(FIELDS, key)], found[(key,)])
            kind = self.columns.get(column) or _ENVELOPE_TYPES[column]
            values, wrong = from_leaf(leaf, kind, self._zone)
            columns[column] = pc.coalesce(columns[column], values) if column in columns else values
            bad_type = any_of(bad_type, wrong)
        if "event_id" in columns:
            columns["event_id"] = pc.if_else(pc.equal(columns["event_id"], ""), _NULL, columns["event_id"])
        return columns, bad_type, unusable

    def _extra(self, text: pa.Array, found: Leaves, left_over: Mask) -> tuple[pa.Array | None, Mask | None]:
        """The column `extra`, and where `fields` is no object."""
        extra, wrong = None, None
        if not self._own:
            fields = found[(FIELDS,)]
            if fields.null_count < len(text):
                objects = pc.starts_with(fields, "{")
                wrong = pc.fill_null(pc.invert(objects), fill_value=False).to_numpy(zero_copy_only=False)
                extra = pc.if_else(pc.and_(objects, pc.not_equal(fields, "{}")), fields, _NULL)
                left_over = left_over | wrong
        if not left_over.any():
            return extra, wrong
        remains, no_object = rest(text.filter(pa.array(left_over)), self._top, tuple(self._own), wire=self._wire)
        wrong = np.zeros(len(text), dtype=np.bool_)
        wrong[left_over] = no_object
        return put(pa.nulls(len(text), pa.string()) if extra is None else extra, left_over, remains), wrong


def _envelope_value(leaf: pa.Array, column: str) -> tuple[pa.Array, Mask | None]:
    """The value of a key that fills the envelope; strings must be strings, and a series one of the three."""
    kind = _ENVELOPE_TYPES[column]
    if not pa.types.is_string(kind):
        return from_leaf(leaf, kind)
    values = string_of(leaf)
    if column == "series":
        values = pc.if_else(pc.is_in(values, value_set=_SERIES), values, _NULL)
    if values.null_count == leaf.null_count:
        return values, None
    return values, pc.and_not(pc.is_null(values), pc.is_null(leaf)).to_numpy(zero_copy_only=False)


def _either(first: pa.Array, second: pa.Array) -> pa.Array:
    """`first` where it is not null, else `second`."""
    if second.null_count == len(second):
        return first
    return second if first.null_count == len(first) else pc.coalesce(first, second)


def _emptied(text: pa.Array, mask: Mask) -> pa.Array:
    """`text` with an empty object in the rows of the mask."""
    return pc.if_else(pa.array(mask), pa.scalar("{}", pa.string()), text)


def _all_strings(leaf: pa.Array) -> bool:
    return pc.all(is_string(leaf)).as_py() is not False
