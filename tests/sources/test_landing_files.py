"""Which files are read, how they are unpacked, and what is told grown, new, rotated or the same."""

from __future__ import annotations

import bz2
import gzip
import os
import shutil

import fsspec
import pytest
import zstandard

from nw_platform.errors import SourceError
from nw_platform.parsing.contract import ParseOptions
from nw_platform.sources.contract import Budget
from nw_platform.sources.landing import reading, settling
from nw_platform.sources.landing.files import GuardedFile
from nw_platform.sources.landing.local import LocalFiles
from nw_platform.sources.registry import open_source
from tests.sources.lane import Lane

NOW = 4_000_000_000_000_000
SECOND = 1_000_000
FILE_TIME = 1_700_000_000  # seconds


@pytest.fixture
def zone(tmp_path):
    folder = tmp_path / "zone"
    folder.mkdir()
    return folder


@pytest.fixture
def lane(zone, tmp_path):
    def make(path="**", *, growing=False, budget=None, hint=True, **options):
        cache = tmp_path / "work" / "hint" if hint else None
        return Lane(
            lambda: open_source("landing", url=str(zone), path=path, growing=growing, cache=cache),
            options=ParseOptions(stream="s", format=options.pop("format", "lines"), options=options),
            budget=budget or Budget(),
        )

    return make


def put(path, content: bytes, at: int = FILE_TIME):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, (at, at))


# --- which files ---


def test_a_glob_is_recursive_and_names_what_it_matched_relative_to_the_zone(zone, lane):
    for name in ("x.log", "a/x.log", "a/b/x.log", "a/x.txt", "c/y.log"):
        put(zone / name, name.encode() + b"\n")
    for glob, found in {
        "**/*.log": {"x.log", "a/x.log", "a/b/x.log", "c/y.log"},
        "a/**": {"a/x.log", "a/b/x.log", "a/x.txt"},
        "*/*.log": {"a/x.log", "c/y.log"},
        "{a,c}/[xy].{log,txt}": {"a/x.log", "a/x.txt", "c/y.log"},
        "a/?.log": {"a/x.log"},
        "x.log": {"x.log"},
    }.items():
        reader = lane(glob, hint=False)
        reader.drain(NOW)
        assert {record.source for record in reader.records} == found, glob


def test_a_stream_without_a_source_names_files_by_absolute_paths(zone):
    put(zone / "a" / "x.log", b"1\n")
    reader = Lane(lambda: open_source("landing", path=f"{zone}/*/*.log"))
    assert reader.step(NOW) == [b"1"]
    assert reader.records[0].source == f"{zone}/a/x.log"


def test_what_is_not_ready_is_left_alone(zone, lane):
    for name in (".a.log", "_a.log", "a.log._COPYING_", ".tmp/a.log", "_tmp/a.log", "b/.c/a.log"):
        put(zone / name, b"no\n")
    put(zone / "a.log", b"yes\n")
    assert lane("**").drain(NOW) == [b"yes"]


def test_a_folder_that_is_not_there_yet_is_no_error_inside_the_zone(zone, lane):
    reader = lane("later/*.log")
    assert reader.step(NOW) == []
    put(zone / "later" / "a.log", b"1\n")
    assert reader.step(NOW) == [b"1"]


def test_a_link_to_a_listed_file_is_that_file_and_a_loop_of_links_ends(zone, lane):
    put(zone / "a.log", b"1\n")
    (zone / "current.log").symlink_to(zone / "a.log")
    (zone / "loop").symlink_to(zone)
    assert lane("**/*.log").drain(NOW).count(b"1") == 1


# --- bad input ---


def test_a_folder_with_a_matching_name_and_a_dead_link_are_named(zone, lane):
    (zone / "old.log").mkdir()
    (zone / "dead.log").symlink_to(zone / "nowhere")
    put(zone / "a.log", b"1\n")
    reader = lane("*.log")
    assert reader.step(NOW) == [b"1"]
    assert {(p.kind, p.source) for p in reader.problems} == {("not_a_file", "old.log"), ("not_a_file", "dead.log")}


