"""Check `volume` of logs: so many lines in each window of event time, and about as many as on the days before.

A minimum is judged once a window and its grace are over; a maximum as soon as it is exceeded. Lines that come later
resolve a finding. Of windows before the stream was watched only a maximum is judged, unless its history has an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from statistics import median
from typing import Final
from zoneinfo import ZoneInfo

from nw_platform.record.hours import HOUR_US, hour_of, hour_start, next_hour, to_datetime, to_iso, to_us
from nw_platform.watchdog.expectations import StreamRules, VolumeRule
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import START_UP_US, StreamObservations, lines_between, windows_of

CHECK = "volume"
_SHOWN: Final = 3
_FEWEST_DAYS: Final = 3  # a median of fewer says nothing
_FEWEST_WEEKS: Final = 2


def judge(rules: StreamRules, seen: StreamObservations, now: int) -> Iterator[Finding]:
    """One finding for each rule and hour in which at least one window could be judged."""
    for rule in rules.of(VolumeRule):
        for hour in seen.judge:
            if rule.min_lines is not None or rule.max_lines is not None:
                finding = _windows(rules, rule, seen, hour, now)
                if finding is not None:
                    yield finding
            if rule.change_pct is not None:
                finding = _change(rules, rule, seen, hour, now)
                if finding is not None:
                    yield finding


def may_conclude(rules: StreamRules, seen: StreamObservations, window: tuple[int, int], grace: int, now: int) -> bool:
    """Whether a window with too few lines, or none, means something: it is over, watched, and inside `history`.

    Before the first receipt nobody watched: what was loaded of that time since may be a part of it only. A stream that
    says where its history ends is loaded as a whole, and then held to it between its first and its last record.
    """
    if not is_over(rules, seen, window, grace, now):
        return False
    start, end = window
    if start < seen.live_since:
        return rules.history_until is not None and _is_among_records(seen, start, end)
    if start >= seen.live_since + START_UP_US:
        return True
    # A stream that was just declared may take a while until its first record.
    begun = max((at for at in (seen.first_event, seen.first_receipt) if at is not None), default=None)
    return seen.first_event is not None and begun is not None and start >= begun


def may_compare(rules: StreamRules, seen: StreamObservations, window: tuple[int, int], grace: int, now: int) -> bool:
    """Whether what the lines of a window say of each other means something, also in old data that was loaded since."""
    if may_conclude(rules, seen, window, grace, now):
        return True
    return is_over(rules, seen, window, grace, now) and _is_among_records(seen, *window)


def is_over(rules: StreamRules, seen: StreamObservations, window: tuple[int, int], grace: int, now: int) -> bool:
    """Whether a window and its grace are over, ingestion has looked at the source since, and it is inside `history`."""
    start, end = window
    if end + grace > now or (seen.ingested_until is not None and end + grace > seen.ingested_until):
        return False
    if start < _day_start(rules.history_from):
        return False
    return rules.history_until is None or end <= _day_start(rules.history_until)


def _is_among_records(seen: StreamObservations, start: int, end: int) -> bool:
    """Whether a window lies between the first record and the last."""
    if seen.first_event is None or seen.last_event is None:
        return False
    return seen.first_event <= start and end <= seen.last_event


def _windows(rules: StreamRules, rule: VolumeRule, seen: StreamObservations, hour: str, now: int) -> Finding | None:
    judged = 0
    low: list[tuple[int, int]] = []
    high: list[tuple[int, int]] = []
    for start, end in windows_of(hour, rule.every_us):
        lines = lines_between(seen.hours, start, end)
        too_low = rule.min_lines is not None and lines < rule.min_lines
        too_high = rule.max_lines is not None and lines > rule.max_lines
        is_known = may_conclude if too_low else may_compare
        if not too_high and not is_known(rules, seen, (start, end), rule.grace_us, now):
            continue
        judged += 1
        if too_low:
            low.append((start, lines))
        if too_high:
            high.append((start, lines))
    if not judged:
        return None
    stats = seen.hours.get(hour)
    lines = stats.lines if stats else 0
    numbers: dict[str, object] = {"lines": lines, "windows": judged, "low": len(low), "high": len(high)}
    numbers |= {name: value for name in ("min_lines", "max_lines") if (value := getattr(rule, name)) is not None}
    told = []
    if low:
        told.append(_tell(low, judged, rule.every_us, f"fewer than {rule.min_lines} lines", hour))
    if high:
        told.append(_tell(high, judged, rule.every_us, f"more than {rule.max_lines} lines", hour))
    return _finding(rules, rule, hour, told=told, windows=low + high, numbers=numbers)


def _change(rules: StreamRules, rule: VolumeRule, seen: StreamObservations, hour: str, now: int) -> Finding | None:
    """The hour against the same hour of the days before and of the same day of the weeks before.

    Far from one median and near the other is no finding: a Sunday is like other Sundays, and last week's holiday is
    no measure for this week. A median of too few hours that have data says nothing.
    """
    start, lines = hour_start(hour), stats.lines if (stats := seen.hours.get(hour)) else 0
    if rule.change_pct is None or not may_conclude(rules, seen, (start, start + HOUR_US), rule.grace_us, now):
        return None
    known = seen.same_hours.get(hour, {})
    compared = []
    numbers: dict[str, object] = {"lines": lines}
    for unit, fewest, hours in (
        ("days", _FEWEST_DAYS, days_before(hour, rule.days, rule.zone)),
        ("weeks", _FEWEST_WEEKS, weeks_before(hour, rule.weeks, rule.zone)),
    ):
        earlier = [known[name] for name in hours if known.get(name)]
        if len(earlier) < fewest:
            continue
        usual = median(earlier)
        change = 100.0 * (lines - usual) / usual
        numbers |= {f"usual_lines_{unit}": usual, f"change_pct_{unit}": round(change, 2)}
        told = f"{change:+.1f} % against {usual:g}, the median of this hour on {len(earlier)} {unit} before"
        compared.append((abs(change) > rule.change_pct, told))
    if not compared:
        return None
    numbers["max_change_pct"] = rule.change_pct
    far = all(is_far for is_far, _ in compared)
    said = f"{lines} lines, {' and '.join(told for _, told in compared)} (allowed: {rule.change_pct:g} %)"
    named = replace(rule, subject=f"{rule.subject}, change")
    return _finding(rules, named, hour, told=[said] if far else [], windows=[(start, lines)], numbers=numbers)


def _finding(
    rules: StreamRules,
    rule: VolumeRule,
    hour: str,
    *,
    told: list[str],
    windows: list[tuple[int, int]],
    numbers: dict[str, object],
) -> Finding:
    repair = f"nw verify {rules.stream} {hour} {next_hour(hour)}" if told else ""
    since = min((start for start, _ in windows), default=None) if told else None
    said = "; ".join(told) if told else f"{numbers['lines']} lines"
    tail = f" (since {to_iso(since)}); what arrived is proved by: {repair}" if since is not None else ""
    return Finding(
        check=CHECK,
        asset=f"logs/{rules.stream}",
        stream=rules.stream,
        partition=hour,
        subject=rule.subject,
        passed=not told,
        severity=rule.severity,
        message=f"logs/{rules.stream} {hour}: {said}{tail}",
        repair=repair,
        since=since,
        numbers=numbers,
    )


def _tell(found: list[tuple[int, int]], judged: int, every_us: int, what: str, hour: str) -> str:
    """`2 of 4 windows of 15 min have fewer than 100 lines: 05:15 (12), 05:30 (0)`."""
    places = ", ".join(f"{_clock(start, hour)} ({lines})" for start, lines in found[:_SHOWN])
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return f"{len(found)} of {judged} windows of {_length(every_us)} have {what}: {places}{more}"


def _clock(start: int, hour: str) -> str:
    text = to_iso(start)
    return text[11:16] if text.startswith(hour[:10]) else text[:16]


def _length(length_us: int) -> str:
    minutes = length_us // 60_000_000
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


@lru_cache(maxsize=10_000)
def _day_start(day: date) -> int:
    return to_us(datetime(day.year, day.month, day.day, tzinfo=UTC))


@lru_cache(maxsize=10_000)
def days_before(hour: str, days: int, zone: str = "UTC") -> tuple[str, ...]:
    """The same hour of the clock, in a time zone, on the days before; in UTC hours, latest first."""
    return _before(hour, days, 1, zone)


@lru_cache(maxsize=10_000)
def weeks_before(hour: str, weeks: int, zone: str = "UTC") -> tuple[str, ...]:
    """The same hour of the clock on the same day of the weeks before; latest first."""
    return _before(hour, weeks, 7, zone)


def _before(hour: str, count: int, step: int, zone: str) -> tuple[str, ...]:
    """Where clocks were changed since, the hour of the clock stays and the UTC hour moves."""
    here = to_datetime(hour_start(hour)).astimezone(ZoneInfo(zone))
    earlier = (here - timedelta(days=step * n) for n in range(1, count + 1))
    return tuple(hour_of(to_us(moment.astimezone(UTC))) for moment in earlier)
