"""The digest of a batch's records: independent of how the records were cut into chunks or files.

Five SHA-256 run over the records in order: the values' bytes and lengths, the keys' bytes and lengths (-1 where a
record has no key), and the positions (start, end). The digest is the SHA-256 of the five and the number of records.
Integers are 8 bytes, little-endian. NIST FIPS 180-4 defines SHA-256.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


class RecordsDigest:
    """Feed chunks of raw rows in order; `hexdigest` then names exactly these records."""

    def __init__(self) -> None:
        self._values = hashlib.sha256()
        self._value_lengths = hashlib.sha256()
        self._keys = hashlib.sha256()
        self._key_lengths = hashlib.sha256()
        self._positions = hashlib.sha256()
        self.records = 0

    def update(self, value: pa.Array, start: pa.Array, end: pa.Array, key: pa.Array | None = None) -> None:
        """Add one chunk: `value` and `key` binary, `start` and `end` int64, none of them but `key` with nulls."""
        self.records += len(value)
        _feed(self._values, value)
        self._value_lengths.update(_lengths(value))
        if key is None or key.null_count == len(key):
            self._key_lengths.update(np.full(len(value), -1, dtype="<i8").tobytes())
        else:
            _feed(self._keys, pc.fill_null(key, b""))
            self._key_lengths.update(_lengths(key))
        positions = np.column_stack((start.to_numpy(zero_copy_only=False), end.to_numpy(zero_copy_only=False)))
        self._positions.update(positions.astype("<i8", copy=False).tobytes())

    def hexdigest(self) -> str:
        """64 hex digits."""
        whole = hashlib.sha256()
        for part in (self._values, self._value_lengths, self._keys, self._key_lengths, self._positions):
            whole.update(part.digest())
        whole.update(self.records.to_bytes(8, "little"))
        return whole.hexdigest()


def _feed(content: Any, array: pa.Array) -> None:  # noqa: ANN401  (hashlib has no public type)
    """Add the bytes of a binary array without nulls to a hash, without copying them."""
    _, offsets_buffer, data = array.buffers()
    if not len(array) or data is None:
        return
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)
    first, last = int(offsets[array.offset]), int(offsets[array.offset + len(array)])
    if last > first:
        content.update(memoryview(data)[first:last])


def _lengths(array: pa.Array) -> bytes:
    """The length of each value in bytes, -1 for a null."""
    lengths = pc.fill_null(pc.cast(pc.binary_length(array), pa.int64()), -1)
    return bytes(lengths.to_numpy(zero_copy_only=False).astype("<i8", copy=False).tobytes())
