"""The framer of a stream: what cuts its bytes into records, by its format, encoding and options."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import FramedRows, Framer, ParseOptions
from nw_platform.parsing.csv import marks_of
from nw_platform.parsing.csv_framing import CsvFramer
from nw_platform.parsing.holes import HoleFramer
from nw_platform.parsing.line_framing import MATCHED_BYTES, MAX_VALUE, NOTHING, LineFramer, concatenate
from nw_platform.parsing.log4j import default_multiline_start
from nw_platform.parsing.units import (
    BYTES,
    LONGEST_MARK,
    Units,
    by_name,
    check_framing,
    from_start,
    split_header,
    tagged_header,
    units_of,
)

__all__ = ["MATCHED_BYTES", "MAX_VALUE", "LineFramer", "has_header", "make_framer"]

_ZEROS: Final = 1 << 20  # bytes of zeros that are handed on at once


def make_framer(options: ParseOptions, header: str | None, position: int) -> Framer:
    """A framer for one span of a byte stream that starts at `position` (bytes).

    Reads two of the stream's options: `multiline_start` (a regular expression, looked for anywhere in a line: anchor
    it with `^`; log4j has one of its own, by its layout) and `header` (true: the first line at position 0 is a csv
    header and no record). Lines of csv that are within quotes belong together.

    Raises:
        ConfigError: the pattern is no regular expression, or text in this encoding cannot be cut into lines.
    """
    pattern = options.options.get("multiline_start")
    if pattern is None and options.format == "log4j":
        pattern = default_multiline_start(options)
    if pattern is not None:
        _check(pattern, options.stream)
    skip = position == 0 and has_header(options.format, options.options)
    encoding = check_framing(options.encoding)
    order, own_header = split_header(header)
    delimiter, quote = marks_of(options) if options.format == "csv" and pattern is None else ("", None)

    def make(units: Units) -> Framer:
        if quote is None:
            lines = LineFramer(
                header=own_header, position=position, start_pattern=pattern, skip_header=skip, units=units
            )
        else:
            lines = CsvFramer(
                header=own_header,
                position=position,
                skip_header=skip,
                units=units,
                delimiter=delimiter,
                quote=quote,
                max_record=min(options.max_record, MAX_VALUE),
            )
        return HoleFramer(lines, units)

    units = by_name(order) if order is not None else units_of(encoding)
    if units is None and position:
        units = from_start(encoding, b"")
    if units is None:
        return _StartFramer(encoding, make, own_header)
    framer = make(units)
    return _Tagged(framer, order) if order is not None else framer


def has_header(format_name: str, options: Mapping[str, Any]) -> bool:
    """Whether the first line of a file of this format is a header: csv unless `header: false`."""
    return bool(options.get("header", format_name == "csv"))


def _check(pattern: str, stream: str) -> None:
    try:
        re.compile(pattern)
        pc.match_substring_regex(pa.array([b""]), pattern)
    except (re.error, pa.ArrowInvalid) as error:
        raise ConfigError(f"stream {stream}: multiline start {pattern!r} is no regular expression: {error}") from None


class _Tagged:
    """A framer of a file of a byte order that its beginning told: its header says it to the spans that follow."""

    def __init__(self, inner: Framer, order: str) -> None:
        self._inner = inner
        self._order = order

    @property
    def header(self) -> str:
        """See Framer."""
        return tagged_header(self._order, self._inner.header)

    @property
    def skipped_lines(self) -> int:
        """See Framer."""
        return self._inner.skipped_lines

    @property
    def skipped_bytes(self) -> int:
        """See Framer."""
        return self._inner.skipped_bytes

    @property
    def position(self) -> int:
        """See Framer."""
        return self._inner.position

    def feed(self, block: bytes) -> FramedRows:
        """See Framer."""
        return self._inner.feed(block)

    def finish(self, *, whole: bool, settled: bool = False) -> FramedRows:
        """See Framer."""
        return self._inner.finish(whole=whole, settled=settled)


class _StartFramer:
    """Waits for the first bytes of a file, which tell what it is encoded in."""

    def __init__(self, encoding: str, make: Callable[[Units], Framer], header: str | None) -> None:
        self._encoding, self._make = encoding, make
        self._header = header
        self._zeros = 0  # bytes of zeros before `_first`
        self._first = b""
        self._inner: Framer | None = None

    @property
    def header(self) -> str | None:
        """See Framer."""
        return self._header if self._inner is None else self._inner.header

    @property
    def skipped_lines(self) -> int:
        """See Framer."""
        return 0 if self._inner is None else self._inner.skipped_lines

    @property
    def skipped_bytes(self) -> int:
        """See Framer."""
        return 0 if self._inner is None else self._inner.skipped_bytes

    @property
    def position(self) -> int:
        """See Framer."""
        return 0 if self._inner is None else self._inner.position

    def feed(self, block: bytes) -> FramedRows:
        """See Framer."""
        if self._inner is not None:
            return self._inner.feed(block)
        self._first += block
        self._drop_zeros()
        return self._start() if len(self._first) >= LONGEST_MARK else NOTHING

    def finish(self, *, whole: bool, settled: bool = False) -> FramedRows:
        """See Framer."""
        begun = NOTHING
        if self._inner is None:
            begun = self._start()
        if self._inner is None:
            return begun
        return concatenate([begun, self._inner.finish(whole=whole, settled=settled)])

    def _start(self) -> FramedRows:
        """Make the framer, and give it what was waited for."""
        units = from_start(self._encoding, self._first)
        framer = self._make(units)
        self._inner = framer if units is BYTES else _Tagged(framer, units.encoding)
        first, self._first = self._first, b""
        zeros, self._zeros = self._zeros, 0
        rows = [self._inner.feed(bytes(min(_ZEROS, zeros - at))) for at in range(0, zeros, _ZEROS)]
        return concatenate([*rows, self._inner.feed(first)])

    def _drop_zeros(self) -> None:
        """Count zeros that a hole may have, in place of holding them: they tell no byte order, what follows does."""
        if self._encoding in ("utf-16", "utf-32"):
            text = self._first.lstrip(b"\0")
            zeros = len(self._first) - len(text)
            hole = zeros - zeros % LONGEST_MARK
            self._zeros += hole
            self._first = self._first[hole:]