def test_a_file_that_cannot_be_opened_is_named_and_the_others_go_on(zone, lane, monkeypatch):
    put(zone / "a.log", b"1\n")
    put(zone / "b.log", b"2\n")
    reader = lane("*.log")
    files = reader.source._files
    opens = files.open

    def refuse(path):
        if path == "a.log":
            raise SourceError("a.log cannot be read: permission denied")
        return opens(path)

    monkeypatch.setattr(files, "open", refuse)
    assert reader.step(NOW) == [b"2"]
    assert [(p.kind, p.source) for p in reader.problems] == [("unreadable", "a.log")]
    monkeypatch.undo()
    assert reader.step(NOW) == [b"1"]
    assert reader.problems == []


def test_a_file_that_vanishes_or_is_replaced_after_planning_costs_only_itself(zone, lane):
    put(zone / "a.log", b"1\n")
    put(zone / "b.log", b"2\n")
    reader = lane("*.log")
    plan = reader.source.plan(NOW, Budget())
    (zone / "a.log").unlink()
    put(zone / "b.log", b"other\n")
    for span in plan.spans:
        with pytest.raises(SourceError, match=span.source):
            reader.replay(span)
    assert reader.drain(NOW) == [b"other"]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\x00\xff\n\xc3(\n", b"x" * 3_000_000 + b"\nnext\n", b"no end"])
def test_any_bytes_are_lines(zone, lane, content):
    put(zone / "a.log", content)
    lines = content.split(b"\n")
    assert lane("*.log").drain(NOW) == (lines if lines[-1] else lines[:-1])


def test_an_empty_file_is_read_when_it_has_content(zone, lane):
    put(zone / "a.log", b"")
    put(zone / "b.log.gz", gzip.compress(b""))
    reader = lane("*.log*")
    assert reader.drain(NOW) == []
    assert reader.plan.spans == ()
    put(zone / "a.log", b"1\n", FILE_TIME + 1)
    assert reader.drain(NOW) == [b"1"]


def truncated(packed: bytes) -> bytes:
    return packed[: len(packed) * 2 // 3]


def flipped(packed: bytes) -> bytes:
    at = len(packed) * 2 // 3
    return packed[:at] + bytes(byte ^ 0xFF for byte in packed[at : at + 200]) + packed[at + 200 :]


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, zstd])
@pytest.mark.parametrize("break_it", [truncated, flipped])
def test_a_damaged_archive_is_read_as_far_as_it_goes_and_named_until_it_changes(zone, lane, pack, break_it):
    lines = [os.urandom(400).hex().encode() for _ in range(4000)]
    whole = pack(b"\n".join(lines) + b"\n")
    suffix = {gzip.compress: "gz", bz2.compress: "bz2", zstd: "zst"}[pack]
    path = zone / f"a.log.{suffix}"
    put(path, break_it(whole))
    put(zone / "b.log", b"good\n")
    reader = lane("*.log*", budget=Budget(bytes=500_000))
    values = reader.drain(NOW)
    assert b"good" in values
    got = [value for value in values if value != b"good"]
    # Some codecs can only tell damage behind the block that holds it.
    right = next((n for n, (a, b) in enumerate(zip(got, lines, strict=False)) if a != b), len(got))
    assert right > 1000
    damaged = [span for span in reader.spans if span.state.get("damaged")]
    assert len(damaged) == 1
    assert damaged[0].state["damaged"][0] == damaged[0].end
    assert path.name in damaged[0].state["damaged"][1]
    receipts = len(reader.receipts)
    for _ in range(2):
        assert reader.step(NOW) == []
        assert [(p.kind, p.source, p.position) for p in reader.problems] == [("damaged", path.name, damaged[0].end)]
        assert reader.plan.spans == ()
        reader.crash()
    assert len(reader.receipts) == receipts
    if break_it is truncated:
        put(path, whole, FILE_TIME + 1)
        reader.drain(NOW)
        assert [value for value in reader.values if value != b"good"] == lines
        assert reader.problems == []
    reader.check()


def test_what_is_no_archive_at_all_is_remembered_in_a_receipt(zone, lane):
    put(zone / "a.log.gz", b"not gzip at all")
    reader = lane("*")
    assert reader.drain(NOW) == []
    (span,) = reader.spans
    assert (span.start, span.end, span.records) == (0, 0, 0)
    assert span.state["damaged"][0] == 0
    reader.crash()
    assert reader.step(NOW) == []
    assert reader.plan.spans == ()
    assert [p.kind for p in reader.problems] == ["damaged"]


