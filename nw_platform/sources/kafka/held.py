"""What was read ahead of one partition, until somebody takes it.

Offsets that are left out are believed when they are left out twice. Transaction markers, aborted records and compaction
leave gaps, and nothing in what the client hands over tells these from records that it skipped, as versions of it did
after partitions were assigned, paused or sought anew.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from nw_platform.sources.kafka.columns import Collected, Piece, Run

__all__ = ["PIECE_BYTES", "Partition"]

PIECE_BYTES: Final = 8 << 20  # of memory
_TRUSTED: Final = 3  # gaps that were found twice: from then on the partition is known to have some


@dataclass(slots=True)
class Partition:
    """Records of one partition, in order. Its user has the lock."""

    position: int  # everything below was fetched, or is not a record
    incarnation: str
    collected: Collected = field(default_factory=Collected)
    pieces: deque[Piece] = field(default_factory=deque)
    handed: int = 0  # everything below was handed out
    failure: str = ""
    is_fresh: bool = True  # nothing came since it was assigned
    is_doubted: bool = False  # it has to be assigned anew, from its position, before anything of it is taken
    doubt: tuple[int, int] | None = None  # the gap that was seen once: first offset, the one after the last
    proven: int = 0  # gaps that were seen twice

    def admit(self, run: Run) -> Run | None:
        """What can be believed of a run: up to the first gap that was not seen before. None: nothing is new, or can be.

        Beyond that, `is_doubted` says that it has to be fetched once more.
        """
        news = None if self.is_doubted else run.since(self.position)
        if news is None:
            return None
        offsets = news.offsets
        if int(offsets[0]) > self.position and not self._is_known(int(offsets[0])):
            return None
        self.is_fresh = False
        if int(offsets[-1]) - int(offsets[0]) == len(offsets) - 1 or self.proven >= _TRUSTED:
            return news
        first = int(np.flatnonzero(np.diff(offsets) != 1)[0]) + 1
        self.doubt, self.is_doubted = (int(offsets[first - 1]) + 1, int(offsets[first])), True
        return news.until(first)

    def reach(self, end: int) -> None:
        """The log ends at this offset."""
        if not self.is_doubted and (end <= self.position or self._is_known(end)):
            self.is_fresh = False
            self.position = max(self.position, end)

    def assigned(self) -> None:
        """It is fetched from its position on."""
        self.is_fresh, self.is_doubted = True, False

    def _is_known(self, to: int) -> bool:
        """Whether it is believed that there is nothing from the position to this offset."""
        if self.proven >= _TRUSTED and not self.is_fresh:
            return True
        if self.doubt is not None and self.doubt[0] == self.position:
            self.position = min(to, self.doubt[1])
            self.proven += 1
            if self.position == to:
                return True
        self.doubt, self.is_doubted = (self.position, to), True
        return False

    def add(self, run: Run, now: float) -> None:
        """Take the run that comes next."""
        self.collected.add(run, now)
        self.position = int(run.offsets[-1]) + 1
        if self.collected.held >= PIECE_BYTES:
            self.seal()

    def seal(self) -> None:
        """Make a piece of what was collected, if anything was."""
        if self.collected.runs:
            self.pieces.append(self.collected.seal())

    @property
    def held(self) -> int:
        """Bytes of memory, about."""
        return self.collected.held + sum(piece.held for piece in self.pieces)

    def first_time(self) -> int | None:
        """Of the first record that is held: microseconds since the epoch; None: nothing is, or it has no time."""
        if self.pieces:
            value = self.pieces[0].batch.column(5)[0].value
            return None if value is None or value <= 0 else int(value)
        if self.collected.runs:
            time = int(self.collected.runs[0].times[0])
            return time * 1000 if time > 0 else None
        return None
