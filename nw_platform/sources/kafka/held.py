"""What was read ahead of one partition, until somebody takes it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from nw_platform.sources.kafka.columns import Collected, Piece, Run

__all__ = ["PIECE_BYTES", "Partition"]

PIECE_BYTES: Final = 8 << 20  # of memory


@dataclass(slots=True)
class Partition:
    """Records of one partition, in order. Its user has the lock."""

    position: int  # everything below was fetched, or is not a record
    incarnation: str
    collected: Collected = field(default_factory=Collected)
    pieces: deque[Piece] = field(default_factory=deque)
    handed: int = 0  # everything below was handed out
    failure: str = ""

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
