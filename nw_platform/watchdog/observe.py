"""Gathers observations from the lake: receipts, file statistics and counts of the hours that have to be judged.

Judged are, of each stream: the hours a rule may still speak of (around now), the hours whose files changed since the
last look, and the hours that failed then. So a look costs what is new, however long the history. The memory of the
last look is a hint; without it everything is looked at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb

from nw_platform.errors import LakeError
from nw_platform.lake.engine import connect
from nw_platform.lake.receipts import read_receipt_files
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeFile, Snapshot
from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.record.spans import Receipt
from nw_platform.watchdog import hourstats, memory
from nw_platform.watchdog.balances import count_balances, count_duplicates
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.horizon import (
    compared_hours,
    compared_us,
    is_outside,
    judged_hours,
    kept_us,
    reached_hours,
    same_hours,
)
from nw_platform.watchdog.memory import StreamMemory
from nw_platform.watchdog.observations import Balanced, LagSeen, SourceProblem, StreamObservations
from nw_platform.watchdog.receipts import ReceiptFold

_HOSTS_US: Final = 7 * 24 * HOUR_US  # a host that was silent for longer is gone, unless it is declared
_NONE: Final[Mapping[str, Collection[str]]] = {}


@dataclass(frozen=True, slots=True)
class TickState:
    """What the last tick of ingestion met, as far as the caller knows."""

    problems: Mapping[str, Sequence[SourceProblem]] = field(default_factory=dict)  # stream -> problems
    failures: Mapping[str, str] = field(default_factory=dict)  # stream -> why it could not be read
    ingested_until: int | None = None  # when the last tick that went through began; None: not known
    lags: Mapping[str, LagSeen] = field(default_factory=dict)  # stream -> how far it is behind, if that is known


@dataclass(slots=True)
class _Look:
    """One look at all streams."""

    now: int
    tick: TickState
    as_of: int | None
    fresh: bool
    receipts_version: int
    receipts: Mapping[str, Sequence[LakeFile]]  # stream -> files of the receipts table
    logs: Mapping[str, Snapshot | LakeError | None]
    duplicates: Snapshot | None
    also: Mapping[str, Collection[str]]  # stream -> event hours to judge as well
    judged: set[str] = field(default_factory=set)  # streams of which all that is to be judged was
    connection: duckdb.DuckDBPyConnection | None = None

    def connect(self) -> duckdb.DuckDBPyConnection:
        """One connection for all streams of the look, opened when there is something to count."""
        if self.connection is None:
            self.connection = connect()
        return self.connection


class Watch:
    """Looks at a lake, again and again.

    Each user of findings has a `folder` (local) of its own for the memory: what changed since the last look depends on
    who looks. Without a folder nothing is remembered from one process to the next. Call `commit` after the findings of
    a look were put to use: the next look then builds on it; a look that was not committed is repeated.
    """

    def __init__(self, lake: Lake, *, folder: Path | None = None, limit: int | None = None) -> None:
        """`limit`: most changed hours of a stream in one look; the others come with the next looks."""
        self._lake, self._folder, self._limit = lake, folder, limit
        self._memories: dict[str, StreamMemory] = {}
        self._dirty: set[str] = set()
        self._saved: dict[str, str] = {}  # stream -> the hour in which its memory was written to disk
        self._committed = True
        self._judged: frozenset[str] = frozenset()

    def findings(
        self,
        streams: Sequence[StreamRules],
        now: int,
        tick: TickState | None = None,
        *,
        also: Mapping[str, Collection[str]] = _NONE,
        as_of: int | None = None,
        from_scratch: bool = False,
    ) -> list[Finding]:
        """Look and judge.

        Args:
            streams: the rules of the streams to look at.
            now: microseconds since the epoch.
            tick: what the last tick of ingestion met.
            also: hours, by stream, that are judged in this look whatever is remembered: those of open alerts. They are
                event hours of `logs/`; hours of `raw/` may be among them.
            as_of: leave out what was ingested later; implies `from_scratch`.
            from_scratch: judge every hour there is, whatever is remembered.

        Raises:
            LakeError: the receipts cannot be read. A stream whose tables cannot be read is a finding.
        """
        seen = self.observe(streams, now, tick, also=also, as_of=as_of, from_scratch=from_scratch)
        found = evaluate(streams, seen, now)
        self._remember(found, now, save=not (from_scratch or as_of is not None))
        return found

    def judged(self) -> frozenset[str]:
        """The streams that the last look judged in full: their tables could be read, and no hour was put off."""
        return self._judged

    def observe(
        self,
        streams: Sequence[StreamRules],
        now: int,
        tick: TickState | None = None,
        *,
        also: Mapping[str, Collection[str]] = _NONE,
        as_of: int | None = None,
        from_scratch: bool = False,
    ) -> dict[str, StreamObservations]:
        """What is to be judged now, of every stream; arguments as those of `findings`."""
        if not self._committed:
            self._memories.clear()
            self._dirty.clear()
        self._committed, self._judged = False, frozenset()
        # Records go from receipts to duplicates to logs. Looked at the other way round, none seems to be one too many.
        logs = {rules.stream: self._logs(rules.stream) for rules in streams}
        duplicates = self._lake.duplicates().snapshot()
        receipts = self._lake.receipts().snapshot()
        by_stream: dict[str, list[LakeFile]] = {}
        for file in receipts.files() if receipts else ():
            by_stream.setdefault(file.partition["stream"], []).append(file)
        look = _Look(
            now=now,
            tick=tick or TickState(),
            as_of=as_of,
            fresh=from_scratch or as_of is not None,
            receipts_version=receipts.version if receipts else -1,
            receipts=by_stream,
            logs=logs,
            duplicates=duplicates,
            also=also,
        )
        try:
            seen = {rules.stream: self._look_or_say(rules, look) for rules in streams}
            self._judged = frozenset(look.judged)
            return seen
        finally:
            if look.connection is not None:
                look.connection.close()

    def commit(self) -> None:
        """Keep what was learned by the last look: in this process at once, on disk once an hour."""
        for stream in sorted(self._dirty):
            known = self._memories.get(stream)
            hour = hour_of(known.judged_until) if known is not None and known.judged_until is not None else ""
            if self._folder is not None and known is not None and self._saved.get(stream) != hour:
                memory.save(self._folder, stream, known)
                self._saved[stream] = hour
                self._dirty.discard(stream)
        self._committed = True

    def _remember(self, found: Iterable[Finding], now: int, *, save: bool) -> None:
        failing: dict[str, set[str]] = {stream: set() for stream in self._memories}
        for finding in found:
            if not finding.passed and finding.partition and finding.asset.startswith("logs/"):
                failing.setdefault(finding.stream, set()).add(finding.partition)
        for stream, known in self._memories.items():
            new_hour = known.judged_until is None or hour_of(known.judged_until) != hour_of(now)
            if save and (new_hour or known.failing != failing[stream]):
                self._dirty.add(stream)
            known.failing, known.judged_until = failing[stream], now

    def _look_or_say(self, rules: StreamRules, look: _Look) -> StreamObservations:
        """Look at a stream; if its tables cannot be read, that is what was seen, and the others go on."""
        try:
            return self._look(rules, look)
        except (LakeError, duckdb.Error, OSError) as error:
            self._memories.pop(rules.stream, None)
            reason = f"the lake cannot be read: {' '.join(str(error).split())[:300]}"
            return StreamObservations(rules.stream, live_since=look.now, failure=reason)

    def _look(self, rules: StreamRules, look: _Look) -> StreamObservations:
        stream, now = rules.stream, look.now
        known = self._recall(rules, look)
        new = self._new_receipts(rules, known, look)
        wanted = [r for r in new if look.as_of is None or r.planned_time <= look.as_of]
        touched = known.fold.add(sorted(wanted, key=lambda r: r.place))
        known.receipts_version = look.receipts_version
        logs = look.logs[stream]
        if isinstance(logs, LakeError):
            raise logs
        at_rest = logs is None or logs.version == known.logs_version
        changed = [] if at_rest or logs is None else self._compare(rules, known, logs, now)
        also = set(look.also.get(stream, ()))
        judge = sorted({*judged_hours(rules, known, changed, now), *also})
        if logs is not None:
            _count(rules, known, logs, judge, look)
        if new or not at_rest:
            if not look.fresh:
                self._dirty.add(stream)
            hours = {*judge, *(hour for r in wanted for hour in r.event_hours)}
            known.balances = self._balances(rules, known, logs, hours, look) if len(wanted) == len(new) else {}
        else:
            known.balances = {hour: known.balances[hour] for hour in judge if hour in known.balances}
            if also - known.balances.keys():
                known.balances |= self._balances(rules, known, logs, also, look)
        if logs is None or logs.version == known.logs_version:
            look.judged.add(stream)
        return StreamObservations(
            stream=stream,
            live_since=known.since(),
            arrivals=_arrivals(known, touched, also, now),
            faults=tuple(known.fold.faults),
            files=tuple(known.fold.contents.values()) if rules.landing else (),
            judge=judge,
            hours=known.stats,
            first_event=known.first_kept(),
            last_event=known.last_event,
            outside_history={hour: n for hour, n in known.outside.items() if is_outside(rules, hour, now)},
            balances=known.balances,
            in_flight=known.fold.in_flight(now),
            same_hours=same_hours(rules, known, judge),
            hosts={host: last for host, last in known.hosts.items() if last > now - _HOSTS_US},
            datacenters=known.datacenters,
            problems=tuple(look.tick.problems.get(stream, ())),
            failure=look.tick.failures.get(stream, ""),
            lag=look.tick.lags.get(stream),
            broken=known.broken,
            ingested_until=look.tick.ingested_until,
        )

    def _logs(self, stream: str) -> Snapshot | LakeError | None:
        """The newest version of a stream's logs, or why it cannot be read."""
        try:
            return self._lake.logs(stream).snapshot()
        except LakeError as error:
            return error

    def _balances(
        self, rules: StreamRules, known: StreamMemory, logs: Snapshot | None, hours: Collection[str], look: _Look
    ) -> dict[str, Balanced]:
        """The balances of some hours. Hours that failed before are among those to judge, so none is lost."""
        twice = count_duplicates(look.connect(), look.duplicates, rules.stream, hours) if look.duplicates else {}
        return count_balances(known.fold, logs.hours() if logs else {}, twice, hours)

    def _recall(self, rules: StreamRules, look: _Look) -> StreamMemory:
        """The memory of the stream, without what was counted for other rules."""
        digest = hashlib.sha256(repr(rules).encode()).hexdigest()[:16]
        stream = rules.stream
        known = self._memories.get(stream) or memory.load(self._folder, stream)
        fold = ReceiptFold(landing=rules.landing)
        if known is None:
            known = StreamMemory(look.now if look.as_of is None else min(look.now, look.as_of), digest, fold)
            self._dirty.add(stream)
        elif look.fresh:
            known = StreamMemory(known.first_look, digest, fold)
        elif known.rules != digest:
            known = StreamMemory(known.first_look, digest, known.fold, known.receipts_version)
            self._dirty.add(stream)
        self._memories[stream] = known
        return known

    def _new_receipts(self, rules: StreamRules, known: StreamMemory, look: _Look) -> list[Receipt]:
        """The stream's receipts that were not folded in yet."""
        if look.receipts_version == known.receipts_version:
            return []
        lanes = known.fold.lanes
        files = [f for f in look.receipts.get(rules.stream, ()) if not _is_folded(f, lanes)]
        receipts = read_receipt_files(self._lake, files, rules.stream)
        new = [r for r in receipts if r.sequence > lanes.get(r.lane, (-1, ""))[0]]
        if lanes and any(r.kind == "replay" for r in new):  # it changes what older receipts have counted: once more
            known.fold = ReceiptFold(landing=rules.landing)
            new = read_receipt_files(self._lake, look.receipts.get(rules.stream, ()), rules.stream)
        return new

    def _compare(self, rules: StreamRules, known: StreamMemory, logs: Snapshot, now: int) -> list[str]:
        """The event hours whose files changed, or went away, since they were judged; newest first."""
        states = logs.hours()
        changed = sorted((h for h, state in states.items() if known.tokens.get(h) != state.token), reverse=True)
        if self._limit is not None and len(changed) > self._limit:
            changed = changed[: self._limit]  # the version stays unknown, so the others come with the next look
        else:
            known.logs_version = logs.version
        gone = [hour for hour in known.tokens if hour not in states]
        for hour in (*changed, *gone):
            known.stats.pop(hour, None)
            known.lines.pop(hour, None)
            known.tokens.pop(hour, None)
        for hour in changed:
            known.tokens[hour] = states[hour].token
        known.outside = {hour: state.records for hour, state in states.items() if is_outside(rules, hour, now)}
        return sorted([*changed, *gone], reverse=True)


