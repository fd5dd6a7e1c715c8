"""The bytes that were fed to a framer and are not known to be whole records yet, with the hashes up to each block.

A span ends where its last whole record ends, which shows only later: its hashes have to be taken at a position that
lies behind. Memory is bounded: of a record that is longer than `KEPT` only its beginning and its end are kept.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import xxhash

from nw_platform.sources.landing.fingerprint import Fingerprint

KEPT: Final = 64 << 20


@dataclass(slots=True)
class Hashes:
    """Of the content from its beginning, and of the span from its start."""

    content: Fingerprint
    span: xxhash.xxh3_128

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes."""
        self.content.update(data)
        self.span.update(data)

    def copy(self) -> Hashes:
        """An independent copy."""
        return Hashes(self.content.copy(), self.span.copy())


@dataclass(frozen=True, slots=True)
class _Block:
    start: int
    data: bytes
    before: Hashes


class Trail:
    """Feed every block; tell now and then up to where records are whole."""

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = hashes
        self._blocks: deque[_Block] = deque()
        self._length = 0

    @property
    def position(self) -> int:
        """Up to here bytes were fed."""
        return self._hashes.content.position

    def push(self, data: bytes, whole_up_to: int) -> None:
        """One more block; what lies before `whole_up_to` is not needed any more."""
        while len(self._blocks) > 1 and self._blocks[1].start <= whole_up_to:
            self._length -= len(self._blocks.popleft().data)
        self._blocks.append(_Block(self._hashes.content.position, data, self._hashes.copy()))
        self._length += len(data)
        self._hashes.update(data)
        while self._length > KEPT and len(self._blocks) > 2:  # noqa: PLR2004  (the first and the last one stay)
            self._length -= len(self._blocks[1].data)
            del self._blocks[1]

    def at(self, position: int) -> tuple[Hashes, bytes] | None:
        """The hashes up to `position`, and the bytes fed behind it. None: they are not kept any more."""
        if position == self._hashes.content.position:
            return self._hashes, b""
        for number, block in enumerate(self._blocks):
            offset = position - block.start
            if 0 <= offset <= len(block.data):
                hashes = block.before.copy()
                hashes.update(memoryview(block.data)[:offset])
                behind = [block.data[offset:], *(b.data for b in list(self._blocks)[number + 1 :])]
                rest = b"".join(behind)
                complete = position + len(rest) == self._hashes.content.position
                return hashes, rest if complete else b""
        return None
