"""Lanes: receipts of their own, one set of logs. On the shipped fake of a broker; on Kafka see tests/integration."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace

import duckdb
import pytest
from world import HOUR, MINUTE, START, World, sent, wire

from nw_platform import settings
from nw_platform.errors import CommitConflictError
from nw_platform.ingest import dedupe, steps
from nw_platform.ingest.compact import compact
from nw_platform.ingest.lanes import lanes_by_epoch
from nw_platform.ingest.rebuild import rebuild
from nw_platform.ingest.recovery import recover
from nw_platform.ingest.replay import replay
from nw_platform.ingest.retention import expire
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import has_news, run_tick
from nw_platform.ingest.verify import verify
from nw_platform.lake.receipts import load_receipts
from nw_platform.sources.contract import Budget, Problem
from nw_platform.sources.memory import MemorySource, memory_log

ALL = ("1970-01-01T00", "2100-01-01T00")


class TopicWorld(World):
    """A lake, and a topic with partitions instead of a landing zone."""

    def __init__(self, root) -> None:
        super().__init__(root)
        self.name = f"memory://{uuid.uuid4().hex}"
        self.log = memory_log(self.name)

    def settings(self, **stream):
        declared = {"source": "broker", "topic": "t", "format": "json", "late_after": "never", **stream}
        text = json.dumps({
            "lake": str(self.root / "lake"),
            "sources": {"broker": {"kind": "memory", "url": self.name}},
            "streams": {"app": declared},
        })  # fmt: skip
        return settings.parse(text, base=str(self.root), origin="test")

    def put(self, partition: int, *values: bytes) -> None:
        self.log.append("t", [value.rstrip(b"\n") for value in values], partition=partition, time=self.now)

    def state(self, session) -> tuple[list, list]:
        return self.rows(session), self.rows(session, "duplicates")

    def ids(self, session, table="logs") -> list[str]:
        return [row[0] for row in self.rows(session, table, "event_id")]

    def lanes(self, session) -> list[list[str]]:
        return lanes_by_epoch(session.lake.raw("app").snapshot())


@pytest.fixture
def world(tmp_path):
    return TopicWorld(tmp_path)


def check(session, records: int) -> None:
    found = verify(session)
    assert (found.findings, found.orphans) == ([], [])
    assert found.records == records


def test_each_lane_has_its_partitions_and_a_chain_of_its_own(world):
    for partition in range(5):
        world.put(partition, *[wire(world.now, n=n) for n in range(partition + 1)])
    with world.session(lanes=2) as session:
        report = world.ingest(session)
        assert sorted((b.lane, b.records) for b in report.batches) == [("0.0", 9), ("0.1", 6)]
        assert report.lags["app"].records == 0
        receipts = load_receipts(session.lake, "app")
        assert [(r.lane, r.sequence, r.kind) for r in receipts] == [
            ("0.0", 0, "genesis"), ("0.0", 1, "batch"), ("0.1", 0, "genesis"), ("0.1", 1, "batch"),
        ]  # fmt: skip
        assert {span.partition for r in receipts if r.lane == "0.1" for span in r.spans} == {1, 3}
        assert len(set(world.ids(session))) == 15
        check(session, 15)


def test_a_run_of_one_lane_takes_only_its_own(world):
    for partition in range(4):
        world.put(partition, wire(world.now))
    with world.session(lanes=2) as session:
        assert has_news(session, world.now, lane=1) == ["app"]
        assert [b.lane for b in world.ingest(session, lane=1).batches] == ["0.1"]
        assert has_news(session, world.now, lane=1) == []
        assert has_news(session, world.now, lane=0) == ["app"]
        assert has_news(session, world.now, lane=2) == []
        assert [b.lane for b in world.ingest(session, lane=0).batches] == ["0.0"]
        assert world.ingest(session, lane=2).batches == []
        check(session, 4)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_an_id_that_comes_in_two_lanes_is_kept_once(world, order):
    world.put(0, sent("s", 1, world.now, which=0), sent("s", 2, world.now))
    world.put(1, sent("s", 1, world.now, which=1), sent("s", 3, world.now))
    with world.session(lanes=2) as first, world.session(lanes=2) as second:
        world.ingest(first, lane=order[0])
        world.ingest(second, lane=order[1])
        assert world.ids(first) == ["s-1", "s-2", "s-3"]
        (kept,) = world.rows(first, columns="source_partition, event_id", order="event_id")[:1]
        assert kept == (order[0], "s-1")
        assert world.rows(first, "duplicates", "event_id, lane") == [("s-1", f"0.{order[1]}")]
        check(first, 4)
        before = world.state(first), world.versions(first)
        rebuild(first, "app", *ALL, world.now)  # nothing to do: the copy that was kept stays
        assert (world.state(first), world.versions(first)) == before
        compact(first, world.now + 2 * HOUR)
        compacted = world.state(first)
        rebuild(first, "app", *ALL, world.now)
        assert world.state(first) == compacted
        check(first, 4)


def test_what_another_machine_has_applied_is_remembered_without_reading_the_hour_again(world, monkeypatch):
    read: list[int] = []
    scan = dedupe.scan
    monkeypatch.setattr(dedupe, "scan", lambda files, *args, **kw: read.append(len(files)) or scan(files, *args, **kw))
    elsewhere = replace(world.settings(lanes=2), work=world.root / "elsewhere")
    with world.session(lanes=2) as first, Session(elsewhere) as second:
        for minute in range(6):
            world.now = START + minute * MINUTE
            for partition in (0, 1):
                world.put(partition, *[sent(f"p{partition}", minute * 50 + n, world.now) for n in range(50)])
                if minute:
                    world.put(partition, sent(f"p{1 - partition}", minute * 50 - 1, START))
            world.ingest(first, lane=0)
            world.ingest(second, lane=1)
        assert set(read) == {1}  # the one file that the other lane has added
        assert len(world.ids(first)) == len(set(world.ids(first))) == 600
        assert len(world.ids(first, "duplicates")) == 10
        check(first, 610)
        compact(first, world.now + 3 * HOUR)  # merged files: whose records they hold cannot be told
        world.put(0, sent("p1", 3, START), sent("p1", 1000, START))
        world.ingest(second, lane=0)
        world.put(1, sent("p0", 4, START), sent("p1", 1000, START))
        world.ingest(first, lane=1)
        assert len(world.ids(first)) == 601
        check(first, 614)


def test_with_another_number_of_lanes_a_new_epoch_goes_on_where_the_old_lanes_stopped(world):
    total = 0
    for epoch, lanes in enumerate((1, 3, 2, 1)):
        for partition in range(5):
            world.put(partition, *[wire(world.now, epoch=epoch, n=n) for n in range(7)])
        total += 35
        with world.session(lanes=lanes) as session:
            if epoch:
                assert has_news(session, world.now) == ["app"]
            world.ingest(session)
            assert world.lanes(session)[-1] == [f"{epoch}.{i}" for i in range(lanes)]
            assert len(set(world.ids(session))) == total
            check(session, total)
            assert has_news(session, world.now) == []
    with world.session(lanes=1) as session:
        geneses = [r for r in load_receipts(session.lake, "app") if r.kind == "genesis"]
        assert [sorted(r.detail.get("after", {})) for r in geneses if r.lane == "2.1"] == [["1.0", "1.1", "1.2"]]
        commits = [
            c for c in session.lake.raw("app").snapshot().history() if "2.0" in str(c.get("neverwinter.receipts", c))
        ]
        assert commits


def test_a_run_that_still_reads_by_the_old_lanes_gets_nothing_in_after_the_new_epoch(world):
    world.put(0, wire(world.now, n=1))
    world.put(1, wire(world.now, n=2))
    with world.session(lanes=1) as old, world.session(lanes=2) as new:
        world.ingest(old)
        world.put(0, wire(world.now, n=3))
        world.put(1, wire(world.now, n=4))
        pipeline = old.pipeline("app")
        plan = pipeline.plan(world.now, world.budget)
        world.ingest(new, lane=1)
        with pytest.raises(CommitConflictError):
            pipeline.step(plan, world.now)
        world.ingest(new)
        assert len(world.ids(new)) == 4
        check(new, 4)


def test_the_epoch_and_a_batch_of_an_old_lane_cannot_both_be_committed(world, monkeypatch):
    """The old run has looked at the table just before the new epoch, and commits just after it."""
    world.put(0, wire(world.now, n=1))
    with world.session(lanes=1) as old, world.session(lanes=2) as new:
        world.ingest(old)
        world.put(1, wire(world.now, n=2))
        pipeline = old.pipeline("app")
        plan = pipeline.plan(world.now, world.budget)
        read = pipeline.source.read

        def slowly(span, make_framer):
            recover(new.pipelines("app")[0], world.now)
            return read(span, make_framer)

        monkeypatch.setattr(pipeline.source, "read", slowly)
        with pytest.raises(CommitConflictError):
            pipeline.step(plan, world.now)
        world.ingest(new)
        assert [len(lanes) for lanes in world.lanes(new)] == [1, 2]
        assert len(world.ids(new)) == 2
        check(new, 2)


class Crash(BaseException):
    """A process that ends here."""


@pytest.fixture
def crash_at(monkeypatch):
    def at(step: str | None) -> None:
        steps._seen.clear()  # as a new process begins
        steps._there.clear()
        monkeypatch.setenv("NW_CRASH_AT", step or "")

    def kill(*_):
        raise Crash

    monkeypatch.setattr(steps.os, "kill", kill)
    return at


def traffic(world, lanes):
    """A round for each number of lanes, with repeats across partitions and broken lines."""
    for number, count in enumerate(lanes):
        for partition in range(4):
            values = [sent(f"p{partition}", number * 10 + n, START - n * 20 * MINUTE) for n in range(10)]
            values.append(sent(f"p{(partition + 1) % 4}", number * 10 + 1, START - 20 * MINUTE))
            values.append(b"{broken")
            world.put(partition, *values)
        yield count


TICK = [
    "genesis_committed", "planned", "raw_written", "raw_committed", "receipt_appended", "duplicates_written",
    "duplicates_committed", "logs_written", "logs_committed", "dedupe_marked", "dedupe_saved", "source_advanced",
]  # fmt: skip


@pytest.mark.parametrize(
    "rounds", [pytest.param((1, 3, 2), id="3"), pytest.param((1, 2, 3, 1, 2), id="5", marks=pytest.mark.soak)]
)
@pytest.mark.parametrize("step", TICK)
def test_a_crash_anywhere_loses_and_repeats_nothing_whatever_the_number_of_lanes(tmp_path, crash_at, step, rounds):
    world = TopicWorld(tmp_path)
    world.budget = Budget(records=15)
    crashes = 0
    for lanes in traffic(world, rounds):
        for which in (1, 2, 3, None):
            crash_at(f"{step}:{which}" if which else None)
            try:
                with world.session(lanes=lanes) as session:
                    world.ingest(session)
            except Crash:
                crashes += 1
    assert crashes >= len(rounds)
    with world.session(lanes=2) as session:
        world.ingest(session)
        ids = [i for i in world.ids(session) if i.startswith("p")]
        assert sorted(ids) == sorted(f"p{p}-{n}" for p in range(4) for n in range(10 * len(rounds)))
        assert len(world.ids(session)) == 44 * len(rounds)
        assert len(world.ids(session, "duplicates")) == 4 * len(rounds)
        assert verify(session).findings == []
        before = world.state(session)
        rebuild(session, "app", *ALL, world.now)
        assert world.state(session) == before


def test_an_old_lanes_batch_that_never_reached_logs_is_applied_in_the_new_epoch(world, crash_at):
    world.put(0, sent("s", 1, world.now))
    with world.session(lanes=1) as session:
        crash_at("raw_committed:1")
        with pytest.raises(Crash):
            world.ingest(session)
    crash_at(None)
    world.put(1, sent("s", 1, world.now))
    with world.session(lanes=2) as session:
        world.ingest(session, lane=1)
        assert any(f.what == "unfinished" for f in verify(session).findings)
        assert has_news(session, world.now, lane=0) == ["app"]
        report = world.ingest(session, lane=0)
        assert [(b.lane, b.sequence, b.duplicates) for b in report.batches] == [("0.0", 1, 1)]
        assert world.ids(session) == ["s-1"]
        check(session, 2)


def test_replay_repairs_raw_of_any_lane_and_epoch(world):
    for lanes in (1, 2):
        for partition in range(3):
            world.put(partition, *[sent(f"p{partition}.{lanes}", n, world.now) for n in range(4)])
        with world.session(lanes=lanes) as session:
            world.ingest(session)
    with world.session(lanes=2) as session:
        before = world.state(session), world.versions(session)
        replay(session, "app", *ALL, world.now)
        assert (world.state(session), world.versions(session)) == before
        snapshot = session.lake.raw("app").snapshot()
        for file in snapshot.files():  # all of it: two lanes of one epoch, one of the other, in one commit
            duckdb.sql(
                f"COPY (SELECT * REPLACE ('x'::BLOB AS value) FROM '{file.url}') TO '{file.url}' (FORMAT parquet)"
            )
        assert len([f for f in verify(session).findings if f.what == "raw"]) == 3
        (change,) = replay(session, "app", *ALL, world.now)
        assert change.changed
        assert world.state(session) == before[0]
        assert verify(session).findings == []
        assert [r.lane for r in load_receipts(session.lake, "app") if r.kind == "replay"] == ["0.0", "1.0", "1.1"]
        world.put(1, wire(world.now))
        world.ingest(session)
        assert verify(session).findings == []


def test_new_parsing_rules_move_records_of_every_lane(world):
    for lanes in (1, 2):
        for partition in range(3):
            world.put(partition, wire(START, at=START // 1_000_000 - 7200, n=lanes))
        with world.session(lanes=lanes) as session:
            world.ingest(session)
    with world.session(lanes=2, event_time={"field": "at", "unit": "s"}) as session:
        rebuild(session, "app", *ALL, world.now)
        assert {row[0] for row in world.rows(session, columns="hour")} == {"03"}
        check(session, 6)
        versions = world.versions(session)
        rebuild(session, "app", *ALL, world.now)
        assert world.versions(session) == versions


def test_retention_deletes_what_every_lane_brought(world):
    world.put(0, wire(world.now))
    world.put(1, wire(world.now))
    with world.session(lanes=2, retention={"raw": "2h", "logs": "2h"}) as session:
        world.ingest(session)
        expire(session, world.now + 30 * HOUR)
        assert world.rows(session, "raw") == world.rows(session) == []
        assert verify(session).findings == []
        world.now += 30 * HOUR
        world.put(1, wire(world.now))
        world.ingest(session)
        assert len(world.rows(session)) == 1
        assert verify(session).findings == []


def test_a_source_that_is_away_when_the_epoch_changes_leaves_the_old_one_as_it_was(world):
    world.put(0, wire(world.now))
    with world.session(lanes=1) as session:
        world.ingest(session)
        world.log.reachable = False
        with world.session(lanes=2) as changed:
            report = run_tick(changed, lambda: world.now, until_caught_up=True)
            assert list(report.failures) == ["app"]
        world.log.reachable = True
        assert world.lanes(session) == [["0.0"]]
        world.put(1, wire(world.now))
        world.ingest(session)
        check(session, 2)


def test_a_last_receipt_of_an_old_lane_that_was_removed_is_found(world):
    for lanes in (1, 2):
        world.put(0, wire(world.now, n=lanes))
        with world.session(lanes=lanes) as session:
            world.ingest(session)
    with world.session(lanes=2) as session:
        table = session.lake.receipts()
        snapshot = table.snapshot()
        last = [f for f in snapshot.files() if "/0.0-000000000001" in f.path]
        snapshot.commit(remove=last, transactions={"app/0.0": 0}, metadata={}, now=world.now)
        told = {f.where for f in verify(session).findings if f.what == "chain"}
        assert {where.split(" (")[0] for where in told} >= {"receipt 1.0/0", "receipt 1.1/0"}


def test_the_eleventh_epoch_comes_after_the_third(world):
    for lanes in (1, 2) * 6:
        world.put(0, wire(world.now))
        with world.session(lanes=lanes) as session:
            world.ingest(session)
    with world.session(lanes=2) as session:
        assert len(world.lanes(session)) == 12
        check(session, 12)


def test_a_quiet_lane_starts_again_when_compaction_has_merged_the_receipts_of_a_day(world):
    with world.session(lanes=2) as session:
        world.put(1, wire(world.now))
        for _ in range(5):
            world.put(0, wire(world.now))
            world.ingest(session)
        compact(session, world.now + 48 * HOUR)
    with world.session(lanes=2) as session:
        world.put(1, wire(world.now))
        assert [b.lane for b in world.ingest(session).batches] == ["0.1"]
        check(session, 7)


def test_a_receipt_that_another_lane_could_not_file_any_more_is_filed_by_the_first_lane(world, crash_at):
    world.put(1, wire(world.now))
    with world.session(lanes=2) as session:
        world.ingest(session)
        world.put(1, wire(world.now))
        crash_at("raw_committed:1")
        with pytest.raises(Crash):
            world.ingest(session, lane=1)
    crash_at(None)
    with world.session(lanes=2) as session:
        assert any(f.what == "unfinished" for f in verify(session).findings)
        assert has_news(session, world.now, lane=0) == ["app"]
        world.ingest(session, lane=0)
        receipts = [(r.lane, r.sequence) for r in load_receipts(session.lake, "app")]
        assert receipts == [("0.0", 0), ("0.1", 0), ("0.1", 1), ("0.1", 2)]
        world.ingest(session, lane=1)
        check(session, 2)


def test_a_loss_is_in_a_receipt_also_when_nothing_comes_after_it(world):
    world.put(0, *[wire(world.now, n=n) for n in range(5)])
    with world.session(lanes=2) as session:
        world.ingest(session)
        world.put(0, *[wire(world.now, n=n) for n in range(5)])
        world.log.trim("t", 0, 10)
        assert has_news(session, world.now) == ["app"]
        report = world.ingest(session)
        assert [(b.records, b.problems) for b in report.batches] == [(0, 1)]
        assert has_news(session, world.now) == []
        last = load_receipts(session.lake, "app")[2]
        assert [(p["kind"], p["position"], p["end"]) for p in last.detail["problems"]] == [("lost", 5, 10)]
        world.put(0, wire(world.now))
        world.ingest(session)
        assert [f.what for f in verify(session).findings] == ["lost"]
        assert len(world.rows(session)) == 6


def test_a_loss_of_which_nobody_knows_how_much_it_is_is_listed(world, monkeypatch):
    world.put(0, *[wire(world.now, n=n) for n in range(5)])
    with world.session(lanes=2) as session:
        world.ingest(session)
        whole = MemorySource.plan

        def made_anew(source, now, budget):
            problem = Problem("lost", "t", 5, "topic t was deleted and made again", partition=0)
            plan = whole(source, now, budget)
            return replace(plan, problems=(*plan.problems, problem)) if plan.spans else plan

        monkeypatch.setattr(MemorySource, "plan", made_anew)
        world.put(0, wire(world.now))
        world.ingest(session)
        [finding] = verify(session).findings
        assert (finding.what, finding.where) == ("lost", "t/0 from 5")
        assert "made again" in finding.detail


def test_spans_that_a_source_ends_early_are_read_on_in_the_same_run(world, monkeypatch):
    world.put(0, *[wire(world.now, n=n) for n in range(50)])
    with world.session() as session:
        source = session.pipeline("app").source
        read = source.read

        def short(span, make_framer):
            return read(replace(span, end=min(span.end, span.start + 10)), make_framer)

        monkeypatch.setattr(source, "read", short)
        assert [b.records for b in world.ingest(session).batches] == [10] * 5
