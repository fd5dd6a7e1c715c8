"""Packed files (`.gz .zst .bz2 .xz`) as streams of their unpacked bytes, of any number of members.

A stream gives every byte that can be had before it says that the file is damaged. The name says that a file is packed,
its first bytes say how. An archive that its name does not tell, or that cannot be unpacked here, is refused and never
taken for text.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Generator, Iterator
from typing import Final, Protocol

import zstandard

from nw_platform.errors import DamagedFileError, SourceError
from nw_platform.sources.landing.files import RawFile

_CHUNK: Final = 256 << 10  # packed bytes read at a time
_PIECE: Final = 1 << 20  # unpacked bytes made at a time
_BZ2_PIECE: Final = 8 << 10  # what one call has made is lost when it fails: keep calls small
_ZSTD_CHUNK: Final = 4 << 10  # bounds what one call can make: at most 32,768 times as much
_GZIP_MAGIC: Final = b"\x1f\x8b"
_XZ_MEMORY: Final = 256 << 20  # bytes that unpacking may need; `xz -9` needs 65 MiB

# How files begin that are packed -> what they are packed with. All of the first bytes count: text may begin like some.
_MAGIC: Final = (
    (b"\x1f\x8b\x08", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    *((b"BZh%d1AY&SY" % level, "bzip2") for level in range(1, 10)),
    (b"\xfd7zXZ\0", "xz"),
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\xff\x06\0\0sNaPpY", "snappy"),
    (b"\x1f\x9d", "compress"),
    (b"\x89LZO\0\r\n\x1a\n", "lzop"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!\x1a\x07", "rar"),
)
_KINDS: Final = {"gzip": "gz", "zstd": "zst", "bzip2": "bz2", "xz": "xz"}
_NOT_UNPACKED: Final = ("zip", "lz4", "snappy", "sz", "z", "lzo", "7z", "rar", "br", "tar", "tgz")  # suffixes
_TAR: Final = (257, b"ustar")
_LOOKED_AT: Final = 512  # first bytes that tell what a file is
_CONTROL: Final = bytes(set(range(32)) - set(b"\t\n\r\f\x1b\b"))


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
    """How a file of this name is packed: `gz`, `zst`, `bz2`, `xz`, `lzma`, or None."""
    suffix = path.rpartition(".")[2].lower()
    return suffix if suffix in _UNPACKERS else None


def open_stream(raw: RawFile, path: str) -> ByteStream:
    """The unpacked bytes of an open file, which is packed if its name says so."""
    codec = codec_of(path)
    return PlainStream(raw, path) if codec is None else PackedStream(raw, path, codec)


def _packed_with(first: bytes) -> str | None:
    """What a file that begins so is packed with."""
    return next((kind for magic, kind in _MAGIC if first.startswith(magic)), None)


def _archive_in(first: bytes) -> str | None:
    """What unpacked bytes that begin so are once more; None: no archive."""
    return "tar" if first[_TAR[0] :].startswith(_TAR[1]) else _packed_with(first)


def _is_text(first: bytes) -> bool:
    return not any(byte in _CONTROL for byte in first)


def _check_text(path: str, first: bytes) -> None:
    """Refuse a file whose bytes, not unpacked, begin with `first`, if they are an archive.

    Raises:
        SourceError: they are.
    """
    kind = _packed_with(first)
    suffix = path.rpartition(".")[2].lower()
    if kind is None and suffix in _NOT_UNPACKED and not _is_text(first):
        kind = suffix
    if kind in _KINDS:
        raise SourceError(
            f"{path} is packed with {kind}, which its name does not say: let its name end with .{_KINDS[kind]}"
        )
    if kind is None and first[_TAR[0] :].startswith(_TAR[1]):
        kind = "tar"
    if kind is not None:
        raise SourceError(f"{path} is a {kind} archive, which is not unpacked here; unpack it, or pack it with gzip")


class PlainStream:
    """A file that is not packed."""

    def __init__(self, raw: RawFile, path: str) -> None:
        self._raw = raw
        self._path = path
        self.position = 0

    def read(self, size: int) -> bytes:
        """See ByteStream.

        Raises:
            SourceError: also where the file turns out to be packed.
        """
        data = self._raw.read(size)
        if not self.position and data:
            _check_text(self._path, data[:_LOOKED_AT])
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
        self._pieces = _unpacked(raw, codec)
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
        kind = None if self.position else _archive_in(data)
        if kind is not None:
            raise SourceError(f"{self._path} is a packed {kind} archive: unpack it, and pack each file with gzip once")
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


class _Ahead:
    """An open file of which the first bytes were read already."""

    def __init__(self, raw: RawFile, first: bytes) -> None:
        self._raw, self._first = raw, first

    def read(self, size: int) -> bytes:
        """See RawFile. Fewer than `size` bytes do not mean the end."""
        if self._first:
            data, self._first = self._first[:size], self._first[size:]
            return data
        return self._raw.read(size)


class _Readable(Protocol):
    def read(self, size: int) -> bytes: ...


def _unpacked(raw: RawFile, codec: str) -> Iterator[bytes]:
    """The pieces of a file that is named as packed with `codec`, by what its first bytes say."""
    first = raw.read(_CHUNK)
    kind = _packed_with(first)
    if kind is not None and kind not in _KINDS:
        raise _Broken(f"is a {kind} archive, which is not unpacked here")
    yield from _UNPACKERS[codec if kind is None else _KINDS[kind]](_Ahead(raw, first))


def _gunzip(raw: _Readable) -> Iterator[bytes]:
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


def _gunzip_member(raw: _Readable, chunk: bytes) -> Generator[bytes, None, bytes]:
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


def _bunzip2(raw: _Readable) -> Iterator[bytes]:
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


def _unzstd(raw: _Readable) -> Iterator[bytes]:
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


def _unxz(raw: _Readable) -> Iterator[bytes]:
    decoder = None
    chunk = raw.read(_CHUNK)
    while chunk or decoder is not None:
        if decoder is None:
            decoder = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        try:
            piece = decoder.decompress(chunk, _PIECE)
        except (lzma.LZMAError, MemoryError) as error:
            raise _Broken(f"is damaged, or followed by other bytes ({error})") from None
        chunk = b""
        if decoder.eof:
            chunk = decoder.unused_data or raw.read(_CHUNK)
            decoder = None
            while chunk and not (chunk := chunk.lstrip(b"\0")):  # streams are padded with zeros
                chunk = raw.read(_CHUNK)
        elif decoder.needs_input:
            chunk = raw.read(_CHUNK)
            if not chunk and not piece:
                raise _Broken("is cut short")
        if piece:
            yield piece


_UNPACKERS: Final[dict[str, Callable[[_Readable], Iterator[bytes]]]] = {
    "gz": _gunzip,
    "zst": _unzstd,
    "bz2": _bunzip2,
    "xz": _unxz,
    "lzma": _unxz,
}
