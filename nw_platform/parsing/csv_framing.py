"""Cutting csv into records: a line end within quotes is a part of the value.

A quote opens only at the beginning of a field. A record whose quote is never closed, or closed by something that is no
quoting, must not swallow what follows: its first line is a record of its own (which will not parse), and the next line
begins a new one. The same holds where a record grows beyond `max_record`. So the same bytes give the same records,
wherever blocks and spans are cut.

Only lines with an odd number of quotes are looked at one by one, and those that have quotes between two of them.
"""

from __future__ import annotations

import re

import numpy as np
import numpy.typing as npt

from nw_platform.parsing.contract import FramedRows
from nw_platform.parsing.line_framing import NOTHING, LineFramer, Lines, concatenate
from nw_platform.parsing.units import Positions, Units

__all__ = ["CsvFramer"]

_OPEN, _CLOSED, _BROKEN = "open", "closed", "broken"


class CsvFramer(LineFramer):
    """The framer of csv with quotes."""

    def __init__(
        self,
        *,
        header: str | None,
        position: int,
        skip_header: bool,
        units: Units,
        delimiter: str,
        quote: str,
        max_record: int,
    ) -> None:
        super().__init__(header=header, position=position, skip_header=skip_header, units=units)
        self._quote, self._max_record = quote, max_record
        self._rules = _Rules(delimiter, quote)
        self._open = b""  # whole lines of a record whose quote is not closed yet

    def finish(self, *, whole: bool, settled: bool = False) -> FramedRows:
        """See Framer."""
        if not whole and (not settled or self.is_in_line):
            return NOTHING
        rows = [self._finish_line()] if whole else []
        data, self._open = self._open, b""
        if data:
            rows.append(self._cut(self._lines_of(data), final=True))
        return concatenate(rows)

    def end_line(self) -> FramedRows:
        """See LineFramer. Whatever was open is not closed behind a hole."""
        return self.finish(whole=True)

    def _take(self, lines: Lines) -> FramedRows:
        if lines.unseen:  # longer than what is kept of a line: a record of its own, whatever its quotes
            data, self._open = self._open, b""
            before = self._cut(self._lines_of(data), final=True) if data else NOTHING
            first = self._whole(lines.data, lines.start[:1], lines.end[:1], lines.unseen)
            at = int(lines.end[0])
            rest = Lines(lines.data[at:], lines.start[1:] - at, lines.end[1:] - at, 0)
            return concatenate([before, first, self._cut(rest, final=False) if len(rest.end) else NOTHING])
        if self._open:
            held = len(self._open)
            earlier = self._lines_of(self._open)
            starts = np.concatenate((earlier.start, lines.start + held))
            ends = np.concatenate((earlier.end, lines.end + held))
            lines = Lines(self._open + lines.data, starts, ends, 0)
            self._open = b""
        return self._cut(lines, final=False)

    def _lines_of(self, data: bytes) -> Lines:
        ends = self._units.positions(data, "\n") + self._units.width
        if not len(ends) or ends[-1] < len(data):
            ends = np.append(ends, len(data))
        return Lines(data, np.concatenate((np.zeros(1, dtype=np.int64), ends[:-1])), ends, 0)

    def _cut(self, lines: Lines, *, final: bool) -> FramedRows:
        """Make records of lines; keep those of a record that is not closed yet, unless `final`."""
        begins, kept_from = self._records(lines, final=final)
        if kept_from < len(lines.end):
            at = int(lines.start[kept_from])
            self._open = lines.data[at : int(lines.end[-1])]
            begins = begins[:kept_from]
        first = np.flatnonzero(begins)
        if not len(first):
            return NOTHING
        last = np.append(first[1:], len(begins)) - 1
        return self._whole(lines.data, lines.start[first], lines.end[last], 0)

    def _whole(self, data: bytes, starts: Positions, ends: Positions, unseen: int) -> FramedRows:
        """Emit whole records; the first of a file may be its header."""
        if self._skip:
            lines = self._take_header(Lines(data, starts, ends, unseen))
            data, starts, ends, unseen = lines.data, lines.start, lines.end, 0
        return self._emit(data, starts, ends, unseen) if len(ends) else NOTHING

    def _records(self, lines: Lines, *, final: bool) -> tuple[npt.NDArray[np.bool_], int]:
        """Which lines begin a record, and the number of the first line that has to wait (one too many: none)."""
        count = len(lines.end)
        begins = np.ones(count, dtype=np.bool_)
        quotes = self._units.positions(lines.data, self._quote)
        if not len(quotes):
            return begins, count
        per_line = np.diff(np.searchsorted(quotes, np.append(lines.start, lines.end[-1])))
        odd = np.flatnonzero(per_line % 2)
        quoted = np.flatnonzero(per_line) if len(odd) else odd
        at = 0
        for line in odd.tolist():
            if line < at or not self._rules.opens(self._text(lines, line)):
                continue
            state, closing = self._closing(lines, line, quoted)
            if state == _OPEN and not final:
                return begins, line
            if state == _CLOSED:
                begins[line + 1 : closing + 1] = False
                at = closing + 1
        return begins, count

    def _closing(self, lines: Lines, opening: int, quoted: Positions) -> tuple[str, int]:
        """What becomes of the quote that a line opens, and the line that closes it."""
        start = int(lines.start[opening])
        for line in quoted[np.searchsorted(quoted, opening, side="right") :].tolist():
            if int(lines.end[line]) - start > self._max_record:
                return _BROKEN, line
            state = self._rules.goes_on(self._text(lines, line))
            if state != _OPEN:
                return state, line
        too_long = int(lines.end[-1]) - start > self._max_record
        return (_BROKEN if too_long else _OPEN), opening

    def _text(self, lines: Lines, number: int) -> str:
        line = lines.data[int(lines.start[number]) : int(lines.end[number])]
        text = line.decode(self._units.encoding, errors="replace")
        return text.removesuffix("\n").removesuffix("\r")


class _Rules:
    """What a line does to the state of being within quotes."""

    def __init__(self, delimiter: str, quote: str) -> None:
        d, q = re.escape(delimiter), re.escape(quote)
        within = f"(?:[^{q}]++|{q}{q})*+"
        field = f"(?:{q}{within}{q}|[^{q}{d}]*+)"
        self._opens = re.compile(f"(?:{field}{d})*+{q}{within}", re.DOTALL)
        self._within = re.compile(within, re.DOTALL)
        self._closes = re.compile(f"{within}{q}(?:{d}{field})*+", re.DOTALL)
        self._closes_and_opens = re.compile(f"{within}{q}{d}(?:{field}{d})*+{q}{within}", re.DOTALL)

    def opens(self, line: str) -> bool:
        """Whether a line that begins outside of quotes ends within."""
        return self._opens.fullmatch(line) is not None

    def goes_on(self, line: str) -> str:
        """What a line that begins within quotes does: it stays there, ends outside, or is no csv."""
        if self._within.fullmatch(line) or self._closes_and_opens.fullmatch(line):
            return _OPEN
        return _CLOSED if self._closes.fullmatch(line) else _BROKEN
