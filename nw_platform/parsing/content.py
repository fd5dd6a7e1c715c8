"""Looking at the bytes of whole string arrays: what is rare is ruled out at the speed of memory, without kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["DIGITS_END", "any_ends_with", "has_byte", "has_capitals", "highest_byte", "rows_with_byte"]

Mask: TypeAlias = npt.NDArray[np.bool_]
Bytes: TypeAlias = npt.NDArray[np.uint8]
Offsets: TypeAlias = npt.NDArray[np.int32]
Places: TypeAlias = npt.NDArray[np.intp]
Begins: TypeAlias = Callable[[Places], Mask]

DIGITS_END: Final = ord("9")  # digits, signs, dots, commas, quotes and blanks are not above it; letters are

_LETTERS: Final = 26
_BEYOND_ASCII: Final = 0x80
_PIECE: Final = 1 << 19  # bytes looked at together: they and the answer stay in the cache


def highest_byte(text: pa.Array) -> int:
    """The largest byte in a string or binary array; 0 if there is none."""
    content, _ = _content(text)
    return int(content.max()) if len(content) else 0


def has_byte(text: pa.Array, byte: int) -> bool:
    """Whether a byte occurs anywhere in a string or binary array."""
    content, _ = _content(text)
    return any((content[at : at + _PIECE] == byte).any() for at in range(0, len(content), _PIECE))


def has_capitals(text: pa.Array) -> bool:
    """Whether a capital letter may occur in a string array: one of A to Z, or anything beyond ASCII."""
    content, _ = _content(text)
    letters = content - np.uint8(ord("A"))  # wraps around below A
    return bool((letters < _LETTERS).any()) or highest_byte(text) >= _BEYOND_ASCII


def any_ends_with(text: pa.Array, byte: int) -> bool:
    """Whether a row of a string array may end with a byte."""
    content, offsets = _content(text)
    if not len(content):
        return False
    last = np.maximum(offsets[1:] - offsets[0] - 1, 0)  # of an empty row: of the one before it
    return bool((content[last] == byte).any())


def all_begin_with(text: pa.Array, byte: int) -> bool:
    """Whether every string that is not empty or null begins with a byte."""
    content, offsets = _content(text)
    if not len(content):
        return True
    begins = offsets[:-1] - offsets[0]
    if text.null_count or begins[-1] == len(content):
        begins = begins[np.diff(offsets) > 0]
    return bool((content[begins] == byte).all())


def rows_where(text: pa.Array, find: Callable[[Bytes, Begins], Places], reach: int) -> Mask:
    """The rows of a string array in which something occurs.

    `find` gives the places in a piece of bytes where it begins, and can ask which places are beginnings of rows. It
    looks at up to `reach` bytes around a place.
    """
    content, offsets = _content(text)
    found = np.zeros(len(text), dtype=np.bool_)
    for at in range(0, len(content), _PIECE):
        start = max(0, at - reach)
        first = start + int(offsets[0])

        def begins(places: Places, first: int = first) -> Mask:
            absolute = places + first
            is_begin: Mask = offsets[np.searchsorted(offsets, absolute)] == absolute
            return is_begin

        places = find(content[start : at + _PIECE + reach], begins)
        if len(places):
            found[np.searchsorted(offsets, places + first, side="right") - 1] = True
    return found


def rows_with_byte(text: pa.Array, byte: int) -> Mask:
    """The rows of a string or binary array in which a byte occurs."""
    content, offsets = _content(text)
    found = np.zeros(len(text), dtype=np.bool_)
    for at in range(0, len(content), _PIECE):
        places = np.flatnonzero(content[at : at + _PIECE] == byte)
        if len(places):
            found[np.searchsorted(offsets, places + (at + int(offsets[0])), side="right") - 1] = True
    return found


def _content(text: pa.Array) -> tuple[Bytes, Offsets]:
    """All bytes of the array, nulls' included, and where each row begins in its buffer (one more than rows)."""
    _, offsets_buffer, data = text.buffers()
    if data is None or not len(text):
        return np.zeros(0, dtype=np.uint8), np.zeros(len(text) + 1, dtype=np.int32)
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[text.offset : text.offset + len(text) + 1]
    return np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]], offsets