def _count(rules: StreamRules, known: StreamMemory, logs: Snapshot, judge: Sequence[str], look: _Look) -> None:
    """Count the hours to judge, and those that their windows and comparisons reach into, where not known yet."""
    needed = {hour for hour in reached_hours(rules, judge) if hour in known.tokens and hour not in known.stats}
    compared = {name for hour in judge for name in compared_hours(rules, hour)}
    needed |= {hour for hour in compared if hour in known.tokens and hour not in known.lines}
    if needed:
        files, schema = logs.hour_files(needed), logs.schema()
        counted = hourstats.count_hours(look.connect(), rules, files, schema, look.as_of)
        known.stats |= counted.hours
        known.broken = counted.broken
        for host, last in counted.hosts.items():
            known.hosts[host] = max(last, known.hosts.get(host, last))
        known.datacenters |= counted.datacenters
        known.widen(counted.hours.values())
        comparable = hour_of(look.now - compared_us(rules))
        known.lines |= {hour: stats.lines for hour, stats in counted.hours.items()}
        known.lines = {hour: n for hour, n in known.lines.items() if hour >= comparable or hour in compared}
    keep, judged = hour_of(look.now - kept_us(rules)), set(judge)
    known.stats = {hour: stats for hour, stats in known.stats.items() if hour >= keep or hour in judged}


def _arrivals(known: StreamMemory, touched: Iterable[str], also: Collection[str], now: int) -> dict[str, int | None]:
    """Arrival hours to judge -> receipts: those with new receipts, the open one and the last closed one, and `also`."""
    if known.fold.first is None:
        return {}
    first, counts = hour_of(known.fold.first), known.fold.arrivals
    around = {hour_of(at) for at in (now - HOUR_US, now)}
    found: dict[str, int | None] = {hour: counts.get(hour) for hour in also if hour >= first}
    found |= {hour: counts.get(hour, 0) for hour in {*touched, *around} if hour >= first}
    return dict(sorted(found.items()))


def _is_folded(file: LakeFile, lanes: Mapping[str, tuple[int, str]]) -> bool:
    """Whether a file of receipts holds only such as were folded in already, as far as its statistics tell."""
    lane, sequence = file.statistics.get("lane"), file.statistics.get("sequence")
    if lane is None or sequence is None or lane[0] != lane[1] or lane[0] not in lanes:
        return False
    return int(sequence[1]) <= lanes[lane[0]][0]
