"""What the protocol relies on of HDFS, shown with processes that are killed and a NameNode that falls silent."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import psutil
import pyarrow.parquet as pq
import pytest
from integration.hdfs_processes import NAME, ROWS
from integration.hdfs_world import HdfsWorld
from world import HOUR, sent, wire

from nw_platform.errors import LakeError
from nw_platform.ingest.retention import expire
from nw_platform.ingest.steps import Step
from nw_platform.ingest.tick import run_tick
from nw_platform.ingest.verify import verify
from nw_platform.lake.engine import connect
from nw_platform.lake.remote import was_replaced
from nw_platform.lake.store import Lake
from nw_platform.reports.publish import report_files

PIECES = f"""SELECT min(c0) // {ROWS}, max(c3) // {ROWS}, count(*), sum(c0), sum(c1), sum(c2), sum(c3)
FROM read_parquet('{{}}')"""

pytestmark = [pytest.mark.services, pytest.mark.timeout(240)]

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


def started(action: str, lake: str, work: Path, *arguments: str, **environ: str) -> subprocess.Popen[str]:
    work.mkdir(exist_ok=True)
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}", **environ}
    command = [sys.executable, str(HERE / "hdfs_processes.py"), action, lake, str(work), *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def test_a_report_file_is_whole_whenever_it_is_read_and_whoever_is_killed(tmp_path, hdfs):
    url = f"{hdfs.rpc}{hdfs.folder}/lake"
    lake = Lake(url, work=tmp_path)
    reports = report_files(lake.reports_root)
    seen: set[int] = set()
    for attempt in range(3):
        with started("replace", url, tmp_path / f"{attempt}") as writer:
            assert writer.stdout is not None
            writer.stdout.readline()  # there is a file now
            began, reads = time.monotonic(), 0
            while reads < 20 or time.monotonic() - began < 4 + attempt * 0.13:
                with connect() as connection:
                    try:
                        (found,) = connection.execute(PIECES.format(reports.url(NAME))).fetchall()
                    except duckdb.Error as error:
                        assert was_replaced(error), error  # noqa: PT017  (any other is a half file)
                        continue
                (number, *_) = found
                assert found == (number, number, ROWS, *(sum(range(number * ROWS, (number + 1) * ROWS)),) * 4)
                seen.add(number)
                reads += 1
            writer.kill()
        table = pq.read_table(io.BytesIO(reports.data(NAME) or b""))
        assert table["c0"].to_pylist() == table["c3"].to_pylist()
    assert len(seen) > 3


def test_of_processes_that_commit_the_same_step_one_wins_each(tmp_path, hdfs):
    url, count = f"{hdfs.rpc}{hdfs.folder}/lake", 25
    racers = [started("commit", url, tmp_path / name, name, str(count)) for name in ("a", "b", "c")]
    with ThreadPoolExecutor() as pool:
        said = [text.split() for text, _ in pool.map(lambda racer: racer.communicate(timeout=200), racers)]
    assert [racer.returncode for racer in racers] == [0, 0, 0]
    taken = sorted(int(number) for numbers in said for number in numbers)
    assert taken == list(range(count))
    assert sum(bool(numbers) for numbers in said) > 1
    lake = Lake(url, work=tmp_path)
    files = lake.raw("s").snapshot().files()
    assert sorted(file.statistics["sequence"] for file in files) == [(n, n) for n in range(count)]
    assert lake.raw("s").orphans() == []


def test_what_a_killed_writer_left_is_never_read_and_goes_with_retention(tmp_path, hdfs):
    world = HdfsWorld(tmp_path, hdfs)
    world.write("app/a.log", wire(world.now, id="a"))
    with world.session() as session:
        world.ingest(session)
        left = "lake/raw/stream=app/dt=2026-11-22/hour=05/.half.parquet.tmp.1"
        world.client.write(f"{world.folder}/{left}", data=b"PAR1 half")
        world.client.set_times(f"{world.folder}/{left}", modification_time=world.now // 1000)
        assert verify(session).findings == []
        assert world.rows(session, columns="event_id") == [("a",)]
        assert left.rpartition("/")[2] in " ".join(world.names("lake"))
        (lone,) = expire(session, world.now + 25 * HOUR)
        assert lone.deleted_files >= 1
        assert left.rpartition("/")[2] not in " ".join(world.names("lake"))
        assert world.rows(session, columns="event_id") == [("a",)]


KILLS = (Step.GENESIS_COMMITTED, Step.RAW_WRITTEN, Step.RAW_COMMITTED, Step.DUPLICATES_COMMITTED, Step.LOGS_WRITTEN)


def test_runs_that_are_killed_lose_and_repeat_nothing(tmp_path, hdfs):
    world = HdfsWorld(tmp_path, hdfs)
    for part in range(4):
        lines = [sent("s", part * 300 + i, world.now - (i % 2) * HOUR, fields={"n": i}) for i in range(300)]
        lines += [sent("s", part * 300 - i, world.now - (i % 2) * HOUR) for i in range(1, 8) if part]
        world.write(f"app/{part}.log", b"".join([*lines, b"broken\n"]))
    for step in KILLS:
        with started("ingest", world.lake, tmp_path, NW_CRASH_AT=f"{step}:1") as process:
            assert process.wait(100) == -signal.SIGKILL
    with started("ingest", world.lake, tmp_path) as process, contextlib.suppress(subprocess.TimeoutExpired):
        process.communicate(timeout=3)
        process.kill()
    with started("ingest", world.lake, tmp_path) as process:
        assert process.wait(150) == 0
    with world.session() as session:
        numbers = [row[0] for row in world.rows(session, columns="seq")]
        assert sorted(n for n in numbers if n is not None) == list(range(1200))
        assert numbers.count(None) == 4
        assert len(world.rows(session, "duplicates")) == 21
        assert verify(session).findings == []


@contextlib.contextmanager
def silent(hdfs):
    """Its process is stopped: connections are accepted, and nothing is ever said."""
    (pid,) = [c.pid for c in psutil.net_connections("tcp4") if c.status == "LISTEN" and c.laddr.port == port(hdfs.rpc)]
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def port(url: str) -> int:
    return int(url.rpartition(":")[2])


@pytest.mark.parametrize("scheme", ["webhdfs", "hdfs"])
def test_a_silent_namenode_fails_each_stream_in_one_line_and_in_time(tmp_path, own_hdfs, scheme):
    world = HdfsWorld(tmp_path, own_hdfs, scheme)
    world.lake = str(tmp_path / "lake")  # this is about the landing zone
    world.write("app/a.log", wire(world.now, id="a"))
    with world.session() as session:
        world.ingest(session)
        world.write("app/b.log", wire(world.now, id="b"))
        with silent(own_hdfs):
            began = time.monotonic()
            report = run_tick(session, lambda: world.now, until_caught_up=True)
            assert time.monotonic() - began < 10
            assert "did not answer within 3 s" in report.failures["app"]
            assert "\n" not in report.failures["app"]
            began = time.monotonic()
            assert run_tick(session, lambda: world.now, until_caught_up=True).failures
            assert time.monotonic() - began < 1  # it is known to be silent, and not waited for again
        deadline = time.monotonic() + 60
        while run_tick(session, lambda: world.now, until_caught_up=True).failures:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert sorted(world.rows(session, columns="event_id")) == [("a",), ("b",)]


def test_a_lake_whose_namenode_is_silent_says_so_in_time(tmp_path, own_hdfs):
    world = HdfsWorld(tmp_path, own_hdfs)
    world.write("app/a.log", wire(world.now, id="a"))
    with world.session() as session:
        world.ingest(session)
        with silent(own_hdfs):
            began = time.monotonic()
            with pytest.raises(LakeError, match="did not answer"):
                session.lake.raw("app").snapshot()
            with pytest.raises(LakeError, match="did not answer"):
                session.lake.logs("app").snapshot()
            assert time.monotonic() - began < 20
        deadline = time.monotonic() + 60
        while run_tick(session, lambda: world.now, until_caught_up=True).failures:
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert verify(session).findings == []
