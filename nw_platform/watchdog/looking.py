"""One look at many streams: what is known of each on the way, and counting for all of them together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb
import pyarrow as pa

from nw_platform.errors import LakeError
from nw_platform.lake.engine import connect
from nw_platform.lake.lakefiles import named
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeFile, Snapshot
from nw_platform.lake.unreadable import repair_of, told
from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.record.spans import Receipt
from nw_platform.watchdog import drift, hourstats, loss, losses
from nw_platform.watchdog.balances import count_balances
from nw_platform.watchdog.expectations import DriftRule, LossRule, StreamRules
from nw_platform.watchdog.horizon import KEEP_HOURS, compared_hours, compared_us, kept_us, reached_hours
from nw_platform.watchdog.keycounts import count_keys
from nw_platform.watchdog.logtail import FollowedLogs
from nw_platform.watchdog.memory import StreamMemory
from nw_platform.watchdog.observations import LagSeen, SourceProblem
from nw_platform.watchdog.rawtail import Disagreement, FollowedRaw

# What a foreign file makes of counting: nulls where the table has none.
_FOREIGN: Final = (TypeError, ValueError, LookupError, pa.ArrowException)


@dataclass(frozen=True, slots=True)
class TickState:
    """What the last tick of ingestion met, as far as the caller knows."""

    problems: Mapping[str, Sequence[SourceProblem]] = field(default_factory=dict)  # stream -> problems
    failures: Mapping[str, str] = field(default_factory=dict)  # stream -> why it could not be read
    ingested_until: int | None = None  # when the last tick that went through began; None: not known
    lags: Mapping[str, LagSeen] = field(default_factory=dict)  # stream -> how far it is behind, if that is known
    is_listed_only: bool = False  # nothing was read: that a source can be listed does not prove that it can be read

    def up_to(self, stream: str) -> int | None:
        """Until when a stream's source was looked at, as far as is known: what only waits in a listing was not."""
        lag = self.lags.get(stream)
        if lag is not None and lag.seconds is not None:
            if self.is_listed_only and lag.seconds:
                return lag.at - int(lag.seconds * 1_000_000)
            if self.ingested_until is not None and not lag.seconds:
                return max(self.ingested_until, lag.at)
        return self.ingested_until


@dataclass(slots=True)
class StreamLook:
    """One stream during a look."""

    rules: StreamRules
    known: StreamMemory
    logs: FollowedLogs
    raw: FollowedRaw
    also: set[str]
    new: list[Receipt] = field(default_factory=list)
    wanted: list[Receipt] = field(default_factory=list)  # of the new ones, those that are not later than `as_of`
    arrivals: set[str] = field(default_factory=set)  # arrival hours with new receipts
    changed: list[str] = field(default_factory=list)
    at_rest: bool = True
    judge: list[str] = field(default_factory=list)
    disagreement: Disagreement = field(default_factory=Disagreement)
    unbalanced: set[str] = field(default_factory=set)  # hours whose balance is to be counted


class Look:
    """One look at all streams, step by step for all of them: what costs by the query is asked once for many."""

    def __init__(self, lake: Lake, tick: TickState, *, now: int, as_of: int | None, fresh: bool) -> None:
        self.lake, self.now, self.tick, self.as_of, self.fresh = lake, now, tick, as_of, fresh
        self.streams: dict[str, StreamLook] = {}
        self.failed: dict[str, tuple[str, str]] = {}  # stream -> why its tables cannot be read, what repairs that
        self._connection: duckdb.DuckDBPyConnection | None = None

    def connect(self) -> duckdb.DuckDBPyConnection:
        """One connection for all streams of the look, opened when there is something to count."""
        if self._connection is None:
            self._connection = connect()
        return self._connection

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()

    def fail(self, stream: str, error: Exception) -> None:
        """Its tables cannot be read: that is what was seen of it, and the others go on."""
        self.failed[stream] = (f"the lake cannot be read: {told(error)}", repair_of(stream, error))
        self.streams.pop(stream, None)

    def each(self, step: Callable[[StreamLook], None]) -> None:
        """A step that is taken for every stream by itself."""
        for name, stream in list(self.streams.items()):
            try:
                step(stream)
            except (LakeError, duckdb.Error, OSError) as error:
                self.fail(name, error)
            except _FOREIGN as error:
                self.fail(name, self._named(name, error))

    def _named(self, stream: str, error: Exception) -> LakeError:
        try:
            return named(self.lake, stream, error)
        except LakeError as unreadable:
            return unreadable


def count_all(look: Look) -> None:
    """Count the hours to judge, and those that their windows and comparisons reach into, where not known yet."""
    jobs: dict[str, hourstats.CountJob] = {}

    def choose(stream: StreamLook) -> None:
        rules, known = stream.rules, stream.known
        needed = {h for h in reached_hours(rules, stream.judge) if h in known.tokens and h not in known.stats}
        compared = {name for hour in stream.judge for name in compared_hours(rules, hour)}
        needed |= {hour for hour in compared if hour in known.tokens and hour not in known.lines}
        if files := stream.logs.hour_files(needed) if needed else []:
            jobs[rules.stream] = hourstats.CountJob(rules, files, stream.logs.schema())

    look.each(choose)
    counted: dict[str, hourstats.Counted] = {}
    if jobs:
        with contextlib.suppress(duckdb.Error, *_FOREIGN):  # whose fault it is, is found out one by one
            counted = hourstats.count_streams(look.connect(), jobs.values(), look.as_of)

    def take(stream: StreamLook) -> None:
        job = jobs.get(stream.rules.stream)
        if job is not None:
            name = stream.rules.stream
            alone = {} if name in counted else hourstats.count_streams(look.connect(), [job], look.as_of)
            _learn(stream, (counted | alone)[name], look.now)
        keep, judged = hour_of(look.now - kept_us(stream.rules)), set(stream.judge)
        stats = stream.known.stats
        stream.known.stats = {hour: stats[hour] for hour in stats if hour >= keep or hour in judged}

    look.each(take)