# --- packed files ---


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", zstandard.compress), ("GZ", gzip.compress)],
)
def test_an_archive_of_several_members_is_read_in_pieces(zone, lane, suffix, pack):
    lines = [b"%d %s" % (n, b"x" * (n % 50)) for n in range(20_000)]
    half = len(lines) // 2
    parts = [b"\n".join(part) + b"\n" for part in (lines[:half], lines[half:])]
    put(zone / f"a.{suffix}", b"".join(pack(part) for part in parts))
    reader = lane("*", budget=Budget(bytes=100_000))
    assert reader.drain(NOW) == lines
    assert len(reader.spans) > 5
    assert max(span.end - span.start for span in reader.spans) <= 100_000
    reader.check()
    reader.crash()
    for span in reader.spans:
        assert reader.replay(span) == reader.recorded(span)


def test_pieces_of_an_archive_do_not_unpack_it_from_the_beginning(zone, lane, monkeypatch):
    lines = [b"%d" % n for n in range(50_000)]
    put(zone / "a.gz", gzip.compress(b"\n".join(lines)))
    reader = lane("*", budget=Budget(bytes=30_000))
    opened = []
    opens = reader.source._files.open
    monkeypatch.setattr(reader.source._files, "open", lambda path: opened.append(path) or opens(path))
    assert reader.drain(NOW) == lines
    assert len(reader.spans) > 8
    assert len(opened) <= 3


# --- grown, touched, new ---


def test_a_line_without_its_end_waits_in_a_growing_stream_only(zone, lane):
    put(zone / "a.log", b"1\n2")
    assert lane("*", growing=False, hint=False).drain(NOW) == [b"1", b"2"]
    reader = lane("*", growing=True)
    assert reader.drain(NOW) == [b"1"]
    assert reader.source.plan(NOW, Budget()).spans == ()
    put(zone / "a.log", b"1\n2+\n", FILE_TIME + 1)
    assert reader.drain(NOW) == [b"2+"]


def test_touching_reads_nothing_and_remembers_that(zone, lane, monkeypatch):
    put(zone / "a.log", b"1\n" * 1000)
    reader = lane("*")
    reader.drain(NOW)
    os.utime(zone / "a.log", (FILE_TIME + 9, FILE_TIME + 9))
    assert reader.drain(NOW) == []
    opens = []
    monkeypatch.setattr(reader.source._files, "open", opens.append)
    assert reader.drain(NOW) == []
    assert opens == []


@pytest.mark.parametrize("growing", [False, True])
def test_a_file_with_other_content_of_the_same_size_is_a_new_one(zone, lane, growing):
    first, second = b"a" * 9000 + b"\n1\n" + b"b" * 9000 + b"\n", b"a" * 9000 + b"\n2\n" + b"b" * 9000 + b"\n"
    reader = lane("*", growing=growing)
    put(zone / "a.log", first)
    reader.drain(NOW)
    put(zone / "a.log", second, FILE_TIME + 1)
    assert reader.drain(NOW) == second.splitlines()
    put(zone / "a.log", first, FILE_TIME + 2)
    assert reader.drain(NOW) == first.splitlines()
    assert [span.partition for span in reader.spans] == [0, 1, 2]
    reader.crash()
    assert reader.drain(NOW) == []


def test_a_larger_file_that_changed_at_its_beginning_is_a_new_one(zone, lane):
    reader = lane("*")
    put(zone / "a.log", b"1\n" + b"x" * 10_000 + b"\n")
    reader.drain(NOW)
    put(zone / "a.log", b"2\n" + b"x" * 10_000 + b"\nmore\n", FILE_TIME + 1)
    assert len(reader.drain(NOW)) == 3
    put(zone / "a.log", b"2\n" + b"x" * 10_000 + b"\nmore\nand more\n", FILE_TIME + 2)
    assert reader.drain(NOW) == [b"and more"]


# --- rotated, copied ---


