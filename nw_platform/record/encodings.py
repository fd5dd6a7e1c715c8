"""Text encodings, as far as a declaration has to know them."""

from __future__ import annotations

from typing import Final

__all__ = ["WIDE", "has_lines"]

# Their characters have units of 2 or 4 bytes, in which byte 0x0A is no line end by itself.
WIDE: Final = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")

# What a line means depends on the lines before, or a line end is taken for something else.
_NOT_BY_LINE: Final = ("hz", "iso2022_kr")


def has_lines(encoding: str) -> bool:
    """Whether a file of this encoding (as `codecs.lookup` names it) can be cut into lines before it is decoded."""
    if encoding in WIDE or encoding == "utf-8-sig":
        return True
    try:
        plain = "\n".encode(encoding) == b"\n" and b"\n".decode(encoding) == "\n"
    except (UnicodeError, LookupError):
        return False
    return plain and encoding not in _NOT_BY_LINE
