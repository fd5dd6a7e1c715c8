"""Landing files -> raw -> logs: everything once, nothing for nothing."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import time
from pathlib import Path

import pytest
from world import HOUR, MINUTE, sent, wire

from nw_platform import settings
from nw_platform.errors import CommitConflictError, SourceError
from nw_platform.ingest import tick
from nw_platform.ingest.completeness import hour_balances
from nw_platform.ingest.recovery import recover
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import has_news, run_tick
from nw_platform.ingest.verify import verify
from nw_platform.sources.contract import Budget

SAMPLE = Path(__file__).parents[2] / "nw_platform" / "generator" / "samples" / "apache_logs.gz"


def test_the_real_sample_arrives_whole(world):
    world.write("app/access.log.gz", SAMPLE.read_bytes())
    world.budget = Budget(bytes=600_000)  # several batches
    with world.session(format="combined") as session:
        report = world.ingest(session)
        assert sum(b.records for b in report.batches) == 10_000
        assert sum(b.rejects for b in report.batches) == 1
        assert len(report.batches) > 1
        lines = gzip.decompress(SAMPLE.read_bytes()).splitlines()
        assert [row[0] for row in world.rows(session, "raw", "value", "source_start")] == lines
        day = world.rows(session, "logs", "count(*), sum(size_bytes)", "1")
        assert day == [(10_000, 2_370_789)]
        one = [r for r in world.rows(session, "logs", "dt, size_bytes") if r[0] == "2015-05-18"]
        assert (len(one), sum(size for _, size in one)) == (2893, 673_487)
        assert all(balance.whole for balance in hour_balances(session.lake, "app").values())
        assert verify(session).findings == []


def test_a_second_tick_commits_nothing_and_sees_no_news(world):
    world.write("app/a.log", wire(world.now))
    with world.session() as session:
        assert has_news(session, world.now) == ["app"]
        world.ingest(session)
        before = world.versions(session)
        assert has_news(session, world.now + MINUTE) == []
        assert world.ingest(session).batches == []
        assert world.versions(session) == before
    with world.session() as fresh:
        assert has_news(fresh, world.now + MINUTE) == []
        assert world.ingest(fresh).batches == []
        assert world.versions(fresh) == before


def test_an_empty_landing_zone_is_no_news_and_no_failure(world):
    with world.session() as session:
        assert has_news(session, world.now) == []
        report = run_tick(session, lambda: world.now)
        assert (report.batches, report.failures, report.problems) == ([], {}, [])


def test_looking_for_news_writes_nothing(world):
    world.write("app/a.log", wire(world.now))
    with world.session() as session:
        has_news(session, world.now)
        assert world.versions(session) == {"raw": -1, "logs": -1, "receipts": -1, "dup": -1}


def test_repeated_ids_are_kept_apart_in_a_batch_and_across_batches_and_runs(world):
    first = sent("s1", 0, world.now) + sent("s1", 1, world.now) + sent("s1", 0, world.now, message="again")
    uuid = wire(world.now, id="5f2c-x")
    world.write("app/a.log", first + uuid + uuid)
    with world.session() as session:
        (batch,) = world.ingest(session).batches
        assert (batch.records, batch.normal, batch.duplicates) == (5, 3, 2)
    world.write("app/b.log", sent("s1", 1, world.now) + uuid + sent("s1", 2, world.now))
    with world.session() as session:
        (batch,) = world.ingest(session).batches
        assert (batch.normal, batch.duplicates) == (1, 2)
        assert [r[0] for r in world.rows(session, "logs", "event_id")] == ["5f2c-x", "s1-0", "s1-1", "s1-2"]
        kept = world.rows(session, "duplicates", "event_id, lane, sequence")
        assert kept == [("5f2c-x", "0.0", 1), ("5f2c-x", "0.0", 2), ("s1-0", "0.0", 1), ("s1-1", "0.0", 2)]
        assert verify(session).findings == []


def test_repeats_are_found_without_the_hint_and_with_a_stale_one(world):
    world.write("app/a.log", sent("s", 0, world.now) + wire(world.now, id="other"))
    with world.session() as session:
        world.ingest(session)
    hint = world.root / ".neverwinter" / "dedupe"
    stale = world.root / "stale"
    shutil.copytree(hint, stale)
    world.write("app/b.log", sent("s", 1, world.now))
    with world.session() as session:
        world.ingest(session)
    shutil.rmtree(hint)
    shutil.copytree(stale, hint)  # the hint of one apply ago
    world.write("app/c.log", sent("s", 0, world.now) + sent("s", 1, world.now) + wire(world.now, id="other"))
    with world.session() as session:
        (batch,) = world.ingest(session).batches
        assert (batch.normal, batch.duplicates) == (0, 3)
    shutil.rmtree(hint)
    world.write("app/d.log", sent("s", 1, world.now) + sent("s", 2, world.now))
    with world.session() as session:
        (batch,) = world.ingest(session).batches
        assert (batch.normal, batch.duplicates) == (1, 1)


def test_the_same_id_in_another_event_hour_is_another_record(world):
    world.write("app/a.log", sent("s", 0, world.now) + sent("s", 0, world.now - HOUR))
    with world.session() as session:
        (batch,) = world.ingest(session).batches
        assert batch.duplicates == 0
        assert batch.event_hours == {"2026-11-22T04": 1, "2026-11-22T05": 1}


def test_equal_lines_without_ids_are_different_records(world):
    world.write("app/a.log", wire(world.now) * 3)
    with world.session() as session:
        (batch,) = world.ingest(session).batches
        assert (batch.normal, batch.duplicates) == (3, 0)


def test_of_two_runs_one_wins_and_the_other_goes_on(world):
    world.write("app/a.log", wire(world.now) * 3)
    with world.session() as slow, world.session() as quick:
        pipeline = slow.pipeline("app")
        recover(pipeline, world.now)
        plan = pipeline.plan(world.now, world.budget)
        world.ingest(quick)
        with pytest.raises(CommitConflictError):
            pipeline.step(plan, world.now)
        assert world.ingest(slow).batches == []
        assert len(world.rows(slow)) == 3
        assert verify(slow).findings == []
        assert verify(slow).orphans == []  # what the loser wrote, it took away


def test_the_loser_of_a_race_between_read_and_commit_leaves_nothing(world, monkeypatch):
    world.write("app/a.log", wire(world.now) * 3)
    with world.session() as slow, world.session() as quick:
        pipeline = slow.pipeline("app")
        recover(pipeline, world.now)
        plan = pipeline.plan(world.now, world.budget)
        read = pipeline.source.read

        def read_late(*args):
            world.ingest(quick)
            return read(*args)

        monkeypatch.setattr(pipeline.source, "read", read_late)
        with pytest.raises(CommitConflictError):
            pipeline.step(plan, world.now)
        monkeypatch.undo()
        world.write("app/b.log", wire(world.now))
        assert [b.records for b in world.ingest(slow).batches] == [1]
        assert len(world.rows(slow)) == 4
        report = verify(slow)
        assert (report.findings, report.orphans) == ([], [])


def test_planned_times_never_go_back_with_the_clock(world):
    world.write("app/a.log", wire(world.now))
    with world.session() as session:
        world.ingest(session)
        world.now -= 2 * HOUR
        world.write("app/b.log", wire(world.now))
        (batch,) = world.ingest(session).batches
        assert batch.arrival_hour == "2026-11-22T05"


def test_a_column_declared_later_is_added_and_one_retyped_is_refused(world):
    world.write("app/a.log", wire(world.now, fields={"n": 1}))
    with world.session() as session:
        world.ingest(session)
    world.write("app/b.log", wire(world.now, fields={"n": 2}))
    with world.session(columns={"n": "int64"}) as session:
        world.ingest(session)
        assert world.rows(session, "logs", "n, extra") == [(2, None), (None, '{"n":1}')]
    world.write("app/c.log", wire(world.now, fields={"n": 2}))
    with world.session(columns={"n": "string"}) as session:
        report = run_tick(session, lambda: world.now)
        assert "column n" in report.failures["app"]
        assert "int64" in report.failures["app"]


def test_one_stream_that_fails_stops_no_other(world):
    world.write("app/a.log", wire(world.now))
    text = f"""
    lake: {world.root / "lake"}
    sources: {{landing: {{kind: landing, url: "{world.landing}"}}, gone: {{kind: landing, url: "gone://nowhere"}}}}
    streams:
      bad: {{source: gone, path: "*.log", format: json}}
      app: {{source: landing, path: "app/*.log", format: json}}
    """
    with Session(settings.parse(text, base=str(world.root), origin="test")) as session:
        report = run_tick(session, lambda: world.now, until_caught_up=True)
        assert list(report.failures) == ["bad"]
        assert [b.stream for b in report.batches] == ["app"]


def test_a_backlog_is_taken_in_turns(world):
    for name in "ab":
        for part in range(3):
            world.write(f"{name}/{part}.log", wire(world.now) * 10)
    text = f"""
    lake: {world.root / "lake"}
    sources: {{landing: {{kind: landing, url: "{world.landing}"}}}}
    streams:
      a: {{source: landing, path: "a/*.log", format: json}}
      b: {{source: landing, path: "b/*.log", format: json}}
    """
    with Session(settings.parse(text, base=str(world.root), origin="test"), budget=Budget(spans=1)) as session:
        report = run_tick(session, lambda: world.now, until_caught_up=True)
        assert [b.stream for b in report.batches] == ["a", "b"] * 3


def test_a_sniffed_format_is_kept(world):
    world.write("app/a.log", gzip.decompress(SAMPLE.read_bytes())[:5000].rsplit(b"\n", 1)[0] + b"\n")
    with world.session(format="auto") as session:
        world.ingest(session)
    world.write("app/b.log", b'{"ts": 1}\n' * 50)  # looks like json, and is not what the stream is
    with world.session(format="auto") as session:
        (batch,) = world.ingest(session).batches
        assert batch.rejects == 50


def test_the_header_of_the_first_csv_file_gives_the_columns(world):
    world.write("app/a.csv", b"time,Ip,amount,note\n2026-11-22T05:00:00Z,10.0.0.1,3,x\n")
    with world.session(format="csv", path="app/*.csv", columns={"amount": "int64"}) as session:
        world.ingest(session)
        assert world.rows(session, "logs", "ip, amount, note, extra") == [("10.0.0.1", 3, "x", None)]
    world.write("app/b.csv", b"time,amount,more\n2026-11-22T05:01:00Z,4,y\n")
    with world.session(format="csv", path="app/*.csv", columns={"amount": "int64"}) as session:
        world.ingest(session)
        assert world.rows(session, "logs", "amount, note, extra", "1")[1] == (4, None, '{"more":"y"}')


def test_what_may_still_be_written_is_waited_for_when_everything_is_wanted(world):
    world.write(
        "app/a.log", b"[2026-11-22 05:00:00,000] ERROR first (x)\n  at y\n[2026-11-22 05:00:01,000] INFO last (x)\n"
    )
    world.now = time.time_ns() // 1000
    with world.session(format="log4j", growing=True) as session:
        report = run_tick(session, lambda: world.now, until_caught_up=True)
        assert sum(b.records for b in report.batches) == 1
        paused = []

        def pause(seconds):
            paused.append(seconds)
            world.now += int(seconds * 1_000_000) + 1

        report = run_tick(session, lambda: world.now, until_caught_up=True, pause=pause)
        assert sum(b.records for b in report.batches) == 1
        assert 0 < paused[0] < 10


@pytest.mark.parametrize(("number", "fix"), [(errno.ENOSPC, "make room"), (errno.EROFS, "make the lake writable")])
def test_a_full_or_closed_disk_is_said_with_what_to_do(world, monkeypatch, number, fix):
    def refused(*_: object, **__: object) -> bool:
        raise OSError(number, "refused")

    monkeypatch.setattr(tick._Tick, "_batch", refused)
    with world.session() as session:
        assert fix in run_tick(session, lambda: world.now).failures["app"]


def test_a_file_that_cannot_be_read_keeps_no_other_waiting(world, monkeypatch):
    first = world.write("app/a.log", wire(world.now) * 10)
    second = world.write("app/b.log", wire(world.now))
    os.utime(first, (1, 1))
    os.utime(second, (2, 2))
    world.budget = Budget(spans=1)
    with world.session() as session:
        source = session.pipeline("app").source
        real = source._files.open
        broken = []

        def fail_when_read(path):
            if path.endswith("a.log") and broken:
                raise SourceError("app/a.log: the disk says no")
            broken.append(path)
            return real(path)

        monkeypatch.setattr(source._files, "open", fail_when_read)
        report = world.ingest(session)
        assert [b.records for b in report.batches] == [1]
        assert "the disk says no" in report.problems[0].problem.reason
        monkeypatch.undo()
        assert [b.records for b in world.ingest(session).batches] == [10]


def test_a_column_retyped_is_refused_before_anything_is_read(world):
    world.write("app/a.log", wire(world.now, fields={"n": 1}))
    with world.session(columns={"n": "int64"}) as session:
        world.ingest(session)
    world.write("app/b.log", wire(world.now, fields={"n": 2}))
    with world.session(columns={"n": "string"}) as session:
        before = world.versions(session)
        assert "column n" in run_tick(session, lambda: world.now).failures["app"]
        assert world.versions(session) == before


def test_a_batch_whose_rules_changed_between_raw_and_logs_is_said_where_it_is(world, monkeypatch):
    world.write("app/a.log", wire(world.now) * 3)
    with world.session() as session:
        monkeypatch.setattr("nw_platform.ingest.pipeline.apply_batch", lambda *_, **__: 1 / 0)
        assert run_tick(session, lambda: world.now, until_caught_up=True).failures
        monkeypatch.undo()
    with world.session(event_time={"field": "ts", "unit": "us"}) as session:  # the same numbers: 1970
        (batch,) = world.ingest(session).batches
        assert batch.normal == 3
        assert {hour[:4] for hour, found in hour_balances(session.lake, "app").items() if found.raw} == {"1970"}
        assert verify(session).findings == []
        before = world.versions(session)
        assert world.ingest(session).batches == []
        assert world.versions(session) == before


def test_seconds_of_batches_add_up_to_no_more_than_the_time_that_passed(world):
    for number in range(4):
        world.write(f"app/{number}.log", b"".join(wire(world.now, id=f"{number}-{i}") for i in range(50)))
    world.budget = Budget(spans=1)
    with world.session() as session:
        began = time.perf_counter()
        report = world.ingest(session)
        passed = time.perf_counter() - began
    assert len(report.batches) == 4
    assert 0 < sum(batch.seconds for batch in report.batches) <= passed
