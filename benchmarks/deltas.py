"""What the 60th minute of an hour costs, beside the first: a batch must not grow dearer with what is there already.

Each delta is one file of new wire records and one tick in a process of its own, so what it knows of the hour's ids is
what the hints on disk say.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import data
from benchmarks.alone import Taken, run_alone
from benchmarks.figures import Figure
from benchmarks.ingest import configuration
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.record.hours import to_us
from nw_platform.settings import parse

_START: Final = to_us(datetime(2026, 11, 20, 5, tzinfo=UTC))
_MINUTE_US: Final = 60_000_000
_NEIGHBOURS: Final = 5
_STREAM: Final = {
    "source": "landing",
    "path": "*.json",
    "format": "json",
    "columns": {"status": "int32"},
    "late_after": "never",
}


def figures(ids: str, folder: Path, *, minutes: int, per_second: int) -> Iterator[Figure]:
    """Ingest minute after minute; the last against the first, each as the median of a few neighbours."""
    landing = folder / "landing"
    landing.mkdir(parents=True)
    taken: list[Taken] = []
    for minute in range(minutes):
        path = landing / f"{minute:02d}.json"
        count = data.wire_minute(path, minute, per_second, ids)
        now = _START + (minute + 1) * _MINUTE_US - 1_000_000  # still within the hour
        os.utime(path, ns=((now - _MINUTE_US // 2) * 1000,) * 2)
        took = run_alone("benchmarks.deltas:delta", folder=str(folder), now=now)
        if took.result != count:
            raise SystemExit(f"minute {minute}: {count} records were written, {took.result} are new in logs")
        path.unlink()
        taken.append(took)
    few = min(_NEIGHBOURS, minutes // 2)
    for what, costs in (("time", [t.seconds for t in taken]), ("CPU", [t.cpu for t in taken])):
        first, last = statistics.median(costs[:few]), statistics.median(costs[-few:])
        yield Figure(
            f"deltas of {per_second:,} records/s, {ids} ids: {what} of the {minutes}th, of the first",
            last / first,
            at_most=1.5,
            detail=f"{last:.2f} s beside {first:.2f} s",
        )
    peak = max(t.peak for t in taken) / (1 << 30)
    yield Figure(f"deltas of {per_second:,} records/s, {ids} ids: peak memory", peak, " GiB", at_most=1.5)


def delta(folder: str, now: int, *, whole: bool = False) -> int:
    """One tick at `now`; `whole`: until nothing is left. Returns how many records are new in logs."""
    root = Path(folder)
    settings = parse(configuration(root, root / "landing", _STREAM), base=folder, origin="benchmark")
    with Session(settings) as session:
        report = run_tick(session, lambda: now, until_caught_up=whole)
    if report.failures or report.problems:
        raise SystemExit(f"the platform failed: {report.failures} {report.problems}")
    return sum(batch.normal for batch in report.batches)
