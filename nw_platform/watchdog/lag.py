"""Check `lag` of raw: how long data waits at the source, and how soon the source deletes what was not read.

It is judged as of the last look at the source. What is not known is said and never fails: that a source cannot be
reached is a finding of `continuity`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from nw_platform.record.hours import HOUR_US, to_iso
from nw_platform.watchdog.expectations import LagRule, StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import LagSeen, StreamObservations

CHECK: Final = "lag"
# Without a declared one, the least time left is a quarter of how long the source keeps data, at most these 6 hours: a
# topic that is kept for a week and read all the time never gets there, nor does one that is kept for ten minutes.
MOST_HEADROOM_US: Final = 6 * HOUR_US
_PART: Final = 4
_SECOND_US: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What waits. Times in microseconds."""

    lag: LagSeen
    since: int | None  # None: not known
    left: int | None  # until unread data is deleted; None: never, or not known
    least: int  # the least that may be left

    @property
    def is_urgent(self) -> bool:
        return self.left is not None and self.left < self.least

    def is_late(self, rule: LagRule) -> bool:
        return self.since is not None and self.lag.at - self.since > rule.max_age_us


def judge(rules: StreamRules, seen: StreamObservations) -> Iterator[Finding]:
    """One finding for each rule."""
    for rule in rules.of(LagRule):
        yield _judge(rules, rule, seen)


def _judge(rules: StreamRules, rule: LagRule, seen: StreamObservations) -> Finding:
    raw = f"raw/{rules.stream}"
    if seen.lag is None or seen.failure:
        why = ": it could not be read, see the check `continuity`" if seen.failure else ""
        return _finding(rules, rule, None, f"{raw}: how far it is behind its source is not known{why}", failed="")
    waiting = _waiting(rule, seen.lag, seen.ingested_until)
    if waiting is None:
        return _finding(rules, rule, _Waiting(seen.lag, None, None, 0), f"{raw}: everything is in", failed="")
    told = f"{raw}: {_what(seen.lag)}, {_since(waiting, rule)}"
    if waiting.left is not None:
        told += f"; {_left(waiting)}"
    failed = "error" if waiting.is_urgent else rule.severity if waiting.is_late(rule) else ""
    if failed:
        lanes = "" if rules.landing else ", and if that cannot keep up, give the stream more `lanes`"
        told += f"; is `nw up` running? Ingest them: {_repair(rules)}{lanes}"
    return _finding(rules, rule, waiting, told, failed=failed)


def _waiting(rule: LagRule, lag: LagSeen, ingested_until: int | None) -> _Waiting | None:
    """None: nothing waits. What is older than the last time at which all was in came after that, whatever its date."""
    if not lag.records and not lag.seconds:
        return None
    since = None
    if lag.seconds is not None:
        since = max(lag.at - int(lag.seconds * _SECOND_US), min(ingested_until or 0, lag.at))
    left = None if lag.expires_in is None else int(lag.expires_in * _SECOND_US)
    least = rule.min_headroom_us
    if least is None:
        kept = int((lag.seconds or 0) * _SECOND_US) + (left or 0)
        least = min(MOST_HEADROOM_US, kept // _PART)
    return _Waiting(lag, since, left, least)


def _what(lag: LagSeen) -> str:
    if not lag.records:
        return "data waits to be ingested"
    return f"{lag.records:,} record{'s wait' if lag.records > 1 else ' waits'} to be ingested"


def _since(waiting: _Waiting, rule: LagRule) -> str:
    if waiting.since is None:
        return "since when is not known"
    length = _length(waiting.lag.at - waiting.since)
    return f"the oldest since {to_iso(waiting.since)} ({length}; {_length(rule.max_age_us)} are allowed)"


def _left(waiting: _Waiting) -> str:
    """When the source deletes it."""
    left = waiting.left or 0
    at = to_iso(waiting.lag.at + left)
    if left <= 0:
        return f"the source may delete unread data at any moment, since {at}"
    least = f", at least {_length(waiting.least)} should be left" if waiting.is_urgent else ""
    return f"the source deletes unread data in {_length(left)} ({at}){least}"


def _length(us: int) -> str:
    """`45 s`, `12 min`, `7.5 h`, `6.3 days`."""
    seconds = us / _SECOND_US
    for size, unit, least in ((86_400, "days", 2 * 86_400), (3600, "h", 7200), (60, "min", 120)):
        if seconds >= least:
            return f"{round(seconds / size, 1):g} {unit}"
    return f"{seconds:.0f} s"


def _repair(rules: StreamRules) -> str:
    return f"nw ingest --stream {rules.stream} --once"


def _finding(rules: StreamRules, rule: LagRule, waiting: _Waiting | None, message: str, *, failed: str) -> Finding:
    """`failed`: the severity; empty: it passed. `waiting` None: not known."""
    numbers: dict[str, object] = {}
    if waiting is not None:
        lag = waiting.lag
        numbers = {
            "lag_records": lag.records,
            "lag_seconds": None if lag.seconds is None else round(lag.seconds, 3),
            "lag_headroom_hours": None if lag.expires_in is None else round(lag.expires_in / 3600, 3),
            "max_age_s": rule.max_age_us // _SECOND_US,
        }
    return Finding(
        check=CHECK,
        asset=f"raw/{rules.stream}",
        stream=rules.stream,
        partition=None,
        subject=rule.subject,
        passed=not failed,
        severity="error" if failed == "error" else rule.severity,
        message=message,
        repair=_repair(rules) if failed else "",
        since=waiting.since if waiting is not None and failed else None,
        numbers={name: number for name, number in numbers.items() if number is not None},
        is_known=waiting is not None,
    )
