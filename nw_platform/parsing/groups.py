"""Named groups of a regular expression, taken from a whole column at once by RE2."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.native import literal, query

__all__ = ["Mask", "as_extra", "blank_to_null", "check_pattern", "match_groups", "scatter"]

Mask = npt.NDArray[np.bool_]


def match_groups(text: pa.Array, pattern: str) -> tuple[dict[str, pa.Array], Mask]:
    """Find `pattern` in each string.

    Args:
        text: strings, no nulls.
        pattern: in RE2's syntax, all groups named (`(?P<name>...)`) or `(?:...)`.

    Returns:
        The groups by name: null where the pattern was not found, the empty string where the group took no part in
        the match or matched nothing (RE2 does not tell one from the other); and the rows where it was found.
    """
    found = pc.extract_regex(text, pattern)
    groups = {field.name: values for field, values in zip(found.type, found.flatten(), strict=True)}
    return groups, found.is_valid().to_numpy(zero_copy_only=False)


def check_pattern(pattern: str) -> str | None:
    """What RE2 has against `pattern`, in one line; None if it can run it."""
    try:
        pc.match_substring_regex(pa.array([""]), pattern)
    except pa.ArrowInvalid as error:
        return str(error).splitlines()[0].removeprefix("Invalid regular expression: ")
    return None


def blank_to_null(values: pa.Array) -> pa.Array:
    """`values` (strings) with null for the empty string."""
    return pc.if_else(pc.not_equal(values, ""), values, pa.scalar(None, pa.string()))


def scatter(values: pa.Array, rows: Mask, into: pa.Array) -> pa.Array:
    """`into` with `values` at `rows`, one for each."""
    return pc.replace_with_mask(into, pa.array(rows), values)


def as_extra(columns: Mapping[str, pa.Array], *, nulls: bool = False) -> pa.Array | None:
    """Columns (strings) as JSON objects, one a row; None if there are no columns.

    A null is left out, and a row without values is null; with `nulls` it is kept as `"name":null`.
    """
    if not columns:
        return None
    names = {f"c{number}": name for number, name in enumerate(columns)}
    given = pa.table(dict(zip(names, columns.values(), strict=True)))
    json = f"to_json({{{', '.join(f'{literal(name)}: {column}' for column, name in names.items())}}})"
    if not nulls:
        json = f"json_merge_patch('{{}}', {json})"  # a merge patch drops what is null
    read = query(f"SELECT nullif(CAST({json} AS VARCHAR), '{{}}') AS extra FROM given", given=given)
    return read.column("extra").combine_chunks().cast(pa.string())
