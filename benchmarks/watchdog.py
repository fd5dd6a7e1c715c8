"""What a look of the watchdog costs: 1,000 streams with five expectations each, on a real lake; 10,000 hosts.

Every stream has a file of its own each minute, so after a tick all of them have news. A look at which nothing is new,
one after such a tick, the first one of a new process, and the judging alone are measured apart.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.figures import Figure
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.record.hours import to_us
from nw_platform.settings import Settings, parse
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import SilenceRule, StreamRules
from nw_platform.watchdog.observations import StreamObservations
from nw_platform.watchdog.observe import TickState, Watch

MINUTE_US: Final = 60_000_000
_START: Final = to_us(datetime(2026, 11, 20, 5, 30, tzinfo=UTC))
_LINES: Final = 20
_EXPECT: Final[list[dict[str, Any]]] = [
    {"kind": "volume", "min_lines": 1, "every": "5m"},
    {"kind": "heartbeat", "every": "1m"},
    {"kind": "error_rate", "max_pct": 5, "at_least": 3},
    {"kind": "file", "name": "dialer-{date}.csv", "by": "23:00"},
    {"kind": "rate", "name": "failing", "where": "status >= 500", "max_pct": 20, "every": "10m"},
]


def figures(folder: Path, *, streams: int, hosts: int) -> Iterator[Figure]:
    """Make the lake, look at it, and time each kind of look. Nobody's data: all of it is made here."""
    settings = _settings(folder, streams)
    rules = rules_of_all(settings)
    with Session(settings) as session:
        now = _START
        for _ in range(2):
            now = _minute(session, folder, streams, now)
        watch = Watch(session.lake, folder=folder / "watch")

        def look() -> int:
            found = watch.findings(rules, now, TickState(ingested_until=now))
            watch.commit()
            return len(found)

        of = f"{streams:,} streams x {len(_EXPECT)} expectations"
        seconds, count = _timed(look)
        yield Figure(f"{of}: the first look of all", seconds, " s", detail=f"{count:,} findings")
        now = _minute(session, folder, streams, now)
        used = time.process_time()
        seconds, _ = _timed(look)
        cpu = f"{time.process_time() - used:.2f} s CPU"
        what = "a look after a tick that brought all of them something"
        yield Figure(f"{of}: {what}", seconds, " s", at_most=5.0, detail=cpu)
        now += MINUTE_US
        before = _written(folder / "watch")
        seconds, count = _timed(look)
        yield Figure(f"{of}: a look at which nothing is new", seconds, " s", at_most=5.0, detail=f"{count:,} findings")
        yield Figure(f"{of}: files written by it", _written(folder / "watch") - before, at_most=0)
        seen = watch.observe(rules, now, TickState(ingested_until=now))
        seconds, _ = _timed(lambda: len(evaluate(rules, seen, now)))
        yield Figure(f"{of}: judging alone", seconds, " s", at_most=5.0)
    seconds, count = _timed(lambda: _judge_hosts(hosts))
    yield Figure(f"{hosts:,} hosts: judging", seconds, " s", at_most=2.0, detail=f"{count:,} findings")


def _judge_hosts(hosts: int) -> int:
    """One stream that so many hosts write to; every thirtieth is silent."""
    last = {f"web-{n:05d}": _START - (n % 30 == 0) * 60 * MINUTE_US for n in range(hosts)}
    seen = StreamObservations("app", live_since=_START - 3600 * MINUTE_US, hosts=last)
    return len(evaluate([StreamRules("app", (SilenceRule(""),))], {"app": seen}, _START))


def _settings(folder: Path, streams: int) -> Settings:
    declared = {
        f"s{n:04d}": {
            "path": f"landing/s{n:04d}/*.log",
            "format": "json",
            "columns": {"status": "int32"},
            "growing": False,
            "history": {"from": "2026-11-01"},
            "expect": _EXPECT,
        }
        for n in range(streams)
    }
    for name in declared:
        (folder / "landing" / name).mkdir(parents=True)
    text = json.dumps({"streams": declared})
    return parse(text, base=str(folder), origin=str(folder / "neverwinter.yaml"))


def _minute(session: Session, folder: Path, streams: int, now: int) -> int:
    """A minute passes: every stream gets a file, and one tick ingests all of them. Returns the new time."""
    now += MINUTE_US
    for n in range(streams):
        path = folder / "landing" / f"s{n:04d}" / f"{now}.log"
        lines = (
            {"ts": (now - second * 1_000_000) // 1000, "host": f"host-{second % 4}", "status": 200, "message": "m"}
            for second in range(_LINES)
        )
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
        os.utime(path, ns=((now - MINUTE_US) * 1000,) * 2)
    report = run_tick(session, lambda: now, until_caught_up=True)
    if report.failures or len(report.batches) < streams:
        raise SystemExit(f"{len(report.batches)} of {streams} streams were read: {report.failures}")
    return now


def _written(folder: Path) -> float:
    """When the youngest file below a folder was written."""
    return max((path.stat().st_mtime_ns for path in folder.rglob("*")), default=0)


def _timed(call: Callable[[], int]) -> tuple[float, int]:
    """Seconds, and what was returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result
