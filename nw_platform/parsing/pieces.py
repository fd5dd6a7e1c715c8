"""Splitting strings at a separator, without a Python object per row or piece."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["Pieces", "put"]


class Pieces:
    """Strings split at `separator`; rows may have any number of pieces, a null row has none."""

    def __init__(self, text: pa.Array, separator: str, *, most: int | None = None, reverse: bool = False) -> None:
        """Split `text`, at most `most - 1` times, from the end if `reverse`."""
        splits = None if most is None else most - 1
        parts = pc.split_pattern(text, separator, max_splits=splits, reverse=reverse)
        offsets = np.frombuffer(parts.buffers()[1], dtype=np.int32)[parts.offset : parts.offset + len(parts) + 1]
        self._flat = parts.values
        self._first = offsets[:-1]
        self.counts: npt.NDArray[np.int32] = np.diff(offsets)

    def take(self, number: int, where: npt.NDArray[np.bool_]) -> pa.Array:
        """Piece `number` (from 0) of the rows in `where`, which must have it; null elsewhere."""
        if where.all():
            return self._flat.take(pa.array(self._first + number))
        indices = np.where(where, self._first + number, 0)
        return self._flat.take(pa.array(indices, mask=~where))


def put(values: pa.Array, mask: npt.NDArray[np.bool_], others: pa.Array) -> pa.Array:
    """`values` with the rows in `mask` replaced by `others`, one for each such row, in order."""
    return pc.replace_with_mask(values, pa.array(mask), others)
