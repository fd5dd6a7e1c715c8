"""What tests run in processes of their own, and kill: `python hdfs_processes.py ACTION LAKE WORK [ARGUMENT]`."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from integration.hdfs_world import opened

from nw_platform.errors import CommitConflictError
from nw_platform.ingest.tick import run_tick
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import file_name
from nw_platform.record.envelope import RAW_SCHEMA
from nw_platform.reports.publish import publish, report_files
from nw_platform.sources.contract import Budget

HOUR = {"dt": "2026-11-22", "hour": "05"}
NAME = "t/grain=day/dt=2026-11-22/2026-11-22.parquet"
ROWS = 400_000


def replace_for_ever(lake: Lake, work: Path) -> None:
    """Replace one report file over and over; each has rows of its own in several pieces, and the size of the others."""
    files = report_files(lake.reports_root)
    for number in itertools.count():
        source = work / "source.parquet"
        columns = {f"c{i}": pa.array(range(number * ROWS, (number + 1) * ROWS)) for i in range(4)}
        pq.write_table(pa.table(columns), source, compression="none", use_dictionary=False, row_group_size=ROWS // 4)
        publish(files, [(source, NAME)])
        print(number, flush=True)  # noqa: T201  (the test counts them)


def commit_numbers(lake: Lake, name: str, count: int) -> None:
    """Take numbers of one lane, in order, until all are taken; print those taken by this process."""
    while True:
        snapshot = lake.raw("s").ensure()
        number = snapshot.transaction("0.0") + 1
        if number >= count:
            return
        with lake.raw("s").writer(file_name("0.0", number), RAW_SCHEMA, HOUR, statistics=("sequence",)) as writer:
            row = {"lane": "0.0", "sequence": number, "source": name, "value": str(number).encode()}
            writer.write(pa.Table.from_pylist([row], schema=RAW_SCHEMA))
            written = writer.close()
        try:
            snapshot.commit(add=[written], transactions={"0.0": number}, metadata={}, now=1_795_000_000_000_000)
        except CommitConflictError:
            lake.raw("s").discard([written])
        else:
            print(number, flush=True)  # noqa: T201  (the test compares them)
        time.sleep(0)


def ingest(root: Path) -> None:
    """What is there, in small batches; NW_CRASH_AT kills it at a step."""
    world = opened(root)
    world.budget = Budget(bytes=40_000)
    with world.session() as session:
        report = run_tick(session, lambda: world.now, until_caught_up=True)
        if report.failures:
            raise SystemExit(str(report.failures))


if __name__ == "__main__":
    action, url, folder, *rest = sys.argv[1:]
    if action == "ingest":
        ingest(Path(folder))
        raise SystemExit
    lake_there = Lake(url, work=Path(folder))
    if action == "replace":
        replace_for_ever(lake_there, Path(folder))
    elif action == "commit":
        commit_numbers(lake_there, rest[0], int(rest[1]))
    else:
        raise SystemExit(f"unknown action {action}")