@pytest.mark.parametrize("glob", ["*.log", "*.log*"])
def test_a_rotated_file_keeps_its_name_and_its_rest_is_read(zone, lane, glob):
    reader = lane(glob, growing=True)
    put(zone / "a.log", b"1\n2\n")
    reader.drain(NOW)
    put(zone / "a.log", b"1\n2\n3\n4", FILE_TIME + 1)
    (zone / "a.log").rename(zone / "a.log.1")
    put(zone / "a.log", b"new\n", FILE_TIME + 2)
    assert sorted(reader.drain(NOW)) == [b"3", b"4", b"new"]
    assert {record.source for record in reader.records} == {"a.log"}
    (zone / "a.log.1").unlink()
    put(zone / "a.log.2.gz", gzip.compress(b"1\n2\n3\n4"), FILE_TIME + 1)
    for _ in range(2):
        reader.crash()
        assert reader.source.plan(NOW, Budget()).spans == ()
    for span in reader.spans:
        assert reader.replay(span) == reader.recorded(span)
    reader.check()


def test_at_most_one_content_of_a_name_is_in_a_batch(zone, lane):
    reader = lane("*", growing=True)
    put(zone / "a.log", b"1\n")
    reader.drain(NOW)
    put(zone / "a.log", b"1\n2\n", FILE_TIME + 1)
    (zone / "a.log").rename(zone / "a.log.1")
    put(zone / "a.log", b"new\n", FILE_TIME + 2)
    assert reader.step(NOW) == [b"2"]
    assert reader.plan.more
    assert reader.step(NOW) == [b"new"]


def test_a_copy_beside_the_original_is_another_file(zone, lane):
    reader = lane("*")
    put(zone / "a.log", b"1\n")
    reader.drain(NOW)
    shutil.copy2(zone / "a.log", zone / "b.log")
    assert reader.drain(NOW) == [b"1"]
    assert {span.source for span in reader.spans} == {"a.log", "b.log"}


def test_copytruncate_starts_a_new_content_and_finishes_the_old_one(zone, lane):
    reader = lane("a.log", growing=True)
    put(zone / "a.log", b"1\n")
    reader.drain(NOW)
    put(zone / "a.log.1", b"1\n2\n", FILE_TIME + 1)
    put(zone / "a.log", b"", FILE_TIME + 1)
    assert reader.drain(NOW) == [b"2"]
    put(zone / "a.log", b"3\n", FILE_TIME + 2)
    assert reader.drain(NOW) == [b"3"]
    assert [(span.partition, span.start) for span in reader.spans] == [(0, 0), (0, 2), (1, 0)]


def test_an_archive_in_the_making_waits_while_its_original_is_there(zone, lane):
    reader = lane("*", growing=True)
    put(zone / "a.log.1", b"1\n2\n")
    reader.drain(NOW)
    now = (FILE_TIME + 100) * SECOND
    put(zone / "a.log.1.gz", gzip.compress(b"1\n2\n")[:-9], FILE_TIME + 100)
    assert reader.step(now) == []
    assert reader.problems == []
    assert reader.plan.settles_at == now + settling.SETTLED_US
    put(zone / "a.log.1.gz", gzip.compress(b"1\n2\n"))
    (zone / "a.log.1").unlink()
    assert reader.drain(NOW) == []


# --- multi-line, csv ---


def test_the_last_multi_line_record_of_a_growing_file_waits_until_the_file_has_settled(zone, lane):
    reader = lane("*", growing=True, multiline_start="^X")
    put(zone / "a.log", b"X1\n a\nX2\n b\n")
    now = FILE_TIME * SECOND
    assert reader.drain(now) == [b"X1\n a"]
    assert reader.source.plan(now, Budget()).spans == ()
    assert reader.source.plan(now, Budget()).settles_at == now + settling.SETTLED_US
    assert reader.drain(now + settling.SETTLED_US) == [b"X2\n b"]
    put(zone / "a.log", b"X1\n a\nX2\n b\nX3\n", FILE_TIME + 60)
    assert reader.drain(now + 60 * SECOND) == []
    put(zone / "a.log", b"X1\n a\nX2\n b\nX3\n c\nX4\n", FILE_TIME + 61)
    assert reader.drain(now + 61 * SECOND) == [b"X3\n c"]
    reader.check()
    reader.crash()
    for span in reader.spans:
        assert reader.replay(span) == reader.recorded(span)


