"""Check `continuity` of raw: no gap and no overlap between receipts, and every file readable to its end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from nw_platform.record.hours import next_hour, to_iso
from nw_platform.watchdog.expectations import StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import Fault, StreamObservations
from nw_platform.watchdog.receipts import is_reading

CHECK = "continuity"
_SHOWN = 3


def judge(rules: StreamRules, seen: StreamObservations) -> Iterator[Finding]:
    """One finding for each arrival hour to judge or with a fault, and one for the source as it is now."""
    by_hour: dict[str, list[Fault]] = {hour: [] for hour in seen.arrivals}
    for fault in seen.faults:
        by_hour.setdefault(fault.arrival_hour, []).append(fault)
    for hour in sorted(by_hour):
        yield _hour(rules, hour, by_hour[hour], seen.arrivals.get(hour))
    if seen.lanes_behind or seen.raw_differs:
        yield _raw(rules, seen)
    yield _source(rules, seen)


def _hour(rules: StreamRules, hour: str, faults: list[Fault], receipts: int | None) -> Finding:
    stream = rules.stream
    numbers: dict[str, object] = {"faults": len(faults)}
    if receipts is not None:
        numbers["receipts"] = receipts
    if not faults:
        count = "" if receipts is None else f"{receipts or 'no'} receipt{'s' if receipts > 1 else ''}, "
        message = f"raw/{stream} {hour}: {count}no gap and no overlap"
        return _finding(rules, hour, "", passed=True, message=message, numbers=numbers)
    told = "; ".join(describe(fault) for fault in faults[:_SHOWN])
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    since = min(fault.at for fault in faults)
    # A file is cured at its source, and then read; a chain is to be looked into.
    if all(is_reading(fault) for fault in faults):
        repair = f"nw ingest --stream {stream} --once"
        advice = f"put the files there whole and readable, then: {repair}"
    else:
        repair = f"nw verify {stream} {hour} {next_hour(hour)}"
        advice = f"what is wrong is listed by: {repair}"
    message = f"raw/{stream} {hour}: {told}{more} (since {to_iso(since)}); {advice}"
    only_doubts = all(fault.kind == "repeat" for fault in faults)
    first = faults[0]
    if first.source:
        numbers |= {"source": first.source, "position": first.position}
    found = _finding(rules, hour, "", passed=False, message=message, numbers=numbers, repair=repair, since=since)
    return replace(found, severity="warn") if only_doubts else found


def describe(fault: Fault) -> str:
    """What is wrong with which file at which position, or with which receipt."""
    if not is_reading(fault):
        return f"{fault.text} (content {fault.partition} of that name)" if fault.kind == "vanished" else fault.text
    return _problem(fault.kind, fault.source, fault.position, fault.text)


def _problem(kind: str, source: str, position: int, reason: str) -> str:
    """One problem of a source; most reasons name the file themselves."""
    said = reason if source in reason else f"{source}: {reason or kind.replace('_', ' ')}"
    return f"{said} ({kind} at byte {position})" if kind in {"damaged", "gap"} else said


def _raw(rules: StreamRules, seen: StreamObservations) -> Finding:
    """Raw is not what its receipts say: commits or files of it were lost, or something was slipped in."""
    repair = f"nw repair {rules.stream}"
    told = [lane.told() for lane in seen.lanes_behind]
    told += [
        f"arrival hour {hour}: raw holds {held} records, its receipts say {wanted}"
        for hour, (held, wanted) in sorted(seen.raw_differs.items())
    ]
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    message = (
        f"raw/{rules.stream}: raw is not what its receipts say: {'; '.join(told[:_SHOWN])}{more}; repair: {repair}"
    )
    numbers: dict[str, object] = {"lanes_behind": len(seen.lanes_behind), "hours": len(seen.raw_differs)}
    return _finding(rules, None, "raw", passed=False, message=message, numbers=numbers, repair=repair)


def _source(rules: StreamRules, seen: StreamObservations) -> Finding:
    """What the last look at the source met: these problems are in no receipt."""
    stream = rules.stream
    problems = [problem for problem in seen.problems if problem.kind != "repeat"]  # a receipt will say those
    only_missing = bool(problems) and not seen.failure and all(problem.kind == "missing" for problem in problems)
    if not problems and not seen.failure:
        # What can be listed may still not be readable, unless all of it was read.
        is_known = not seen.is_listed_only or (seen.lag is not None and seen.lag.seconds == 0)
        message = f"raw/{stream}: the source could be {_how(seen, is_known=is_known)}"
        found = _finding(rules, None, "source", passed=True, message=message, numbers={"problems": 0})
        return found if is_known else replace(found, is_known=False)
    told = [_problem(p.kind, p.source, p.position, p.reason) for p in problems[:_SHOWN]]
    if seen.failure:
        told.insert(0, seen.failure)
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    if seen.is_read:
        repair, advice = f"nw ingest --stream {stream} --once", "repair the source, then"
    elif seen.repair:
        repair, advice = seen.repair, "the file is made anew by"
    else:
        repair, advice = f"nw verify {stream}", "what is wrong is listed by"
    message = f"raw/{stream}: {'; '.join(told)}{more}; {advice}: {repair}"
    found = _finding(
        rules, None, "source", passed=False, message=message, numbers={"problems": len(problems)}, repair=repair
    )
    return replace(found, severity="warn") if only_missing else found  # it is still looked for


def _how(seen: StreamObservations, *, is_known: bool) -> str:
    """What a look at the source proves: files that were found are read to their ends, others nobody knows of."""
    if not is_known:
        return "listed"
    vanished = sum(fault.kind == "vanished" for fault in seen.faults)
    if vanished:
        files = "one file" if vanished == 1 else f"{vanished:,} files"
        return f"read to the end of all that was found; {files} vanished before, see the hours above"
    return "read to the end of all that was found" if seen.files else "read"


def _finding(
    rules: StreamRules,
    partition: str | None,
    subject: str,
    *,
    passed: bool,
    message: str,
    numbers: dict[str, object],
    repair: str = "",
    since: int | None = None,
) -> Finding:
    return Finding(
        check=CHECK,
        asset=f"raw/{rules.stream}",
        stream=rules.stream,
        partition=partition,
        subject=subject,
        passed=passed,
        severity="error",
        message=message,
        repair=repair,
        since=since,
        numbers=numbers,
    )
