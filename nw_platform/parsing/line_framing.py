r"""Cutting a byte stream into lines, without a loop over them.

Only `\n` and `\r\n` end a line. A stream with a start pattern joins the lines up to the next match into one record,
inner line ends kept; its first line always starts a record. Where blocks are cut changes nothing.

Memory is bounded whatever the stream holds: of a record longer than `MAX_VALUE` only the beginning is kept, while its
positions still tell the true length.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.contract import FramedRows
from nw_platform.parsing.units import BYTES, Positions, Units

__all__ = ["MATCHED_BYTES", "MAX_VALUE", "NOTHING", "LineFramer", "Lines", "concatenate"]

MAX_VALUE: Final = 16 << 20  # bytes of a value that are kept
MATCHED_BYTES: Final = 64 << 10  # of a line, in which `multiline_start` is looked for

_KEPT: Final = MAX_VALUE + 8  # whole units, and a line ending just behind MAX_VALUE can still be told
_NEWLINE: Final = 10
_RETURN: Final = 13
_BOM: Final = b"\xef\xbb\xbf"


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
class Lines:
    """Terminated lines of a buffer. The first may lack `unseen` bytes of its middle."""

    data: bytes
    start: Positions  # in `data`
    end: Positions  # in `data`, after the line ending
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
        units: Units = BYTES,
    ) -> None:
        self.header = header
        self.skipped_lines = 0
        self.skipped_bytes = 0
        self.position = position
        self._pattern = start_pattern
        self._skip = skip_header
        self._units = units
        self._at_beginning = position == 0
        self._partial = b""  # bytes of a unit that is not complete
        self._body = _Held()  # complete lines of a record that may go on (multi-line only)
        self._line = _Held()  # a line that is not complete yet

    @property
    def is_in_line(self) -> bool:
        """Whether a line has begun and is not complete."""
        return self._line.length > 0 or bool(self._partial)

    def feed(self, block: bytes) -> FramedRows:
        """Take the next bytes; return the records that are certainly whole now."""
        if self._units.width > 1:
            block = self._partial + block
            whole = len(block) - len(block) % self._units.width
            block, self._partial = block[:whole], block[whole:]
        last = self._units.line_end(block)
        if not last:
            self._line.add(block)
            return NOTHING
        held, unseen = self._line.take()
        data = held + block[:last] if held else block[:last]
        if last < len(block):
            self._line.add(block[last:])
        ends = self._units.positions(block[:last], "\n") + (len(held) + self._units.width)
        starts = np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1]))
        return self._take(Lines(data, starts, ends, unseen))

    def end_line(self) -> FramedRows:
        """The line that has begun ends here, without a line ending."""
        return self._finish_line()

    def _take(self, lines: Lines) -> FramedRows:
        """Make records of lines; the first of a file may be its header."""
        if self._skip:
            lines = self._take_header(lines)
            if not len(lines.end):
                return NOTHING
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
            return concatenate(rows)
        return self._flush_body() if settled and not self._line.length else NOTHING

    def _finish_line(self) -> FramedRows:
        """Treat an unterminated line as if its end had come, except that it has no line ending to remove."""
        self._line.add(self._partial)
        self._partial = b""
        if not self._line.length:
            return NOTHING
        data, unseen = self._line.take()
        return self._take(Lines(data, np.zeros(1, dtype=np.int64), np.array([len(data)], dtype=np.int64), unseen))

    def _take_header(self, lines: Lines) -> Lines:
        """The lines without the first one, which is the csv header."""
        self._skip = False
        first = int(lines.end[0])
        value: bytes = _values(lines.data[:first], lines.start[:1], lines.end[:1], MAX_VALUE, self._units)[0].as_py()
        self.header = value.decode(self._units.encoding, errors="replace").removeprefix("\ufeff")
        self.skipped_lines += 1
        self.position += first + lines.unseen
        self._at_beginning = False
        return Lines(lines.data[first:], lines.start[1:] - first, lines.end[1:] - first, 0)

    def _join(self, lines: Lines) -> FramedRows:
        """Emit the records that the start of another one shows to be whole; hold the last one back."""
        starts_record = self._matches(lines)
        if not self._body.length:
            starts_record[0] = True
        first_of_record = np.flatnonzero(starts_record)
        if not len(first_of_record):
            self._body.add(lines.data, lines.unseen)
            return NOTHING
        cut = int(lines.start[first_of_record[0]])
        if cut:
            self._body.add(lines.data[:cut], lines.unseen)
        done = self._flush_body()
        rest_unseen = lines.unseen if cut == 0 else 0
        held_from = int(lines.start[first_of_record[-1]])
        starts = lines.start[first_of_record[:-1]]
        ends = lines.start[first_of_record[1:]]
        rows = self._emit(lines.data, starts, ends, rest_unseen) if len(starts) else NOTHING
        self._body.add(lines.data[held_from:], rest_unseen if held_from == cut else 0)
        return concatenate([done, rows])

    def _matches(self, lines: Lines) -> npt.NDArray[np.bool_]:
        """For each line, whether the pattern is in its first `MATCHED_BYTES`, line ending excluded."""
        text = _values(lines.data, lines.start, lines.end, MATCHED_BYTES, self._units)
        if self._units.width > 1:
            text = pa.array([line.decode(self._units.encoding, "replace") for line in text.to_pylist()], pa.string())
        found = pc.match_substring_regex(text, self._pattern)
        return np.array(found.to_numpy(zero_copy_only=False), dtype=np.bool_)

    def _flush_body(self) -> FramedRows:
        if not self._body.length:
            return NOTHING
        data, unseen = self._body.take()
        return self._emit(data, np.zeros(1, dtype=np.int64), np.array([len(data)], dtype=np.int64), unseen)

    def _emit(self, data: bytes, starts: Positions, ends: Positions, unseen: int) -> FramedRows:
        """Rows for the adjoining pieces [starts, ends) of `data`; the first lacks `unseen` bytes."""
        value = _values(data, starts, ends, MAX_VALUE, self._units)
        base = self.position - int(starts[0])
        if self._at_beginning:
            self._at_beginning = False
            own = _BOM if self._units.width == 1 else "\ufeff".encode(self._units.encoding)
            if value[0].as_py().startswith(own):
                value = pa.concat_arrays([pc.binary_slice(value[:1], len(own)), value[1:]])
        if self._units.mark:
            value = pc.binary_join_element_wise(pa.scalar(self._units.mark), value, pa.scalar(b""))
        true_ends = ends + (base + unseen)
        true_starts = np.concatenate((np.array([self.position], dtype=np.int64), true_ends[:-1]))
        self.position = int(true_ends[-1])
        return FramedRows(value, pa.array(true_starts), pa.array(true_ends))


def _values(data: bytes, starts: Positions, ends: Positions, limit: int, units: Units) -> pa.Array:
    """The adjoining pieces [starts, ends) of `data` without their line ends, each cut to `limit` bytes; binary."""
    width = units.width
    if len(data) < width:  # no unit is whole: a file that ends within its first character
        return _binary(pa.py_buffer(data), np.append(starts, ends[-1]))
    content = units.array(data)
    last = ends // width - 1
    newline = (content[last] == _NEWLINE) & (ends % width == 0)
    carriage = newline & (ends - starts >= len(b"\r\n") * width) & (content[last - 1] == _RETURN)
    ending = newline.astype(np.int64) + carriage
    shortest, longest = int(ending.min()), int(ending.max())
    whole = _binary(pa.py_buffer(data), np.append(starts, ends[-1]))
    if shortest == longest:
        values = pc.binary_slice(whole, 0, -longest * width) if longest else whole
    elif width > 1:
        without = [whole, *(pc.binary_slice(whole, 0, -length * width) for length in (1, 2))]
        values = pc.choose(pa.array(ending), *without)
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


def _binary(data: pa.Buffer, offsets: Positions) -> pa.Array:
    bounds = pa.py_buffer(offsets.astype(np.int32))
    return pa.Array.from_buffers(pa.binary(), len(offsets) - 1, [None, bounds, data])


def concatenate(rows: list[FramedRows]) -> FramedRows:
    """Rows one after the other."""
    some = [part for part in rows if len(part.value)]
    if len(some) <= 1:
        return some[0] if some else NOTHING
    return FramedRows(
        pa.concat_arrays([part.value for part in some]),
        pa.concat_arrays([part.start for part in some]),
        pa.concat_arrays([part.end for part in some]),
    )


NOTHING: Final = FramedRows(pa.array([], pa.binary()), pa.array([], pa.int64()), pa.array([], pa.int64()))
