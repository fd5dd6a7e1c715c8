"""From text to declared types, without silent coercion: what is not exactly of the type is marked bad."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.content import DIGITS_END, any_ends_with, has_capitals, highest_byte
from nw_platform.parsing.times import parse_iso
from nw_platform.record.envelope import SEVERITIES

__all__ = ["map_severity", "plain_hosts", "typed"]

Mask = npt.NDArray[np.bool_]

_INTEGER: Final = r"^[+-]?[0-9]+$"
_NUMBER: Final = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_DAY: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_TRUE: Final = pa.array(["true", "1"])
_FALSE: Final = pa.array(["false", "0"])
_SEVERITY_NAMES: Final = pa.array(list(SEVERITIES))
_DOT: Final = ord(".")
_SEVERITY_VALUES: Final = pa.array(list(SEVERITIES.values()))


def typed(text: pa.Array, kind: pa.DataType, zone: str = "UTC") -> tuple[pa.Array, Mask | None]:
    """Read `text` (string, may hold nulls) as `kind`.

    Integers are digits with a sign; floats are finite decimal numbers; booleans true, false, 1, 0 in any case;
    timestamps ISO 8601 (without an offset: in `zone`); dates YYYY-MM-DD.

    Returns:
        The array of type `kind`, null where `text` is null or unusable, and the mask of unusable rows (None: none).
    """
    if pa.types.is_string(kind):
        return text, None
    if text.null_count == len(text):
        return pa.nulls(len(text), kind), None
    values = _READERS[kind](text, zone)
    if values.null_count == text.null_count:
        return values, None
    bad = pc.and_not(pc.is_null(values), pc.is_null(text)).to_numpy(zero_copy_only=False)
    return values, bad


def plain_hosts(hosts: pa.Array) -> pa.Array:
    """Names of hosts in their plain form (see record/hosts.py). Most have it already: bytes are looked at first."""
    if not has_capitals(hosts) and not any_ends_with(hosts, _DOT):
        return hosts
    names = hosts.dictionary_encode()
    plain = pc.replace_substring_regex(pc.utf8_lower(names.dictionary), r"(.)\.$", r"\1")
    return plain.take(names.indices)


def map_severity(severity: pa.Array) -> pa.Array:
    """Severities as they are stored: known names mapped, others in upper case, blank ones null."""
    names = severity.dictionary_encode()
    upper = pc.utf8_upper(pc.utf8_trim_whitespace(names.dictionary))
    upper = pc.if_else(pc.equal(upper, ""), pa.scalar(None, pa.string()), upper)
    known = pc.index_in(upper, value_set=_SEVERITY_NAMES)
    return pc.coalesce(_SEVERITY_VALUES.take(known), upper).take(names.indices)


def _integers(text: pa.Array, kind: pa.DataType) -> pa.Array:
    # Arrow also reads hexadecimal, which has letters; otherwise its reader is exact and refuses what does not fit.
    if highest_byte(text) <= DIGITS_END:
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            pass
    wide = _cast_where(pc.replace_substring_regex(text, r"^\+", ""), r"^-?0*[0-9]{1,18}$", pa.int64())
    odd = pc.and_kleene(pc.is_null(wide), pc.fill_null(pc.match_substring_regex(text, _INTEGER), fill_value=False))
    if pc.any(odd).as_py():  # 19 digits and more: decimal holds them exactly, so that 2^63 can be told from 2^63 - 1
        large = _cast_where(
            pc.if_else(odd, pc.replace_substring_regex(text, r"^\+", ""), None),
            r"^-?0*[0-9]{1,37}$",
            pa.decimal128(38, 0),
        )
        wide = pc.coalesce(wide, _within(large, -(2**63), 2**63 - 1).cast(pa.int64()))
    if kind == pa.int64():
        return wide
    return _within(wide, -(2**31), 2**31 - 1).cast(kind)


def _floats(text: pa.Array, _zone: str) -> pa.Array:
    if highest_byte(text) <= DIGITS_END:  # no letters, so neither infinity nor what is no number
        try:
            values = text.cast(pa.float64())
        except pa.ArrowInvalid:
            pass
        else:
            if pc.all(pc.is_finite(values)).as_py() is not False:
                return values
    values = _cast_where(pc.replace_substring_regex(text, r"^\+", ""), _NUMBER, pa.float64())
    return pc.if_else(pc.is_finite(values), values, pa.scalar(None, pa.float64()))


def _booleans(text: pa.Array, _zone: str) -> pa.Array:
    lower = pc.utf8_lower(text)
    true, false = pc.is_in(lower, value_set=_TRUE), pc.is_in(lower, value_set=_FALSE)
    return pc.if_else(pc.or_(true, false), true, pa.scalar(None, pa.bool_()))


def _dates(text: pa.Array, _zone: str) -> pa.Array:
    days = pc.if_else(pc.match_substring_regex(text, _DAY), text, pa.scalar(None, pa.string()))
    return parse_iso(days).cast(pa.date32(), safe=False)


def _cast_where(text: pa.Array, pattern: str, kind: pa.DataType) -> pa.Array:
    """Cast the rows that match `pattern`; null elsewhere."""
    return pc.if_else(pc.match_substring_regex(text, pattern), text, pa.scalar(None, pa.string())).cast(kind)


def _within(values: pa.Array, least: int, most: int) -> pa.Array:
    inside = pc.and_(
        pc.greater_equal(values, pa.scalar(least, values.type)), pc.less_equal(values, pa.scalar(most, values.type))
    )
    return pc.if_else(inside, values, pa.scalar(None, values.type))


_READERS: Final[Mapping[pa.DataType, Callable[[pa.Array, str], pa.Array]]] = {
    pa.int32(): lambda text, _zone: _integers(text, pa.int32()),
    pa.int64(): lambda text, _zone: _integers(text, pa.int64()),
    pa.float64(): _floats,
    pa.bool_(): _booleans,
    pa.timestamp("us", tz="UTC"): parse_iso,
    pa.date32(): _dates,
}
