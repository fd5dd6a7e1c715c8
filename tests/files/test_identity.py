"""The decision table of ADR 0016, row by row, and what holds for every evidence."""

from __future__ import annotations

import itertools

import pytest

from nw_platform.files.identity import PROVING_BYTES, Evidence, Id, Name, Old, Size, Verdict, decide

FEW, MANY = 7, PROVING_BYTES
SAME, NEW = Verdict.SAME, Verdict.NEW
MAYBE_REPEAT = Verdict.NEW_IN_DOUBT

# what it is, id, name, size, tail equal, old, bytes compared, more, verdict. The beginning is equal in all of them.
TABLE = [
    ("appended to", Id.SAME, Name.SAME, Size.LONGER, True, Old.THERE, FEW, {}, SAME),
    ("touched", Id.SAME, Name.SAME, Size.EQUAL, True, Old.THERE, FEW, {}, SAME),
    ("cut short in place", Id.SAME, Name.SAME, Size.SHORTER, False, Old.THERE, FEW, {}, MAYBE_REPEAT),
    ("copytruncate, grown beyond the position", Id.SAME, Name.SAME, Size.LONGER, False, Old.THERE, FEW, {}, NEW),
    ("birth not known", Id.NUMBER, Name.SAME, Size.LONGER, True, Old.THERE, FEW, {}, SAME),
    ("no ids", Id.UNKNOWN, Name.SAME, Size.LONGER, True, Old.THERE, FEW, {}, SAME),
    ("rsync", Id.OTHER, Name.SAME, Size.LONGER, True, Old.GONE, FEW, {"came_by_rename": True}, SAME),
    ("replaced, long", Id.OTHER, Name.SAME, Size.LONGER, True, Old.GONE, MANY, {}, SAME),
    ("replaced, short", Id.OTHER, Name.SAME, Size.LONGER, True, Old.GONE, FEW, {}, MAYBE_REPEAT),
    ("the same file delivered again", Id.OTHER, Name.SAME, Size.EQUAL, True, Old.GONE, FEW, {}, MAYBE_REPEAT),
    ("restored with its times", Id.OTHER, Name.SAME, Size.EQUAL, True, Old.GONE, FEW, {"is_untouched": True}, SAME),
    ("restored on the old inode", Id.REUSED, Name.SAME, Size.EQUAL, True, Old.GONE, FEW, {"is_untouched": True}, SAME),
    ("replaced by other content", Id.OTHER, Name.SAME, Size.LONGER, False, Old.GONE, MANY, {}, NEW),
    ("made anew on the same inode", Id.REUSED, Name.SAME, Size.LONGER, True, Old.GONE, MANY, {}, MAYBE_REPEAT),
    ("renamed by rotation", Id.SAME, Name.ROTATED, Size.LONGER, True, Old.GONE, FEW, {}, SAME),
    ("renamed to anything", Id.SAME, Name.UNRELATED, Size.LONGER, True, Old.GONE, FEW, {}, SAME),
    ("hard link", Id.SAME, Name.UNRELATED, Size.EQUAL, True, Old.THERE, FEW, {}, SAME),
    ("inode reused, begins alike", Id.REUSED, Name.UNRELATED, Size.LONGER, True, Old.GONE, FEW, {}, MAYBE_REPEAT),
    ("inode reused, other content", Id.REUSED, Name.UNRELATED, Size.LONGER, False, Old.GONE, MANY, {}, NEW),
    ("inode, birth unknown, short", Id.NUMBER, Name.UNRELATED, Size.LONGER, True, Old.GONE, FEW, {}, MAYBE_REPEAT),
    ("inode, birth unknown, long", Id.NUMBER, Name.UNRELATED, Size.LONGER, True, Old.GONE, MANY, {}, SAME),
    ("copied away by copytruncate", Id.OTHER, Name.ROTATED, Size.LONGER, True, Old.CUT, FEW, {}, SAME),
    ("packed by rotation", Id.OTHER, Name.ROTATED, Size.LONGER, True, Old.GONE, FEW, {"is_packed": True}, SAME),
    ("rotated without ids", Id.UNKNOWN, Name.ROTATED, Size.EQUAL, True, Old.GONE, FEW, {}, SAME),
    ("day-2.txt like day.txt", Id.OTHER, Name.ROTATED, Size.EQUAL, True, Old.GONE, FEW, {}, MAYBE_REPEAT),
    ("run-1.log on the inode of run.log", Id.REUSED, Name.ROTATED, Size.LONGER, True, Old.GONE, FEW, {}, MAYBE_REPEAT),
    ("copied to a rotated name, long", Id.OTHER, Name.ROTATED, Size.LONGER, True, Old.GONE, MANY, {}, SAME),
    ("copied beside the original", Id.OTHER, Name.ROTATED, Size.EQUAL, True, Old.THERE, MANY, {}, NEW),
    ("copied under another name", Id.OTHER, Name.UNRELATED, Size.EQUAL, True, Old.THERE, MANY, {}, NEW),
    ("day2.txt like day1.txt", Id.OTHER, Name.UNRELATED, Size.EQUAL, True, Old.GONE, FEW, {}, MAYBE_REPEAT),
    ("run-2 begins like run-1", Id.OTHER, Name.UNRELATED, Size.LONGER, True, Old.GONE, MANY, {}, MAYBE_REPEAT),
    (
        "packed to any name where files are rotated to",
        Id.OTHER, Name.UNRELATED, Size.LONGER, True, Old.GONE, MANY, {"is_packed": True, "is_declared": True}, SAME,
    ),
    (
        "the same, with little to compare",
        Id.OTHER, Name.UNRELATED, Size.LONGER, True, Old.GONE, FEW, {"is_packed": True, "is_declared": True},
        MAYBE_REPEAT,
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("id_", "name", "size", "tail", "old", "compared", "more", "verdict"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_the_table(id_, name, size, tail, old, compared, more, verdict):
    evidence = Evidence(id_, name, size, True, tail, old, compared, **more)  # noqa: FBT003  (the beginning is equal)
    assert decide(evidence) is verdict


def every_evidence():
    flags = (False, True)
    columns = (Id, Name, Size, flags, flags, Old, (FEW, MANY), flags, flags, flags, flags)
    return (Evidence(*row) for row in itertools.product(*columns))


def test_no_content_is_read_on_in_a_file_whose_bytes_differ():
    for evidence in every_evidence():
        if decide(evidence) is SAME:
            assert evidence.is_head_equal
            assert evidence.is_tail_equal
            assert evidence.size is not Size.SHORTER


def test_equal_bytes_alone_prove_nothing():
    for evidence in every_evidence():
        alike = evidence.is_head_equal and evidence.is_tail_equal and evidence.size is not Size.SHORTER
        stranger = evidence.id in {Id.OTHER, Id.REUSED, Id.UNKNOWN} and evidence.name is Name.UNRELATED
        if alike and stranger and not (evidence.is_packed and evidence.is_declared):
            assert decide(evidence) in {NEW, MAYBE_REPEAT}


def test_a_possible_repeat_is_said():
    for evidence in every_evidence():
        alike = evidence.is_head_equal and evidence.is_tail_equal and evidence.size is not Size.SHORTER
        if alike and evidence.old is not Old.THERE:
            assert decide(evidence) is not NEW
