"""Findings about the platform itself, as those who look at it word them: the Dagster side, and `nw watch` from outside.

Both judge daemons, so both must say the same: an alert that one opens, the other may resolve.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from nw_platform.alerts.alert import PLATFORM
from nw_platform.record.hours import to_iso
from nw_platform.watchdog.findings import Finding, Severity

__all__ = ["DAEMON_SILENT_US", "daemon_finding", "platform_finding"]

_FRESH_US: Final = 45_000_000
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
    heartbeats: Mapping[str, float | None], now: int, running_since: int, silent_us: int = DAEMON_SILENT_US
) -> Finding:
    """Whether Dagster's daemons have given a sign of life lately. They are threads of one process: one finding.

    Args:
        heartbeats: the last one of each (SENSOR, SCHEDULER and so on), seconds since the epoch; None: never.
        now: microseconds since the epoch.
        running_since: before it nothing was expected (the platform, or whoever looks, was not running).
        silent_us: how long one may be silent.
    """
    seen = {name: None if beat is None else int(beat * 1e6) for name, beat in heartbeats.items()}
    silent = sorted(name for name, at in seen.items() if now - max(at or 0, running_since) > silent_us)
    if not silent:
        found = platform_finding("daemon", "", passed=True, message="the Dagster daemon runs")
        # Who waits less long may have found it silent: only a new sign of life ends that.
        is_fresh = all(at is not None and now - at <= _FRESH_US for at in seen.values())
        return found if is_fresh else replace(found, is_known=False)
    times = [at for name in silent if (at := seen[name]) is not None]
    last = f"the last sign of life was {to_iso(max(times))}" if times else "there was no sign of life"
    which = "" if len(silent) == len(seen) else f" in part ({', '.join(silent)})"
    return platform_finding(
        "daemon",
        "",
        passed=False,
        message=f"the Dagster daemon has stopped{which}: {last}",
        since=max(times, default=None),
        repair="see the daemon's log; start `nw up` again",
    )
