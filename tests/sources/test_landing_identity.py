"""What is one file and what is another: every line is read once, or a finding says what is not proven."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest
import xxhash
import zstandard

from nw_platform.parsing.contract import ParseOptions
from nw_platform.sources.landing import absence
from nw_platform.sources.registry import open_source
from tests.sources.lane import Lane

SECOND = 1_000_000
MINUTE = 60 * SECOND


@pytest.fixture
def zone(tmp_path):
    folder = tmp_path / "zone"
    folder.mkdir()
    return folder


@pytest.fixture
def open_lane(zone, tmp_path):
    def make(path="app.log", *, growing=True, hint=False, zone=zone, **options):
        cache = tmp_path / "hint" if hint else None
        return Lane(
            lambda: open_source("landing", url=str(zone), path=path, growing=growing, cache=cache, **options),
            options=ParseOptions(stream="s", format="lines"),
        )

    return make


def later(minutes: float = 1) -> int:
    """A time from now, microseconds: files are written now."""
    return time.time_ns() // 1000 + int(minutes * MINUTE)


def append(path, *lines: str) -> None:
    with path.open("ab") as file:
        file.writelines(line.encode() + b"\n" for line in lines)


def twice(lane, minutes: float = 1) -> list[str]:
    """Two passes; what was read, sorted."""
    values = []
    for step in (0, 1):
        values += lane.drain(later(minutes + step))
    return sorted(value.decode() for value in values)


def kinds(lane) -> list[str]:
    return sorted({problem.kind for problem in lane.problems})


def told(lane) -> list[str]:
    """Kinds of problems of the last step, and of all receipts."""
    return sorted(
        {p["kind"] for receipt in lane.receipts for p in receipt.detail.get("problems", ())} | set(kinds(lane))
    )


# --- the cases of the issue ---

PLAIN_NAMES = [
    "app-2026-11-28.log", "app.2026-11-28.log", "app.log.1", "app.log-20261128", "app-1.log", "app_2026-11-28_01.log",
    "app.log.2026-11-28", "anything-else.txt",
]  # fmt: skip
PACKED_NAMES = ["app-2026-11-28-1.log.gz", "app.log.1.gz", "app.log-20261128.gz", "app.2026-11-28.log.gz"]


@pytest.mark.parametrize("glob", ["app.log", "app*.log*", "**"])
@pytest.mark.parametrize("name", PLAIN_NAMES + PACKED_NAMES)
@pytest.mark.parametrize("restarted", [False, True])
def test_what_was_appended_before_the_rotation_is_read_whatever_the_new_name(zone, open_lane, glob, name, restarted):
    lane = open_lane(glob)
    append(zone / "app.log", "a1", "a2")
    assert twice(lane) == ["a1", "a2"]
    append(zone / "app.log", "a3", "a4")
    if name.endswith(".gz"):
        (zone / name).write_bytes(gzip.compress((zone / "app.log").read_bytes()))
        (zone / "app.log").unlink()
    else:
        (zone / "app.log").rename(zone / name)
    append(zone / "app.log", "b1")
    if restarted:
        lane.crash()
    assert twice(lane) == ["a3", "a4", "b1"]
    assert told(lane) == []
    lane.crash()
    assert twice(lane) == []
    for span in lane.spans:
        assert lane.replay(span) == lane.recorded(span)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("new_name", ["old/app.log", "old/app.log.1", "2026/11/app-28.log"])
def test_another_folder_is_searched_where_it_is_declared(zone, open_lane, packed, new_name):
    lane = open_lane(rotated=["old/*", "2026/**"])
    append(zone / "app.log", "a1", "a2")
    twice(lane)
    append(zone / "app.log", "a3", "a4")
    target = zone / new_name
    target.parent.mkdir(parents=True)
    if packed:
        target.with_name(target.name + ".zst").write_bytes(zstandard.compress((zone / "app.log").read_bytes()))
        (zone / "app.log").unlink()
    else:
        (zone / "app.log").rename(target)
    append(zone / "app.log", "b1")
    assert twice(lane) == ["a3", "a4", "b1"]
    assert told(lane) == []


@pytest.mark.parametrize("hint", [False, True])
def test_another_folder_that_is_not_declared_is_a_finding_at_once_and_then_in_a_receipt(zone, open_lane, hint):
    lane = open_lane(hint=hint)
    append(zone / "app.log", "a1", "a2")
    twice(lane)
    append(zone / "app.log", "a3", "a4")
    (zone / "old").mkdir()
    (zone / "app.log").rename(zone / "old" / "app.log")
    append(zone / "app.log", "b1")
    assert lane.drain(later(2)) == [b"b1"]
    (problem,) = lane.problems
    assert problem.kind == "missing"
    assert "app.log: another file has its name" in problem.reason
    assert "read up to byte 6" in problem.reason
    assert "`rotated:`" in problem.reason
    lane.crash()
    lane.drain(later(10))
    assert told(lane) == ["missing", "vanished"]
    assert (problem.source, problem.partition, problem.position) == ("app.log", 0, 6)
    receipts = len(lane.receipts)
    for minutes in (11, 12):
        lane.crash()
        lane.drain(later(minutes))
        assert lane.problems == []  # the receipt says it
    assert len(lane.receipts) == receipts
    lane.open = open_lane(rotated=["old/*"]).open  # it is declared afterwards
    lane.crash()
    assert sorted(lane.drain(later(13))) == [b"a3", b"a4"]


@pytest.mark.parametrize("growing", [False, True])
def test_the_same_content_in_another_file_is_read_and_may_be_a_repeat(zone, open_lane, growing):
    lane = open_lane("day*.txt", growing=growing)
    append(zone / "day1.txt", "OK")
    assert twice(lane) == ["OK"]
    (zone / "day1.txt").unlink()
    append(zone / "day2.txt", "OK")
    assert twice(lane) == ["OK"]
    assert "repeat" in told(lane)
    lane.crash()
    assert twice(lane) == []


@pytest.mark.parametrize("growing", [False, True])
def test_a_file_that_begins_like_one_that_is_gone_is_read_whole(zone, open_lane, growing):
    lane = open_lane("run-*.log", growing=growing)
    append(zone / "run-1.log", "x1", "x2")
    twice(lane)
    (zone / "run-1.log").unlink()
    append(zone / "run-2.log", "x1", "x2", "x3")
    twice(lane)
    assert len(lane.values) == 5
    assert "repeat" in told(lane)


@pytest.mark.parametrize(("first", "second"), [("day.txt", "day-2.txt"), ("run.log", "run-1.log"), ("a.log", "b.log")])
@pytest.mark.parametrize("more", [[], ["x3"]])
def test_a_short_file_under_the_name_of_a_rotated_one_is_read_whole(zone, open_lane, first, second, more):
    lane = open_lane("*.*")
    append(zone / first, "x1", "x2")
    twice(lane)
    (zone / first).unlink()
    append(zone / second, "x1", "x2", *more)
    assert twice(lane) == ["x1", "x2", *more]
    assert "repeat" in told(lane)


def test_a_banner_that_comes_again_in_a_new_file_is_read_again(zone, open_lane):
    lane = open_lane()
    append(zone / "app.log", "banner")
    twice(lane)
    (zone / "app.log").rename(zone.parent / "away")  # another file keeps the inode
    append(zone / "app.log", "banner", "b1")
    assert twice(lane) == ["b1", "banner"]
    assert told(lane) == ["missing", "repeat"]


@pytest.mark.parametrize("glob", ["app.log", "app.log*"])
def test_short_identical_files_in_a_row(zone, open_lane, glob):
    lane = open_lane(glob)
    append(zone / "app.log", "banner")
    twice(lane)
    for _ in range(3):
        for number in (2, 1):
            if (zone / f"app.log.{number}").exists():
                (zone / f"app.log.{number}").rename(zone / f"app.log.{number + 1}")
        (zone / "app.log").rename(zone / "app.log.1")
        append(zone / "app.log", "banner")
        assert twice(lane) == ["banner"]
    assert len(lane.values) == 4
    assert told(lane) == []


@pytest.mark.parametrize("glob", ["app.log", "app.log*"])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_new_file_with_the_same_banner_is_not_the_old_one_grown(zone, open_lane, glob, packed, restarted):
    lane = open_lane(glob)
    append(zone / "app.log", "banner")
    assert twice(lane) == ["banner"]
    append(zone / "app.log", "a1", "a2")
    (zone / "app.log").rename(zone / "app.log.1")
    if packed:
        (zone / "app.log.1.gz").write_bytes(gzip.compress((zone / "app.log.1").read_bytes()))
        (zone / "app.log.1").unlink()
    append(zone / "app.log", "banner", "b1")
    if restarted:
        lane.crash()
    assert twice(lane) == ["a1", "a2", "b1", "banner"]


def test_two_names_of_one_file_are_read_once(zone, open_lane):
    lane = open_lane("*.log")
    append(zone / "app.log", "1")
    os.link(zone / "app.log", zone / "app-link.log")
    assert twice(lane) == ["1"]
    append(zone / "app-link.log", "2")
    assert twice(lane) == ["2"]
    (zone / "app.log").unlink()
    append(zone / "app-link.log", "3")
    assert twice(lane) == ["3"]
    assert told(lane) == []


def test_a_second_name_that_comes_later_is_no_second_file(zone, open_lane):
    lane = open_lane("*.log")
    append(zone / "app.log", "1")
    twice(lane)
    os.link(zone / "app.log", zone / "a.log")
    append(zone / "app.log", "2")
    assert twice(lane) == ["2"]


# --- more of the kind ---


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("growing", [False, True])
def test_rsync_without_inplace_stays_one_file(zone, open_lane, long, growing):
    lane = open_lane(growing=growing)
    lines = [f"{number} {'x' * 200 * long}" for number in range(10)]
    append(zone / "app.log", *lines[:5])
    twice(lane)
    append(zone / ".app.log.tmp", *lines)
    time.sleep(0.02)  # a rename in the moment of the last write cannot be told from a write
    (zone / ".app.log.tmp").rename(zone / "app.log")
    assert len(twice(lane)) == 5
    assert len(lane.values) == 10
    assert told(lane) == []


def test_a_new_file_whose_time_was_set_by_hand_is_not_the_old_one_grown(zone, open_lane):
    lane = open_lane()
    append(zone / "app.log", "banner")
    twice(lane)
    append(zone / "app.log", "a1")
    (zone / "app.log").rename(zone.parent / "away")
    append(zone / "app.log", "banner", "b1")
    os.utime(zone / "app.log", (1_700_000_000, 1_700_000_000))
    assert twice(lane) == ["b1", "banner"]
    assert told(lane) == ["missing", "repeat"]


def test_a_zone_that_was_restored_with_its_times_is_not_read_again(zone, open_lane):
    lane = open_lane()
    append(zone / "app.log", "1", "2")
    twice(lane)
    times = (zone / "app.log").stat()
    lines = (zone / "app.log").read_bytes()
    (zone / "app.log").unlink()
    (zone / "other").write_bytes(b"takes the inode")
    (zone / "app.log").write_bytes(lines)
    os.utime(zone / "app.log", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert twice(lane) == []
    assert told(lane) == []


def test_rsync_that_keeps_times_needs_no_finding(zone, open_lane):
    lane = open_lane()
    append(zone / "app.log", "1" * 2000)
    twice(lane)
    append(zone / ".app.log.tmp", "1" * 2000, "2")
    stamp = time.time() - 60
    os.utime(zone / ".app.log.tmp", (stamp, stamp))
    (zone / ".app.log.tmp").rename(zone / "app.log")
    assert twice(lane) == ["2"]
    assert told(lane) == []


def test_a_file_made_anew_on_the_inode_of_the_old_one_is_read_from_its_beginning(zone, open_lane):
    lane = open_lane()
    append(zone / "app.log", "start", "a1")
    twice(lane)
    inode = (zone / "app.log").stat().st_ino
    (zone / "app.log").unlink()
    append(zone / "app.log", "start", "a1", "b1")
    if (zone / "app.log").stat().st_ino != inode:
        pytest.skip("this file system did not reuse the inode")
    assert twice(lane) == ["a1", "b1", "start"]
    assert "repeat" in told(lane)


@pytest.mark.parametrize("regrown", [["b1", "b2", "b3"], ["b1"]])
def test_a_file_that_was_cut_and_has_regrown_while_nothing_ran_is_a_new_one(zone, open_lane, regrown):
    lane = open_lane()
    append(zone / "app.log", "a1", "a2")
    twice(lane)
    with (zone / "app.log").open("r+b") as file:
        file.truncate()
    append(zone / "app.log", *regrown)
    lane.crash()
    assert twice(lane) == regrown


def test_copytruncate_with_the_same_beginning(zone, open_lane):
    lane = open_lane("app.log")
    append(zone / "app.log", "start", "a1")
    twice(lane)
    append(zone / "app.log", "a2")
    shutil.copy(zone / "app.log", zone / "app.log.1")
    with (zone / "app.log").open("r+b") as file:
        file.truncate()
    append(zone / "app.log", "start", "b1", "b2", "b3")
    assert twice(lane) == ["a2", "b1", "b2", "b3", "start"]
    assert told(lane) == []


@pytest.mark.parametrize("glob", ["app.log", "app.log*"])
@pytest.mark.parametrize("same_banner", [False, True])
def test_several_rotations_while_nothing_ran(zone, open_lane, glob, same_banner):
    banner = ["banner"] * same_banner
    lane = open_lane(glob)
    append(zone / "app.log", *banner, "a1")
    twice(lane)
    append(zone / "app.log", "a2")
    for number, letter in enumerate("bcde"):
        for old in range(number, 0, -1):
            for suffix in ("", ".gz"):
                if (zone / f"app.log.{old}{suffix}").exists():
                    (zone / f"app.log.{old}{suffix}").rename(zone / f"app.log.{old + 1}{suffix}")
        (zone / "app.log").rename(zone / "app.log.1")
        if (zone / "app.log.2").exists():
            stamp = (zone / "app.log.2").stat()
            (zone / "app.log.2.gz").write_bytes(gzip.compress((zone / "app.log.2").read_bytes()))
            os.utime(zone / "app.log.2.gz", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            (zone / "app.log.2").unlink()
        append(zone / "app.log", *banner, f"{letter}1")
        time.sleep(0.02)  # file times have to differ
    lane.crash()
    assert twice(lane, 5) == sorted(["a2", "b1", "c1", "d1", "e1", *banner * 4])
    assert twice(lane, 7) == []


def test_a_rotation_into_the_folder_of_the_month(zone, open_lane):
    lane = open_lane(rotated=["20??-??/app*.log*"])
    append(zone / "app.log", "a1")
    twice(lane)
    for month, letter in (("2026-11", "b"), ("2026-12", "c")):
        (zone / month).mkdir()
        append(zone / "app.log", f"{letter}0")
        (zone / "app.log").rename(zone / month / "app-28.log")
        append(zone / "app.log", f"{letter}1")
        time.sleep(0.02)  # file times have to differ
    assert twice(lane) == ["b0", "b1", "c0", "c1"]
    assert told(lane) == []


def test_two_logs_in_one_folder_keep_their_own_rotated_files(zone, open_lane):
    lanes = {name: open_lane(f"{name}.log", rotated=["old/*"]) for name in ("app", "err")}
    (zone / "old").mkdir()
    for name, lane in lanes.items():
        append(zone / f"{name}.log", "start")
        twice(lane)
    for name in lanes:
        append(zone / f"{name}.log", f"{name}1")
        (zone / "old" / f"{name}-2026-11-28.log.gz").write_bytes(gzip.compress((zone / f"{name}.log").read_bytes()))
        (zone / f"{name}.log").unlink()
        append(zone / f"{name}.log", "start", f"{name}2")
    for name, lane in lanes.items():
        assert twice(lane) == [f"{name}1", f"{name}2", "start"]


def test_a_link_that_was_switched_to_the_next_file(zone, open_lane):
    lane = open_lane("current")
    append(zone / "app-1.log", "a1")
    (zone / "current").symlink_to("app-1.log")
    assert twice(lane) == ["a1"]
    append(zone / "app-1.log", "a2")
    (zone / "current").unlink()
    append(zone / "app-2.log", "b1")
    (zone / "current").symlink_to("app-2.log")
    assert twice(lane) == ["a2", "b1"]


def test_an_archive_under_a_name_that_held_another_one(zone, open_lane):
    lane = open_lane("app.log*")
    append(zone / "app.log", "a1")
    (zone / "app.log.1.gz").write_bytes(gzip.compress(b"old1\n"))
    stamp = time.time() - 3600
    os.utime(zone / "app.log.1.gz", (stamp, stamp))
    assert twice(lane) == ["a1", "old1"]
    append(zone / "app.log", "a2")
    (zone / "app.log.1.gz").rename(zone / "app.log.2.gz")
    (zone / "app.log.1.gz").write_bytes(gzip.compress(b"a1\na2\n"))
    (zone / "app.log").unlink()
    append(zone / "app.log", "b1")
    assert twice(lane) == ["a2", "b1"]


def test_empty_files_are_nothing(zone, open_lane):
    lane = open_lane("*.log")
    (zone / "app.log").touch()
    (zone / "b.log").touch()
    assert twice(lane) == []
    (zone / "app.log").rename(zone / "c.log")
    append(zone / "app.log", "1")
    assert twice(lane) == ["1"]
    assert told(lane) == []


# --- what may be gone ---


def test_a_file_that_was_wholly_read_may_go_in_a_stream_of_whole_files(zone, open_lane):
    lane = open_lane("*.log", growing=False)
    append(zone / "app.log", "1")
    twice(lane)
    (zone / "app.log").unlink()
    assert twice(lane, 30) == []
    assert told(lane) == []


def test_a_rotated_file_that_rested_may_go_also_for_a_process_that_knows_receipts_only(zone, open_lane):
    lane = open_lane()
    append(zone / "app.log", "a1")
    twice(lane)
    (zone / "app.log").rename(zone / "app.log.1")
    append(zone / "app.log", "b1")
    twice(lane, 5)
    append(zone / "app.log", "b2")
    twice(lane, 10)
    (zone / "app.log.1").unlink()
    lane.crash()
    twice(lane, 20)
    assert told(lane) == []


def test_a_quiet_file_may_be_deleted_and_one_that_was_just_written_may_not(zone, open_lane):
    lane = open_lane("*.log")
    append(zone / "a.log", "1")
    append(zone / "b.log", "1")
    old = time.time() - 3600
    os.utime(zone / "a.log", (old, old))
    lane.drain(later(0.1))
    (zone / "a.log").unlink()
    (zone / "b.log").unlink()
    lane.drain(later(1))
    assert [(p.kind, p.source) for p in lane.problems] == [("missing", "b.log")]


def test_a_folder_that_cannot_be_listed_is_no_loss(zone, open_lane, monkeypatch):
    lane = open_lane("*/app.log")
    (zone / "host").mkdir()
    append(zone / "host" / "app.log", "1")
    twice(lane)
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("host"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    lane.drain(later(30))
    assert kinds(lane) == ["unreadable"]


def test_many_files_that_are_gone_are_said_in_turn(zone, open_lane, monkeypatch):
    monkeypatch.setattr(absence, "_MOST", 3)
    lane = open_lane("*.log")
    for number in range(7):
        append(zone / f"{number}.log", str(number))
    lane.drain(later(0.1))
    for path in zone.glob("*.log"):
        path.unlink()
    for minutes in range(5, 12):
        lane.drain(later(minutes))
    gone = [
        p["source"] for receipt in lane.receipts for p in receipt.detail.get("problems", ()) if p["kind"] == "vanished"
    ]
    assert sorted(gone) == [f"{number}.log" for number in range(7)]


# --- receipts of earlier versions ---


def as_before(receipts):
    """The receipts as earlier versions wrote them: an inode without device and birth, XXH3 of up to 4,096 bytes."""
    old = []
    for receipt in receipts:
        spans = []
        for span in receipt.spans:
            state = {key: value for key, value in span.state.items() if key not in {"file", "tail"}}
            first = Path(span.state["where"]).read_bytes()[: span.end] if "where" in span.state else b""
            length = min(4096, 1 << (len(first).bit_length() - 1)) if first else 0
            state["head"] = [length, xxhash.xxh3_128_hexdigest(first[:length])]
            spans.append(replace(span, state=state))
        old.append(receipt.with_changes(spans=tuple(spans)))
    return old


@pytest.mark.parametrize("size", [3, 30_000])
@pytest.mark.parametrize("then", ["nothing", "grown", "renamed", "packed", "moved"])
def test_receipts_of_earlier_versions_are_understood(zone, open_lane, size, then):
    lane = open_lane(rotated=["old/*"])
    lines = [f"{number:06d}" for number in range(size)]
    append(zone / "app.log", *lines)
    assert len(twice(lane)) == size
    for receipt in lane.receipts:
        for span in receipt.spans:
            span.state["where"] = str(zone / "app.log")
    lane.receipts = as_before(lane.receipts)
    lane.crash()
    assert twice(lane) == []
    more = [] if then == "nothing" else ["more"]
    append(zone / "app.log", *more)
    if then == "renamed":
        (zone / "app.log").rename(zone / "app-2026-11-28.log")
    if then == "packed":
        (zone / "app.log.1.gz").write_bytes(gzip.compress((zone / "app.log").read_bytes()))
        (zone / "app.log").unlink()
    if then == "moved":
        (zone / "old").mkdir()
        (zone / "app.log").rename(zone / "old" / "app.log")
    lane.crash()
    assert twice(lane) == more
    assert told(lane) == []
    for span in lane.spans:
        assert lane.replay(span) == lane.recorded(span)


def test_what_earlier_versions_lost_sight_of_is_no_finding_after_an_upgrade(zone, open_lane):
    lane = open_lane("*.log")
    for number in range(3):
        append(zone / "app.log", f"{number}")
        old = time.time() - 3600
        os.utime(zone / "app.log", (old, old))
        twice(lane)
        (zone / "app.log").unlink()
    for receipt in lane.receipts:
        receipt.detail.clear()
    lane.receipts = as_before(lane.receipts)
    lane.crash()
    lane.drain(later(30))
    assert lane.problems == []
