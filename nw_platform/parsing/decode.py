"""From bytes to text: the first gate of every format. Finds the rows that are too long or not in their encoding."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError

__all__ = ["TOO_LARGE_KEPT", "Text", "check_encoding", "decode"]

TOO_LARGE_KEPT: Final = 8 << 10  # bytes of a too large record that reach `message`

# Marks of encodings whose records begin with one; the longer ones first, for they begin like the others.
_WIDE_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

# Encodings whose files are cut by the mark at their beginning, see `units.from_start`.
_TOLD_BY_MARK: Final = ("utf-16", "utf-32")

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Text:
    """The text of a block of rows."""

    text: pa.Array  # string, no nulls; undecodable bytes replaced by U+FFFD, too large rows cut to TOO_LARGE_KEPT bytes
    too_large: Mask | None  # None: no row is
    bad_encoding: Mask | None


def check_encoding(name: str) -> str:
    """The canonical name of an encoding.

    Raises:
        ConfigError: Python knows no such text encoding.
    """
    try:
        info = codecs.lookup(name)
    except LookupError:
        info = None
    if info is None or not info._is_text_encoding:  # noqa: SLF001  (there is no public way to ask)
        raise ConfigError(f"encoding: {name!r} is not known; use a name such as utf-8, latin-1 or cp1252")
    return info.name


def decode(value: pa.Array, encoding: str, max_record: int, lengths: npt.NDArray[np.int64] | None = None) -> Text:
    """The text of `value` (binary, no nulls).

    Args:
        value: the records' bytes.
        encoding: as `check_encoding` returned it.
        max_record: a record of more bytes is too large.
        lengths: the records' true lengths in bytes, where `value` may hold only their beginnings.
    """
    held = pc.binary_length(value).to_numpy(zero_copy_only=False)
    too_large = held > max_record
    if lengths is not None:
        too_large |= lengths > max_record
    if too_large.any():
        cut = pc.binary_slice(value.filter(pa.array(too_large)), 0, TOO_LARGE_KEPT)
        value = pc.replace_with_mask(value, pa.array(too_large), cut)
    else:
        too_large = None
    if encoding == "utf-8-sig":  # UTF-8 whose records may begin with a mark
        text, bad = _decode_utf_8(value)
        return Text(pc.replace_substring_regex(text, "^\ufeff", ""), too_large, bad)
    text, bad = _decode_utf_8(value) if encoding == "utf-8" else _decode_other(value, encoding)
    return Text(text, too_large, bad)


def _decode_utf_8(value: pa.Array) -> tuple[pa.Array, Mask | None]:
    """Decode UTF-8, and what a mark says to be UTF-16 or UTF-32."""
    try:
        return value.cast(pa.string()), None
    except pa.ArrowInvalid:
        return _decode_damaged(value)


def without_bom(text: pa.Array, first: Mask) -> pa.Array:
    """`text` without the byte order mark that rows at the beginning of a file (`first`) may start with."""
    rows = np.flatnonzero(first)
    marked = rows[pc.starts_with(text.take(pa.array(rows)), "\ufeff").to_numpy(zero_copy_only=False)]
    if not len(marked):
        return text
    mask = np.zeros(len(text), dtype=np.bool_)
    mask[marked] = True
    bare = pc.utf8_slice_codeunits(text.take(pa.array(marked)), 1)
    return pc.replace_with_mask(text, pa.array(mask), bare)


def _decode_damaged(value: pa.Array) -> tuple[pa.Array, Mask | None]:
    """Decode UTF-8 of which some row is known to be damaged, without looking at rows that are plain ASCII.

    A row that begins with the mark of UTF-16 or UTF-32, which no UTF-8 does, is in that encoding.
    """
    unchecked = value.view(pa.string())
    suspects = np.flatnonzero(~pc.string_is_ascii(unchecked).to_numpy(zero_copy_only=False))
    bad = np.zeros(len(value), dtype=np.bool_)
    wide = np.zeros(len(value), dtype=np.bool_)
    some = value.take(pa.array(suspects))
    wide[suspects] = _starts_with_mark(some).to_numpy(zero_copy_only=False)
    suspects = suspects[~wide[suspects]]
    if len(suspects):
        _mark_invalid(value.take(pa.array(suspects)), suspects, bad)
    rows = bad | wide
    replaced: list[str] = []
    for row, one in zip(np.flatnonzero(rows).tolist(), value.filter(pa.array(rows)).to_pylist(), strict=True):
        text, is_whole = _by_mark(one, "utf-8")
        bad[row] = not is_whole
        replaced.append(text)
    return pc.replace_with_mask(unchecked, pa.array(rows), pa.array(replaced, pa.string())), bad if bad.any() else None


def _starts_with_mark(value: pa.Array) -> pa.Array:
    marked = [pc.equal(pc.binary_slice(value, 0, len(mark)), pa.scalar(mark)) for mark, _ in _WIDE_MARKS]
    found = marked[0]
    for others in marked[1:]:
        found = pc.or_(found, others)
    return found


def _decoded(one: bytes, encoding: str) -> tuple[str, bool]:
    """The text of a record, and whether all of it could be decoded."""
    try:
        return one.decode(encoding), True
    except UnicodeDecodeError:
        return one.decode(encoding, "replace"), False


def _by_mark(one: bytes, encoding: str) -> tuple[str, bool]:
    """Decode as the record's own mark says; without a mark, by `encoding`.

    The mark of UTF-32 is also that of UTF-16 with a NUL behind it: what is none of UTF-32 is that.
    """
    text, is_whole = "", False
    for mark, name in (*_WIDE_MARKS, (b"", encoding)):
        if one.startswith(mark) and not is_whole and (mark or not text):
            text, is_whole = _decoded(one, name)
    return text, is_whole


def _mark_invalid(value: pa.Array, rows: npt.NDArray[np.int64], bad: Mask) -> None:
    """Set `bad` at those of `rows` whose bytes (in `value`) are no UTF-8, by halving: cost grows with the damage."""
    try:
        value.cast(pa.string())
    except pa.ArrowInvalid:
        if len(value) == 1:
            bad[rows[0]] = True
            return
        half = len(value) // 2
        _mark_invalid(value.slice(0, half), rows[:half], bad)
        _mark_invalid(value.slice(half), rows[half:], bad)


def _decode_other(value: pa.Array, encoding: str) -> tuple[pa.Array, Mask | None]:
    """Decode an encoding other than UTF-8: single-byte ones by table, the others row by row."""
    table = _single_byte_table(encoding)
    if table is None:
        return _decode_rows(value, encoding)
    characters, undefined = table
    offsets = np.frombuffer(value.buffers()[1], dtype=np.int32)[value.offset : value.offset + len(value) + 1]
    data = value.buffers()[2]
    content = np.frombuffer(data, dtype=np.uint8)[offsets[0] : offsets[-1]] if data else np.zeros(0, np.uint8)
    decoded = content.tobytes().decode(encoding, "replace").encode()
    widths = np.array([len(one.encode()) for one in characters], dtype=np.int64)
    ends = np.concatenate(([0], np.cumsum(widths[content])))
    new_offsets = ends[offsets - offsets[0]]
    kind = pa.string() if len(decoded) < 2**31 else pa.large_string()
    buffers = [
        None,
        pa.py_buffer(new_offsets.astype(np.int32 if kind == pa.string() else np.int64)),
        pa.py_buffer(decoded),
    ]
    text = pa.Array.from_buffers(kind, len(value), buffers).cast(pa.string())
    counts = np.concatenate(([0], np.cumsum(undefined[content])))[offsets - offsets[0]]
    bad = np.diff(counts) > 0
    return text, bad if bad.any() else None


def _single_byte_table(encoding: str) -> tuple[list[str], npt.NDArray[np.int64]] | None:
    """The 256 characters of a single-byte encoding and which are undefined (1), or None for other encodings."""
    characters = [bytes([one]).decode(encoding, "replace") for one in range(256)]
    whole = bytes(range(256)).decode(encoding, "replace")
    if any(len(one) != 1 for one in characters) or list(whole) != characters:
        return None
    return characters, np.array([one == "\ufffd" for one in characters], dtype=np.int64)


def _decode_rows(value: pa.Array, encoding: str) -> tuple[pa.Array, Mask | None]:
    """The slow way, for multi-byte encodings such as UTF-16 or Shift JIS."""
    text: list[str] = []
    bad = np.zeros(len(value), dtype=np.bool_)
    for row, one in enumerate(value.to_pylist()):
        decoded, is_whole = _by_mark(one, encoding) if encoding in _TOLD_BY_MARK else _decoded(one, encoding)
        bad[row] = not is_whole
        text.append(decoded)
    clean = [one.encode("utf-8", "replace") for one in text]
    return pa.array(clean, pa.binary()).cast(pa.string()), bad if bad.any() else None
