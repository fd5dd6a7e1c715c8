"""Format `combined`: access logs of Apache and nginx, combined and common.

    host ident user [time] "request" status bytes "referrer" "agent" "forwarded for"

The last field (nginx's format `main`) goes to `extra` as `forwarded_for`; it and the two before it may be missing.
`-` is null. Quoted fields are kept as they are written: backslashes and what they escape stay. A request of three
parts becomes method, path and protocol; one without protocol the first two; any other is kept in `path` whole.

Nearly all lines split at their quotes and blanks. The others (see `combined_odd`) are left to regular expressions,
which cost several times as much.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.combined_odd import PARTS, match_odd
from nw_platform.parsing.content import rows_with_byte
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.finish import Block, BlockFormat, Extracted
from nw_platform.parsing.groups import as_extra
from nw_platform.parsing.native import literal, query
from nw_platform.parsing.pieces import Pieces, put
from nw_platform.parsing.times import parse_iso, parse_layout
from nw_platform.parsing.yearless_times import parse_by_layout, year_option

__all__ = ["COLUMNS", "RULES_VERSION", "CombinedFormat"]

RULES_VERSION: Final = 3

COLUMNS: Final = {
    "remote_host": pa.string(),
    "ident": pa.string(),
    "remote_user": pa.string(),
    "method": pa.string(),
    "path": pa.string(),
    "protocol": pa.string(),
    "status": pa.int32(),
    "bytes_sent": pa.int64(),
    "referrer": pa.string(),
    "user_agent": pa.string(),
}

Mask = npt.NDArray[np.bool_]

_LAYOUT: Final = "%d/%b/%Y:%H:%M:%S %z"
_FRACTION: Final = "%d/%b/%Y:%H:%M:%S.%f %z"
_NULL: Final = pa.scalar(None, pa.string())
_COLUMNS: Final = ("remote_host", "ident", "remote_user", "status", "bytes_sent", "referrer", "user_agent")
_EXTRA: Final = ("forwarded_for", "via", "vhost", "further")

# Between the quotes of a common, a combined and a forwarded line lie this many pieces.
_COMMON, _COMBINED, _FORWARDED = 3, 7, 9

_STAMP_LENGTH: Final = len(" [17/May/2015:10:05:03 +0000] ")
_STAMP_SHAPE: Final = r"^ \[[^\]]*\] $"
_BACKSLASH: Final = ord("\\")
_COMMA: Final = ord(",")

_METHOD: Final = r"^[A-Za-z_-]+$"
_PROTOCOL: Final = r"^[A-Za-z]+/[0-9.]+$"
_REQUEST: Final = r"(?s)^([A-Za-z_-]+) (.*?)(?: ([A-Za-z]+/[0-9.]+))?$"


class CombinedFormat(BlockFormat):
    """Access logs."""

    def __init__(self, options: ParseOptions) -> None:
        super().__init__(options, COLUMNS)
        declared = options.event_time
        self._layout = declared.layout if declared and declared.layout is not None else _LAYOUT
        self._year = year_option(options)

    def extract(self, block: Block) -> Extracted:
        """Split at quotes and blanks; match what does not split."""
        parts, split = _split(block.text, fixed=self._layout == _LAYOUT)
        bad_format = None if split.all() else _match(block.text, ~split, parts)
        columns = {name: parts[name] for name in _COLUMNS} | _request(parts["request"])
        said = {name: parts[name] for name in _EXTRA if parts[name].null_count < len(block.text)}
        return Extracted(self._times(parts["time"], block.received), bad_format, columns=columns, extra=as_extra(said))

    def _times(self, text: pa.Array, received: pa.Array) -> pa.Array:
        """Read times by the layout; where none is declared, also with a fraction, or in ISO 8601 as nginx can write."""
        times = parse_by_layout(text, self._layout, self._zone, received, self._year)
        if self._layout != _LAYOUT or times.null_count == text.null_count:
            return times
        others = pc.if_else(times.is_valid(), _NULL, _decoded(text))
        return pc.coalesce(times, parse_layout(others, _FRACTION, self._zone), parse_iso(others, self._zone))


def _split(text: pa.Array, *, fixed: bool) -> tuple[dict[str, pa.Array], Mask]:
    """The parts of the rows that split without doubt, null where `-`; and which rows did (anything in the others)."""
    quotes = Pieces(text, '"')
    forwarded = quotes.counts == _FORWARDED
    combined = (quotes.counts == _COMBINED) | forwarded
    good = combined | (quotes.counts == _COMMON)
    good &= ~rows_with_byte(text, _BACKSLASH)
    good &= ~combined | quotes.equal(4, good & combined, " ")
    good &= ~forwarded | quotes.equal(6, good & forwarded, " ")
    good &= ~combined | forwarded | quotes.equal(6, good & combined & ~forwarded, "")
    good &= ~forwarded | quotes.equal(8, good & forwarded, "")

    prefix, time, timed = _stamp(quotes.take(0, good), fixed=fixed)
    good &= timed
    who = Pieces(prefix, " ")
    good &= who.counts == 3  # noqa: PLR2004  (host, ident, user)
    good &= who.equal(1, good, "-") & ~rows_with_byte(prefix, _COMMA)

    # ` 200 512 ` before a referrer, ` 200 512` at the end of a common line
    numbers = Pieces(quotes.take(2, good), " ")
    good &= numbers.counts == np.where(combined, 4, 3)
    good &= numbers.equal(0, good, "") & (~combined | numbers.equal(3, good & combined, ""))
    for number in range(3):
        good &= who.filled(number, good)
    good &= numbers.filled(1, good) & numbers.filled(2, good)
    combined &= good
    forwarded &= good

    def said(pieces: Pieces, number: int, where: Mask) -> pa.Array:
        return pieces.take(number, where, (good & ~where) | pieces.equal(number, where, "-"))

    parts = {
        "remote_host": said(who, 0, good),
        "ident": said(who, 1, good),
        "remote_user": said(who, 2, good),
        "time": time,
        "request": said(quotes, 1, good),
        "status": said(numbers, 1, good),
        "bytes_sent": said(numbers, 2, good),
        "referrer": said(quotes, 3, combined),
        "user_agent": said(quotes, 5, combined),
        "forwarded_for": said(quotes, 7, forwarded),
    }
    return parts | dict.fromkeys(("via", "vhost", "further"), pa.nulls(len(text), pa.string())), good


def _stamp(prefix: pa.Array, *, fixed: bool) -> tuple[pa.Array, pa.Array, Mask]:
    """`host ident user [time] ` as what stands before the bracket, the time, and the rows where both are there.

    The time of the usual layout (`fixed`) has a fixed length and repeats: it comes dictionary-encoded.
    """
    if fixed:
        content = prefix.view(pa.binary())
        stamps = pc.binary_slice(content, -_STAMP_LENGTH).view(pa.string()).dictionary_encode()
        fits = pc.match_substring_regex(stamps.dictionary, _STAMP_SHAPE)
        times = pc.if_else(fits, pc.binary_slice(stamps.dictionary.view(pa.binary()), 2, -2).view(pa.string()), _NULL)
        before = pc.binary_slice(content, 0, -_STAMP_LENGTH).view(pa.string())
        return before, pa.DictionaryArray.from_arrays(stamps.indices, times), _true(fits.take(stamps.indices))
    bracket = Pieces(prefix, " [", most=2, reverse=True)
    good = bracket.counts == 2  # noqa: PLR2004  (before and in the bracket)
    time = Pieces(bracket.take(1, good), "]", most=2)
    good &= time.counts == 2  # noqa: PLR2004  (in and after the bracket)
    good &= time.equal(1, good, " ")
    return bracket.take(0, good), time.take(0, good), good


def _match(text: pa.Array, odd: Mask, parts: dict[str, pa.Array]) -> Mask:
    """Match the `odd` rows, put what is found into `parts`, and return the rows that do not match."""
    found = match_odd(text.filter(pa.array(odd)))
    for name in PARTS:
        parts[name] = put(_decoded(parts[name]), odd, found.parts[name])
    bad = np.zeros(len(text), dtype=np.bool_)
    bad[odd] = ~found.found
    return bad


def _request(request: pa.Array) -> dict[str, pa.Array]:
    """Method, path and protocol."""
    pieces = Pieces(request, " ")
    three = pieces.counts == 3  # noqa: PLR2004
    method, path, protocol = (pieces.take(number, three, ~three) for number in range(3))
    plain = three & _shaped(method, _METHOD) & _shaped(protocol, _PROTOCOL)
    columns = {"method": method, "path": path, "protocol": protocol}
    single = pieces.counts == 1
    said = pieces.counts > 0
    said &= ~pieces.equal(0, single, "") & ~pieces.equal(0, single, "-")
    odd = ~plain & said
    if odd.any():
        found = query(
            f"SELECT unnest(regexp_extract(x, {literal(_REQUEST)}, ['method', 'path', 'protocol'])), x FROM requests",
            requests=pa.table({"x": request.filter(pa.array(odd))}),
        )
        whole = found.column("x").combine_chunks()
        values = {name: found.column(name).combine_chunks() for name in columns}
        matched = pc.and_(
            pc.not_equal(values["method"], ""),
            pc.or_(
                pc.not_equal(values["protocol"], ""),
                pc.match_substring_regex(values["path"], r"^[/*]\S*$"),
            ),
        )
        for name, value in values.items():
            otherwise = whole if name == "path" else _NULL
            kept = pc.if_else(pc.and_(matched, pc.not_equal(value, "")), value, otherwise)
            columns[name] = put(columns[name], odd, kept)
    return columns


def _shaped(values: pa.Array, pattern: str) -> Mask:
    """Which values match; each distinct one is looked at once."""
    distinct = values.dictionary_encode()
    return _true(pc.match_substring_regex(distinct.dictionary, pattern).take(distinct.indices))


def _true(values: pa.Array) -> Mask:
    """A boolean array as a mask; null is false."""
    mask: Mask = pc.fill_null(values, fill_value=False).to_numpy(zero_copy_only=False)
    return mask


def _decoded(values: pa.Array) -> pa.Array:
    """A string array, also of one that is dictionary-encoded."""
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
