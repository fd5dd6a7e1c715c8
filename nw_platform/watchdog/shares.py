"""Checks of logs that compare counts: error_rate, late, spill, rate, balance, values, unexpected_types."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Final

from nw_platform.record.hours import hour_start, next_hour, to_iso
from nw_platform.watchdog.expectations import (
    BalanceRule,
    RateRule,
    Rule,
    ShareRule,
    StreamRules,
    TypesRule,
    ValuesRule,
)
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import HourStats, StreamObservations, lines_between, windows_of
from nw_platform.watchdog.volume import may_compare

_SHOWN: Final = 5


def judge(rules: StreamRules, seen: StreamObservations, now: int) -> Iterator[Finding]:
    """Findings of all rules of these kinds, for each hour to judge that has lines.

    A rule that cannot be evaluated is one finding of the stream, not one of each hour.
    """
    for broken in (*rules.of(RateRule), *rules.of(BalanceRule), *rules.of(ValuesRule)):
        reason = _broken(broken, seen)
        if reason is not None:
            message = (
                f"logs/{rules.stream}: {_check_of(broken)} {broken.subject} cannot be judged: {reason}; correct the "
                "expectation, then: nw config check"
            )
            yield _finding(rules, broken, None, message, {}, repair="nw config check")
    for hour in seen.judge:
        stats = seen.hours.get(hour)
        if stats is not None:
            yield from _of_hour(rules, seen, hour, stats)
        for rate in rules.of(RateRule):
            yield from _windowed(rules, rate, seen, hour, now=now, window=_rate_of(rate, seen))
        for balance in rules.of(BalanceRule):
            yield from _windowed(rules, balance, seen, hour, now=now, window=_balance_of(balance, seen))


def _of_hour(rules: StreamRules, seen: StreamObservations, hour: str, stats: HourStats) -> Iterator[Finding]:
    """What the lines of one hour say by themselves."""
    for share in rules.of(ShareRule):
        if stats.lines or (share.check == "spill" and stats.watchdog):
            yield _share(rules, share, hour, stats)
    if stats.lines:
        for value in rules.of(ValuesRule):
            if _broken(value, seen) is None:
                yield _values(rules, value, hour, stats)
        for types in rules.of(TypesRule):
            yield _types(rules, types, hour, stats)


_WHAT: Final = {"error_rate": "are errors", "late": "came late", "spill": "went through a spool"}


def _share(rules: StreamRules, rule: ShareRule, hour: str, stats: HourStats) -> Finding:
    """Of the lines of an hour, how many are errors, or late; of its records, how many went through a spool."""
    errors = rule.check == "error_rate"
    what, whole = "lines", stats.lines
    if errors:
        part, worst, first = stats.errors, stats.error_host, stats.error_since
    elif rule.check == "late":
        part, worst, first = stats.late, stats.late_host, stats.first_time
    else:  # watchdog records tell of a spool, too
        what, whole = "records", stats.lines + stats.watchdog
        part, worst, first = stats.spilled, stats.spill_host, stats.first_time
    pct = 100.0 * part / whole
    numbers: dict[str, object] = {what: whole, "part": part, "pct": round(pct, 3), "max_pct": rule.max_pct}
    details = []
    if worst:
        numbers["host"] = worst[0]
        details.append(f"most from host {worst[0]} ({worst[1]})")
    if errors and stats.rejects:
        numbers |= {f"rejected: {reason}": count for reason, count in sorted(stats.rejects.items())}
        details.append("rejected " + ", ".join(f"{reason} {count}" for reason, count in _by_count(stats.rejects)))
    message = f"logs/{rules.stream} {hour}: {part} of {whole} {what} {_WHAT[rule.check]} ({pct:.2f} %"
    if part < rule.at_least or pct <= rule.max_pct:
        return _finding(rules, rule, hour, f"{message})", numbers)
    since = first or hour_start(hour)
    advice, repair = _advice(rules, rule, hour, stats)
    message += f"; allowed: {rule.max_pct:g} %); " + "".join(f"{detail}; " for detail in details)
    return _finding(
        rules, rule, hour, f"{message}since {to_iso(since)}; {advice}: {repair}", numbers, repair=repair, since=since
    )


def _advice(rules: StreamRules, rule: ShareRule, hour: str, stats: HourStats) -> tuple[str, str]:
    """What to do about a share that is too large, and the command."""
    bounds = f"{rules.stream} {hour} {next_hour(hour)}"
    if rule.check == "late":
        advice = "if these are old data, declare late_after: never; whether all that arrived is in"
        return advice, f"nw verify {bounds}"
    if rule.check == "spill":
        advice = (
            "the senders' target was slow or away (all of it arrived: nothing is lost); which hosts, and since when"
        )
        return advice, f"nw report minute_counters --grain hour --period {hour}"
    if stats.rejects:
        return "see the table rejects; after a correction of the declaration", f"nw rebuild {bounds}"
    return "see which log types they are of", f"nw report log_type_report --grain hour --period {hour}"


def _values(rules: StreamRules, rule: ValuesRule, hour: str, stats: HourStats) -> Finding:
    """Whether a column holds other values than those allowed."""
    other = stats.values.get(rule.subject, {})
    filled, count = stats.filled.get(rule.subject, 0), sum(other.values())
    pct = 100.0 * count / filled if filled else 0.0
    numbers: dict[str, object] = {"filled": filled, "not_allowed": count, "pct": round(pct, 3), "max_pct": rule.max_pct}
    head = f"logs/{rules.stream} {hour}: "
    repair = f"nw report value_coverage_top --grain hour --period {hour}"
    if pct <= rule.max_pct:
        message = f"{head}{filled} values of {rule.column}, {count} not among those allowed"
        return _finding(rules, rule, hour, message, numbers)
    told = ", ".join(f"{value!r} ({lines})" for value, lines in _by_count(other)[:_SHOWN])
    since = hour_start(hour)
    message = (
        f"{head}{count} of {filled} values of {rule.column} are not among the {len(rule.allowed)} allowed: {told} "
        f"(since {to_iso(since)}); see {repair}"
    )
    return _finding(rules, rule, hour, message, numbers, repair=repair, since=since)


def _types(rules: StreamRules, rule: TypesRule, hour: str, stats: HourStats) -> Finding:
    """Whether there are other log types than those expected."""
    other = {
        name: lines
        for name, lines in stats.types.items()
        if lines >= rule.at_least and not any(fnmatchcase(name, pattern) for pattern in rule.allowed)
    }
    numbers: dict[str, object] = {"types": len(stats.types), "unexpected": len(other), "lines": sum(other.values())}
    head = f"logs/{rules.stream} {hour}: "
    if not other:
        return _finding(rules, rule, hour, f"{head}{len(stats.types)} log types, all expected", numbers)
    told = ", ".join(f"{name!r} ({lines})" for name, lines in _by_count(other)[:_SHOWN])
    more = f" and {len(other) - _SHOWN} more" if len(other) > _SHOWN else ""
    since = hour_start(hour)
    repair = f"nw report log_type_report --grain hour --period {hour}"
    message = (
        f"{head}{len(other)} log types are not expected: {told}{more} (since {to_iso(since)}); if they are right, add "
        f"them to the expectation; what they are: {repair}"
    )
    return _finding(rules, rule, hour, message, numbers, repair=repair, since=since)


Window = Callable[[int, int], tuple[bool, str, dict[str, object]]]


def _rate_of(rule: RateRule, seen: StreamObservations) -> Window:
    def window(start: int, end: int) -> tuple[bool, str, dict[str, object]]:
        whole = lines_between(seen.hours, start, end, condition=rule.of)
        part = lines_between(seen.hours, start, end, condition=rule.where)
        pct = 100.0 * part / whole if whole else 0.0
        good = not whole or not (
            (rule.max_pct is not None and pct > rule.max_pct) or (rule.min_pct is not None and pct < rule.min_pct)
        )
        allowed = " to ".join(f"{p:g} %" for p in (rule.min_pct, rule.max_pct) if p is not None)
        said = f"{part} of {whole} lines ({pct:.2f} %, allowed: {allowed})"
        return good, said, {"part": part, "whole": whole, "pct": round(pct, 3)}

    return window


def _balance_of(rule: BalanceRule, seen: StreamObservations) -> Window:
    def window(start: int, end: int) -> tuple[bool, str, dict[str, object]]:
        left = lines_between(seen.hours, start, end, condition=rule.left)
        right = lines_between(seen.hours, start, end, condition=rule.right)
        larger = max(left, right)
        pct = 100.0 * abs(left - right) / larger if larger else 0.0
        said = f"{left} on the left against {right} on the right ({pct:.2f} %, allowed: {rule.tolerance_pct:g} %)"
        return pct <= rule.tolerance_pct, said, {"left": left, "right": right, "difference_pct": round(pct, 3)}

    return window


def _windowed(
    rules: StreamRules,
    rule: RateRule | BalanceRule,
    seen: StreamObservations,
    hour: str,
    *,
    now: int,
    window: Window,
) -> Iterator[Finding]:
    """One finding for the windows of an hour that are over and watched."""
    judged = [
        (start, end)
        for start, end in windows_of(hour, rule.every_us)
        if may_compare(rules, seen, (start, end), rule.grace_us, now)
    ]
    if not judged or _broken(rule, seen) is not None:
        return
    head = f"logs/{rules.stream} {hour}: {_check_of(rule)} {rule.subject}: "
    results = [(start, *window(start, end)) for start, end in judged]
    failing = [result for result in results if not result[1]]
    start, _, said, numbers = (failing or results)[0]
    numbers |= {"windows": len(results), "failing": len(failing)}
    if not failing:
        yield _finding(rules, rule, hour, f"{head}{said}", numbers)
        return
    repair = f"nw verify {rules.stream} {hour} {next_hour(hour)}"
    message = (
        f"{head}{said} in the window from {to_iso(start)}, {len(failing)} of {len(results)} windows failing; "
        f"whether all that was sent is in is proved by: {repair}"
    )
    yield _finding(rules, rule, hour, message, numbers, repair=repair, since=start)


def _broken(rule: RateRule | BalanceRule | ValuesRule, seen: StreamObservations) -> str | None:
    """Why a rule cannot be evaluated; None if it can."""
    match rule:
        case RateRule():
            parts = [rule.where, *([rule.of] if rule.of is not None else [])]
        case BalanceRule():
            parts = [rule.left, rule.right]
        case ValuesRule():
            parts = [rule.column]
    return next((seen.broken[part] for part in parts if part in seen.broken), None)


def _by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


_Judged = ShareRule | ValuesRule | TypesRule | RateRule | BalanceRule
_CHECKS: Final[Mapping[type[Rule], str]] = {
    ValuesRule: "values",
    TypesRule: "unexpected_types",
    RateRule: "rate",
    BalanceRule: "balance",
}


def _check_of(rule: _Judged) -> str:
    return rule.check if isinstance(rule, ShareRule) else _CHECKS[type(rule)]


def _finding(
    rules: StreamRules,
    rule: _Judged,
    hour: str | None,
    message: str,
    numbers: Mapping[str, object],
    *,
    repair: str = "",
    since: int | None = None,
) -> Finding:
    """A finding of an hour, or of the stream; it fails if it has a repair."""
    return Finding(
        check=_check_of(rule),
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
