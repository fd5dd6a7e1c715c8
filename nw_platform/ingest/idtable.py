"""A set of 128-bit numbers that lies on disk: open addressing with linear probing, piece by piece in memory.

The table is cut into segments of equal size. A number's lower bits say its segment and its place there, and probing
goes round within the segment, so that work on the table can go from segment to segment. What was looked at is given
back to the system after each: resident memory is a segment or two, whatever the table's size. When the table doubles,
the numbers of a segment go to two known ones of the new table, so growing needs no more.
"""

from __future__ import annotations

import itertools
import mmap
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

SLOT: Final = 16  # bytes
SEGMENT: Final = 1 << 20  # slots of a segment
_FIRST_SLOTS: Final = 1 << 12
_MAX_LOAD: Final = 0.6  # a segment is then full with a probability that has no name


class IdTable:
    """The numbers, each (upper, lower) of uint64 and never all zero."""

    def __init__(self, scratch: Path | None = None, saved: Path | None = None, slots: int = 0) -> None:
        """An empty table, in a file without a name in `scratch` (default: the temporary folder) until it is saved.

        Args:
            scratch: where the file is.
            saved: a file that `save` has written, and that is written in place when something is added ...
            slots: ... of a table of so many slots.

        Raises:
            OSError, ValueError: `saved` is not there, or has another size.
        """
        self._scratch, self._saved = scratch, saved
        if saved is None:
            self._begin(slots or _FIRST_SLOTS)
            return
        file = saved.open("r+b")
        if os.fstat(file.fileno()).st_size != slots * SLOT:
            file.close()
            raise ValueError(f"{saved} is not whole")
        self._map(file, slots)

    def __len__(self) -> int:
        """How many slots there are."""
        return len(self._slots)

    def contains(self, keys: np.ndarray) -> np.ndarray:
        """A bool for each key (n, 2): it is there."""
        found = np.zeros(len(keys), dtype=bool)
        for at in self._by_segment(keys):
            found[at] = self._find(keys[at])[1]
            self._give_back()
        return found

    def insert(self, keys: np.ndarray, used: int) -> None:
        """Put in keys, all different and none there yet; the table has room for `used` numbers afterwards."""
        if used > _MAX_LOAD * len(self._slots):
            self._grow(used)
        for at in self._by_segment(keys):
            self._put(keys[at])
            self._give_back()

    def save(self, path: Path) -> None:
        """Make `path` hold the table, if it does not already; from then on, it is written there in place."""
        self._mapped.flush()
        if self._saved == path:
            return
        temporary = path.with_suffix(".new")
        with temporary.open("wb") as copy:
            for first in range(0, len(self._slots), SEGMENT):
                copy.write(self._slots[first : first + SEGMENT].tobytes())
                self._give_back()
        temporary.replace(path)
        self._saved, self._scratch = path, path.parent
        self._map(path.open("r+b"), len(self._slots))

    def _begin(self, slots: int) -> None:
        """An empty table in a file; where there is no room for one, in memory."""
        self._saved = None
        try:
            self._map(_unnamed(self._scratch, slots * SLOT), slots)
        except OSError:
            self._map(None, slots)

    def _map(self, file: BinaryIO | None, slots: int) -> None:
        self._file = file
        self._mapped = mmap.mmap(file.fileno() if file else -1, slots * SLOT)
        self._slots = np.frombuffer(self._mapped, np.uint64).reshape(slots, 2)

    def _give_back(self) -> None:
        """What was touched need not stay in this process's memory; the file has it."""
        if self._file is not None and len(self._slots) > SEGMENT:
            self._mapped.madvise(mmap.MADV_DONTNEED)

    def _by_segment(self, keys: np.ndarray) -> Iterator[np.ndarray]:
        """Numbers of keys, segment by segment."""
        segments = len(self._slots) // SEGMENT
        if segments <= 1:
            yield np.arange(len(keys))
            return
        of = (keys[:, 0] & np.uint64(len(self._slots) - 1)) // np.uint64(SEGMENT)
        order = np.argsort(of, kind="stable")
        edges = np.searchsorted(of[order], np.arange(segments + 1, dtype=np.uint64))
        for first, last in itertools.pairwise(edges):
            if last > first:
                yield order[first:last]

    def _find(self, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For each key: the slot it is in, or the first empty one on its way; and whether it is there."""
        at = keys[:, 0] & np.uint64(len(self._slots) - 1)
        inside = np.uint64(min(SEGMENT, len(self._slots)) - 1)
        found = np.zeros(len(keys), dtype=bool)
        open_ = np.arange(len(keys))
        while len(open_):
            there = self._slots[at[open_]]
            same = (there == keys[open_]).all(axis=1)
            found[open_[same]] = True
            open_ = open_[~same & there.any(axis=1)]
            at[open_] = (at[open_] & ~inside) | ((at[open_] + np.uint64(1)) & inside)
        return at, found

    def _put(self, keys: np.ndarray) -> None:
        while len(keys):
            at, _ = self._find(keys)
            self._slots[at] = keys  # where several want one slot, one of them gets it
            keys = keys[(self._slots[at] != keys).any(axis=1)]

    def _grow(self, used: int) -> None:
        """Move everything into a larger file, one segment of this one after the other."""
        old, old_file, old_mapped = self._slots, self._file, self._mapped
        slots = len(old)
        while used > _MAX_LOAD * slots:
            slots *= 2
        self._begin(slots)
        for first in range(0, len(old), SEGMENT):
            part = old[first : first + SEGMENT]
            keys = part[part.any(axis=1)]
            if old_file is not None:
                old_mapped.madvise(mmap.MADV_DONTNEED)
            for at in self._by_segment(keys):
                self._put(keys[at])
                self._give_back()


def _unnamed(folder: Path | None, size: int) -> BinaryIO:
    """A file of `size` bytes, all zero and all there: writing to a mapping of it cannot meet a full disk."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    file: BinaryIO = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  (open as long as the table)
    os.posix_fallocate(file.fileno(), 0, size)
    return file
