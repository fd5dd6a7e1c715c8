"""Checks of logs that hold without being declared: completeness (raw = logs + duplicates) and history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from nw_platform.record.hours import hour_start, next_hour, to_iso
from nw_platform.watchdog.expectations import StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import Balance, StreamObservations

CHECK = "completeness"
HISTORY = "history"
_SHOWN: Final = 3


def judge(rules: StreamRules, seen: StreamObservations) -> Iterator[Finding]:
    """One finding for each event hour that receipts, logs or duplicates speak of."""
    if seen.lanes_behind or seen.raw_differs:
        yield _raw(rules, seen)
    for hour in sorted(seen.balances):
        yield _balance(rules, hour, seen.balances[hour], seen.in_flight.get(hour, 0))


def _raw(rules: StreamRules, seen: StreamObservations) -> Finding:
    """What arrived, by receipts, is not in raw: that logs have it now does not help once they are rebuilt."""
    held = sum(held for held, _ in seen.raw_differs.values())
    wanted = sum(wanted for _, wanted in seen.raw_differs.values())
    batches = sum(lane.in_receipts - lane.in_raw for lane in seen.lanes_behind)
    repair = f"nw repair {rules.stream}"
    if seen.lanes_behind:
        said = f"raw lost {batches} commits that receipts tell of"
    else:
        hours = f"{min(seen.raw_differs)} to {max(seen.raw_differs)}"
        said = f"raw holds {held} records of {len(seen.raw_differs)} arrival hours ({hours}), receipts say {wanted}"
    return Finding(
        check=CHECK,
        asset=f"logs/{rules.stream}",
        stream=rules.stream,
        partition=None,
        subject="raw",
        passed=False,
        severity="error",
        message=f"logs/{rules.stream}: {said}; a rebuild would lose records until the repair: {repair}",
        repair=repair,
        numbers={"commits": batches, "raw": held, "receipts": wanted},
    )


def judge_history(rules: StreamRules, seen: StreamObservations) -> Iterator[Finding]:
    """One finding for the stream: records outside `history` are kept but are in no partition."""
    outside = seen.outside_history
    until = f" until {rules.history_until or 'a day from now'}"
    span = f"from {rules.history_from}{until}"
    passed = not outside
    numbers: dict[str, object] = {"records": sum(outside.values()), "hours": len(outside)}
    head = f"logs/{rules.stream}: "
    message, since, repair = f"{head}all records lie in history ({span})", None, ""
    if outside:
        first, last = min(outside), max(outside)
        repair = "nw config check"
        since = hour_start(first)
        told = ", ".join(f"{hour} ({outside[hour]})" for hour in sorted(outside)[:_SHOWN])
        more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
        message = (
            f"{head}{numbers['records']} records lie outside history ({span}), from {first} to {last}: {told}{more}; "
            f"they are kept, but no partition shows them; correct the sender's clock, or widen the stream's history, "
            f"then: {repair}"
        )
    yield Finding(
        check=HISTORY,
        asset=f"logs/{rules.stream}",
        stream=rules.stream,
        partition=None,
        subject="",
        passed=passed,
        severity="warn",
        message=message,
        repair=repair,
        since=since,
        numbers=numbers,
    )


def _balance(rules: StreamRules, hour: str, balance: Balance, flying: int) -> Finding:
    missing = balance.raw - balance.logs - balance.duplicates
    # A batch is in raw before it is in logs: what the newest receipts explain is under way, not lost.
    passed = 0 <= missing <= flying
    numbers = {"raw": balance.raw, "logs": balance.logs, "duplicates": balance.duplicates, "missing": missing}
    bounds = f"{rules.stream} {hour} {next_hour(hour)}"
    repair = "" if passed else f"nw rebuild {bounds}"
    equation = f"raw {balance.raw}, logs {balance.logs}, duplicates {balance.duplicates}"
    if missing == 0:
        said = equation
    elif passed:
        said = f"{equation}: {missing} under way"
    else:
        wrong = f"{missing} records are missing from logs" if missing > 0 else f"{-missing} records too many in logs"
        said = (
            f"{wrong} ({equation}) since {to_iso(hour_start(hour))}; reports on the hour are refused; repair: {repair}"
        )
    return Finding(
        check=CHECK,
        asset=f"logs/{rules.stream}",
        stream=rules.stream,
        partition=hour,
        subject="",
        passed=passed,
        severity="error",
        message=f"logs/{rules.stream} {hour}: {said}",
        repair=repair,
        since=None if passed else hour_start(hour),
        numbers=numbers,
    )
