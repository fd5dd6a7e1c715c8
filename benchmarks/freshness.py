"""How long from Kafka until readable in `logs`, under `nw up` with a steady stream: `python -m benchmarks freshness`.

A record's freshness is the time of the commit to `logs` that brought it, less its event time: when it was sent. It is
read off the table's own log afterwards, so nothing disturbs the run: records of one commit are taken as spread
evenly between its first and its last event time, which a steady stream makes true.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from benchmarks.figures import Figure
from nw_platform.services.guardian import guarded
from nw_platform.services.kafka import Kafka

_PARTITIONS: Final = 4
_SESSIONS: Final = 40
_SETTLE_S: Final = 150  # after the last record: so long for its tick
_START_S: Final = 300  # for `nw up` to bring its first record in


def figures(folder: Path, *, per_second: int, minutes: float) -> Iterator[Figure]:
    """Send `per_second` records for so many minutes while `nw up` runs."""
    with guarded(folder.with_name(f"{folder.name}-services")) as services:
        bootstrap = Kafka(services).up()["bootstrap"]
        admin = AdminClient({"bootstrap.servers": bootstrap})
        admin.create_topics([NewTopic("app", _PARTITIONS, 1)])["app"].result(60)
        (folder / "neverwinter.yaml").write_text(_configuration(bootstrap))
        producer = _Steady(bootstrap, 10)
        producer.send(1)
        log = folder / "lake" / "logs" / "stream=app" / "_delta_log"
        with (folder / "up.log").open("wb") as said:
            command = [sys.executable, "-m", "nw_platform.cli.main", "-c", str(folder / "neverwinter.yaml"), "up"]
            up = subprocess.Popen([*command, "--port", str(_free_port())], stdout=said, stderr=said)  # noqa: S603  (our own)
            try:
                _wait(lambda: any(log.glob("*.json")) and bool(_commits(log)), _START_S, up, folder / "up.log")
                began = time.time()
                producer.per_second = per_second
                sent = producer.send(minutes * 60)
                ended = time.time()
                _wait(lambda: sum(c[0] for c in _commits(log)) >= producer.count, _SETTLE_S, up, folder / "up.log")
            finally:
                up.send_signal(signal.SIGTERM)
                up.wait(120)
        yield from _judged([c for c in _commits(log) if c[1] >= began], began, ended, sent)


def _judged(commits: list[tuple[int, float, float, float]], began: float, ended: float, sent: int) -> Iterator[Figure]:
    ages = [np.linspace(at - last, at - first, max(2, n // 1000)) for n, first, last, at in commits]
    times = [np.linspace(last, first, len(age)) for (_, first, last, _), age in zip(commits, ages, strict=True)]
    age, when = np.concatenate(ages), np.concatenate(times)
    detail = f"{sent:,} records in {ended - began:,.0f} s, {len(commits)} commits, median {np.median(age):.0f} s"
    yield Figure("freshness: p95", float(np.percentile(age, 95)), " s", at_most=90, detail=detail)
    third = (ended - began) / 3
    first, last = (np.percentile(age[(when >= a) & (when < a + third)], 95) for a in (began, ended - third))
    yield Figure(
        "freshness: p95 of the last third, of the first", float(last / first), at_most=1.25,
        detail=f"{last:.0f} s after {first:.0f} s",
    )  # fmt: skip


class _Steady:
    """Sends wire records at a steady rate, each with the time it was sent at."""

    def __init__(self, bootstrap: str, per_second: int) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 20, "acks": "all"})
        self.per_second, self.count = per_second, 0

    def send(self, seconds: float) -> int:
        began, before = time.time(), self.count
        pause = threading.Event()
        while (passed := time.time() - began) < seconds:
            due = before + int(passed * self.per_second)
            now = int(time.time() * 1000)
            for number in range(self.count, due):
                session, seq = number % _SESSIONS, number // _SESSIONS
                self._producer.produce("app", _record(session, seq, now), partition=session % _PARTITIONS)
            self.count = max(self.count, due)
            self._producer.poll(0)
            pause.wait(0.02)
        self._producer.flush(30)
        return self.count - before


def _record(session: int, seq: int, now: int) -> bytes:
    return (
        b'{"v":1,"id":"sess%012d-%d","ts":%d,"host":"web-%d.east","process":"api","type":"request",'
        b'"session":"sess%012d","seq":%d,"severity":"INFO","message":"handled %016x",'
        b'"fields":{"user_id":"u%d","status":200,"latency_ms":12.5}}'
        % (session, seq, now, session, session, seq, seq * 2654435761, seq % 50000)
    )


def _commits(log: Path) -> list[tuple[int, float, float, float]]:
    """(records, first and last event time, time of the commit) of each commit that brought records; seconds."""
    found = []
    for path in sorted(log.glob("*.json")):
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        at = max((a["commitInfo"]["timestamp"] / 1000 for a in actions if "commitInfo" in a), default=0.0)
        for added in (a["add"] for a in actions if "add" in a and a["add"]["dataChange"]):
            stats: dict[str, Any] = json.loads(added["stats"])
            first, last = (_seconds(stats[name]["event_time"]) for name in ("minValues", "maxValues"))
            found.append((int(stats["numRecords"]), first, last, at))
    return found


def _seconds(time_text: str) -> float:
    return datetime.fromisoformat(time_text).timestamp()


def _wait(done: Any, seconds: float, up: subprocess.Popen[bytes], log: Path) -> None:  # noqa: ANN401  (a condition)
    until = time.monotonic() + seconds
    pause = threading.Event()
    while not done():
        if up.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"`nw up` did not bring the records in: {log.read_text(errors='replace')[-2000:]}")
        pause.wait(1)


def _configuration(bootstrap: str) -> str:
    columns = {"user_id": "string", "status": "int32", "latency_ms": "float64"}
    return json.dumps(
        {
            "lake": "./lake",
            "sources": {"kafka": {"kind": "kafka", "bootstrap": bootstrap}},
            "streams": {"app": {"source": "kafka", "topic": "app", "format": "json", "columns": columns}},
        }
    )


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
