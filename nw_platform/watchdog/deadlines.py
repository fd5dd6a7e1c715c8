"""Check `expected_files` of raw: a file by a time of day, in a time zone.

The partition of a finding is the UTC hour its deadline lies in. A deadline is judged once its grace is over; a file
that comes later resolves it. Days before the stream was watched are never judged.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from nw_platform.record.hours import HOUR_US, hour_of, to_datetime, to_iso, to_us
from nw_platform.watchdog.expectations import FileRule, StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import FileSeen, StreamObservations

CHECK = "expected_files"
LOOK_BACK_DAYS: Final = 31
_RECENT_DAYS: Final = 4
_SETTLED_US: Final = 48 * HOUR_US  # a file that has been there for this long is not spoken of any more
_PACKED: Final = r"(?:\.(?:gz|zst|bz2|xz))?"
_DATE: Final = re.compile(r"\{date(?::([^{}]*))?\}")


@dataclass(frozen=True, slots=True)
class Due:
    """One file that a rule expects."""

    name: str  # may hold `*` and `?`
    label: str  # when it is due, as people say it
    day: date
    deadline: int  # microseconds, without grace


def judge(rules: StreamRules, seen: StreamObservations, now: int) -> Iterator[Finding]:
    """One finding for each file that is due, or there already."""
    expected = rules.of(FileRule)
    if not expected:
        return
    by_name = _by_base_name(seen.files)
    for rule in expected:
        for due in due_files(rule, now):
            if due.deadline < seen.live_since or not _in_history(rules, due.day):
                continue
            file = _best(by_name, due.name)
            if file is not None and file.end >= rule.min_size and max(due.deadline, file.last_seen) < now - _SETTLED_US:
                continue
            finding = _judge(rules, rule, due, file=file, ingested_until=seen.ingested_until, now=now)
            if finding is not None:
                yield finding


def due_files(rule: FileRule, now: int) -> list[Due]:
    """What a rule expects around `now`: of the last month up to today, oldest first."""
    here = to_datetime(now).astimezone(zone_of(rule.zone))
    days = (here.date() - timedelta(days=back) for back in range(LOOK_BACK_DAYS, -1, -1))
    return [_daily(rule, day) for day in days if day.weekday() in rule.weekdays and day not in rule.holidays]


def fell_due(rules: StreamRules, since: int, now: int) -> bool:
    """Whether a deadline with its grace lies after `since` and is over now (microseconds)."""
    return any(
        since < due.deadline + rule.grace_us <= now
        for rule in rules.of(FileRule)
        for due in due_files(rule, now)[-_RECENT_DAYS:]
    )


@lru_cache(maxsize=100_000)
def _daily(rule: FileRule, day: date) -> Due:
    """Where clocks are changed and the time of day is there twice or not at all, the later instant counts."""
    local = datetime.combine(day, rule.by)
    zone = zone_of(rule.zone)
    deadline = max(to_us(local.replace(tzinfo=zone, fold=fold).astimezone(UTC)) for fold in (0, 1))
    name = expected_name(rule.name, day + timedelta(days=rule.day_offset))
    return Due(name=name, label=f"{day} {rule.by:%H:%M} {rule.zone}", day=day, deadline=deadline)


@lru_cache(maxsize=1000)
def zone_of(name: str) -> ZoneInfo:
    """A time zone by its IANA name. Raises ZoneInfoNotFoundError (a KeyError) for an unknown one."""
    return ZoneInfo(name)


def expected_name(name: str, day: date) -> str:
    """The name of a day's file: `dialer-{date}.csv` -> `dialer-2026-11-22.csv`."""
    return _DATE.sub(lambda found: day.strftime(found[1] or "%Y-%m-%d"), name)


@lru_cache(maxsize=10_000)
def _pattern(name: str) -> re.Pattern[str] | None:
    """A name that holds `*` or `?` as a pattern (a packed file counts as well); None for any other."""
    if not set("*?") & set(name):
        return None
    body = "".join({"*": ".*", "?": "."}.get(letter, re.escape(letter)) for letter in name)
    return re.compile(f"{body}{_PACKED}\\Z", re.DOTALL)


def _judge(
    rules: StreamRules, rule: FileRule, due: Due, *, file: FileSeen | None, ingested_until: int | None, now: int
) -> Finding | None:
    """The finding of one file; None while it is not due and not there."""
    judged_at = due.deadline + rule.grace_us
    whole = file is not None and file.end >= rule.min_size
    if not whole and min(now, now if ingested_until is None else ingested_until) < judged_at:
        return None
    numbers: dict[str, object] = {"deadline": to_iso(due.deadline), "grace_s": rule.grace_us // 1_000_000}
    if file is not None:
        numbers |= {"bytes": file.end, "min_bytes": rule.min_size, "arrived": to_iso(file.first_seen)}
    repair = ""
    if whole and file is not None:
        late = ", late" if file.first_seen > judged_at else ""
        message = f"raw/{rules.stream}: {file.source} arrived {to_iso(file.first_seen)}, due {due.label}{late}"
    else:
        repair = f"nw ingest --stream {rules.stream} --once"
        what = (
            f"{due.name} has not arrived"
            if file is None
            else f"{file.source} has {file.end} bytes, at least {rule.min_size} are expected"
        )
        where = f" in {rules.where}" if rules.where else ""
        message = (
            f"raw/{rules.stream}: {what}; it was due {due.label} ({to_iso(due.deadline)}) with a grace of "
            f"{rule.grace_us // 60_000_000} min; ask for it, put it{where}, then: {repair}"
        )
    return Finding(
        check=CHECK,
        asset=f"raw/{rules.stream}",
        stream=rules.stream,
        partition=hour_of(due.deadline),
        subject=due.name,
        passed=whole,
        severity=rule.severity,
        message=message,
        repair=repair,
        since=None if whole else due.deadline,
        numbers=numbers,
    )


def _by_base_name(files: Iterable[FileSeen]) -> dict[str, list[FileSeen]]:
    """Contents by base name, also by the name without the suffix of a packed file."""
    named: dict[str, list[FileSeen]] = {}
    for file in files:
        base = posixpath.basename(file.source)
        named.setdefault(base, []).append(file)
        stem, suffix = posixpath.splitext(base)
        if suffix in {".gz", ".zst", ".bz2", ".xz"}:
            named.setdefault(stem, []).append(file)
    return named


def _best(by_name: Mapping[str, Sequence[FileSeen]], name: str) -> FileSeen | None:
    """The largest content under a name; of equally large ones the first that came."""
    pattern = _pattern(name)
    if pattern is None:
        found = list(by_name.get(name, ()))
    else:
        found = [file for name, files in by_name.items() if pattern.match(name) for file in files]
    return min(found, key=lambda file: (-file.end, file.first_seen), default=None)


def _in_history(rules: StreamRules, day: date) -> bool:
    return day >= rules.history_from and (rules.history_until is None or day < rules.history_until)
