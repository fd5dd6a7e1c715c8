"""Taking JSON objects apart: the JSON text of chosen members, and that text as typed values, strictly.

A *leaf* is the JSON text of a member's value in its shortest form (`"x"`, `5`, `{"a":1}`); null where the member is
missing or null. Integers keep all their digits, however large.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.content import rows_with_byte
from nw_platform.parsing.native import literal, query
from nw_platform.parsing.pieces import put
from nw_platform.parsing.typed import typed

__all__ = [
    "FIELDS",
    "Member",
    "from_leaf",
    "is_string",
    "json_path",
    "leaves",
    "loose",
    "present",
    "string_of",
    "valid",
    "without_lone_surrogates",
]

Mask: TypeAlias = npt.NDArray[np.bool_]

# A member by the keys that lead to it: ("host",) or ("fields", "user_id").
Member: TypeAlias = tuple[str, ...]

FIELDS: Final = "fields"

_NULL: Final = pa.scalar(None, pa.string())
_BOOLEANS: Final = pa.array(["true", "false"])
_BACKSLASH: Final = ord("\\")
_SAMPLE: Final = 64  # rows of a block that are asked which keys there are
# What DuckDB reads although it is no JSON: trailing commas, and numbers that are none.
_LOOSE: Final = r"(?i),\s*[}\]]|[:\[,]\s*-?(nan|inf)"
# An escape in JSON: both halves of a character, one half without the other, anything else.
_ESCAPE: Final = re.compile(
    r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)


def json_path(member: Member) -> str:
    """A member as a JSONPath of DuckDB."""
    return "$" + "".join("." + json.dumps(key, ensure_ascii=False) for key in member)


def leaves(text: pa.Array, members: Sequence[Member]) -> dict[Member, pa.Array]:
    """The leaves of `members` in each row of `text`, which is null or JSON.

    Raises:
        duckdb.Error: a row is no JSON.
    """
    # One pass reads all members of the record and of its `fields`. Names that differ in case only cannot share a
    # pass, and what lies elsewhere is rare: both are looked up on their own.
    shapes: dict[Member, dict[str, Member]] = {(): {}, (FIELDS,): {}}
    taken: set[Member] = {(FIELDS,)} if (FIELDS,) not in members else set()
    apart: list[Member] = []
    for member in members:
        lower = tuple(key.lower() for key in member)
        if member[:-1] in shapes and lower not in taken:
            shapes[member[:-1]][member[-1]] = member
            taken.add(lower)
        else:
            apart.append(member)
    top: dict[str, object] = dict.fromkeys(shapes[()], "JSON")
    if shapes[(FIELDS,)]:
        top[FIELDS] = dict.fromkeys(shapes[(FIELDS,)], "JSON")
    columns = [f"json_transform(x, {literal(json.dumps(top, ensure_ascii=False))}) AS whole"] if top else []
    columns += [f"json_extract(x, {literal(json_path(one))}) AS apart{number}" for number, one in enumerate(apart)]
    checked = columns or ["json(x) AS checked"]  # no members: still, what is no JSON has to show
    found = query(f"SELECT {', '.join(checked)} FROM texts", texts=pa.table({"x": text}))
    result: dict[Member, pa.Array] = {}
    if top:
        result |= _members(found.column("whole").combine_chunks(), ())
    for number, member in enumerate(apart):
        leaf = found.column(f"apart{number}").combine_chunks()
        result[member] = pc.if_else(pc.equal(leaf, "null"), _NULL, leaf)
    return result


def _members(structs: pa.StructArray, way: Member) -> dict[Member, pa.Array]:
    """The children of a struct array, and their children, by the keys that lead to them."""
    result: dict[Member, pa.Array] = {}
    for child, values in zip(structs.type, structs.flatten(), strict=True):
        here = (*way, child.name)
        result |= _members(values, here) if pa.types.is_struct(child.type) else {here: values}
    return result


def present(text: pa.Array, members: Sequence[Member]) -> list[Member]:
    """Those of `members` that occur in a sample of the rows: a hint which to look for first."""
    step = max(1, len(text) // _SAMPLE)
    seen: set[Member] = set()
    for record in text.take(pa.array(np.arange(0, len(text), step))).to_pylist():
        try:
            keys = json.loads(record)
        except (ValueError, RecursionError):
            continue
        if isinstance(keys, dict):
            seen.update((key,) for key in keys)
            fields = keys.get(FIELDS)
            seen.update((FIELDS, key) for key in (fields if isinstance(fields, dict) else ()))
    return [one for one in members if one in seen or (one[:1] in seen and len(one) > 1 and one[0] != FIELDS)]


def valid(text: pa.Array) -> Mask:
    """Which rows are JSON objects as RFC 8259 defines them, except for what `loose` finds."""
    found = query(
        "SELECT CASE WHEN json_valid(x) THEN json_type(x) = 'OBJECT' ELSE false END AS v FROM texts",
        texts=pa.table({"x": text}),
    )
    return np.asarray(found.column("v").combine_chunks().to_numpy(zero_copy_only=False), dtype=np.bool_)


def loose(text: pa.Array) -> Mask:
    """Which rows, though read as JSON, are none: trailing commas, NaN, Infinity."""
    suspects: Mask = pc.match_substring_regex(text, _LOOSE).to_numpy(zero_copy_only=False)
    for row in np.flatnonzero(suspects):  # also strings may look like that: these few rows get a second opinion
        try:
            json.loads(text[row].as_py(), parse_constant=_refuse)
        except RecursionError:
            suspects[row] = False
        except ValueError:
            continue
        else:
            suspects[row] = False
    return suspects


def without_lone_surrogates(text: pa.Array) -> pa.Array:
    r"""JSON text with U+FFFD for escapes of half a character (`\ud800`), which RFC 8259 allows and no reader takes."""
    rows = pc.match_substring(text, "\\ud", ignore_case=True).to_numpy(zero_copy_only=False)
    if not rows.any():
        return text
    mended = [_ESCAPE.sub(_whole, record) for record in text.filter(pa.array(rows)).to_pylist()]
    return put(text, rows, pa.array(mended, pa.string()))


def _whole(escape: re.Match[str]) -> str:
    return "\\ufffd" if escape["half"] else escape[0]


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def is_string(leaf: pa.Array) -> pa.Array:
    """Which leaves are JSON strings: boolean, null where the leaf is."""
    return pc.starts_with(leaf, '"')


def string_of(leaf: pa.Array) -> pa.Array:
    """String leaves without their quotes and escapes; null where the leaf is no string."""
    if leaf.null_count == len(leaf):
        return leaf
    strings = is_string(leaf)
    if pc.all(strings).as_py() is False:
        leaf = pc.if_else(strings, leaf, _NULL)
    bare = pc.binary_slice(leaf.view(pa.binary()), 1, -1).view(pa.string())
    escaped = rows_with_byte(bare, _BACKSLASH)
    if not escaped.any():
        return bare
    found = query(
        "SELECT json_extract_string(x, '$') AS s FROM texts", texts=pa.table({"x": leaf.filter(pa.array(escaped))})
    )
    return put(bare, escaped, found.column("s").combine_chunks())


def from_leaf(leaf: pa.Array, kind: pa.DataType, zone: str = "UTC") -> tuple[pa.Array, Mask | None]:
    """A leaf as a value of `kind`, without coercion, and the mask of rows where it is of another type (None: none).

    A string column takes any value: strings as they are, everything else as JSON text. Integers must be written
    as such (1.0 and 1e2 are none) and fit; floats are any finite number; times and dates are strings.
    """
    if leaf.null_count == len(leaf):
        return pa.nulls(len(leaf), kind), None
    if pa.types.is_string(kind):
        strings = string_of(leaf)
        return (strings if strings.null_count == leaf.null_count else pc.coalesce(strings, leaf)), None
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return typed(leaf, kind)
    if pa.types.is_boolean(kind):
        usable = pc.if_else(pc.is_in(leaf, value_set=_BOOLEANS), leaf, _NULL)
        values, _ = typed(usable, kind)
    else:
        values, _ = typed(string_of(leaf), kind, zone)
    if values.null_count == leaf.null_count:
        return values, None
    return values, pc.and_not(pc.is_null(values), pc.is_null(leaf)).to_numpy(zero_copy_only=False)
