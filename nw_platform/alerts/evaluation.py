"""One evaluation: findings become transitions, transitions become rows, rows become messages.

1. The table is read; what changed against what is open is computed from the findings (machine.py, routing.py: pure).
2. One commit adds the transitions, their deliveries pending and claimed by this process, and claims what is left over
   from before and due. It is refused if another process changed the table meanwhile: then all that is done again.
3. What is claimed is sent.
4. One commit says how that went. A crash between 3 and 4 repeats messages, with the ids they had.

Where nothing changed and nothing is due, nothing is written and nothing is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from nw_platform.alerts import machine
from nw_platform.alerts.alert import CHANNEL, PLATFORM, Delivery, Event, OpenAlert, Scope
from nw_platform.alerts.claims import CLAIM_US, Claimant
from nw_platform.alerts.delivery import Open, is_due, outbound, send, settled
from nw_platform.alerts.message import Channel
from nw_platform.alerts.policy import Policy
from nw_platform.alerts.routing import route
from nw_platform.alerts.rows import Filed
from nw_platform.alerts.state import AlertState
from nw_platform.alerts.steps import AlertStep
from nw_platform.alerts.table import AlertTable, Reading
from nw_platform.errors import CommitConflictError, DeliveryError, LakeError
from nw_platform.ingest.steps import reached
from nw_platform.lake.store import Lake
from nw_platform.record.hours import to_iso
from nw_platform.settings import Settings
from nw_platform.watchdog import deadlines, silence
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import START_UP_US

__all__ = ["FAILING_AFTER", "Alerting", "Outcome", "channel_findings", "open_hours", "scope_of", "watched_since"]

FAILING_AFTER: Final = 3  # attempts in vain, then the other channels hear of it
_ATTEMPTS: Final = 20  # against other processes that commit at the same time


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an evaluation did."""

    events: tuple[Event, ...] = ()  # transitions that were made
    sent: int = 0  # messages
    failed: int = 0  # messages that did not arrive this time
    waiting: int = 0  # messages that will be tried again
    open: int = 0  # alerts that are open now
    reasons: tuple[str, ...] = ()  # a line for each channel that could not be told, or still waits: why

    def told(self) -> str:
        """One line."""
        made = ", ".join(f"{n} {name}" for name, n in _counted(event.transition for event in self.events).items())
        parts = [made or "no change", f"{self.open} open"]
        parts += [
            f"{n} {what}" for n, what in ((self.sent, "sent"), (self.failed, "failed"), (self.waiting, "waiting")) if n
        ]
        return "; ".join(parts)


