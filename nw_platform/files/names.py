"""Tells from a name whether a file may be the rotated file of another one."""

from __future__ import annotations

import re
from typing import Final

from nw_platform.files.identity import Name

_PACKED: Final = re.compile(r"\.(gz|zst|bz2|xz|lz4|zip|z|lzma)$", re.IGNORECASE)
# What rotation puts into a name: numbers, dates, times, and a few words.
_WORD: Final = (
    r"(?:\d+[a-z]?|\d*[tz]\d*z?|jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mon|tue|wed|thu|fri|sat|sun|am|pm|utc"
    r"|\d{1,2}(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)\d*|\d{8}t\d+z?|old|prev|previous|bak|backup|archive"
    r"|archived|rotated|save|saved|part|i|n|s\d+|u\d+)"
)
_INSERTED: Final = re.compile(rf"{_WORD}(?:[-._T+:@~ ]{_WORD})*", re.IGNORECASE)
_SEPARATORS: Final = ".-_@~"


def relation(name: str, candidate: str) -> Name:
    """How a file's path compares with the path that a content was last seen under.

    The folder does not matter for a rotated name: `old/app.log` and `2026-11/app.log.1` may come from `app.log`.
    """
    if name == candidate:
        return Name.SAME
    return Name.ROTATED if is_rotation_of(name, candidate) else Name.UNRELATED


def is_rotation_of(name: str, candidate: str) -> bool:
    """Return True if `candidate` is a name that rotation gives to a file called `name`.

    Known forms: `app.log.1`, `app.log-20261128`, `app.log.1.gz`, `app-2026-11-28.log`, `app.2026-11-28.log`,
    `app-2026-11-28-1.log.gz`, `app-1.log`, `app.old.log`, and the same name in another folder.
    """
    if name == candidate:
        return False
    original, found = _PACKED.sub("", _file(name)), _PACKED.sub("", _file(candidate))
    if original == found:
        return True
    stem, dot, suffix = original.rpartition(".")
    return _is_inserted(original, "", found) or (bool(stem) and _is_inserted(stem, dot + suffix, found))


def _is_inserted(before: str, after: str, found: str) -> bool:
    if not (found.startswith(before) and found.endswith(after)):
        return False
    inserted = found[len(before) : len(found) - len(after)]
    if len(inserted) < 2 or inserted[0] not in _SEPARATORS:  # noqa: PLR2004  (a separator and something)
        return False
    return _INSERTED.fullmatch(inserted[1:]) is not None


def _file(path: str) -> str:
    return path.rpartition("/")[2]
