"""Hashes by which the content of a file is known again under another name, packed, or grown.

A fingerprint covers a content from its first byte up to a position and can be taken up there again: it is a chain
over the hashes of its full pieces of `PIECE` bytes, and the hash of the last piece, which has 1 to `PIECE` bytes. To
go on, only the last piece has to be read again, which at the same time proves that the content is still the same.
Hashes are XXH3 with 128 bits (xxHash specification, Y. Collet): they tell contents apart, they resist no attacker.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import xxhash

PIECE: Final = 256 << 10
HEAD: Final = 4096  # bytes of a content's beginning that are looked at


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

    def update(self, data: bytes | memoryview) -> None:
        """The next bytes of the content."""
        view = memoryview(data)
        self.position += len(view)
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
        return other

    def mark(self) -> Mark:
        """The fingerprint here."""
        return Mark(self._chain.hex(), self._piece.hexdigest())


def last_piece_start(position: int) -> int:
    """Where the last piece of a content of `position` bytes (at least 1) starts."""
    return (position - 1) // PIECE * PIECE


def head_length(available: int) -> int:
    """How many first bytes identify a content of which `available` are known: a power of two, at most `HEAD`.

    Powers of two, so that a file can be looked up among many with a dozen hashes.
    """
    return min(HEAD, 1 << (available.bit_length() - 1)) if available > 0 else 0


def head_hash(first: bytes, length: int) -> str:
    """The hash of the first `length` bytes."""
    return xxhash.xxh3_128_hexdigest(first[:length])


def incarnation_of(name: str, generation: int, first: bytes) -> str:
    """16 hex digits that name one content: different for every name and every generation of a name."""
    return xxhash.xxh3_64_hexdigest(f"{name}\0{generation}\0".encode(errors="surrogateescape") + first[:HEAD])
