r"""Cutting a byte stream into records, without a loop over lines.

Only `\n` and `\r\n` end a line. A stream with a `multiline_start` pattern joins the lines up to the next match into
one record, inner line ends kept; its first line always starts a record. Where blocks are cut changes nothing.

Memory is bounded whatever the stream holds: of a record longer than `MAX_VALUE` only the beginning is kept, while its
positions still tell the true length.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import FramedRows, Framer, ParseOptions
from nw_platform.parsing.log4j import default_multiline_start

MAX_VALUE: Final = 16 << 20  # bytes of a value that are kept
MATCHED_BYTES: Final = 64 << 10  # of a line, in which `multiline_start` is looked for

_KEPT: Final = MAX_VALUE + 2  # so that a line ending just behind MAX_VALUE can still be told
_NEWLINE: Final = 10
_RETURN: Final = 13
_BOM: Final = b"\xef\xbb\xbf"

_Positions = npt.NDArray[np.int64]


def make_framer(options: ParseOptions, header: str | None, position: int) -> Framer:
    """A framer for one span of a byte stream that starts at `position` (bytes).

    Reads two of the stream's options: `multiline_start` (a regular expression, looked for anywhere in a line: anchor
    it with `^`; log4j has one of its own, by its layout) and `header` (true: the first line at position 0 is a csv
    header and no record).

    Raises:
        ConfigError: the pattern is no regular expression.
    """
    pattern = options.options.get("multiline_start")
    if pattern is None and options.format == "log4j":
        pattern = default_multiline_start(options)
    if pattern is not None:
        _check(pattern, options.stream)
    skip = position == 0 and has_header(options.format, options.options)
    return LineFramer(
        header=header, position=position, start_pattern=pattern, skip_header=skip, encoding=options.encoding
    )


def has_header(format_name: str, options: Mapping[str, Any]) -> bool:
    """Whether the first line of a file of this format is a header: csv unless `header: false`."""
    return bool(options.get("header", format_name == "csv"))


def _check(pattern: str, stream: str) -> None:
    try:
        re.compile(pattern)
        pc.match_substring_regex(pa.array([b""]), pattern)
    except (re.error, pa.ArrowInvalid) as error:
        raise ConfigError(f"stream {stream}: multiline start {pattern!r} is no regular expression: {error}") from None


class _Held:
    """Bytes that wait for more. Keeps the first `_KEPT` of them and counts all."""

    def __init__(self) -> None:
        self.length = 0
        self.kept = 0
        self._pieces: list[bytes] = []

    def add(self, data: bytes, unseen: int = 0) -> None:
        """Append `data`; `unseen` bytes that belong inside it were not kept by whoever held them before."""
        piece = data[: max(0, _KEPT - self.kept)]
        if piece:
            self._pieces.append(piece)
            self.kept += len(piece)
        self.length += len(data) + unseen

    def take(self) -> tuple[bytes, int]:
        """(the bytes kept, the number of bytes that were not), and hold nothing any more."""
        data, unseen = b"".join(self._pieces), self.length - self.kept
        self._pieces, self.kept, self.length = [], 0, 0
        return data, unseen


@dataclass(frozen=True, slots=True)
class _Lines:
    """Terminated lines of a buffer. The first may lack `unseen` bytes of its middle."""

    data: bytes
    start: _Positions  # in `data`
    end: _Positions  # in `data`, after the line ending
    unseen: int


class LineFramer:
    """The framer of every byte stream; see parsing.contract.Framer. A block fed may have up to 1 GiB."""

    def __init__(
        self,
        *,
        header: str | None = None,
        position: int = 0,
        start_pattern: str | None = None,
        skip_header: bool = False,
        encoding: str = "utf-8",
    ) -> None:
        self.header = header
        self.skipped_lines = 0
        self.position = position
        self._pattern = start_pattern
        self._skip = skip_header
        self._encoding = encoding
        self._at_beginning = position == 0
        self._body = _Held()  # complete lines of a record that may go on (multi-line only)
        self._line = _Held()  # a line that is not complete yet

    def feed(self, block: bytes) -> FramedRows:
        """Take the next bytes; return the records that are certainly whole now."""
        last = block.rfind(b"\n") + 1
        if not last:
            self._line.add(block)
            return _NOTHING
        held, unseen = self._line.take()
        data = held + block[:last] if held else block[:last]
        if last < len(block):
            self._line.add(block[last:])
        newlines = np.flatnonzero(np.frombuffer(data, dtype=np.uint8)[len(held) :] == _NEWLINE) + len(held)
        ends = newlines.astype(np.int64) + 1
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1]))
        lines = _Lines(data, starts, ends, unseen)
        if self._skip:
            lines = self._take_header(lines)
        if not len(lines.end):
            return _NOTHING
        if self._pattern is None:
            return self._emit(lines.data, lines.start, lines.end, lines.unseen)
        return self._join(lines)

    def finish(self, *, whole: bool, settled: bool = False) -> FramedRows:
        """The end was reached.

        Args:
            whole: what is left is a record (or two), also where it is unterminated.
            settled: terminated lines of a multi-line record that could still go on are a record; an unterminated
                line behind them shows that it is still being written, so then they wait too.
        """
        if whole:
            rows = [self._finish_line(), self._flush_body()]
            return _concatenate(rows)
        return self._flush_body() if settled and not self._line.length else _NOTHING

    def _finish_line(self) -> FramedRows:
        """Treat an unterminated line as if its end had come, except that it has no line ending to remove."""
        if not self._line.length:
            return _NOTHING
        data, unseen = self._line.take()
        lines = _Lines(data, np.zeros(1, dtype=np.int64), np.array([len(data)], dtype=np.int64), unseen)
        if self._skip:
            self._take_header(lines)
            return _NOTHING
        if self._pattern is None:
            return self._emit(data, lines.start, lines.end, unseen)
        return self._join(lines)

    def _take_header(self, lines: _Lines) -> _Lines:
        """The lines without the first one, which is the csv header."""
        self._skip = False
        text = lines.data[: int(lines.end[0])].removesuffix(b"\n").removesuffix(b"\r").removeprefix(_BOM)
        self.header = text[:MAX_VALUE].decode(self._encoding, errors="replace")
        self.skipped_lines += 1
        self.position += int(lines.end[0]) + lines.unseen
        self._at_beginning = False
        first = int(lines.end[0])
        return _Lines(lines.data[first:], lines.start[1:] - first, lines.end[1:] - first, 0)

    def _join(self, lines: _Lines) -> FramedRows:
        """Emit the records that the start of another one shows to be whole; hold the last one back."""
        starts_record = self._matches(lines)
        if not self._body.length:
            starts_record[0] = True
        first_of_record = np.flatnonzero(starts_record)
        if not len(first_of_record):
            self._body.add(lines.data, lines.unseen)
            return _NOTHING
        cut = int(lines.start[first_of_record[0]])
        if cut:
            self._body.add(lines.data[:cut], lines.unseen)
        done = self._flush_body()
        rest_unseen = lines.unseen if cut == 0 else 0
        held_from = int(lines.start[first_of_record[-1]])
        starts = lines.start[first_of_record[:-1]]
        ends = lines.start[first_of_record[1:]]
        rows = self._emit(lines.data, starts, ends, rest_unseen) if len(starts) else _NOTHING
        self._body.add(lines.data[held_from:], rest_unseen if held_from == cut else 0)
        return _concatenate([done, rows])

    def _matches(self, lines: _Lines) -> npt.NDArray[np.bool_]:
        """For each line, whether the pattern is in its first `MATCHED_BYTES`, line ending excluded."""
        text = _values(lines.data, lines.start, lines.end, MATCHED_BYTES)
        found = pc.match_substring_regex(text, self._pattern)
        return np.array(found.to_numpy(zero_copy_only=False), dtype=np.bool_)

    def _flush_body(self) -> FramedRows:
        if not self._body.length:
            return _NOTHING
        data, unseen = self._body.take()
        return self._emit(data, np.zeros(1, dtype=np.int64), np.array([len(data)], dtype=np.int64), unseen)

    def _emit(self, data: bytes, starts: _Positions, ends: _Positions, unseen: int) -> FramedRows:
        """Rows for the adjoining pieces [starts, ends) of `data`; the first lacks `unseen` bytes."""
        value = _values(data, starts, ends, MAX_VALUE)
        base = self.position - int(starts[0])
        if self._at_beginning:
            self._at_beginning = False
            if value[0].as_py()[:3] == _BOM:
                value = pa.concat_arrays([pc.binary_slice(value[:1], 3), value[1:]])
        true_ends = ends + (base + unseen)
        true_starts = np.concatenate((np.array([self.position], dtype=np.int64), true_ends[:-1]))
        self.position = int(true_ends[-1])
        return FramedRows(value, pa.array(true_starts), pa.array(true_ends))


def _values(data: bytes, starts: _Positions, ends: _Positions, limit: int) -> pa.Array:
    """The adjoining pieces [starts, ends) of `data` without their line ends, each cut to `limit` bytes; binary."""
    content = np.frombuffer(data, dtype=np.uint8)
    newline = content[ends - 1] == _NEWLINE
    carriage = newline & (ends - starts >= len(b"\r\n")) & (content[ends - 2] == _RETURN)
    ending = newline.astype(np.int64) + carriage
    shortest, longest = int(ending.min()), int(ending.max())
    if shortest == longest:
        values = _binary(pa.py_buffer(data), np.append(starts, ends[-1]))
        if longest:
            values = pc.binary_slice(values, 0, -longest)
    else:
        keep = np.ones(len(content), dtype=np.bool_)
        keep[: starts[0]] = False
        keep[ends[-1] :] = False
        keep[ends[newline] - 1] = False
        keep[ends[carriage] - 2] = False
        lengths = ends - starts - ending
        values = _binary(pa.py_buffer(content[keep]), np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(lengths))))
    if int((ends - starts).max()) > limit:
        values = pc.binary_slice(values, 0, limit)
    return values


def _binary(data: pa.Buffer, offsets: _Positions) -> pa.Array:
    bounds = pa.py_buffer(offsets.astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, bounds, data])


def _concatenate(rows: list[FramedRows]) -> FramedRows:
    some = [part for part in rows if len(part.value)]
    if len(some) < len(rows) and len(some) <= 1:
        return some[0] if some else _NOTHING
    return FramedRows(
        pa.concat_arrays([part.value for part in some]),
        pa.concat_arrays([part.start for part in some]),
        pa.concat_arrays([part.end for part in some]),
    )


_NOTHING: Final = FramedRows(pa.array([], pa.binary()), pa.array([], pa.int64()), pa.array([], pa.int64()))
