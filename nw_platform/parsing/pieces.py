"""Splitting strings at a separator, without a Python object per row or piece."""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Pieces", "put"]

Mask: TypeAlias = npt.NDArray[np.bool_]

_FEW: Final = 100  # rows are few where there is at most one among so many


class Pieces:
    """Strings split at `separator`; rows may have any number of pieces, a null row has none.

    Every `where` says which rows are asked: they must have the piece.
    """

    def __init__(self, text: pa.Array, separator: str, *, most: int | None = None, reverse: bool = False) -> None:
        """Split `text`, at most `most - 1` times, from the end if `reverse`."""
        splits = None if most is None else most - 1
        parts = pc.split_pattern(text, separator, max_splits=splits, reverse=reverse)
        offsets = np.frombuffer(parts.buffers()[1], dtype=np.int32)[parts.offset : parts.offset + len(parts) + 1]
        self._flat = parts.values
        self._first = offsets[:-1]
        self.counts: npt.NDArray[np.int32] = np.diff(offsets)
        _, borders, content = self._flat.buffers()
        self._borders = np.frombuffer(borders, dtype=np.int32) if borders else np.zeros(1, dtype=np.int32)
        self._content = np.frombuffer(content, dtype=np.uint8) if content else np.zeros(0, dtype=np.uint8)

    def take(self, number: int, where: Mask, absent: Mask | None = None) -> pa.Array:
        """Piece `number` (from 0) of the rows in `where`, null in those of `absent`; anything in the others."""
        if absent is not None and absent.any():
            where = where & ~absent
            if not where.any():
                return pa.nulls(len(where), pa.string())
            return self._flat.take(pa.array(np.where(where, self._first + number, 0), mask=absent))
        if where.all():
            return self._flat.take(pa.array(self._first + number))
        if not where.any():
            return pa.nulls(len(where), pa.string())
        return self._flat.take(pa.array(np.where(where, self._first + number, 0)))

    def filled(self, number: int, where: Mask) -> Mask:
        """The rows in `where` whose piece `number` is not empty."""
        _, length = self._place(number, where)
        return where & (length > 0)

    def equal(self, number: int, where: Mask, wanted: str) -> Mask:
        """The rows in `where` whose piece `number` is `wanted`: one ASCII character or nothing."""
        begin, length = self._place(number, where)
        found: Mask = where & (length == len(wanted))
        if wanted and len(self._content):
            found &= self._content[np.minimum(begin, len(self._content) - 1)] == ord(wanted)
        return found

    def _place(self, number: int, where: Mask) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Where piece `number` begins, and its length in bytes; of any other piece outside `where`."""
        if len(self._borders) < 2:  # noqa: PLR2004  (no pieces at all)
            nothing = np.zeros(len(where), dtype=np.int32)
            return nothing, nothing
        indices = np.where(where, self._first + number, 0)
        begin = self._borders[indices]
        return begin, self._borders[indices + 1] - begin


def put(values: pa.Array, mask: Mask, others: pa.Array) -> pa.Array:
    """`values` with the rows in `mask` replaced by `others`, one for each such row, in order."""
    rows = np.flatnonzero(mask)
    if len(rows) * _FEW > len(mask):
        return pc.replace_with_mask(values, pa.array(mask), others)
    # Few rows: copying what lies between them is several times faster than looking at each row.
    parts = []
    at = 0
    for number, row in enumerate(rows.tolist()):
        if row > at:
            parts.append(values.slice(at, row - at))
        parts.append(others.slice(number, 1))
        at = row + 1
    parts.append(values.slice(at))
    return pa.concat_arrays(parts)
