"""How the timelines of the watchdog are written down: a case is what was seen, when one looks, and what is found."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from nw_platform.record.hours import to_us
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import FileRule, StreamRules, VolumeRule
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import FileSeen, HourStats, StreamObservations

MINUTE = 60_000_000
DAY = "2026-11-22"
QUARTERS = VolumeRule("quarters", min_lines=10, every_us=15 * MINUTE)
DIALER = FileRule("dialer", "dialer-{date}.csv", time(6), grace_us=30 * MINUTE)


def at(text: str, day: str = DAY) -> int:
    """An instant: `05:30`, or `2026-11-21 05:30`."""
    whole = text if len(text) > 8 else f"{day} {text}"
    return to_us(datetime.fromisoformat(whole).replace(tzinfo=UTC))


def stats(lines: dict[int, int], **more: Any) -> HourStats:
    """The stats of an hour with so many lines in these minutes."""
    minutes = tuple(lines.get(minute, 0) for minute in range(60))
    return HourStats(lines=sum(minutes), minutes=minutes, **more)


def hours(**named: HourStats) -> dict[str, HourStats]:
    """`h05=...` is hour 05 of the day."""
    return {f"{DAY}T{name[1:]}": value for name, value in named.items()}


def seen(stream: str = "web", *, since: str = "2026-11-01 00:00", **more: Any) -> StreamObservations:
    more.setdefault("judge", sorted(more.get("hours", {})))
    return StreamObservations(stream, live_since=at(since), **more)


def found(rules: StreamRules, observed: StreamObservations, now: str | int, check: str) -> list[Finding]:
    moment = now if isinstance(now, int) else at(now)
    return [f for f in evaluate([rules], {"web": observed}, moment) if f.check == check]


@dataclass(frozen=True)
class Case:
    """`expected`: (partition, subject, passed) of every finding of `check`, in order."""

    name: str
    check: str
    rules: tuple[Any, ...]
    observed: StreamObservations
    now: str
    expected: list[tuple[str | None, str, bool]]
    declared: dict[str, Any] | None = None


def full(count: int = 10) -> HourStats:
    return stats({0: count, 15: count, 30: count, 45: count})


def file(name: str, arrived: str, size: int = 100, partition: int = 0) -> FileSeen:
    return FileSeen(name, partition, size, at(arrived), at(arrived))


def holds(case: Case) -> None:
    """What is found is what was expected, and says what a finding has to say."""
    rules = StreamRules("web", case.rules, **(case.declared or {}))
    results = found(rules, case.observed, case.now, case.check)
    assert [(f.partition, f.subject, f.passed) for f in results] == case.expected
    for finding in results:
        assert "\n" not in finding.message
        assert finding.message.startswith(f"{finding.asset}")
        if not finding.passed:
            assert finding.repair
            assert finding.repair in finding.message
            assert finding.since is not None or finding.partition is None
            assert (
                finding.partition is None or finding.partition in finding.message or finding.check == "expected_files"
            )
