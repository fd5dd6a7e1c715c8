"""The whole platform on a real HDFS: landing zone and lake there, every command on them."""

from __future__ import annotations

import gzip
import random
import time

import pytest
from integration.hdfs_world import HdfsWorld
from world import HOUR, MINUTE, sent, wire

from nw_platform.ingest.compact import compact
from nw_platform.ingest.rebuild import rebuild
from nw_platform.ingest.replay import replay
from nw_platform.ingest.retention import expire
from nw_platform.ingest.tick import run_tick
from nw_platform.ingest.verify import verify
from nw_platform.reports.build import build
from nw_platform.reports.views import open_sql, run_query

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

ALL = ("1970-01-01T00", "2100-01-01T00")
LATER = 30 * HOUR
COLUMNS = "event_time, event_id, host, message, series, reject_reason, source, source_start"


@pytest.fixture(params=["webhdfs", "hdfs"])
def world(request, tmp_path, hdfs):
    return HdfsWorld(tmp_path, hdfs, request.param)


def fill(world) -> None:
    """50 records of two hours, a repeated one and a broken line in each of two files."""
    for part in range(2):
        lines = [sent("s", part * 50 + i, world.now - (i % 2) * HOUR, message=f"m {i}") for i in range(50)]
        world.write(f"app/{part}.log", b"".join([*lines, lines[0], b"broken\n"]))


def test_ingestion_repairs_and_retention(world):
    fill(world)
    for name in ("c.log._COPYING_", ".d.log", "_e.log", ".Trash/f.log", "_dir/g.log"):
        world.write(f"app/{name}", b"half")
    with world.session() as session:
        batches = world.ingest(session).batches
        assert sum(b.records for b in batches) == 104
        assert sum(b.duplicates for b in batches) == 2
        rows = world.rows(session, columns=COLUMNS)
        assert len(rows) == 102
        versions = world.versions(session)
        assert world.ingest(session).batches == []
        assert sum(c.changed for c in replay(session, "app", *ALL, world.now)) == 0
        assert sum(c.changed for c in rebuild(session, "app", *ALL, world.now)) == 0
        assert world.versions(session) == versions

        lost = session.lake.raw("app").snapshot().files()[0]
        world.client.delete(f"{world.folder}/lake/raw/stream=app/{lost.path}")
        assert {f.what for f in verify(session).findings} >= {"raw"}
        assert sum(c.changed for c in replay(session, "app", *ALL, world.now)) > 0
        assert verify(session).findings == []
        assert world.rows(session, columns=COLUMNS) == rows

        world.write("app/2.log", wire(world.now, id="x") + wire(world.now - HOUR, id="y"))
        world.ingest(session)
        rows = world.rows(session, columns=COLUMNS)
        assert compact(session, world.now + LATER)
        assert compact(session, world.now + LATER) == []
        assert world.rows(session, columns=COLUMNS) == rows
        assert verify(session).findings == []

    with world.session(retention={"raw": "2h", "logs": "2h"}) as session:
        expire(session, world.now + LATER)
        assert world.rows(session) == []
        assert verify(session).findings == []


def test_a_file_that_grows_and_is_rotated_is_read_once(world):
    path = world.write("app/a.log", wire(world.now, id="1") + b'{"ts": 17')
    with world.session(growing=True) as session:
        world.ingest(session)
        world.client.write(path, b"95325400000}\n" + wire(world.now, id="3"), append=True)
        world.ingest(session)
        world.client.rename(path, f"{path}.1")
        world.write("app/a.log", wire(world.now, id="4"))
        world.now += MINUTE
        world.ingest(session)
        world.ingest(session)
        assert len(world.rows(session)) == 4
        assert {row[0] for row in world.rows(session, columns="reject_reason")} == {None}
        assert verify(session).findings == []


