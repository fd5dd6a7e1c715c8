"""Check `schema_drift` of logs: keys that are new, that vanished, or whose values are of another kind.

An hour is compared, type by type, with the hours before it that have enough records of the type. Judged once the hour
and its grace are over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Final

from nw_platform.record.hours import HOUR_US, hour_of, hour_start, to_iso
from nw_platform.watchdog.expectations import DriftRule, StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import Keys, StreamObservations

CHECK: Final = "schema_drift"
_FEWEST_HOURS: Final = 3  # to compare with
_USUAL: Final = 0.5  # a key that fewer records had may be missing by chance
_SHOWN: Final = 5


def is_due(rule: DriftRule, hour: str, now: int, ingested_until: int | None) -> bool:
    """Whether an hour is over, and what belongs to it had time to come."""
    end = hour_start(hour) + HOUR_US + rule.grace_us
    return end <= now and (ingested_until is None or end <= ingested_until)


def hours_before(rule: DriftRule, hour: str) -> list[str]:
    """The hours that an hour is compared with, latest first."""
    return [hour_of(hour_start(hour) - n * HOUR_US) for n in range(1, rule.hours + 1)]


def judge(rules: StreamRules, seen: StreamObservations, now: int) -> Iterator[Finding]:
    """One finding for each hour with a log type that can be compared."""
    for rule in rules.of(DriftRule):
        for hour in seen.judge:
            here = seen.keys.get(hour)
            if here and is_due(rule, hour, now, seen.ingested_until):
                finding = _hour(rules, rule, hour, here, [seen.keys.get(name, {}) for name in hours_before(rule, hour)])
                if finding is not None:
                    yield finding


def _hour(
    rules: StreamRules, rule: DriftRule, hour: str, here: Mapping[str, Keys], before: Sequence[Mapping[str, Keys]]
) -> Finding | None:
    told: dict[str, list[str]] = {"new": [], "vanished": [], "of another kind": []}
    compared = keys = 0
    for log_type in sorted(here):
        earlier = [hour[log_type] for hour in before if log_type in hour and hour[log_type].records >= rule.at_least]
        if len(earlier) < _FEWEST_HOURS or here[log_type].records < rule.at_least:
            continue
        compared += 1
        keys += len(here[log_type].keys)
        for what, names in _compare(rule, here[log_type], earlier).items():
            told[what] += [f"{name} of {log_type}" for name in names]
    if not compared:
        return None
    numbers: dict[str, object] = {"types": compared, "keys": keys}
    numbers |= {what.replace(" ", "_"): len(names) for what, names in told.items()}
    head = f"logs/{rules.stream} {hour}: "
    repair, since, message = "", None, f"{head}{keys} keys of {compared} log types, as in the hours before"
    if any(told.values()):
        since = hour_start(hour)
        repair = f"nw report key_coverage --grain hour --period {hour}"
        parts = [f"{what}: {_some(names)}" for what, names in told.items() if names]
        message = f"{head}keys {'; '.join(parts)} (since {to_iso(since)}); which hosts have them: {repair}"
    return Finding(
        check=CHECK,
        asset=f"logs/{rules.stream}",
        stream=rules.stream,
        partition=hour,
        subject=rule.subject,
        passed=not repair,
        severity=rule.severity,
        message=message,
        repair=repair,
        since=since,
        numbers=numbers,
    )


def _compare(rule: DriftRule, here: Keys, earlier: Sequence[Keys]) -> dict[str, list[str]]:
    """What differs of one log type; `earlier`: latest first."""
    found: dict[str, list[str]] = {"new": [], "vanished": [], "of another kind": []}
    known = {key for keys in earlier for key in keys.keys}
    usual = {key for key in known if all(_records(keys, key) >= _USUAL * keys.records for keys in earlier)}
    for key in sorted(known | here.keys.keys()):
        if any(fnmatchcase(key, pattern) for pattern in rule.ignore):
            continue
        kinds = {kind for kind, records in here.keys.get(key, {}).items() if records >= rule.at_least}
        last = next((keys.keys[key] for keys in earlier if key in keys.keys), {})
        if key not in known and kinds:
            found["new"].append(key)
        elif key in usual and key not in here.keys:
            found["vanished"].append(key)
        elif len(kinds) > 1 or (last and kinds and not kinds & last.keys()):
            found["of another kind"].append(f"{key} ({', '.join(sorted(kinds))}; before {', '.join(sorted(last))})")
    return found


def _records(keys: Keys, key: str) -> int:
    return max(keys.keys.get(key, {}).values(), default=0)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
