"""Check `silence` of logs: each host gives a sign of life (a record of its own or a heartbeat) often enough.

Judged by event time, so that a backfill of yesterday does not wake a host that is silent today.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from nw_platform.record.hours import to_iso
from nw_platform.watchdog.expectations import SilenceRule, StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import START_UP_US, StreamObservations

CHECK = "silence"


def state_of(rule: SilenceRule, last: int | None, since: int, now: int) -> str:
    """ok, late, down or never_seen, of a host last seen at `last` that is watched since `since` (microseconds).

    A host that was never seen is given an hour. Silence from before the stream was watched does not count.
    """
    begin = since if last is None else max(last, since)
    silent = now - begin - rule.slack_us
    if silent <= rule.late_after * rule.every_us:
        return "ok"
    if last is None:
        return "never_seen" if now - since >= START_UP_US else "ok"
    return "late" if silent <= rule.down_after * rule.every_us else "down"


def judge(rules: StreamRules, seen: StreamObservations, now: int, elsewhere: Collection[str] = ()) -> Iterator[Finding]:
    """One finding for each host. `elsewhere`: hosts that other streams have seen, which are not missed here."""
    for rule in rules.of(SilenceRule):
        moment = now if seen.ingested_until is None else min(now, seen.ingested_until)
        expected = (host for host in rule.hosts if host not in elsewhere)
        hosts: dict[str, int | None] = dict.fromkeys(expected) | dict(seen.hosts)
        # No host is known at all: the stream as a whole is judged.
        known = hosts or {"(any)": seen.last_event}
        for host in sorted(known):
            last = known[host]
            state = state_of(rule, last, seen.live_since, moment)
            where = seen.datacenters.get(host, rules.datacenters.get(host, ""))
            yield _host(rules, rule, host, where=where, state=state, last=last, now=moment)


def _host(
    rules: StreamRules, rule: SilenceRule, host: str, *, where: str, state: str, last: int | None, now: int
) -> Finding:
    passed = state == "ok"
    minutes = None if last is None else max(0, (now - last) // 60_000_000)
    head = f"logs/{rules.stream}: host {host} {f'in {where} ' if where else ''}"
    if last is None:
        message = f"{head}has not been seen yet"
    else:
        message = f"{head}was last seen {to_iso(last)}, {minutes} min ago"
    repair = ""
    if not passed:
        repair = f"nw ingest --stream {rules.stream} --once"
        message += (
            f": {state} (expected every {rule.every_us / 1e6:g} s); look at the host and its agent; "
            f"if its files are there: {repair}"
        )
    numbers: dict[str, object] = {"state": state, "minutes_silent": minutes, "every_s": rule.every_us / 1e6}
    if where:
        numbers["datacenter"] = where
    return Finding(
        check=CHECK,
        asset=f"logs/{rules.stream}",
        stream=rules.stream,
        partition=None,
        subject=host,
        passed=passed,
        severity="warn" if state == "late" else rule.severity,
        message=message,
        repair=repair,
        since=None if passed else last,
        numbers=numbers,
    )
