"""Replay, rebuild, compaction, retention and verification: what they mend, what they leave, what they find."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from world import HOUR, MINUTE, sent, wire

from nw_platform.errors import ExpiredError, LakeError
from nw_platform.ingest import apply
from nw_platform.ingest.compact import compact
from nw_platform.ingest.completeness import hour_balances
from nw_platform.ingest.rebuild import rebuild
from nw_platform.ingest.replay import replay
from nw_platform.ingest.retention import expire
from nw_platform.ingest.steps import Step
from nw_platform.ingest.tick import run_tick
from nw_platform.ingest.verify import verify
from nw_platform.record.hours import next_hour
from nw_platform.sources.contract import Budget

ALL = ("1970-01-01T00", "2100-01-01T00")
LATER = 3 * HOUR


@pytest.fixture
def filled(world):
    """Five batches over three event hours, with repeats, late records and rejects."""
    for part in range(5):
        at = world.now - (part % 3) * HOUR
        lines = [sent("s", part * 10 + i, at + i * 1000, fields={"n": i}) for i in range(10)]
        lines += [sent("s", part * 10, at), wire(at, id=f"x{part}"), wire(at, id=f"x{part}"), b"broken\n"]
        world.write(f"app/{part}.log", b"".join(lines))
        with world.session() as session:
            world.ingest(session)
        world.now += MINUTE
    return world


def everything(world, session):
    order = "source, source_partition, source_start"
    return world.rows(session, order=order), world.rows(session, "duplicates", order=order)


def data_files(world, table):
    return sorted((world.root / "lake" / table / "stream=app").rglob("*.parquet"))


def test_a_rebuild_of_everything_finds_nothing_to_change(filled):
    with filled.session() as session:
        before, versions = everything(filled, session), filled.versions(session)
        changes = rebuild(session, "app", *ALL, filled.now)
        assert [c.changed for c in changes] == [0, 0, 0]
        assert sum(c.rows_after for c in changes) == len(before[0])
        assert filled.versions(session) == versions
        assert everything(filled, session) == before


def test_compaction_changes_files_and_no_row_and_equals_a_rebuild(filled):
    with filled.session() as session:
        before = everything(filled, session)
        merged = compact(session, filled.now + LATER)
        assert {m.table for m in merged} == {"raw", "logs"}
        assert compact(session, filled.now + LATER) == []
        assert everything(filled, session) == before
        assert all(s.files == 1 for s in session.lake.logs("app").snapshot().hours().values())
        for file in data_files(filled, "logs"):
            if file.name.startswith("compacted"):
                times = pq.read_table(file)["event_time"].to_pylist()
                assert times == sorted(times)
        assert [c.changed for c in rebuild(session, "app", *ALL, filled.now)] == [0, 0, 0]
        assert verify(session).findings == []


def test_the_open_hour_is_not_compacted(filled):
    with filled.session() as session:
        hours = {m.hour for m in compact(session, filled.now)}
        assert "2026-11-22T05" not in hours


def test_logs_that_were_lost_are_rebuilt(filled):
    with filled.session() as session:
        before = everything(filled, session)
        data_files(filled, "logs")[0].unlink()
        assert verify(session).findings
        assert sum(c.changed for c in rebuild(session, "app", *ALL, filled.now)) > 0
        assert everything(filled, session) == before
        assert verify(session).findings == []


def test_a_batch_that_is_not_in_logs_yet_is_one_finding_and_not_one_for_each_record(filled, monkeypatch):
    def stopped(step):
        if step == Step.DUPLICATES_COMMITTED:
            raise LakeError("stopped")

    monkeypatch.setattr(apply, "reached", stopped)
    filled.write("app/new.log", wire(filled.now, id="n") * 3)
    with filled.session() as session:
        assert run_tick(session, lambda: filled.now).failures
        [finding] = verify(session).findings
        assert (finding.what, "nw ingest" in finding.detail) == ("unfinished", True)
    monkeypatch.undo()
    with filled.session() as session:
        filled.ingest(session)
        assert verify(session).findings == []


def test_new_parsing_rules_move_records_and_every_hour_involved_is_rebuilt(filled):
    with filled.session() as session:
        rows = len(filled.rows(session))
    declared = {"event_time": {"field": "ts", "unit": "us"}}  # the same numbers, read as microseconds: 1970
    with filled.session(**declared) as session:
        changes = rebuild(session, "app", "2026-11-22T05", "2026-11-22T06", filled.now)
        assert {c.hour[:4] for c in changes} == {"1970", "2026"}
        times = {str(row[0])[:4] for row in filled.rows(session, "logs", "event_time") if row[0] is not None}
        assert "1970" in times
        assert all(balance.whole for balance in hour_balances(session.lake, "app").values())
        assert len(filled.rows(session)) + len(filled.rows(session, "duplicates")) >= rows
        assert verify(session).findings == []
        assert [c.changed for c in rebuild(session, "app", *ALL, filled.now)] == [0] * len(
            hour_balances(session.lake, "app")
        )


def test_a_rebuild_after_columns_were_added_and_taken_away(world):
    world.write("app/a.log", wire(world.now, fields={"n": 1, "m": 2}))
    with world.session(columns={"n": "int64"}) as session:
        world.ingest(session)
    with world.session(columns={"m": "int64"}) as session:
        rebuild(session, "app", *ALL, world.now)
        assert world.rows(session, "logs", "n, m, extra") == [(None, 2, '{"n":1}')]
        assert [c.changed for c in rebuild(session, "app", *ALL, world.now)] == [0]
        assert verify(session).findings == []


def test_a_replay_that_finds_the_same_bytes_commits_nothing(filled):
    with filled.session() as session:
        versions = filled.versions(session)
        (change,) = replay(session, "app", *ALL, filled.now)
        assert (change.rows_before, change.rows_after, change.changed, change.kept) == (70, 70, 0, 0)
        assert filled.versions(session) == versions


@pytest.mark.parametrize("compacted", [False, True])
def test_raw_that_was_lost_is_replayed(filled, compacted):
    with filled.session() as session:
        if compacted:
            compact(session, filled.now + LATER)
        before = everything(filled, session)
        raw = sorted(filled.rows(session, "raw"), key=str)
        snapshot = session.lake.raw("app").snapshot()
        lost = filled.root / "lake" / "raw" / "stream=app" / snapshot.files()[0].path
        lost.unlink()
        findings = verify(session).findings
        assert {f.what for f in findings} >= {"raw"}
        (dry,) = replay(session, "app", *ALL, filled.now, dry_run=True)
        assert dry.changed > 0
        assert verify(session).findings == findings
        (change,) = replay(session, "app", *ALL, filled.now)
        assert change.changed == dry.changed
        assert sorted(filled.rows(session, "raw"), key=str) == raw
        assert everything(filled, session) == before
        assert verify(session).findings == []
        assert replay(session, "app", *ALL, filled.now)[0].changed == 0


def test_what_the_source_no_longer_has_is_kept_and_said(filled):
    (filled.landing / "app" / "2.log").unlink()
    with filled.session() as session:
        before = everything(filled, session)
        (change,) = replay(session, "app", *ALL, filled.now)
        assert (change.changed, change.kept) == (0, 14)
        assert "2.log" in change.note
        assert everything(filled, session) == before


def test_altered_raw_is_found_and_replayed(filled):
    with filled.session() as session:
        file = data_files(filled, "raw")[1]
        rows = pq.read_table(file, partitioning=None)
        values = [b"forged" if i == 3 else v for i, v in enumerate(rows["value"].to_pylist())]
        forged = rows.set_column(rows.schema.names.index("value"), "value", pa.array(values, pa.binary()))
        pq.write_table(forged, file)
        (finding,) = [f for f in verify(session).findings if f.what == "raw"]
        assert "batch 0.0/" in finding.where
        (change,) = replay(session, "app", *ALL, filled.now)
        assert change.changed == 14
        assert verify(session).findings == []


def test_records_slipped_in_by_a_commit_are_found(filled):
    with filled.session() as session:
        row = pq.read_table(data_files(filled, "raw")[0], partitioning=None).slice(0, 1)
        forged = row.append_column("dt", pa.array(["2026-11-22"])).append_column("hour", pa.array(["05"]))
        forged = forged.set_column(forged.schema.names.index("sequence"), "sequence", pa.array([99], pa.int64()))
        write_deltalake(str(filled.root / "lake" / "raw" / "stream=app"), forged, mode="append")
        details = [f for f in verify(session).findings if f.what == "raw"]
        assert [f.where for f in details] == ["batch 0.0/99"]


def test_an_altered_receipt_breaks_the_chain(filled):
    with filled.session() as session:
        files = sorted((filled.root / "lake" / "receipts").rglob("*.parquet"))
        rows = pq.read_table(files[2], partitioning=None)
        column = pa.array([n + 1 for n in rows["records"].to_pylist()], pa.int64())
        pq.write_table(rows.set_column(rows.schema.names.index("records"), "records", column), files[2])
        assert "chain" in {f.what for f in verify(session).findings}


def test_a_file_that_no_commit_names_is_never_read_and_reported_as_an_orphan(filled):
    with filled.session() as session:
        rows = len(filled.rows(session))
        file = data_files(filled, "logs")[0]
        (file.parent / "stray.parquet").write_bytes(file.read_bytes())
        report = verify(session)
        assert report.findings == []
        assert [o.rsplit("/", 1)[1] for o in report.orphans] == ["stray.parquet"]
        assert len(filled.rows(session)) == rows


def test_retention_deletes_raw_by_receipt_and_then_refuses_what_it_cannot_do(filled):
    with filled.session(retention={"raw": "1h"}) as session:
        much_later = filled.now + 5 * HOUR
        (dry,) = expire(session, much_later, dry_run=True)
        assert (dry.raw_records, dry.logs_records) == (70, 0)
        rows = everything(filled, session)
        (done,) = expire(session, much_later)
        assert done.raw_records == 70
        assert filled.rows(session, "raw") == []
        assert everything(filled, session) == rows
        assert verify(session).findings == []
        assert all(balance.whole for balance in hour_balances(session.lake, "app").values())
        with pytest.raises(ExpiredError, match="retention"):
            rebuild(session, "app", *ALL, much_later)
        (change,) = replay(session, "app", *ALL, much_later)
        assert (change.changed, change.kept) == (0, 70)
        versions = filled.versions(session)
        expire(session, much_later)
        assert filled.versions(session) == versions


def test_retention_of_logs_leaves_no_gap_that_a_check_would_name(filled):
    with filled.session(retention={"raw": "1h", "logs": "2h"}) as session:
        expire(session, filled.now + 9 * HOUR)
        assert filled.rows(session) == []
        assert hour_balances(session.lake, "app") == {}
        assert verify(session).findings == []


def test_ingestion_goes_on_after_every_repair(filled):
    with filled.session() as session:
        compact(session, filled.now + LATER)
        data_files(filled, "raw")[0].unlink(missing_ok=True)
        replay(session, "app", *ALL, filled.now)
        rebuild(session, "app", *ALL, filled.now)
        filled.write("app/9.log", sent("s", 0, filled.now - 2 * MINUTE) + sent("s", 900, filled.now))
        (batch,) = filled.ingest(session).batches
        assert (batch.records, batch.rejects) == (2, 0)
        assert verify(session).findings == []


@pytest.mark.parametrize("size", [200, 1_000, 7_000])
def test_logs_are_a_function_of_the_lines_and_not_of_the_batches(world, size):
    lines = [sent(f"s{i % 3}", i // 4, world.now - (i % 5) * HOUR, fields={"i": i}) for i in range(200)]
    world.write("app/a.log", b"".join(lines))
    world.budget = Budget(bytes=size)
    with world.session() as session:
        run_tick(session, lambda: world.now, until_caught_up=True)
        rows = world.rows(session, "logs", "* EXCLUDE (ingest_time)", "source_start")
        extra = rows[0][[c.name for c in session.lake.logs("app").snapshot().schema()].index("extra") - 1]
        assert json.loads(extra) == {"i": 0}
        starts = [r[-4] for r in rows]
        kept = {(line["id"], line["ts"] // 3_600_000): n for n, line in reversed([*enumerate(map(json.loads, lines))])}
        positions = [sum(map(len, lines[:n])) for n in sorted(kept.values())]
        assert starts == positions


def test_the_last_receipt_is_vouched_for_by_raws_commit(filled):
    with filled.session() as session:
        files = sorted((filled.root / "lake" / "receipts").rglob("*.parquet"))
        rows = pq.read_table(files[-1], partitioning=None)
        column = pa.array([n + 1 for n in rows["bytes"].to_pylist()], pa.int64())
        pq.write_table(rows.set_column(rows.schema.names.index("bytes"), "bytes", column), files[-1])
        assert [f.detail for f in verify(session).findings] == ["is not what raw's commit says: it was altered"]


def test_rows_slipped_into_logs_are_found_also_where_raw_has_expired(filled):
    with filled.session(retention={"raw": "1h"}) as session:
        expire(session, filled.now + 5 * HOUR)
        assert verify(session).findings == []
        rows = pq.read_table(data_files(filled, "logs")[0], partitioning=None).slice(0, 1)
        forged = rows.append_column("dt", pa.array(["2026-11-21"])).append_column("hour", pa.array(["05"]))
        write_deltalake(str(filled.root / "lake" / "logs" / "stream=app"), forged, mode="append")
        assert [f.where for f in verify(session).findings] == ["event hour 2026-11-21T05"]


def test_logs_that_expire_before_their_raw_are_no_difference(filled):
    with filled.session(retention={"raw": "30d", "logs": "2h"}) as session:
        expire(session, filled.now + HOUR)
        assert len(filled.rows(session)) not in {0, 70}
        assert verify(session).findings == []


def test_verify_names_every_file_of_logs_that_cannot_be_read_and_the_command_that_makes_it_anew(filled):
    *gone, damaged = data_files(filled, "logs")
    damaged.write_bytes(b"PAR1")
    with filled.session() as session:
        [found] = verify(session).findings
        hour = f"{damaged.parts[-3].removeprefix('dt=')}T{damaged.parts[-2].removeprefix('hour=')}"
        assert damaged.name in found.detail
        assert found.detail.endswith(f"; run: nw rebuild app {hour} {next_hour(hour)}")
        for file in gone:
            file.unlink()
        found = verify(session).findings
        assert {f.where.rpartition("/")[2] for f in found if f.detail.startswith("is gone; ")} == {f.name for f in gone}
        for told in found:
            assert "LINE 1" not in told.detail
            assert " run: nw rebuild app " in told.detail
            rebuild(session, *told.detail.rpartition("nw rebuild ")[2].split(), filled.now)
        rebuild(session, "app", hour, next_hour(hour), filled.now)
        assert verify(session).findings == []
