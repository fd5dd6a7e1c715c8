"""A daemon that a crash test kills: `python alert_daemon.py ROOT NAME WORK`. It evaluates at each time that it reads.

Time is simulated; the process, the lake and the kills are real. Channels append a line a message to ROOT/outbox. One
file is expected on each day, as the five-day failure had it: that of the 22nd comes five days late.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from nw_platform.alerts.alert import Scope
from nw_platform.alerts.evaluation import Alerting
from nw_platform.alerts.message import Message
from nw_platform.alerts.policy import Policy
from nw_platform.lake.store import Lake
from nw_platform.settings import parse
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.observations import FileSeen, StreamObservations

MINUTE = 60_000_000
HOUR = 60 * MINUTE
START = 1_795_219_200_000_000  # 2026-11-21T00:00Z
DUE = START + 30 * HOUR + 30 * MINUTE  # 2026-11-22T06:30Z: the deadline and its grace
CAME = START + (6 * 24 + 14) * HOUR + 17 * MINUTE + 5_000_000  # 2026-11-27T14:17:05Z
CONFIGURATION = """
streams:
  dialer:
    path: "in/*.csv"
    format: csv
    expect: [{kind: file, name: "dialer-{date}.csv", by: "06:00", grace: 30m}]
alerts:
  channels:
    ops: {kind: webhook, url: "http://127.0.0.1:9/ops"}
    boss: {kind: webhook, url: "http://127.0.0.1:9/boss"}
  routes: [{to: [ops], escalate: {after: 90m, to: [boss]}}]
"""


class Outbox:
    """A channel whose messages are lines of a file."""

    def __init__(self, path: Path, channel: str, daemon: str, now: int) -> None:
        self.path, self.place, self.now = path, {"channel": channel, "by": daemon}, now

    def send(self, message: Message) -> None:
        (event,) = message.events
        line = {
            **self.place, "at": self.now, "id": message.id, "thread": message.thread,
            "transition": event.transition, "subject": event.subject, "time": event.time,
        }  # fmt: skip
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def close(self) -> None:
        return None


def main(root: Path, name: str, work: str) -> None:
    settings = parse(CONFIGURATION, base=str(root), origin="test")
    rules = rules_of_all(settings)
    now = START
    lake = Lake(str(root / "lake"), work=root / work)
    alerting = Alerting(lake, Policy.of(settings), lambda channel: Outbox(root / "outbox", channel, name, now))
    scope = Scope(frozenset(settings.streams), frozenset(settings.streams))
    say("ready")
    for line in sys.stdin:
        now = int(line)
        at, _ = alerting.begin(now)
        seen = StreamObservations("dialer", live_since=START - 24 * HOUR, files=files(at), ingested_until=at)
        alerting.evaluate(evaluate(rules, {"dialer": seen}, at), scope, at, lambda at=at: at)
        say("done")


def say(word: str) -> None:
    """Let the test go on."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


def files(now: int) -> list[FileSeen]:
    """What was ingested by then: each day's file at 05:00, but that of the 22nd."""
    times = {day: START + ((day - 21) * 24 + 5) * HOUR if day != 22 else CAME for day in range(19, 31)}
    return [FileSeen(f"in/dialer-2026-11-{d}.csv", d, 1000, t, t) for d, t in times.items() if t <= now]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3])
