"""How timelines of alerts are written down: what happens when, and which messages go out because of it.

A line of what happens: `06:10 silence/web-1 fails`. The first word is the time, UTC, on 2026-11-22 (a Sunday), or
`23T06:10` on another day of that month. Then what is spoken of, `[stream:]check[@HH][/subject]` (stream `web`;
`platform:` is the platform itself; `/host-{1..500}` are 500 of them), and one of:

    fails, fails as warn        a finding that fails, as an error or a warning
    passes                      a finding that passes
    is gone                     no finding any more
    is acknowledged             by ann, who says why

or `stream web is paused | is judged | is not judged | is removed`, or `the clock is set back 1h | ahead 1h`: the
machine's clock, that is; times of lines are those that really pass.

One evaluation is made each minute. A line of what is told: `06:10 ops: opened silence/web-1`, with the note in
brackets; or `06:10 ops: opened 500 of silence` for a digest.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from nw_platform.alerts import machine, routing
from nw_platform.alerts.alert import PLATFORM, Event, OpenAlert, Scope
from nw_platform.alerts.message import Message
from nw_platform.alerts.policy import Policy
from nw_platform.record.hours import to_datetime, to_us
from nw_platform.settings import Settings, parse
from nw_platform.watchdog.findings import Finding

MINUTE = 60_000_000
HOUR = 60 * MINUTE
CHANNELS = (
    "{" + ", ".join(f"{name}: {{kind: webhook, url: 'https://h/{name}'}}" for name in ("ops", "boss", "sms")) + "}"
)
_SUBJECTS = re.compile(r"\{(\d+)\.\.(\d+)\}")


def settings_of(alerts: str = "routes: [{to: [ops]}]") -> Settings:
    """A configuration with the channels ops, boss and sms, and the streams web and app. `alerts`: YAML in one line."""
    text = (
        "streams: {web: {path: /var/log/web.log}, app: {path: /var/log/app.log}}\n"
        f"alerts: {{channels: {CHANNELS}, {alerts}}}\n"
    )
    return parse(text, base="/etc/nw", origin="nw.yaml", work=Path("/nowhere"))


def policy_of(alerts: str = "routes: [{to: [ops]}]") -> Policy:
    return Policy.of(settings_of(alerts))


def at(text: str) -> int:
    """`06:10` on 2026-11-22, `23T06:10` on another day of the month, or `2026-03-29T06:10`; seconds may follow."""
    day, _, time = text.rpartition("T")
    day = f"2026-11-{day or '22'}" if len(day) <= 2 else day
    return to_us(datetime.fromisoformat(f"{day}T{time}").replace(tzinfo=UTC))


def shown(now: int, *, seconds: bool = False) -> str:
    """The inverse of `at`, for times of November 2026."""
    return f"{to_datetime(now):%dT%H:%M:%S}" if seconds else f"{to_datetime(now):%dT%H:%M}".removeprefix("22T")


def findings_of(text: str, *, passed: bool, severity: str = "error", datacenter: str = "") -> list[Finding]:
    """The findings that `[stream:]check[@HH][/subject]` speaks of."""
    head, _, subject = text.partition("/")
    stream, colon, check = head.rpartition(":")
    stream = stream if colon else "web"
    check, _, hour = check.partition("@")
    bounds = _SUBJECTS.search(subject)
    numbers = range(int(bounds[1]), int(bounds[2]) + 1) if bounds else ()
    subjects = [_SUBJECTS.sub(str(number), subject) for number in numbers] or [subject]
    return [
        Finding(
            check=check,
            asset=PLATFORM if stream == PLATFORM else f"logs/{stream}",
            stream="" if stream == PLATFORM else stream,
            partition=f"2026-11-22T{hour}" if hour else None,
            subject=one,
            passed=passed,
            severity="warn" if severity == "warn" else "error",
            message=f"logs/{stream}: {check} of {one} " + ("is well" if passed else "is wrong"),
            numbers={"datacenter": datacenter} if datacenter else {},
        )
        for one in subjects
    ]


def name_of(event: Event) -> str:
    """The inverse of `findings_of`."""
    stream = f"{event.stream or PLATFORM}:" if event.stream != "web" else ""
    hour = f"@{event.partition[-2:]}" if event.partition else ""
    return f"{stream}{event.check}{hour}" + (f"/{event.subject}" if event.subject else "")


@dataclass
class Told:
    """A message that went out: when, to whom, what."""

    at: int
    channel: str
    message: Message

    def __str__(self) -> str:
        first = self.message.events[0]
        if self.message.is_digest:
            checks = sorted({event.check for event in self.message.events})
            what = f"{first.transition} {len(self.message.events)} of {' and '.join(checks)}"
        else:
            what = f"{first.transition} {name_of(first)}" + (f" ({first.note})" if first.note else "")
        return f"{shown(self.at)} {self.channel}: {what}"


@dataclass
class World:
    """Evaluations one after the other: what the sensor does, without a table and without a network."""

    policy: Policy
    scope: Scope = field(default_factory=lambda: Scope(frozenset({"web", "app"}), frozenset({"web", "app"})))
    findings: dict[str, Finding] = field(default_factory=dict)  # what is true now
    judge: Callable[[int], Iterable[Finding]] | None = None  # instead of `findings`
    open: dict[str, OpenAlert] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    told: list[Told] = field(default_factory=list)

    @property
    def newest(self) -> int | None:
        return max((event.time for event in self.events), default=None)

    def evaluate(self, clock: int, wall: int | None = None) -> list[Event]:
        """One evaluation at `clock`, as the machine has it, and `wall`, as it is."""
        now = machine.evaluation_time(clock, self.newest)
        found = list(self.findings.values()) if self.judge is None else self.judge(now)
        return self._record(machine.step(self.open, found, self.scope, now, self.policy), now, wall)

    def acknowledge(self, key: str, clock: int, wall: int | None = None, *, by: str = "ann", comment: str = "") -> None:
        now = machine.evaluation_time(clock, self.newest)
        self._record([machine.acknowledge(self.open[key], now, by, comment)], now, wall)

    def _record(self, events: list[Event], now: int, wall: int | None) -> list[Event]:
        at = now if wall is None else wall
        routed = routing.route(events, self.open, self.policy, now)
        self.open = machine.fold(self.open, routed)
        self.told += [Told(at, channel, message) for channel, message in routing.messages(routed, self.policy)]
        self.events += [_delivered(event, at) for event in routed]
        return routed


def _delivered(event: Event, clock: int) -> Event:
    return replace(event, deliveries=tuple(replace(d, state="sent", attempts=1, at=clock) for d in event.deliveries))


def told_by(happens: str, *, until: str, alerts: str, start: str = "06:00") -> list[str]:
    """The messages that go out because of what happens, evaluated at each full minute from `start` to `until`."""
    world = World(policy_of(alerts))
    lines = [line.split(maxsplit=1) for line in happens.strip().splitlines()]
    todo = [(at(time), what.strip()) for time, what in lines]
    wall, offset = at(start), 0
    while wall <= at(until):
        while todo and todo[0][0] <= wall:
            offset += _happen(world, todo.pop(0)[1], wall + offset, wall)
        world.evaluate(wall + offset, wall)
        wall += MINUTE
    assert not todo, f"never happened: {todo}"
    return [str(one) for one in world.told]


def _happen(world: World, what: str, clock: int, wall: int) -> int:
    """One line; how far the clock is moved by it."""
    if found := re.fullmatch(r"the clock is set (back|ahead) (\d+)(m|h)", what):
        amount = int(found[2]) * (HOUR if found[3] == "h" else MINUTE)
        return -amount if found[1] == "back" else amount
    if found := re.fullmatch(r"stream (\w+) is (.+)", what):
        world.scope = _scope(world.scope, found[1], found[2])
        return 0
    text, verb = re.fullmatch(r"(\S+) (fails as warn|fails|passes|is gone|is acknowledged)", what).groups()
    severity = "warn" if verb == "fails as warn" else "error"
    for finding in findings_of(text, passed=verb == "passes", severity=severity):
        if verb == "is acknowledged":
            world.acknowledge(finding.key, clock, wall, comment="on it")
        elif verb == "is gone":
            del world.findings[finding.key]
        else:
            world.findings[finding.key] = finding
    return 0


def _scope(scope: Scope, stream: str, verb: str) -> Scope:
    one = frozenset({stream})
    match verb:
        case "paused":
            return replace(scope, paused=scope.paused | one)
        case "judged":
            return replace(scope, declared=scope.declared | one, streams=scope.streams | one, paused=scope.paused - one)
        case "not judged":
            return replace(scope, streams=scope.streams - one)
        case "removed":
            return replace(scope, declared=scope.declared - one, streams=scope.streams - one)
    raise AssertionError(verb)


TO_OPS = "routes: [{to: [ops]}]"


@dataclass(frozen=True)
class Timeline:
    """What happens, and all that is told because of it."""

    name: str
    happens: str
    until: str
    told: str
    alerts: str = TO_OPS

    def holds(self) -> None:
        """Exactly these messages go out."""
        expected = [line.strip() for line in self.told.strip().splitlines()]
        assert told_by(self.happens, until=self.until, alerts=self.alerts) == expected


def ids(groups: Mapping[str, Sequence[Timeline]]) -> dict[str, Timeline]:
    """All timelines of some groups by a name each."""
    return {f"{name}: {timeline.name}": timeline for name, group in groups.items() for timeline in group}