class Alerting:
    """Evaluates again and again, for one lake. For one thread at a time."""

    def __init__(self, lake: Lake, policy: Policy, opened: Open) -> None:
        """Does no I/O. `opened`: opens a channel by its name."""
        self._table, self._policy, self._opened = AlertTable(lake), policy, opened
        self._claimant = Claimant(lake.work / "alerts" / "claims")
        self._begun: Reading | None = None
        self._untold: dict[tuple[str, str], Delivery] = {}  # outcomes that no commit took

    @classmethod
    def of(cls, settings: Settings, lake: Lake) -> Alerting:
        """With the channels of a configuration."""

        def opened(name: str) -> Channel:
            declared = settings.alerts.channels.get(name)
            if declared is None:
                raise DeliveryError(f"there is no channel {name!r} in the configuration any more", is_final=True)
            from nw_platform.alerts.channels import open_channel  # noqa: PLC0415  (slow to import, and seldom needed)

            return open_channel(name, declared, link=settings.alerts.link)

        return cls(lake, Policy.of(settings), opened)

    def state(self) -> AlertState:
        """What the table says now.

        Raises:
            LakeError: it cannot be read.
        """
        return self._table.read().state

    def begin(self, now: int) -> tuple[int, dict[str, set[str]]]:
        """The time to look and to evaluate at, and the hours of open alerts (by stream): they are to be judged, too.

        Args:
            now: what the clock says, microseconds since the epoch.

        Raises:
            LakeError: the table cannot be read.
        """
        self._begun = self._table.read()
        state = self._begun.state
        return machine.evaluation_time(now, state.newest or None), open_hours(state.open.values())

    def newest(self) -> int:
        """The time of the newest transition that `begin` read; 0: it read none."""
        return 0 if self._begun is None else self._begun.state.newest

    def watched(self) -> dict[str, int]:
        """Since when streams were watched at the latest, as what `begin` read proves; for a look that forgot it."""
        return {} if self._begun is None else watched_since(self._begun.state.open.values())

    def evaluate(self, findings: Iterable[Finding], scope: Scope, now: int, clock: Callable[[], int]) -> Outcome:
        """Make the transitions, write them, send what is due. A channel that fails is an outcome, not an error.

        Args:
            findings: of the streams and of the platform; those of the channels are added here.
            scope: what was judged.
            now: from `begin`.
            clock: the time, to know when to stop sending.

        Raises:
            LakeError: the table cannot be read or written. Nothing is lost: the next evaluation goes on from there.
        """
        found = [_printable(finding) for finding in findings]
        scope = replace(scope, platform_checks=scope.platform_checks | {CHANNEL})

        def transitions(state: AlertState) -> list[Event]:
            judged = [*found, *channel_findings(state, self._policy.channels)]
            return _not_outdated(machine.step(state.open, judged, scope, now, self._policy), state.closed, now)

        return self._run(transitions, now, clock)

    def acknowledge(
        self, chosen: Callable[[OpenAlert], bool], by: str, comment: str, now: int, clock: Callable[[], int]
    ) -> Outcome:
        """Acknowledge open alerts, and tell who heard of them.

        Raises:
            LakeError: the table cannot be read or written.
        """

        def transitions(state: AlertState) -> list[Event]:
            picked = [alert for alert in state.open.values() if chosen(alert) and alert.acknowledged is None]
            return [machine.acknowledge(alert, now, by, comment) for alert in picked]

        return self._run(transitions, now, clock)

    def close(self) -> None:
        """Let others take what is pending. May be called twice."""
        self._claimant.close()

    def _run(self, transitions: Callable[[AlertState], list[Event]], now: int, clock: Callable[[], int]) -> Outcome:
        if self._untold:
            self._settle((), {}, now)
            self._begun = None
        begun, self._begun = self._begun, None
        for _ in range(_ATTEMPTS):
            # What is based on an old version is refused when it is written, and nothing else depends on that.
            reading, begun = begun or self._table.read(), None
            events = route(transitions(reading.state), reading.state.open, self._policy, now)
            reached(AlertStep.JUDGED)
            try:
                mine, others = self._claim(reading, events, now, max(now, clock()) + CLAIM_US)
            except CommitConflictError:
                continue
            break
        else:
            raise LakeError("the table alerts is changed by others all the time; the next evaluation tries again")
        if not mine:
            state = self._table.read().state if events else reading.state
            return Outcome(tuple(events), waiting=state.waiting, open=len(state.open), reasons=state.reasons)
        waiting = outbound([*mine, *others], self._policy, lambda filed: filed.claimed_by == self._claimant.name)
        done = send(waiting, self._opened, now=now, clock=clock)
        self._settle(mine, done, now)
        state = self._table.read().state
        reached(AlertStep.REMEMBERED)
        sent = sum(delivery.state == "sent" for delivery in done.values())
        given_up = [one for one in done.values() if one.state == "given_up"]
        reasons = (*dict.fromkeys(f"channel {one.channel}: given up: {one.error}" for one in given_up), *state.reasons)
        return Outcome(tuple(events), sent, len(done) - sent, state.waiting, len(state.open), reasons)

    def _claim(
        self, reading: Reading, events: Sequence[Event], now: int, until: int
    ) -> tuple[list[Filed], list[Filed]]:
        """Write the transitions and claim what is due. Returns what is ours to send, and what is pending of others."""
        free = {
            place
            for place, filed in reading.state.pending.items()
            if self._claimant.may_take(filed.claimed_by, filed.claimed_until, now)
        }
        left = outbound(reading.state.pending.values(), self._policy, lambda filed: filed.place in free)
        due = {channel for channel, ones in left.items() if is_due(ones, now)}
        taken, others = [], []
        for filed in reading.state.pending.values():
            wanted = any(one.state == "pending" and one.channel in due for one in filed.event.deliveries)
            if filed.place in free and wanted:
                taken.append(Filed(filed.event, self._claimant.name, until))
            else:
                others.append(filed)
        new = [Filed(event, self._claimant.name, until) if event.deliveries else Filed(event) for event in events]
        mine = [*taken, *(filed for filed in new if filed.is_pending)]
        if mine:
            self._claimant.hold()
        if new or taken:
            self._table.append(reading, new, taken, now)
            reached(AlertStep.CLAIMED)
        return mine, others

    def _settle(self, mine: Collection[Filed], done: Mapping[tuple[str, str], Delivery], now: int) -> None:
        """Write how it went, whatever others commit meanwhile. What cannot be written is kept for the next time."""
        self._untold |= done
        places = {filed.place for filed in mine}
        for _ in range(_ATTEMPTS):
            reading = self._table.read()
            rows = [
                (filed, settled(filed, self._untold, self._claimant.name))
                for filed in reading.state.pending.values()
                if filed.place in places or filed.claimed_by == self._claimant.name or _speak_of(self._untold, filed)
            ]
            changed = [after for before, after in rows if after != before]
            try:
                if changed:
                    self._table.append(reading, (), changed, now)
                    reached(AlertStep.OUTCOME_COMMITTED)
            except CommitConflictError:
                continue
            self._untold = {}
            return
        raise LakeError("the table alerts is changed by others all the time; what was sent is written next time")


