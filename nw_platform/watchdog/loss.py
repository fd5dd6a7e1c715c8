"""Check `loss` of logs: every numbered record of a session is there, and all that senders say they sent.

Judged once an hour and its grace are over: records of one session come in different batches.
"""

from __future__ import annotations

from collections.abc import Iterator

from nw_platform.record.hours import HOUR_US, hour_start, next_hour, to_iso
from nw_platform.watchdog.expectations import LossRule, StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import Gap, LossSeen, StreamObservations, Unreceived

CHECK = "loss"


def is_due(rule: LossRule, hour: str, now: int, ingested_until: int | None) -> bool:
    """Whether an hour is over, and what belongs to it had time to come."""
    end = hour_start(hour) + HOUR_US + rule.grace_us
    return end <= now and (ingested_until is None or end <= ingested_until)


def judge(rules: StreamRules, seen: StreamObservations, now: int) -> Iterator[Finding]:
    """Of each hour one finding about numbers, if its records have any, and one about ledgers, if there are any."""
    for rule in rules.of(LossRule):
        for hour in seen.judge:
            lost = seen.losses.get(hour)
            if lost is None or not is_due(rule, hour, now, seen.ingested_until):
                continue
            if lost.sessions:
                yield _numbers(rules, rule, hour, lost)
            if lost.said:
                yield _ledgers(rules, rule, hour, lost)


def _numbers(rules: StreamRules, rule: LossRule, hour: str, lost: LossSeen) -> Finding:
    numbers: dict[str, object] = {
        "records": lost.records,
        "sessions": lost.sessions,
        "missing": lost.missing,
        "max_missing": rule.max_missing,
    }
    told = f"{lost.missing} numbers are missing among {lost.records} records of {lost.sessions} sessions"
    if lost.missing <= rule.max_missing:
        return _finding(rules, rule, hour, "sequence", told, numbers)
    more = f" and {lost.gaps - len(lost.largest)} more" if lost.gaps > len(lost.largest) else ""
    told += f": {'; '.join(_gap(gap) for gap in lost.largest)}{more}"
    since = min((gap.before for gap in lost.largest), default=hour_start(hour))
    if lost.largest:
        numbers["host"] = lost.largest[0].host or ""
    return _finding(rules, rule, hour, "sequence", told, numbers, since=since, repair="nw report sequence_gaps")


def _ledgers(rules: StreamRules, rule: LossRule, hour: str, lost: LossSeen) -> Finding:
    numbers: dict[str, object] = {"said": lost.said, "lost": lost.lost, "max_missing": rule.max_missing}
    told = f"{lost.lost} of {lost.said} records that senders say they sent are not there"
    if lost.lost <= rule.max_missing:
        return _finding(rules, rule, hour, "ledger", told, numbers)
    told += f": {'; '.join(_sender(sender) for sender in lost.unreceived)}"
    since = min((sender.minute for sender in lost.unreceived), default=hour_start(hour))
    if lost.unreceived:
        numbers["host"] = lost.unreceived[0].host or ""
    return _finding(rules, rule, hour, "ledger", told, numbers, since=since, repair="nw report host_status")


def _gap(gap: Gap) -> str:
    what = f"{gap.first}" if gap.first == gap.last else f"{gap.first} to {gap.last}"
    times = f"between {to_iso(gap.before)} and {to_iso(gap.after)}"
    return f"{what} of session {gap.session} (host {gap.host}, process {gap.process}, {times})"


def _sender(sender: Unreceived) -> str:
    return (
        f"{sender.lost} of {sender.said} {sender.log_type} of host {sender.host}, process {sender.process}, "
        f"minute {to_iso(sender.minute)}"
    )


def _finding(
    rules: StreamRules,
    rule: LossRule,
    hour: str,
    subject: str,
    told: str,
    numbers: dict[str, object],
    *,
    since: int | None = None,
    repair: str = "",
) -> Finding:
    tail = ""
    if repair:
        tail = (
            f" (since {to_iso(since or hour_start(hour))}); what a sender's spool still holds comes by itself, whether "
            f"all that arrived is in is proved by nw verify {rules.stream} {hour} {next_hour(hour)}; all that is "
            f"missing: {repair}"
        )
    return Finding(
        check=CHECK,
        asset=f"logs/{rules.stream}",
        stream=rules.stream,
        partition=hour,
        subject=subject,
        passed=not repair,
        severity=rule.severity,
        message=f"logs/{rules.stream} {hour}: {told}{tail}",
        repair=repair,
        since=since,
        numbers=numbers,
    )
