"""Findings about the platform itself, as those who look at it word them: the Dagster side, and `nw watch` from outside.

Both judge daemons, so both must say the same: an alert that one opens, the other may resolve.
"""

from __future__ import annotations

from typing import Final

from nw_platform.alerts.alert import PLATFORM
from nw_platform.record.hours import to_iso
from nw_platform.watchdog.findings import Finding, Severity

__all__ = ["DAEMON_SILENT_US", "daemon_finding", "platform_finding"]

DAEMON_SILENT_US: Final = 300_000_000  # a daemon gives a sign of life every 30 s, when it is not busy for longer


def platform_finding(
    check: str,
    subject: str,
    *,
    passed: bool,
    message: str,
    repair: str = "",
    since: int | None = None,
    severity: Severity = "error",
) -> Finding:
    """A finding of the asset `platform`; `since` in microseconds since the epoch."""
    return Finding(
        check=check,
        asset=PLATFORM,
        stream="",
        partition=None,
        subject=subject,
        passed=passed,
        severity=severity,
        message=message,
        repair="" if passed else repair,
        since=None if passed else since,
    )


def daemon_finding(
    name: str, heartbeat: float | None, now: int, running_since: int, silent_us: int = DAEMON_SILENT_US
) -> Finding:
    """Whether one of Dagster's daemons has given a sign of life lately.

    Args:
        name: SENSOR, SCHEDULER and so on.
        heartbeat: of the last one, seconds since the epoch; None: never.
        now: microseconds since the epoch.
        running_since: before it nothing was expected (the platform, or whoever looks, was not running).
        silent_us: how long it may be silent.
    """
    seen = None if heartbeat is None else int(heartbeat * 1e6)
    passed = now - max(seen or 0, running_since) <= silent_us
    told = "never" if seen is None else to_iso(seen)
    state = "runs" if passed else "has stopped"
    message = f"the Dagster daemon {name} {state}: its last sign of life was {told}"
    return platform_finding(
        "daemon", name, passed=passed, message=message, since=seen, repair="see the daemon's log; start `nw up` again"
    )