def test_a_file_that_is_still_being_written_is_read_as_far_as_it_is_whole(world):
    lines = [wire(world.now, id=str(i), message="x" * 500) for i in range(4000)]
    path = world.write("app/a.log", b"")
    read = []
    with world.session(growing=True) as session:
        for at in range(0, 4000, 1000):
            piece = b"".join(lines[at : at + 1000])
            world.client.write(path, piece[:-7], append=True)
            world.ingest(session)
            read.append(len(world.rows(session, columns="event_id")))
            world.client.write(path, piece[-7:], append=True)
        world.ingest(session)
        ids = [row[0] for row in world.rows(session, columns="event_id")]
        assert read == [999, 1999, 2999, 3999]
        assert (len(ids), len(set(ids))) == (4000, 4000)


def test_packed_files_odd_names_and_what_is_damaged(world):
    noise = random.Random(5).randbytes  # noqa: S311  (no secret)
    lines = b"".join(wire(world.now, id=str(i), message=noise(400).hex()) for i in range(2000))
    packed = gzip.compress(lines)
    world.write("app/whole.log.gz", packed)
    world.write("app/cut.log.gz", packed[: len(packed) // 2])
    for n, name in enumerate(
        ["sp ace.log", "pct%20x.log", "a=b.log", "ümlaut.log", "ha#sh.log", "q?x.log", "pl+us.log"]
    ):
        world.write(f"app/{name}", wire(world.now, id=f"odd {n}"))
    with world.session() as session:
        report = run_tick(session, lambda: world.now, until_caught_up=True)
        assert [p.problem.kind for p in report.problems] == ["damaged"]
        ids = {row[0] for row in world.rows(session, columns="event_id")}
        assert ids == {*map(str, range(2000)), *(f"odd {n}" for n in range(7))}
        assert verify(session).findings == []


def test_reports_are_built_replaced_and_read(tmp_path, hdfs):
    world = HdfsWorld(tmp_path, hdfs)
    fill(world)
    configuration = world.settings()
    with world.session() as session:
        world.ingest(session)
        lake = session.lake
        assert build(lake, configuration, now=world.now).refused == []
        lines = "SELECT lines, duplicates FROM summary_report WHERE grain = 'day'"
        assert run_query(lake, configuration, lines, world.now).rows == [(102, 2)]
        assert run_query(lake, configuration, "SELECT count(*) FROM logs", world.now).rows == [(102,)]
        files = world.names("lake/reports")
        before = {name: world.client.status(f"{world.folder}/lake/reports/{name}")["fileId"] for name in files}
        assert build(lake, configuration, now=world.now).built == []

        world.write("app/late.log", wire(world.now - 2 * MINUTE, id="late"))
        world.ingest(session)
        build(lake, configuration, now=world.now)
        assert run_query(lake, configuration, lines, world.now).rows == [(103, 2)]
        after = {name: world.client.status(f"{world.folder}/lake/reports/{name}")["fileId"] for name in before}
        changed = {name for name in before if before[name] != after[name]}
        earlier = {name for name in before if name.endswith("T04.parquet")}
        assert changed
        assert earlier
        assert not changed & earlier
        assert [name for name in world.names("lake/reports") if ".tmp" in name] == []
        with open_sql(lake, configuration, world.now) as connection, pytest.raises(Exception, match="disabled"):
            connection.execute("SELECT * FROM read_csv('/etc/passwd')").fetchall()


def test_a_namenode_that_is_gone_fails_in_time_and_is_used_again_when_it_is_back(tmp_path, own_hdfs):
    world = HdfsWorld(tmp_path, own_hdfs)
    world.write("app/a.log", wire(world.now, id="a"))
    with world.session() as session:
        world.ingest(session)
        world.write("app/b.log", wire(world.now, id="b"))
        own_hdfs.kill()
        began = time.monotonic()
        report = run_tick(session, lambda: world.now, until_caught_up=True)
        assert time.monotonic() - began < 20
        assert "\n" not in report.failures["app"]
        own_hdfs.start()
        world.ingest(session)
        assert sorted(world.rows(session, columns="event_id")) == [("a",), ("b",)]
        assert verify(session).findings == []
