"""Decides whether a file holds a content that was read before. The table is written out in docs/adr/0016.

No single piece of evidence proves identity: inodes are reused, files begin alike, names are taken by others. A file is
only taken for a known content where the pieces agree. Where they do not prove it, the file is read as new and a finding
says that its records may be repeats.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

PROVING_BYTES: Final = 1024  # a match of at least this many bytes is not taken for an accident


class Id(Enum):
    """How the file system's id of the file compares with that of the content's file."""

    SAME = "same"  # device, inode and birth; HDFS file id; ETag under the same name
    NUMBER = "number"  # the same inode, and one of the two births is not known
    REUSED = "reused"  # the same inode, born at another time: another file
    OTHER = "other"
    UNKNOWN = "unknown"


class Name(Enum):
    """How the file's name compares with the name that the content was last seen under."""

    SAME = "same"
    ROTATED = "rotated"
    UNRELATED = "unrelated"


class Size(Enum):
    """How the file's size compares with the position that the content was read up to."""

    SHORTER = "shorter"
    EQUAL = "equal"
    LONGER = "longer"


class Old(Enum):
    """States what became of the file in which the content was last seen, as far as the caller looked for it."""

    THERE = "there"  # the file is still in its place and still holds the content
    CUT = "cut"  # the same file is in its place but holds another content: it was truncated and written anew
    GONE = "gone"  # the file was not found, or another file has taken its name


class Verdict(Enum):
    """What the file holds."""

    SAME = "same"  # the known content: it is read on from its position
    NEW = "new"  # another content: it is read from its beginning
    NEW_IN_DOUBT = "new in doubt"  # likewise, and a finding says that it may be a repeat


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was found out about one file and one known content."""

    id: Id
    name: Name
    size: Size
    is_head_equal: bool  # hashes of the beginning; False as well where the file is shorter than what was hashed
    is_tail_equal: bool  # hashes of the bytes before the position
    old: Old
    compared: int  # the position, in unpacked bytes: below PROVING_BYTES, the hashes cover no more than this
    is_packed: bool = False
    is_declared: bool = False  # the file lies where the stream says that its files are rotated to
    came_by_rename: bool = False  # the file was put under its name when it was complete, as rsync does
    is_untouched: bool = False  # size and time of the last write are those that the content's file was last seen with


def decide(evidence: Evidence) -> Verdict:
    """Return the verdict that the table in docs/adr/0016 gives for this evidence.

    A file that is shorter than the position, or whose hashes differ, is never the known content, whatever its id. If
    the hashes agree, the same id proves it; without the same id, the name decides how much more evidence is needed.
    """
    if evidence.size is Size.SHORTER:
        return Verdict.NEW_IN_DOUBT if evidence.is_head_equal else Verdict.NEW
    if not (evidence.is_head_equal and evidence.is_tail_equal):
        return Verdict.NEW
    if evidence.id is Id.SAME:
        return Verdict.SAME
    return _under_its_name(evidence) if evidence.name is Name.SAME else _under_another_name(evidence)


def _under_its_name(evidence: Evidence) -> Verdict:
    if evidence.id in {Id.NUMBER, Id.UNKNOWN}:
        return Verdict.SAME
    if evidence.is_untouched:
        return Verdict.SAME  # copied with its times, or restored
    is_copy = evidence.came_by_rename or evidence.compared >= PROVING_BYTES
    return Verdict.SAME if evidence.id is Id.OTHER and is_copy else Verdict.NEW_IN_DOUBT


def _under_another_name(evidence: Evidence) -> Verdict:
    if evidence.old is Old.THERE:
        return Verdict.NEW  # two files at the same time: a copy
    is_long = evidence.compared >= PROVING_BYTES
    if evidence.name is Name.ROTATED:
        # Renaming a file keeps its id. Copying it before it is cut (copytruncate) gives the copy a different id.
        is_other_file = evidence.id in {Id.OTHER, Id.REUSED}
        is_proven = is_long or evidence.is_packed or evidence.old is Old.CUT or not is_other_file
    else:
        is_proven = is_long and (evidence.id is Id.NUMBER or (evidence.is_packed and evidence.is_declared))
    return Verdict.SAME if is_proven else Verdict.NEW_IN_DOUBT
