"""What tests of delivery have in common: a lake, a channel that writes down what it is given, findings, a clock."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass, field
from pathlib import Path

from nw_platform.alerts.alert import Scope
from nw_platform.alerts.evaluation import Alerting, Outcome
from nw_platform.alerts.matching import Names, Timetable
from nw_platform.alerts.message import Message
from nw_platform.alerts.policy import Policy, Route
from nw_platform.errors import DeliveryError
from nw_platform.lake.store import Lake
from nw_platform.watchdog.findings import Finding

NOW = 1_795_500_000_000_000  # 2026-11-24
MINUTE = 60_000_000
HOUR = 60 * MINUTE
SCOPE = Scope(declared=frozenset({"web"}), streams=frozenset({"web"}))


def finding(subject: str = "", *, passed: bool = False, check: str = "volume", partition: str | None = None, **more):
    made = {
        "asset": "logs/web",
        "stream": "web",
        "severity": "error",
        "message": f"{check} of web {subject}: {'fine' if passed else 'wrong'}",
        "repair": "nw ingest --once",
        **more,
    }
    return Finding(check=check, partition=partition, subject=subject, passed=passed, **made)


@dataclass
class Recorder:
    """A channel that appends a line a message to a file, and fails when it is told to."""

    path: Path
    name: str
    failures: list[Exception] = field(default_factory=list)  # one for each of the next attempts
    is_down: bool = False
    held: threading.Event | None = None  # waited for before each message
    entered: threading.Event = field(default_factory=threading.Event)

    def send(self, message: Message) -> None:
        self.entered.set()
        if self.held is not None:
            assert self.held.wait(30)
        if self.is_down:
            raise DeliveryError(f"{self.name} does not answer")
        if self.failures:
            raise self.failures.pop(0)
        line = {
            "channel": self.name,
            "id": message.id,
            "thread": message.thread,
            "transition": message.events[0].transition,
            "keys": [event.key for event in message.events],
            "time": message.events[0].time,
        }
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        return None


class Bench:
    """One lake. `evaluator` gives processes of their own: each has its memory, its claims, its hint folder."""

    def __init__(self, root: Path, channels: tuple[str, ...] = ("mail",), **policy) -> None:
        self.root, self.now = root, NOW
        self.outbox = root / "outbox"
        self.channels = {name: Recorder(self.outbox, name) for name in channels}
        route = Route(None, Names(), Names(), Timetable(frozenset(range(7)), None, "UTC"), channels)
        self.policy = Policy(channels=channels, routes=(route,), **policy)
        self.alerting = self.evaluator()

    def lake(self, work: str = "work") -> Lake:
        return Lake(str(self.root / "lake"), work=self.root / work)

    def evaluator(self, work: str = "work") -> Alerting:
        return Alerting(self.lake(work), self.policy, self.channels.__getitem__)

    def evaluate(self, *findings: Finding, by: Alerting | None = None, after: int = 0) -> Outcome:
        self.now += after
        who = by or self.alerting
        now, _ = who.begin(self.now)
        return who.evaluate(findings, SCOPE, now, lambda: self.now)

    def sent(self) -> list[dict]:
        if not self.outbox.exists():
            return []
        return [json.loads(line) for line in self.outbox.read_text(encoding="utf-8").splitlines()]

    def told(self) -> list[str]:
        """`channel transition` of each message, in order."""
        return [f"{one['channel']} {one['transition']}" for one in self.sent()]

    def version(self) -> int:
        snapshot = self.lake().alerts().snapshot()
        return -1 if snapshot is None else snapshot.version