def _learn(stream: StreamLook, counted: hourstats.Counted, now: int) -> None:
    """Keep what was counted."""
    rules, known = stream.rules, stream.known
    known.stats |= counted.hours
    known.broken = counted.broken
    for host, last in counted.hosts.items():
        known.hosts[host] = max(last, known.hosts.get(host, last))
    known.datacenters |= counted.datacenters
    known.widen(counted.hours.values())
    comparable = hour_of(now - compared_us(rules))
    compared = {name for hour in stream.judge for name in compared_hours(rules, hour)}
    known.lines |= {hour: stats.lines for hour, stats in counted.hours.items()}
    known.lines = {hour: n for hour, n in known.lines.items() if hour >= comparable or hour in compared}


def balance(stream: StreamLook, twice: Mapping[str, int]) -> None:
    """Count the balances that are not known. Hours that failed before are among those to judge, so none is lost."""
    hours = stream.unbalanced
    if hours:
        stream.known.balances |= count_balances(stream.known.fold, stream.logs.states(hours), twice, hours)


def count_losses(look: Look, duplicates: Snapshot | None) -> None:
    """Count what is missing in the hours that are over and were not counted as they are now."""
    dropped: dict[str, list[LakeFile]] = {}
    jobs: dict[str, losses.LossJob] = {}
    keys: dict[str, dict[str, str]] = {}

    def choose(stream: StreamLook) -> None:
        known, name, logs = stream.known, stream.rules.stream, stream.logs
        wanted = _to_count(stream, look)
        known.losses = {hour: lost for hour, lost in known.losses.items() if hour in stream.judge}
        known.loss_keys = {hour: key for hour, key in known.loss_keys.items() if hour in known.losses}
        if not wanted:
            return
        known.sessions = {s: last for s, last in known.sessions.items() if last[0] >= look.now // HOUR_US - KEEP_HOURS}
        if not dropped and duplicates is not None:
            for file in duplicates.files():
                dropped.setdefault(file.partition["stream"], []).append(file)
        needed = losses.around(wanted, known.failing)
        days = {hour[:10] for hour in needed}
        keys[name] = wanted
        jobs[name] = losses.LossJob(
            stream=name,
            due=frozenset(wanted),
            files=logs.hour_files(needed & known.tokens.keys()),
            elsewhere=lambda: losses.late_first(logs.files_of_others(needed)),
            duplicates=[file for file in dropped.get(name, ()) if file.partition["dt"] in days],
            sessions=known.sessions,
        )

    look.each(choose)
    counted: dict[str, losses.LossCounted] = {}
    if jobs:
        with contextlib.suppress(duckdb.Error, LakeError, *_FOREIGN):  # whose fault it is, is found out one by one
            counted = losses.count_losses(look.connect(), list(jobs.values()), look.as_of)

    def take(stream: StreamLook) -> None:
        name, known = stream.rules.stream, stream.known
        if name in jobs:
            alone = {} if name in counted else losses.count_losses(look.connect(), [jobs[name]], look.as_of)
            found = (counted | alone)[name]
            known.losses |= found.hours
            known.loss_keys |= keys[name]
            known.sessions |= {s: last for s, last in found.sessions.items() if last >= known.sessions.get(s, (0, 0))}

    look.each(take)


def _to_count(stream: StreamLook, look: Look) -> dict[str, str]:
    """The hours whose losses are to be counted -> of what they will have been."""
    known, wanted = stream.known, {}
    for rule in stream.rules.of(LossRule):
        for hour in stream.judge:
            if hour in known.tokens and loss.is_due(rule, hour, look.now, look.tick.ingested_until):
                lost = known.losses.get(hour)
                failing = lost is not None and bool(lost.missing or lost.lost)
                key = losses.loss_key(hour, known.tokens, failing=failing)
                if known.loss_keys.get(hour) != key:
                    wanted[hour] = key
    return wanted


def count_all_keys(look: Look) -> None:
    """Count the keys of the hours that are over, and of those they are compared with, where not known yet."""

    def count(stream: StreamLook) -> None:
        known, rules, tick = stream.known, stream.rules, look.tick
        due = {
            (rule, hour)
            for rule in rules.of(DriftRule)
            for hour in stream.judge
            if hour in known.tokens and drift.is_due(rule, hour, look.now, tick.ingested_until)
        }
        if not due:
            return
        wanted = {hour for _, hour in due} | {name for rule, hour in due for name in drift.hours_before(rule, hour)}
        if needed := {hour for hour in wanted if hour in known.tokens and hour not in known.keys}:
            files, schema = stream.logs.hour_files(needed), stream.logs.schema()
            known.keys |= {hour: {} for hour in needed} | count_keys(look.connect(), files, schema, look.as_of)
        oldest = hour_of(look.now - max(rule.hours + 2 for rule, _ in due) * HOUR_US)
        known.keys = {hour: keys for hour, keys in known.keys.items() if hour >= oldest or hour in wanted}

    look.each(count)
