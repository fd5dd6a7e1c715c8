"""Hashes by which the content of a file is known again under another name, packed, or grown.

A fingerprint covers a content from its first byte up to a position and can be taken up there again: it is a chain
over the hashes of its full pieces of `PIECE` bytes, and the hash of the last piece, which has 1 to `PIECE` bytes. To
go on, only the last piece has to be read again, which at the same time proves that the content is still the same.
Hashes are XXH3 with 128 bits (xxHash specification, Y. Collet): they tell contents apart, they resist no attacker.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import xxhash

from nw_platform.files.evidence import TAIL, hash_of, head_length

PIECE: Final = 256 << 10
HEAD: Final = 4096  # bytes of a content's beginning that are looked at; receipts of earlier versions hash so many


class Mark(NamedTuple):
    """A fingerprint at one position, in hex."""

    chain: str
    last: str


class Fingerprint:
    """The fingerprint of a content, fed from its beginning or from where it was taken up."""

    def __init__(self, chain: str = "", position: int = 0) -> None:
        """Start at `position`, a multiple of `PIECE`, with the chain over what is before."""
        self.position = position
        self._chain = bytes.fromhex(chain)
        self._piece = xxhash.xxh3_128()
        self._piece_length = 0
        self._tail = b""  # the last bytes, up to TAIL

    def precede(self, data: bytes) -> None:
        """Tell the bytes just before the position: they are part of no piece any more, but of the tail."""
        self._tail = data[-TAIL:]

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes of the content."""
        view = memoryview(data)
        self.position += len(view)
        self._tail = bytes(view[-TAIL:]) if len(view) >= TAIL else (self._tail + bytes(view))[-TAIL:]
        while view:
            if self._piece_length == PIECE:
                self._chain = xxhash.xxh3_128_digest(self._chain + self._piece.digest())
                self._piece.reset()
                self._piece_length = 0
            part = view[: PIECE - self._piece_length]
            self._piece.update(part)
            self._piece_length += len(part)
            view = view[len(part) :]

    def copy(self) -> Fingerprint:
        """An independent copy."""
        other = Fingerprint()
        other.position = self.position
        other._chain = self._chain
        other._piece = self._piece.copy()
        other._piece_length = self._piece_length
        other._tail = self._tail
        return other

    def mark(self) -> Mark:
        """The fingerprint here."""
        return Mark(self._chain.hex(), self._piece.hexdigest())

    def tail(self) -> tuple[int, str]:
        """Length and hash of the last bytes here."""
        return len(self._tail), hash_of(self._tail)


def last_piece_start(position: int) -> int:
    """Where the last piece of a content of `position` bytes (at least 1) starts."""
    return (position - 1) // PIECE * PIECE


def head_of(first: bytes) -> tuple[int, str]:
    """Length and hash of the beginning of a content that begins with `first`."""
    length = head_length(len(first))
    return length, hash_of(first[:length])


def begins_alike(first: bytes, head: tuple[int, str]) -> bool:
    """Return True if a content that begins with `first` has this beginning; hashes of earlier versions are XXH3."""
    length, expected = head
    if len(first) < length:
        return False
    part = first[:length]
    return expected == (hash_of(part) if expected.startswith("b:") else xxhash.xxh3_128_hexdigest(part))


def heads_of(first: bytes) -> list[tuple[int, str]]:
    """Every beginning that a known content may have, if `first` begins with all that was hashed of it."""
    heads: list[tuple[int, str]] = []
    length = 1
    while length <= min(HEAD, len(first)):
        part = first[:length]
        heads += [(length, hash_of(part)), (length, xxhash.xxh3_128_hexdigest(part))]
        length *= 2
    return heads


def incarnation_of(name: str, generation: int, first: bytes) -> str:
    """16 hex digits that name one content: different for every name and every generation of a name."""
    return xxhash.xxh3_64_hexdigest(f"{name}\0{generation}\0".encode(errors="surrogateescape") + first[:HEAD])
