"""Code units of text encodings: where a line ends in bytes, before anything is decoded.

In nearly every encoding a line ends at byte 0x0A. In UTF-16 and UTF-32 that byte is also a part of other characters,
so their lines end at a whole unit of 2 or 4 bytes. Encodings in which neither holds cannot be cut into lines.
"""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from nw_platform.errors import ConfigError
from nw_platform.parsing.decode import check_encoding
from nw_platform.record.encodings import has_lines

__all__ = [
    "BYTES",
    "LONGEST_MARK",
    "MARKS",
    "Positions",
    "Units",
    "by_name",
    "check_framing",
    "from_start",
    "split_header",
    "tagged_header",
    "units_of",
]

Positions: TypeAlias = npt.NDArray[np.int64]

# Byte order marks and the encodings they announce; that of UTF-32 begins like that of UTF-16.
MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
LONGEST_MARK: Final = 4
_TAG: Final = "\ufeff"  # no header begins so by itself
_TYPES: Final = {"utf-16-le": "<u2", "utf-16-be": ">u2", "utf-32-le": "<u4", "utf-32-be": ">u4"}


@dataclass(frozen=True, slots=True)
class Units:
    """How text is made of units. `mark` goes before each record whose bytes do not say themselves what they are."""

    encoding: str
    kind: str = "u1"
    mark: bytes = b""

    @property
    def width(self) -> int:
        """Bytes of a unit."""
        return np.dtype(self.kind).itemsize

    def array(self, data: bytes) -> npt.NDArray[np.integer]:
        """The whole units of `data`, which begins with one."""
        return np.frombuffer(data, dtype=self.kind, count=len(data) // self.width)

    def positions(self, data: bytes, character: str) -> Positions:
        """Where a character (ASCII) begins in `data`, in bytes."""
        found: Positions = np.flatnonzero(self.array(data) == ord(character)).astype(np.int64)
        return found * self.width

    def line_end(self, data: bytes) -> int:
        """The position after the last line end in `data`; 0: there is none."""
        if self.width == 1:
            return data.rfind(b"\n") + 1
        ends = self.positions(data, "\n")
        return int(ends[-1]) + self.width if len(ends) else 0


BYTES: Final = Units("utf-8")


def check_framing(encoding: str) -> str:
    """The canonical name of an encoding whose text can be cut into lines.

    Raises:
        ConfigError: Python does not know it, or its lines cannot be found.
    """
    name = check_encoding(encoding)
    if not has_lines(name):
        raise ConfigError(
            f"encoding: lines of {name} cannot be told apart (their ends are no bytes 0x0A); convert the file to utf-8"
        )
    return name


def units_of(encoding: str) -> Units | None:
    """The units of text in an encoding; None: the beginning of the file tells (utf-16, utf-32, or a mark in utf-8)."""
    if encoding in _TYPES:
        return Units(encoding, _TYPES[encoding])
    return None if encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32") else Units(encoding)


def from_start(encoding: str, first: bytes) -> Units:
    """The units of a file by its first bytes (LONGEST_MARK, fewer only where it has fewer).

    Where UTF-16 or UTF-32 is declared without a byte order and there is no mark, zeros in front tell big endian.
    """
    found = next((name for mark, name in MARKS if first.startswith(mark)), None)
    if found is None and encoding in ("utf-16", "utf-32"):
        found = f"{encoding}-{'be' if first[:1] == bytes(1) else 'le'}"
    return by_name(found) if found is not None else BYTES


def by_name(name: str) -> Units:
    """The units of UTF-16 or UTF-32 of a byte order, with the mark that says so."""
    return Units(name, _TYPES[name], next(mark for mark, known in MARKS if known == name))


def tagged_header(order: str, header: str | None) -> str:
    """A header that also names the byte order of its file, for the spans that do not see the file's beginning."""
    return f"{_TAG}{order}\n" + ("" if header is None else _TAG + header)


def split_header(header: str | None) -> tuple[str | None, str | None]:
    """The encoding that a header names, and the header itself."""
    if header is None or not header.startswith(_TAG):
        return None, header
    order, _, rest = header.removeprefix(_TAG).partition("\n")
    return order, rest.removeprefix(_TAG) if rest else None