def test_a_file_whose_clock_is_ahead_settles_too(zone, lane):
    reader = lane("*", growing=True, multiline_start="^X")
    put(zone / "a.log", b"X1\nX2\n", FILE_TIME + 10_000)
    now = FILE_TIME * SECOND
    assert reader.drain(now) == [b"X1"]
    assert reader.drain(now + settling.SETTLED_US) == [b"X2"]


def test_a_csv_header_is_kept_with_every_span_of_its_file(zone, lane):
    rows = [b"%d,%d" % (n, n) for n in range(500)]
    put(zone / "a.csv", b"a,b\r\n" + b"\r\n".join(rows))
    reader = lane("*", format="csv", budget=Budget(bytes=1000))
    assert reader.drain(NOW) == rows
    assert {span.state["header"] for span in reader.spans} == {"a,b"}
    assert sum(span.skipped_lines for span in reader.spans) == 1
    assert sum(span.bytes for span in reader.spans) == (zone / "a.csv").stat().st_size - 5
    reader.crash()
    for span in reader.spans:
        assert reader.replay(span) == reader.recorded(span)


def test_a_record_larger_than_the_budget_is_read_whole(zone, lane):
    put(zone / "a.log", b"x" * 50_000 + b"\nnext\n")
    reader = lane("*", budget=Budget(bytes=1000))
    assert [len(value) for value in reader.drain(NOW)] == [50_000, 4]
    reader.check()


# --- receipts and hints ---


def test_received_time_is_the_files_time(zone, lane):
    put(zone / "a.log", b"1\n")
    reader = lane("*")
    reader.drain(NOW)
    assert reader.records[0].received == FILE_TIME * SECOND


@pytest.mark.parametrize("damage", [b"", b"nonsense", None])
def test_a_hint_file_that_is_damaged_or_gone_changes_nothing(zone, lane, tmp_path, damage):
    for number in range(20):
        put(zone / f"{number}.log", b"%d\n" % number)
    reader = lane("*")
    reader.drain(NOW)
    reader.source.close()
    hint = tmp_path / "work" / "hint"
    assert hint.exists()
    if damage is None:
        hint.unlink()
    else:
        hint.write_bytes(damage)
    positions = reader.source.positions()
    reader.crash()
    assert reader.source.positions() == positions
    assert reader.drain(NOW) == []


def test_the_hint_of_another_lake_is_not_believed(zone, lane):
    put(zone / "a.log", b"1\n")
    lane("*").drain(NOW)
    assert lane("*").drain(NOW) == [b"1"]


def test_a_replay_of_changed_bytes_is_refused(zone, lane):
    reader = lane("*")
    put(zone / "a.log", b"x" * 5000 + b"\n1\n")
    reader.drain(NOW)
    put(zone / "a.log", b"x" * 5000 + b"\n2\n")
    with pytest.raises(SourceError, match=r"a\.log.*as they were read"):
        reader.replay(reader.spans[0])


def test_an_archive_that_unpacks_to_far_more_than_expected_is_read_in_ever_larger_pieces(zone, lane):
    lines = [b"%09d %s" % (n, b"a" * 90) for n in range(40_000)]
    put(zone / "a.zst", zstandard.compress(b"\n".join(lines) + b"\n"))
    put(zone / "b.zst", zstandard.compress(b"\n".join(lines[:5000]) + b"\n"))
    reader = lane("*", budget=Budget(bytes=1 << 20))
    assert sorted(reader.drain(NOW)) == sorted(lines + lines[:5000])
    assert len(reader.receipts) <= 9
    assert max(receipt.bytes for receipt in reader.receipts) <= 1 << 20
    reader.check()


