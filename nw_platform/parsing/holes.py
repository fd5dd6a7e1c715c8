r"""Runs of NUL bytes in a text file: what a file system shows where nothing was written.

A log that is truncated under a writer that does not append has a hole up to where the writer goes on; a crash leaves
one where data did not reach the disk. A hole is no part of a record: two NULs or more at the beginning of a line are
one, and `HOLE` bytes or more anywhere; a line that one breaks ends there. Other NULs are data. In UTF-16 and UTF-32 a
NUL is a whole unit of zeros.

Memory is bounded: of a hole only its length is kept.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa

from nw_platform.parsing.contract import FramedRows
from nw_platform.parsing.line_framing import LineFramer, concatenate
from nw_platform.parsing.units import Units

__all__ = ["HOLE", "HoleFramer"]

HOLE: Final = 4096
_LEAST: Final = 2  # at the beginning of a line
_LINE_ENDS: Final = (10, 13)


class HoleFramer:
    """A framer that takes the holes out of what it feeds another one, and knows the true positions."""

    def __init__(self, inner: LineFramer, units: Units) -> None:
        self._inner = inner
        self._units = units
        self._partial = b""  # bytes of a unit that is not complete
        self._pending = 0  # NULs fed that are not known to be a hole or data yet
        self._fed = inner.position  # bytes fed to `inner`, as a position without holes
        self._holes: list[tuple[int, int]] = []  # position without holes, length; behind `inner.position`
        self._before = 0  # bytes of holes that lie before all of those
        self.skipped_bytes = 0

    @property
    def header(self) -> str | None:
        """See Framer."""
        return self._inner.header

    @property
    def skipped_lines(self) -> int:
        """See Framer."""
        return self._inner.skipped_lines

    @property
    def position(self) -> int:
        """See Framer."""
        position = self._inner.position
        return position + self._before + sum(length for at, length in self._holes if at < position)

    def feed(self, block: bytes) -> FramedRows:
        """See Framer."""
        if self._units.width > 1:
            block = self._partial + block
            whole = len(block) - len(block) % self._units.width
            block, self._partial = block[:whole], block[whole:]
        if not self._pending and b"\0" not in block:
            return self._placed([self._pass_on(block)])
        rows: list[FramedRows] = []
        at = 0
        for start, end in _runs(block, self._units):
            if start > at:
                rows += self._resume(block[at:start])
            self._pending += end - start
            at = end
        if at < len(block):
            rows += self._resume(block[at:])
        return self._placed(rows)

    def finish(self, *, whole: bool, settled: bool = False) -> FramedRows:
        """See Framer. NULs at the end of a file wait: a file that was made large in advance is filled later."""
        if not whole:
            return self._placed([] if self._pending else [self._inner.finish(whole=False, settled=settled)])
        rows: list[FramedRows] = []
        if self._pending and not self._is_hole():
            rows.append(self._pass_on(bytes(self._take_pending())))
        if self._partial:
            rows += self._resume(self._partial)
            self._partial = b""
        rows.append(self._inner.finish(whole=True))
        placed = self._placed(rows)
        if self._pending:
            self._note_hole()
            self._before += sum(length for _, length in self._holes)
            self._holes.clear()
        return placed

    def _resume(self, data: bytes) -> list[FramedRows]:
        """Feed what follows the pending NULs, once it is known what they are."""
        rows: list[FramedRows] = []
        if self._pending:
            if self._is_hole():
                breaks = self._inner.is_in_line and not _begins_with_line_end(data, self._units)
                if breaks:
                    rows.append(self._inner.end_line())
                self._note_hole()
            else:
                data = bytes(self._take_pending()) + data
        rows.append(self._pass_on(data))
        return rows

    def _is_hole(self) -> bool:
        return self._pending >= (HOLE if self._inner.is_in_line else _LEAST * self._units.width)

    def _take_pending(self) -> int:
        pending, self._pending = self._pending, 0
        return pending

    def _note_hole(self) -> None:
        length = self._take_pending()
        self._holes.append((self._fed, length))
        self.skipped_bytes += length

    def _pass_on(self, data: bytes) -> FramedRows:
        self._fed += len(data)
        return self._inner.feed(data)

    def _placed(self, rows: list[FramedRows]) -> FramedRows:
        """The rows at their true positions: a hole before a row is not in it, one inside it is."""
        framed = concatenate(rows)
        if not len(framed.value) or not (self._before or self._holes):
            return framed
        places = np.array([at for at, _ in self._holes], dtype=np.int64)
        sums = np.concatenate(([0], np.cumsum([length for _, length in self._holes]))) + self._before
        starts, ends = framed.start.to_numpy(), framed.end.to_numpy()
        start = starts + sums[np.searchsorted(places, starts, side="right")]
        end = ends + sums[np.searchsorted(places, ends, side="left")]
        passed = [hole for hole in self._holes if hole[0] < self._inner.position]
        self._before += sum(length for _, length in passed)
        del self._holes[: len(passed)]
        return FramedRows(framed.value, pa.array(start.astype(np.int64)), pa.array(end.astype(np.int64)))


def _begins_with_line_end(data: bytes, units: Units) -> bool:
    first = units.array(data[: units.width])
    return len(first) > 0 and int(first[0]) in _LINE_ENDS


def _runs(block: bytes, units: Units) -> list[tuple[int, int]]:
    """The runs of NULs in `block` that may be holes: at the beginning of a line, of `HOLE` bytes, or at an edge."""
    data = units.array(block)
    nul = np.concatenate(([False], data == 0, [False]))
    edges = np.flatnonzero(nul[1:] != nul[:-1])
    starts, ends = edges[::2], edges[1::2]
    matters = ((ends - starts) * units.width >= HOLE) | (starts == 0) | (ends == len(data))
    if len(data):
        matters |= data[np.maximum(starts - 1, 0)] == _LINE_ENDS[0]
    starts, ends = starts[matters] * units.width, ends[matters] * units.width
    return [(int(start), int(end)) for start, end in zip(starts, ends, strict=True)]
