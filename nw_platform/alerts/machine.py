"""The state machine of alerts: (what is open, what was found, when) -> transitions. Pure.

`opened` and `resolved` alternate for each key; between them come `reminded` and `acknowledged`. What is open is the
fold of all transitions, so nothing else has to be remembered.

A reminder falls due on a grid that starts where the alert opened: an evaluation that comes a little late moves no later
one. After a gap, or a message out of turn, one that would follow within half a period is left out.

A clock that is set back by no more than `SET_BACK_US` repeats nothing and takes nothing back: see `evaluation_time`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from nw_platform.alerts.alert import PLATFORM, Event, OpenAlert, Scope
from nw_platform.alerts.maintenance import Window
from nw_platform.alerts.policy import Policy, Route
from nw_platform.watchdog.findings import Finding

__all__ = [
    "SET_BACK_US",
    "acknowledge",
    "apply",
    "escalations_of",
    "evaluation_time",
    "fold",
    "is_repeated",
    "step",
]

SET_BACK_US: Final = 2 * 3_600_000_000  # a clock that is further behind was wrong before

PAUSED: Final = "paused"
WITHDRAWN: Final = "withdrawn"
_REPEATED: Final = "still failing"
_RISEN: Final = "was a warning"
_ESCALATED: Final = "escalated after "
_BETWEEN: Final = "; "
_WHOLE: Final = frozenset({"continuity", "completeness", "history"})  # judged of a paused stream, too


def evaluation_time(now: int, latest: int | None) -> int:
    """The time to evaluate at: findings, `step` and `route` alike.

    While the clock is behind the newest transition of the table by no more than `SET_BACK_US`, time stands still (but
    for a microsecond, so that each transition is later than all before): what was due stays due, and what was open
    stays open until it is really over.

    Args:
        now: what the clock says.
        latest: time of the newest transition, None if there is none.
    """
    return latest + 1 if latest is not None and now <= latest <= now + SET_BACK_US else now


def step(
    open_alerts: Mapping[str, OpenAlert], findings: Iterable[Finding], scope: Scope, now: int, policy: Policy
) -> list[Event]:
    """The transitions of one evaluation: at most one for each key; none where nothing changed.

    Args:
        open_alerts: by key, as `fold` gives them.
        findings: all of the evaluation. Of several with one key the worst counts.
        scope: where the absence of a finding means something.
        now: microseconds since the epoch; see `evaluation_time`.
        policy: what the configuration says.

    Returns:
        Events without deliveries, in the order of the findings, then what was withdrawn.
    """
    judged = _worst(findings)
    windows, routes = policy.windows_at(now), policy.routes_at(now)
    events = []
    for key, finding in judged.items():
        alert = open_alerts.get(key)
        if alert is None:
            if not finding.passed and not _is_quiet(finding, windows):
                events.append(_opened(finding, now))
        elif _is_ahead(alert, now) or not finding.is_known:
            continue
        elif finding.passed:
            events.append(_resolved(alert, now, message=finding.message))
        else:
            note = _BETWEEN.join(_causes(alert, finding, routes, now, policy.reminder_us))
            if note and not _is_quiet(finding, windows):
                events.append(_reminded(alert, finding, now, note))
    for key, alert in open_alerts.items():
        note = "" if key in judged or _is_ahead(alert, now) else _why_gone(alert.last, scope)
        if note:
            events.append(_resolved(alert, now, message=alert.last.message, note=note))
    return events


def acknowledge(open_alert: OpenAlert, now: int, by: str, comment: str = "") -> Event:
    """The transition by which somebody takes care of an alert: no reminder and no escalation until it is worse."""
    who, said = (" ".join(text.split()) for text in (by, comment))
    return replace(
        open_alert.last,
        time=_after(open_alert, now),
        transition="acknowledged",
        note=f"{who}: {said}" if said else who,
        deliveries=(),
    )


def fold(open_alerts: Mapping[str, OpenAlert], events: Iterable[Event]) -> dict[str, OpenAlert]:
    """What is open after `events`, which came after what `open_alerts` know; in any order. The table is such a fold.

    An event that belongs to no open alert (a reminder of one that was resolved by another) changes nothing.
    """
    known = dict(open_alerts)
    for event in sorted(events, key=_when):
        alert = apply(known.get(event.key), event)
        if alert is None:
            known.pop(event.key, None)
        else:
            known[event.key] = alert
    return known


def apply(alert: OpenAlert | None, event: Event) -> OpenAlert | None:
    """What is open about a key after one more transition; None: nothing. `alert`: what was open before."""
    if event.transition == "opened":
        return _heard(OpenAlert(last=event, opened=event.opened, told=event.time), event)
    if alert is None or alert.opened != event.opened:
        return alert
    if event.transition == "resolved":
        return None
    if event.transition == "acknowledged":
        return _heard(replace(alert, last=event, acknowledged=event.time), event)
    told = event.time if is_repeated(event) else alert.told
    escalated = alert.escalated | escalations_of(event)
    # Of an acknowledged alert nobody is reminded, unless it got worse: then the acknowledgement is over.
    return _heard(replace(alert, last=event, told=told, acknowledged=None, escalated=escalated), event)


def is_repeated(event: Event) -> bool:
    """Whether a reminder is for all who hear of the alert, not only for those it is escalated to."""
    return any(not cause.startswith(_ESCALATED) for cause in event.note.split(_BETWEEN))


def escalations_of(event: Event) -> frozenset[str]:
    """The names of the escalations that a reminder makes."""
    causes = event.note.split(_BETWEEN) if event.transition == "reminded" else ()
    return frozenset(cause.removeprefix(_ESCALATED) for cause in causes if cause.startswith(_ESCALATED))


def _when(event: Event) -> tuple[int, int]:
    """Transitions of a key have different times; should they not, an alert is opened first and resolved last."""
    return event.time, {"opened": 0, "resolved": 2}.get(event.transition, 1)


def _heard(alert: OpenAlert, event: Event) -> OpenAlert:
    """The alert, with the channels that hear of it by this event."""
    new = {d.channel: d.thread_id for d in event.deliveries if d.channel not in alert.threads}
    return replace(alert, threads={**alert.threads, **new}) if new else alert


def _worst(findings: Iterable[Finding]) -> dict[str, Finding]:
    """One finding a key. Two of them about one thing must not open and resolve in turn: the worse one counts."""
    judged: dict[str, Finding] = {}
    for finding in findings:
        key = finding.key
        other = judged.get(key)
        if other is None or _badness(finding) > _badness(other):
            judged[key] = finding
    return judged


def _badness(finding: Finding) -> int:
    return 0 if finding.passed else 2 if finding.severity == "error" else 1


def _is_quiet(finding: Finding, windows: Sequence[Window]) -> bool:
    """Whether a maintenance window covers it."""
    return any(window.covers(stream=finding.stream, check=finding.check, subject=finding.subject) for window in windows)


def _is_ahead(alert: OpenAlert, now: int) -> bool:
    """Whether the alert is of a time that the clock was set back before: what is found now is of the past."""
    return now < alert.last.time <= now + SET_BACK_US


def _causes(
    alert: OpenAlert, finding: Finding, routes: Sequence[Route], now: int, reminder_us: int | None
) -> list[str]:
    """Why something is to be said of an alert that is still open; nothing: it is not."""
    has_risen = finding.severity == "error" and alert.last.severity == "warn"
    if alert.acknowledged is not None and not has_risen:
        return []
    causes = [_RISEN] if has_risen else []
    if not has_risen and reminder_us is not None and _is_due(alert, now, reminder_us):
        causes.append(_REPEATED)
    names = {
        route.escalation.name: route.escalation.after_us
        for route in routes
        if route.escalation is not None
        and now - alert.opened >= route.escalation.after_us
        and route.escalation.name not in alert.escalated
        and route.takes(severity=finding.severity, stream=finding.stream, check=finding.check)
    }
    return causes + [_ESCALATED + name for name in sorted(names, key=lambda name: names[name])]


def _is_due(alert: OpenAlert, now: int, reminder_us: int) -> bool:
    """Whether a reminder is: the last one of the grid lies at least half a period after what was last told."""
    due = now - (now - alert.opened) % reminder_us
    return 2 * (due - alert.told) >= reminder_us


def _why_gone(event: Event, scope: Scope) -> str:
    """Why there is no finding about an open alert any more; '' if that is not known."""
    if event.asset == PLATFORM:
        return f"{WITHDRAWN}: no longer found" if event.check in scope.platform_checks else ""
    if scope.declared is None:
        return ""
    if event.stream not in scope.declared:
        return f"{WITHDRAWN}: the stream {event.stream} is no longer declared"
    if event.stream in scope.paused and event.check not in _WHOLE:
        return PAUSED
    return f"{WITHDRAWN}: no longer expected" if event.stream in scope.streams else ""


def _after(alert: OpenAlert, now: int) -> int:
    """The time of a transition that comes next: later than the one before, whatever the clock says."""
    return max(now, alert.last.time + 1)


def _opened(finding: Finding, now: int) -> Event:
    return Event(
        time=now,
        key=finding.key,
        check=finding.check,
        asset=finding.asset,
        stream=finding.stream,
        partition=finding.partition or "",
        subject=finding.subject,
        severity=finding.severity,
        transition="opened",
        message=finding.message,
        opened=now,
        repair=finding.repair,
        since=finding.since,
        group=_group(finding),
    )


def _reminded(alert: OpenAlert, finding: Finding, now: int, note: str) -> Event:
    return replace(
        alert.last,
        time=_after(alert, now),
        severity=finding.severity,
        transition="reminded",
        message=finding.message,
        repair=finding.repair,
        since=finding.since,
        note=note,
        deliveries=(),
    )


def _resolved(alert: OpenAlert, now: int, *, message: str, note: str = "") -> Event:
    return replace(
        alert.last,
        time=_after(alert, now),
        transition="resolved",
        message=message,
        note=note,
        deliveries=(),
    )


def _group(finding: Finding) -> str:
    """What a digest may put together with it: the data centre of a host, where that is known."""
    datacenter = finding.numbers.get("datacenter")
    return datacenter if isinstance(datacenter, str) else ""
