"""What a JSON record holds besides the members that became columns: the column `extra`.

Whether there is anything is decided by counting: if the record is exactly as long as its known members written in
the shortest form, there is nothing else in it, no blanks either. Only other records are looked at again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.content import (
    DIGITS_END,
    Begins,
    Bytes,
    Places,
    all_begin_with,
    has_byte,
    highest_byte,
    rows_where,
)
from nw_platform.parsing.json_leaves import FIELDS, Member, json_path
from nw_platform.parsing.native import literal, query

__all__ = ["expected_length", "rest", "shortest_length", "unproven"]

Lengths: TypeAlias = npt.NDArray[np.int64]
Mask: TypeAlias = npt.NDArray[np.bool_]

_DOT: Final = ord(".")
_QUOTE: Final = ord('"')
_LOWER: Final = np.uint8(0x20)
_N, _A, _I, _ZERO = (np.uint8(ord(character)) for character in "nai0")
_REACH: Final = 3
_BEFORE_LITERAL: Final = np.isin(np.arange(256), list(b":[,-"))
_DIGIT: Final = np.isin(np.arange(256), list(b"0123456789"))
_INNER_FRAME: Final = len('"fields":{}')


def expected_length(leaves: Mapping[Member, pa.Array], count: int) -> Lengths:
    """The length in bytes of each record if it holds nothing but these leaves, all of the record or its `fields`."""
    total = np.full(count, 1, dtype=np.int64)  # two braces, and one comma less than members
    inner = np.zeros(count, dtype=np.int64)
    for member, leaf in leaves.items():
        if leaf.null_count == count:
            continue
        lengths = pc.fill_null(pc.binary_length(leaf), 0).to_numpy(zero_copy_only=False)
        frame = len(json.dumps(member[-1], ensure_ascii=False).encode()) + 2  # colon and comma
        size = lengths + np.where(lengths > 0, frame, 0) if leaf.null_count else lengths + frame
        if len(member) == 1:
            total += size
        else:
            inner += size
    # `"fields":{...},` : its own comma counts among the members, and it has one comma less than members inside
    return total + np.where(inner > 0, inner + _INNER_FRAME, 0)


def unproven(leaf: pa.Array) -> Mask | None:
    """Which leaves leave it open, although the lengths agree, whether the record is JSON and holds nothing else.

    A number may have been written shorter (`1e3` is read as `1000.0`, `1e-3` as `0.001`), so that something else has
    room beside it; what is no number may be NaN or Infinity; objects and arrays may hold both. That of a string is
    certain. None: there are none. What is among the answer without need costs time only.
    """
    if leaf.null_count == len(leaf) or all_begin_with(leaf, _QUOTE):
        return None
    if highest_byte(leaf) <= DIGITS_END:
        return _mask(_is_lengthened(leaf)) if has_byte(leaf, _DOT) else None
    found = rows_where(leaf, _doubtful_places, _REACH)
    return found if found.any() else None


def _doubtful_places(data: Bytes, begins: Begins) -> Places:
    """Where in JSON in its shortest form a literal that is none, or a number that may have been shorter, begins."""
    lower = data | _LOWER
    first, second = lower[:-1], lower[1:]
    places = np.flatnonzero(((first == _N) & (second == _A)) | ((first == _I) & (second == _N)))
    if len(places):
        places = places[begins(places) | _BEFORE_LITERAL[data[np.maximum(places - 1, 0)]]]
    zeros = np.flatnonzero((data[:-2] == _ZERO) & (data[1:-1] == _DOT) & (data[2:] == _ZERO))
    if len(zeros):
        # `0.0` begins a number (0.001), or ends one (1000.0), or lies inside one (10.05), which says nothing.
        before, after = data[np.maximum(zeros - 1, 0)], data[np.minimum(zeros + _REACH, len(data) - 1)]
        inside = _DIGIT[before] & _DIGIT[after] & ~begins(zeros) & ~begins(zeros + _REACH)
        zeros = zeros[~inside]
    return np.concatenate((places, zeros))


def _is_lengthened(leaf: pa.Array) -> pa.Array:
    # Both forms begin or end so, and most numbers that merely hold it somewhere are not looked at again.
    return pc.or_(pc.ends_with(leaf, "0.0"), pc.or_(pc.starts_with(leaf, "0.0"), pc.starts_with(leaf, "-0.0")))


def _mask(found: pa.Array) -> Mask | None:
    mask: Mask = pc.fill_null(found, fill_value=False).to_numpy(zero_copy_only=False)
    return mask if mask.any() else None


def shortest_length(text: pa.Array) -> Lengths:
    """The length in bytes of each JSON text without blanks, escapes written the shortest way."""
    found = query("SELECT strlen(CAST(json(x) AS VARCHAR)) AS n FROM texts", texts=pa.table({"x": text}))
    return np.asarray(found.column("n").combine_chunks().to_numpy(zero_copy_only=False), dtype=np.int64)


def rest(
    text: pa.Array, top: Mapping[str, str], own: Sequence[str], times: Mapping[str, pa.Array], *, wire: bool
) -> tuple[pa.Array, Mask]:
    """`extra` of some records (JSON text, null where nothing is left), and where `fields` is neither object nor null.

    Args:
        text: JSON objects.
        top: the keys of the record that became columns, each with an SQL condition on `leaf` (JSON text, never SQL
            null) that says when its value could not be used and stays in `extra`.
        own: the keys that became columns wherever they were met, in `fields` (first) or in the record.
        times: other keys of the record that may hold its time, each with the records in which it does: there it is
            not left.
        wire: `fields` that are no object are an error; else they are kept like any other key.
    """
    members: list[Member] = [(key,) for key in (*top, *times)]
    members += [*((FIELDS, key) for key in own), *((key,) for key in own)]
    leaf = {member: f"l[{number}]" for number, member in enumerate(members, 1)}
    kept = [_kept(key, leaf[(key,)], condition.replace("leaf", leaf[(key,)])) for key, condition in top.items()]
    kept += [_kept(key, leaf[(key,)], f"NOT u{number}") for number, key in enumerate(times)]
    for key in own:
        inner, outer = leaf[(FIELDS, key)], leaf[(key,)]
        kept.append(_kept(key, inner, f"{inner} = 'null'"))
        kept.append(_kept(key, outer, f"{outer} = 'null' OR {inner} IS NOT NULL"))
    kept.append(_kept(FIELDS, "f", "f = 'null'" if wire else "json_type(f) <> 'OBJECT'"))
    outer_patch = json.dumps(dict.fromkeys((*top, *times, *own, FIELDS)), ensure_ascii=False)
    inner_patch = json.dumps(dict.fromkeys(own), ensure_ascii=False)
    paths = ", ".join(literal(json_path(member)) for member in members)
    outside = f"concat_ws(',', nullif(outside[2:-2], ''), {', '.join(kept)})"
    used = "".join(f", u{number}" for number in range(len(times)))
    found = query(
        f"""
        SELECT {outside} AS outside, nullif(inside[2:-2], '') AS inside,
            coalesce(json_type(f) NOT IN ('OBJECT', 'NULL'), false) AS wrong
        FROM (
            SELECT l, f{used}, CAST(json_merge_patch(x, {literal(outer_patch)}) AS VARCHAR) AS outside,
                CASE WHEN json_type(f) = 'OBJECT'
                    THEN CAST(json_merge_patch(f, {literal(inner_patch)}) AS VARCHAR) END AS inside
            FROM (
                SELECT x, json_extract(x, '$.{FIELDS}') AS f{used},
                    CAST(json_extract(x, [{paths}]) AS VARCHAR[]) AS l FROM texts
            )
        )
        """,
        texts=pa.table({"x": text} | {f"u{number}": mask for number, mask in enumerate(times.values())}),
    )
    record, fields = (found.column(name).combine_chunks() for name in ("outside", "inside"))
    record = pc.if_else(pc.equal(record, ""), pa.scalar(None, pa.string()), record)
    fields = _renamed(record, fields)
    both = pc.coalesce(pc.binary_join_element_wise(record, fields, ","), record, fields)
    extra = _braced(both)
    return extra, found.column("wrong").combine_chunks().to_numpy(zero_copy_only=False)


def _kept(key: str, leaf: str, condition: str) -> str:
    """SQL: `"key":value` where the member is there and the condition holds."""
    name = literal(json.dumps(key, ensure_ascii=False) + ":")
    return f"CASE WHEN {leaf} IS NOT NULL AND ({condition}) THEN {name} || {leaf} END"


def _renamed(outside: pa.Array, inside: pa.Array) -> pa.Array:
    """The members of `fields`, those whose key also stands in the record itself renamed to `fields.<key>`."""
    both = pc.and_(pc.is_valid(outside), pc.is_valid(inside))
    if not pc.any(both).as_py():
        return inside
    found = query(
        f"""
        SELECT CASE WHEN list_has_any(ok, ik) THEN array_to_string(list_transform(
            list_zip(ik, json_extract(i, '$.*')),
            lambda m: to_json(CASE WHEN list_contains(ok, m[1]) THEN '{FIELDS}.' || m[1] ELSE m[1] END) || ':' || m[2]
        ), ',') ELSE i[2:-2] END AS renamed
        FROM (SELECT i, json_keys(o) AS ok, json_keys(i) AS ik FROM parts)
        """,
        parts=pa.table({"o": _braced(outside.filter(both)), "i": _braced(inside.filter(both))}),
    )
    return pc.replace_with_mask(inside, both, found.column("renamed").combine_chunks())


def _braced(members: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise("{", members, "}", "")