def test_a_file_that_fails_in_its_middle_is_read_up_to_there_and_named(zone, lane, monkeypatch):
    lines = [b"%07d" % n for n in range(2_000_000)]
    put(zone / "a", b"\n".join(lines) + b"\n")
    put(zone / "b", b"other\n", at=FILE_TIME + 1)
    read = GuardedFile.read
    broken = [10 << 20]

    def fail(self, size):
        if self._path == "a" and broken and self._file.tell() >= broken[0]:
            raise SourceError("a cannot be read: input/output error")
        return read(self, size)

    monkeypatch.setattr(GuardedFile, "read", fail)
    monkeypatch.setattr(reading, "BLOCK", 1 << 20)
    reader = lane("*", budget=Budget(records=10_000_000))
    first = reader.step(NOW)
    assert first[-1] == b"other"
    assert first[:-1] == lines[: len(first) - 1]
    assert len(first) > 1_000_000
    assert [(p.kind, p.source) for p in reader.problems] == [("unreadable", "a")]
    broken.clear()
    assert first[:-1] + reader.drain(NOW) == lines
    reader.check()


@pytest.mark.parametrize("what", ["touched", "rotated"])
def test_what_a_file_was_read_through_for_is_not_found_out_by_every_process(zone, lane, monkeypatch, what):
    put(zone / "a.log", b"line\n" * 100)
    reader = lane("*")
    reader.drain(NOW)
    reader.source.close()
    if what == "touched":
        os.utime(zone / "a.log", (FILE_TIME + 9, FILE_TIME + 9))
    else:
        (zone / "a.log").rename(zone / "a.log.1")
    reader.crash()
    assert reader.drain(NOW) == []
    reader.source.close()
    opened = []
    monkeypatch.setattr(LocalFiles, "open", lambda _, path: opened.append(path))
    reader.crash()
    assert reader.drain(NOW) == []
    assert opened == []


def test_a_hint_of_a_growing_stream_says_nothing_of_one_that_is_not(zone, lane):
    put(zone / "a.log", b"1\n2")
    reader = lane("*", growing=True)
    assert reader.drain(NOW) == [b"1"]
    put(zone / "b.log", b"3\n")
    assert reader.drain(NOW) == [b"3"]
    reader.source.close()
    reader.open = lane("*", growing=False).open
    reader.crash()
    assert reader.drain(NOW) == [b"2"]


# --- a look at what is there ---


def survey(zone, path="*.log", **options):
    source = open_source("landing", url=str(zone), path=path, **options)
    try:
        return source.survey(NOW, Budget(bytes=1000, records=10, spans=1))
    finally:
        source.close()


def test_a_survey_samples_the_oldest_and_the_newest_file_that_have_records(zone):
    put(zone / "a.log", b"", at=FILE_TIME - 1)
    for number in range(6):
        put(zone / f"b{number}.log", b"x\n", at=FILE_TIME + number)
    put(zone / "c.log.gz", gzip.compress(b"y\n"), at=FILE_TIME + 9)
    found = survey(zone, "*.log*")
    assert (found.found, found.empty) == (8, 1)
    assert [span.source for span in found.spans] == ["b0.log", "c.log.gz"]
    put(zone / "d.log", b"no end yet", at=FILE_TIME + 99)
    assert [span.source for span in survey(zone, "*.log*", growing=True).spans] == ["b0.log", "c.log.gz"]
    assert [span.source for span in survey(zone, "b3.log").spans] == ["b3.log"]


def test_a_survey_of_many_files_opens_a_few(zone, monkeypatch):
    for number in range(200):
        put(zone / f"{number:03}.log", b"x\n", at=FILE_TIME + number)
    opened = []
    monkeypatch.setattr(
        LocalFiles, "open", lambda self, path, old=LocalFiles.open: opened.append(path) or old(self, path)
    )
    assert survey(zone).found == 200
    assert len(opened) <= 8


@pytest.mark.parametrize("url", ["local", "memory"])
def test_a_survey_names_what_matches_and_is_not_ready(zone, url):
    names = (".hidden.log", "_tmp.log", "a.log._COPYING_", ".other.txt", "b.log")
    if url == "local":
        for name in names:
            put(zone / name, b"x\n")
        found = survey(zone)
    else:
        system = fsspec.filesystem("memory")
        for name in names:
            system.pipe(f"/survey/{name}", b"x\n")
        found = survey("memory://survey")
    assert found.found == 1
    assert sorted(found.ignored) == [".hidden.log", "_tmp.log", "a.log._COPYING_"]
