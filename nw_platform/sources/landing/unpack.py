"""Packed files (`.gz .zst .bz2`) as streams of their unpacked bytes, of any number of members.

A stream gives every byte that can be had before it says that the file is damaged.
"""

from __future__ import annotations

import bz2
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Final, Protocol

import zstandard

from nw_platform.errors import DamagedFileError
from nw_platform.sources.landing.files import RawFile

_CHUNK: Final = 256 << 10  # packed bytes read at a time
_PIECE: Final = 1 << 20  # unpacked bytes made at a time
_BZ2_PIECE: Final = 8 << 10  # what one call has made is lost when it fails: keep calls small
_ZSTD_CHUNK: Final = 4 << 10  # bounds what one call can make: at most 32,768 times as much
_GZIP_MAGIC: Final = b"\x1f\x8b"


class ByteStream(Protocol):
    """The unpacked bytes of a file, from its beginning or from where it was sought to."""

    position: int

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end.

        Raises:
            DamagedFileError: no byte can be had any more, though the file should have some.
            SourceError: the file system failed.
        """

    def skip_to(self, position: int) -> bool:
        """Go forward to a position; False if the stream ends before it."""

    def close(self) -> None:
        """Release the file."""


def codec_of(path: str) -> str | None:
    """How a file of this name is packed: `gz`, `zst`, `bz2`, or None."""
    suffix = path.rpartition(".")[2].lower()
    return suffix if suffix in _UNPACKERS else None


def open_stream(raw: RawFile, path: str) -> ByteStream:
    """The unpacked bytes of an open file, unpacked by the suffix of its path."""
    codec = codec_of(path)
    return PlainStream(raw) if codec is None else PackedStream(raw, path, codec)


class PlainStream:
    """A file that is not packed."""

    def __init__(self, raw: RawFile) -> None:
        self._raw = raw
        self.position = 0

    def read(self, size: int) -> bytes:
        """See ByteStream."""
        data = self._raw.read(size)
        self.position += len(data)
        return data

    def skip_to(self, position: int) -> bool:
        """See ByteStream. A plain file can go beyond its end; the next read then gives nothing."""
        if position != self.position:
            self._raw.seek(position)
            self.position = position
        return True

    def close(self) -> None:
        """See ByteStream."""
        self._raw.close()


class PackedStream:
    """A packed file."""

    def __init__(self, raw: RawFile, path: str, codec: str) -> None:
        self._raw = raw
        self._path = path
        self._pieces = _UNPACKERS[codec](raw)
        self._left = memoryview(b"")
        self._damage: str | None = None
        self.position = 0

    def read(self, size: int) -> bytes:
        """See ByteStream. Fills up to `size` bytes, unless the end or the damage comes first."""
        parts: list[memoryview] = []
        wanted = size
        while wanted and (self._left or self._refill()):
            parts.append(self._left[:wanted])
            self._left = self._left[len(parts[-1]) :]
            wanted -= len(parts[-1])
        data = b"".join(parts)
        if not data and size and self._damage is not None:
            reason = f"{self._path} {self._damage} (unpacked byte {self.position}): send it again, whole"
            raise DamagedFileError(reason, self.position)
        self.position += len(data)
        return data

    def skip_to(self, position: int) -> bool:
        """See ByteStream."""
        while self.position < position:
            if not self.read(min(_PIECE, position - self.position)):
                return False
        return True

    def close(self) -> None:
        """See ByteStream."""
        self._raw.close()

    def _refill(self) -> bool:
        if self._damage is not None:
            return False
        try:
            self._left = memoryview(next(self._pieces, b""))
        except _Broken as broken:
            self._damage = str(broken)
            return False
        return bool(self._left)


class _Broken(Exception):  # noqa: N818  (does not leave this module)
    """A packed stream cannot go on."""


def _gunzip(raw: RawFile) -> Iterator[bytes]:
    chunk = raw.read(_CHUNK)
    members = 0
    while chunk:
        if len(chunk) == 1:
            chunk += raw.read(_CHUNK)
        if not chunk.startswith(_GZIP_MAGIC):
            raise _Broken("is followed by bytes that are not gzip" if members else "is not gzip")
        chunk = yield from _gunzip_member(raw, chunk)
        members += 1
        while chunk and not (chunk := chunk.lstrip(b"\0")):  # tapes and block devices pad with zeros
            chunk = raw.read(_CHUNK)


def _gunzip_member(raw: RawFile, chunk: bytes) -> Generator[bytes, None, bytes]:
    """Unpack one member; returns packed bytes behind it, none only at the end of the file."""
    decoder = zlib.decompressobj(wbits=31)
    while chunk:
        before = decoder.copy()
        try:
            piece = decoder.decompress(chunk, _PIECE)
        except zlib.error as error:
            yield from _salvage(before, chunk)
            raise _Broken(f"is damaged ({error})") from None
        if piece:
            yield piece
        if decoder.eof:
            return decoder.unused_data or raw.read(_CHUNK)
        chunk = decoder.unconsumed_tail or raw.read(_CHUNK)
    if piece := decoder.flush():
        yield piece
    raise _Broken("is cut short")


def _salvage(decoder: zlib._Decompress, chunk: bytes) -> Iterator[bytes]:
    """What can be had of a chunk that fails as a whole."""
    for at in range(len(chunk)):
        try:
            piece = decoder.decompress(chunk[at : at + 1])
        except zlib.error:
            return
        if piece:
            yield piece


def _bunzip2(raw: RawFile) -> Iterator[bytes]:
    decoder = None
    chunk = raw.read(_CHUNK)
    while chunk or decoder is not None:
        if decoder is None:
            decoder = bz2.BZ2Decompressor()
        try:
            piece = decoder.decompress(chunk, _BZ2_PIECE)
        except OSError:
            raise _Broken("is damaged, or followed by other bytes") from None
        chunk = b""
        if decoder.eof:
            chunk = decoder.unused_data or raw.read(_CHUNK)
            decoder = None
        elif decoder.needs_input:
            chunk = raw.read(_CHUNK)
            if not chunk and not piece:
                raise _Broken("is cut short")
        if piece:
            yield piece


def _unzstd(raw: RawFile) -> Iterator[bytes]:
    context = zstandard.ZstdDecompressor(max_window_size=1 << 31)
    decoder = None
    buffered = b""
    while True:
        if not buffered:
            buffered = raw.read(_CHUNK)
        if not buffered:
            if decoder is not None:
                raise _Broken("is cut short")
            return
        chunk, buffered = buffered[:_ZSTD_CHUNK], buffered[_ZSTD_CHUNK:]
        if decoder is None:
            decoder = context.decompressobj()
        try:
            piece = decoder.decompress(chunk)
        except zstandard.ZstdError as error:
            raise _Broken(f"is damaged ({error})") from None
        if decoder.eof:
            buffered = decoder.unused_data + buffered
            decoder = None
        if piece:
            yield piece


_UNPACKERS: Final[dict[str, Callable[[RawFile], Iterator[bytes]]]] = {
    "gz": _gunzip,
    "zst": _unzstd,
    "bz2": _bunzip2,
}
