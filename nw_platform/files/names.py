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
    return name != candidate and key_of(name) in originals(candidate)


def key_of(path: str) -> str:
    """A file's name without its folder and without the suffix of a packer: what `originals` gives back."""
    return _PACKED.sub("", path.rpartition("/")[2])


def originals(candidate: str) -> set[str]:
    """The keys (see `key_of`) of all files that rotation may have given the name `candidate`."""
    found = key_of(candidate)
    keys = {found}
    last_dot = found.rfind(".")
    for at in range(1, len(found) - 1):
        if found[at] not in _SEPARATORS:
            continue
        if _INSERTED.fullmatch(found, at + 1):
            keys.add(found[:at])
        if at + 1 < last_dot and _INSERTED.fullmatch(found, at + 1, last_dot):
            keys.add(found[:at] + found[last_dot:])
    return keys
