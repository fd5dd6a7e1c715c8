"""Reading JSON objects, one a record: the columns they fill, what is left of them, and which are none.

Two kinds of reader share this: one of wire records, in which a key of the wrong type is an error, and one of any
objects, whose keys fill the envelope where they can. What becomes of a record never depends on the records around it:
a sample of them only says what to look for first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.finish import Extracted, any_of, fillable
from nw_platform.parsing.json_extra import expected_length, rest, shortest_length, unproven
from nw_platform.parsing.json_leaves import (
    FIELDS,
    Member,
    from_leaf,
    leaves,
    loose,
    present,
    string_of,
    valid,
    without_lone_surrogates,
)
from nw_platform.parsing.json_times import JsonTime
from nw_platform.parsing.pieces import put
from nw_platform.record.envelope import ENVELOPE_FIELDS, SERIES

__all__ = ["ObjectReader", "Objects"]

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


@dataclass(slots=True)
class Objects:
    """What a reader made of some records."""

    extracted: Extracted
    timeless: Mask | None  # JSON objects that have none of the members that may hold the time; None: there are none


class ObjectReader:
    """Reads the records of one stream as wire records, or as any JSON objects."""

    def __init__(
        self, declared: Sequence[str], kinds: Mapping[str, pa.DataType], time: JsonTime, zone: str, *, wire: bool
    ) -> None:
        """`declared`: names of columns in the declaration; `kinds`: types of those that are not of the envelope."""
        self._kinds, self._time, self._zone, self._wire = kinds, time, zone, wire
        # key -> column; a declared key that differs in case from an envelope column fills that column
        self._envelope = dict(_WIRE) | ({"id": "event_id"} if wire else {})
        self._own = {name: fillable(name) or name for name in declared}
        self._top = self._conditions()
        known: list[Member] = [(key,) for key in (*self._top, *self._own)] + [(FIELDS, key) for key in self._own]
        if not self._own:
            known.append((FIELDS,))  # all of it goes to `extra`
        if wire:
            known += time.members
        self._members = list(dict.fromkeys([*known, *time.members]))
        # Of several members that may hold the time only one does: their records are always looked at again.
        self._counted = frozenset(known)

    def _conditions(self) -> dict[str, str]:
        """Keys of the record that fill something -> when their value stays in `extra` (see `rest`)."""
        found = dict.fromkeys((*self._envelope, *(["v"] if self._wire else [])), _IS_NULL)
        if self._wire:
            found |= dict.fromkeys(self._time.names, _IS_NULL)
        else:
            for key, column in self._envelope.items():
                found[key] = _UNUSABLE_SERIES if key == "series" else _UNUSABLE[_ENVELOPE_TYPES[column]]
        return {key: condition for key, condition in found.items() if key not in self._own}

    def read(self, original: pa.Array, received: pa.Array) -> Objects:
        """Read the members that are known, then look for others where there must be some."""
        text, bad_format, found = self._read(original)
        left_over, not_json = self._complete(text, found, bad_format)
        bad_format = bad_format if not_json is None else bad_format | not_json
        columns, bad_type, unusable = self._values(found, len(text))
        time, used = self._time.read(found, received)
        if not self._wire:
            left_over |= unusable
        extra, fields_wrong = self._extra(text, found, left_over, [] if self._wire else used)
        if self._wire:
            bad_type = any_of(any_of(bad_type, unusable), fields_wrong)
        timeless = self._timeless(found, bad_format)
        if bad_format.any():
            broken = pa.array(bad_format)
            time = put(time, bad_format, self._time.search(original.filter(broken), received.filter(broken)))
        return Objects(Extracted(time, bad_format, bad_type, columns, extra), timeless)

    def search(self, text: pa.Array, received: pa.Array) -> pa.Array:
        """The times of records that are no JSON: see `JsonTime.search`."""
        return self._time.search(text, received)

    def _timeless(self, found: Leaves, bad_format: Mask) -> Mask | None:
        leaves_of_time = [found[member] for member in self._time.members]
        if not min(leaf.null_count for leaf in leaves_of_time):
            return None
        missing = ~bad_format
        for leaf in leaves_of_time:
            missing &= pc.is_null(leaf).to_numpy(zero_copy_only=False)
        return missing if missing.any() else None

    def _read(self, text: pa.Array) -> tuple[pa.Array, Mask, Leaves]:
        """The records (those that are no JSON objects replaced by empty ones), which these are, and the leaves."""
        bad = ~pc.and_(pc.starts_with(text, "{"), pc.ends_with(text, "}")).to_numpy(zero_copy_only=False)
        if bad.any():  # nearly all that is broken was cut short; blanks around an object are harmless
            text, bad = _mended(text, bad)
        members = present(text, self._members)
        try:
            return text, bad, leaves(text, members)
        except duckdb.Error:
            text, broken = _mended(text, ~valid(text))
            return text, bad | broken, leaves(text, members)

    def _complete(self, text: pa.Array, found: Leaves, bad_format: Mask) -> tuple[Mask, Mask | None]:
        """Read what was not in the sample where it matters; which records hold more than is known, or are no JSON."""
        count = len(text)
        counted = {member: leaf for member, leaf in found.items() if member in self._counted}
        expected = expected_length(counted, count)
        odd = expected != pc.binary_length(text).to_numpy(zero_copy_only=False)
        for leaf in counted.values():
            doubtful = unproven(leaf)
            if doubtful is not None:
                odd |= doubtful
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
            kind = self._kinds.get(column) or _ENVELOPE_TYPES[column]
            values, wrong = from_leaf(leaf, kind, self._zone)
            columns[column] = pc.coalesce(columns[column], values) if column in columns else values
            bad_type = any_of(bad_type, wrong)
        if "event_id" in columns:
            columns["event_id"] = pc.if_else(pc.equal(columns["event_id"], ""), _NULL, columns["event_id"])
        return columns, bad_type, unusable

    def _extra(
        self, text: pa.Array, found: Leaves, left_over: Mask, used: Sequence[pa.Array]
    ) -> tuple[pa.Array | None, Mask | None]:
        """The column `extra`, and where `fields` is no object; `used`: see `JsonTime.read`."""
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
        rows = pa.array(left_over)
        times = {name: mask.filter(rows) for name, mask in zip(self._time.names, used, strict=False)}
        kept = {name: mask for name, mask in times.items() if name not in self._own}
        remains, no_object = rest(text.filter(rows), self._top, tuple(self._own), kept, wire=self._wire)
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


def _mended(text: pa.Array, broken: Mask) -> tuple[pa.Array, Mask]:
    """`text` with its broken rows read once more without lone surrogates, or emptied; and which are still broken."""
    whole = without_lone_surrogates(text.filter(pa.array(broken)))
    text = put(text, broken, whole)
    broken = broken.copy()
    broken[broken] = ~valid(whole)
    return _emptied(text, broken), broken


def _emptied(text: pa.Array, mask: Mask) -> pa.Array:
    """`text` with an empty object in the rows of the mask."""
    return pc.if_else(pa.array(mask), pa.scalar("{}", pa.string()), text)