def scope_of(settings: Settings, judged: Collection[str], platform_checks: Collection[str] = ()) -> Scope:
    """What was judged, by the configuration and a look at it: `judged` streams in full, and checks of the platform."""
    return Scope(
        declared=frozenset(settings.streams),
        streams=frozenset(judged),
        paused=frozenset(name for name, stream in settings.streams.items() if stream.paused),
        platform_checks=frozenset(platform_checks),
    )


def channel_findings(state: AlertState, channels: Iterable[str]) -> list[Finding]:
    """Whether each channel takes messages. It fails after three attempts in vain, or if a message was given up."""
    found = []
    for name in channels:
        record = state.channels.get(name)
        tried = [
            (filed.event.time, delivery)
            for filed in state.pending.values()
            for delivery in filed.event.deliveries
            if delivery.channel == name and delivery.state == "pending" and delivery.attempts >= FAILING_AFTER
        ]
        message, since = f"channel {name} takes messages", None
        if tried:
            since, last = tried[0][0], tried[-1][1]
            message = f"channel {name} does not take messages: {last.error}; waiting since {to_iso(since)}"
        elif record is not None and record.given_up is not None and record.given_up > (record.sent or 0):
            since = record.given_up
            message = f"channel {name} does not take messages: {record.error}; given up at {to_iso(since)}"
        found.append(
            Finding(
                check=CHANNEL,
                asset=PLATFORM,
                stream="",
                partition=None,
                subject=name,
                passed=since is None,
                severity="error",
                message=message,
                repair="" if since is None else f"nw alerts test {name}",
                since=since,
            )
        )
    return found


def open_hours(alerts: Iterable[OpenAlert]) -> dict[str, set[str]]:
    """The hours that open alerts are about: stream -> hours."""
    found: dict[str, set[str]] = {}
    for alert in alerts:
        if alert.last.stream and alert.last.partition:
            found.setdefault(alert.last.stream, set()).add(alert.last.partition)
    return found


def watched_since(alerts: Iterable[OpenAlert]) -> dict[str, int]:
    """Since when streams were watched at the latest, microseconds: stream -> an instant.

    A file is missed if its deadline is later than that, and a host that was never seen, an hour after it. For a stream
    of which nothing ever arrived, nothing else but the memory of a look knows since when it is watched.
    """
    found: dict[str, int] = {}
    for alert in alerts:
        event, since = alert.last, alert.last.since
        if event.check == deadlines.CHECK:
            proof = since
        else:
            proof = alert.opened - START_UP_US if event.check == silence.CHECK and since is None else None
        if proof is not None:
            found[event.stream] = min(proof, found.get(event.stream, proof))
    return found


def _not_outdated(events: Iterable[Event], closed: Mapping[str, int], now: int) -> list[Event]:
    """Without alerts that were resolved after these findings were made: another process knew more.

    What was resolved at a time that this clock is far from was resolved by a clock that was wrong: it opens after that.
    """
    kept = []
    for event in events:
        last = closed.get(event.key, -1)
        if event.transition != "opened" or last < now:
            kept.append(event)
        elif last > now + machine.SET_BACK_US:
            kept.append(replace(event, time=last + 1, opened=last + 1))
    return kept


def _speak_of(outcomes: Mapping[tuple[str, str], Delivery], filed: Filed) -> bool:
    """Whether one of these messages is about this row: others may have claimed some of a digest."""
    return any((delivery.channel, delivery.message_id) in outcomes for delivery in filed.event.deliveries)


def _printable(finding: Finding) -> Finding:
    """The finding with texts that can be written: a file's name may hold bytes that are no text."""
    texts = {
        name: getattr(finding, name).encode("utf-8", "replace").decode()
        for name in ("subject", "message", "repair")
        if not getattr(finding, name).isascii()
    }
    return replace(finding, **texts) if texts else finding


def _counted(words: Iterable[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for word in words:
        found[word] = found.get(word, 0) + 1
    return found
