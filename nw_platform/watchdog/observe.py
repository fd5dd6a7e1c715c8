"""Gathers observations from the lake: receipts, file statistics and counts of the hours that have to be judged.

Judged are, of each stream: the hours a rule may still speak of (around now), the hours whose files changed since the
last look, and the hours that failed then. So a look costs what is new, however long the history. The memory of the
last look is a hint; without it everything is looked at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from nw_platform.errors import LakeError
from nw_platform.lake.receipts import read_receipt_files
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeFile
from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.watchdog import memory
from nw_platform.watchdog.balances import count_duplicates
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.horizon import (
    is_outside,
    judged_hours,
    same_hours,
)
from nw_platform.watchdog.logtail import FollowedLogs, follow_all
from nw_platform.watchdog.looking import Look, StreamLook, TickState, balance, count_all, count_all_keys, count_losses
from nw_platform.watchdog.memory import StreamMemory
from nw_platform.watchdog.observations import StreamObservations
from nw_platform.watchdog.rawtail import FollowedRaw, follow_raw
from nw_platform.watchdog.receiptfiles import FollowedReceipts, read_new
from nw_platform.watchdog.receipts import ReceiptFold

__all__ = ["TickState", "Watch"]

_HOSTS_US: Final = 7 * 24 * HOUR_US  # a host that was silent for longer is gone, unless it is declared
_RECENT_US: Final = 2 * HOUR_US  # hours in which something arrives all the time
_SET_BACK_US: Final = 3 * HOUR_US  # a clock that jumps further back was wrong before
_NONE: Final[Mapping[str, Collection[str]]] = {}
_NEVER: Final[Mapping[str, int]] = {}


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
        self._now = self._until = 0  # of the last look, and until when ingestion had looked then
        self._logs: dict[str, FollowedLogs] = {}
        self._raw: dict[str, FollowedRaw] = {}
        self._receipts = FollowedReceipts(lake)

    def findings(
        self,
        streams: Sequence[StreamRules],
        now: int,
        tick: TickState | None = None,
        *,
        also: Mapping[str, Collection[str]] = _NONE,
        watched: Mapping[str, int] = _NEVER,
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
            watched: instants since when, by stream, it was watched at the latest, as open alerts prove.
            as_of: leave out what was ingested later; implies `from_scratch`.
            from_scratch: judge every hour there is, whatever is remembered.

        Raises:
            LakeError: the lake is not the one that is known, or the receipts cannot be read. A stream whose tables
                cannot be read is a finding.
        """
        seen = self.observe(streams, now, tick, also=also, watched=watched, as_of=as_of, from_scratch=from_scratch)
        found = evaluate(streams, seen, self._now)
        self._remember(found, self._now, save=not (from_scratch or as_of is not None))
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
        watched: Mapping[str, int] = _NEVER,
        as_of: int | None = None,
        from_scratch: bool = False,
    ) -> dict[str, StreamObservations]:
        """What is to be judged now, of every stream; arguments as those of `findings`."""
        self._lake.require()
        if not self._committed:
            self._memories.clear()
            self._dirty.clear()
        self._committed, self._judged = False, frozenset()
        look = Look(self._lake, tick or TickState(), now=now, as_of=as_of, fresh=from_scratch or as_of is not None)
        for rules in streams:
            logs = self._logs.setdefault(rules.stream, FollowedLogs(self._lake.logs(rules.stream)))
            raw = self._raw.setdefault(rules.stream, FollowedRaw(self._lake.raw(rules.stream)))
            known = self._recall(rules, look)
            known.first_look = min(known.first_look, watched.get(rules.stream, known.first_look))
            look.streams[rules.stream] = StreamLook(rules, known, logs, raw, set(also.get(rules.stream, ())))
        self._stand_still(look)
        try:
            self._look(look)
            self._judged = frozenset(name for name, s in look.streams.items() if _is_whole(s))
            seen = {name: self._seen(s, look) for name, s in look.streams.items()}
        finally:
            look.close()
            self._receipts.release()
            for logs in self._logs.values():
                logs.release()
            for raw in self._raw.values():
                raw.release()
        for stream, (reason, repair) in look.failed.items():
            before = self._memories.pop(stream, None)
            hosts = {} if before is None else _hosts(before, look.now)
            seen[stream] = StreamObservations(
                stream, live_since=look.now, failure=reason, repair=repair, is_read=False, hosts=hosts
            )
        return seen

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

    def _stand_still(self, look: Look) -> None:
        """A clock that was set back: until it is again where it was, what was known then is judged as of then.

        Otherwise what was over would be open once more, and an alert of it would come and go and come.
        """
        if not look.fresh:
            before = max((s.known.judged_until or 0 for s in look.streams.values()), default=0)
            if look.now < before <= look.now + _SET_BACK_US:
                look.now = before
            until = look.tick.ingested_until
            if until is not None and until < self._until <= until + _SET_BACK_US:
                look.tick = replace(look.tick, ingested_until=self._until)
            self._until = look.tick.ingested_until or self._until
        self._now = look.now

    def _look(self, look: Look) -> None:
        """Records go from receipts to duplicates to logs. Looked at the other way round, none seems to be too many."""
        recent = hour_of(look.now - _RECENT_US)
        tables = [stream.logs for stream in look.streams.values()]
        unread = follow_all(self._lake, tables, recent)
        look.each(lambda stream: _raise(unread.get(stream.logs.table.path)))
        duplicates = self._lake.duplicates().snapshot()
        self._receipts.follow()
        self._read_receipts(look)
        look.each(lambda stream: self._fold(stream, look))
        self._hold_raw_against_receipts(look)
        count_all(look)
        count_losses(look, duplicates)
        count_all_keys(look)
        look.each(lambda stream: self._balance_hours(stream, look))
        wanted = {name: s.unbalanced for name, s in look.streams.items() if s.unbalanced}
        twice = count_duplicates(look.connect(), duplicates, wanted) if duplicates and wanted else {}
        look.each(lambda stream: balance(stream, twice.get(stream.rules.stream, {})))

    def _read_receipts(self, look: Look) -> None:
        """The receipts that were not folded in yet, of all streams."""
        files: dict[str, list[LakeFile]] = {}

        def choose(stream: StreamLook) -> None:
            lanes = stream.known.fold.lanes
            listed = self._receipts.files(stream.rules.stream, stream.known.receipts_version)
            if chosen := [file for file in listed if not _is_folded(file, lanes)]:
                files[stream.rules.stream] = chosen

        look.each(choose)
        read = read_new(look.connect(), files) if files else {}

        def take(stream: StreamLook) -> None:
            name, known = stream.rules.stream, stream.known
            lanes = known.fold.lanes
            found = read[name] if name in read else read_receipt_files(self._lake, files.get(name, ()), name)
            new = [r for r in found if r.sequence > lanes.get(r.lane, (-1, ""))[0]]
            if lanes and any(r.kind == "replay" for r in new):  # it changes what older ones have counted: once more
                known.fold = ReceiptFold(landing=stream.rules.landing)
                new = read_receipt_files(self._lake, self._receipts.files(name), name)
            stream.new = new

        look.each(take)

    def _fold(self, stream: StreamLook, look: Look) -> None:
        """Take the receipts in, find out which hours changed, and which are to be judged."""
        known, rules = stream.known, stream.rules
        stream.wanted = [r for r in stream.new if look.as_of is None or r.planned_time <= look.as_of]
        stream.arrivals = known.fold.add(sorted(stream.wanted, key=lambda r: r.place))
        known.receipts_version = self._receipts.version
        stream.at_rest = stream.logs.version in {-1, known.logs_version}
        if not stream.at_rest:
            stream.changed = self._compare(rules, known, stream.logs, look.now)
        stream.judge = sorted({*judged_hours(rules, known, stream.changed, look.now), *stream.also})

    def _hold_raw_against_receipts(self, look: Look) -> None:
        """Raw is looked at after the receipts: what it lacks of them, it lost."""
        if look.as_of is not None:
            return  # receipts that are later than that were left out
        unread = follow_raw(self._lake, [stream.raw for stream in look.streams.values()])

        def compare(stream: StreamLook) -> None:
            _raise(unread.get(stream.raw.table.path))
            fold = stream.known.fold
            lasts = {lane: sequence for lane, (sequence, _) in fold.lanes.items()}
            stream.disagreement = stream.raw.held_against(lasts, fold.raw_hours)

        look.each(compare)

    def _balance_hours(self, stream: StreamLook, look: Look) -> None:
        """Which balances are to be counted; the others are as they were."""
        known = stream.known
        if stream.new or not stream.at_rest:
            if not look.fresh:
                self._dirty.add(stream.rules.stream)
            stream.unbalanced = {*stream.judge, *(hour for r in stream.wanted for hour in r.event_hours)}
            known.balances = {}
            if len(stream.wanted) != len(stream.new):
                stream.unbalanced = set()
        else:
            known.balances = {hour: known.balances[hour] for hour in stream.judge if hour in known.balances}
            stream.unbalanced = stream.also - known.balances.keys()

    def _seen(self, stream: StreamLook, look: Look) -> StreamObservations:
        rules, known, judge, now = stream.rules, stream.known, stream.judge, look.now
        name, tick = rules.stream, look.tick
        return StreamObservations(
            stream=name,
            live_since=known.since(),
            first_receipt=known.fold.first,
            arrivals=_arrivals(known, stream.arrivals, stream.also, now),
            faults=tuple(known.fold.faults),
            lanes_behind=stream.disagreement.lanes,
            raw_differs=stream.disagreement.hours,
            files=tuple(known.fold.contents.values()) if rules.landing else (),
            judge=judge,
            hours=known.stats,
            first_event=known.first_kept(),
            last_event=known.last_event,
            outside_history=_outside(rules, stream, look),
            balances=known.balances,
            in_flight=known.fold.in_flight(now),
            same_hours=same_hours(rules, known, judge),
            hosts=_hosts(known, now),
            datacenters=known.datacenters,
            losses=known.losses,
            keys=known.keys,
            problems=tuple(tick.problems.get(name, ())),
            failure=tick.failures.get(name, ""),
            lag=tick.lags.get(name),
            broken=known.broken,
            ingested_until=tick.up_to(name),
            is_listed_only=tick.is_listed_only,
        )

    def _recall(self, rules: StreamRules, look: Look) -> StreamMemory:
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

    def _compare(self, rules: StreamRules, known: StreamMemory, logs: FollowedLogs, now: int) -> list[str]:
        """The event hours whose files changed, or went away, since they were judged; newest first."""
        touched = logs.touched if known.logs_version == logs.version_before else None
        states = logs.states(touched)
        changed = sorted((h for h, state in states.items() if known.tokens.get(h) != state.token), reverse=True)
        if self._limit is not None and len(changed) > self._limit:
            changed = changed[: self._limit]  # the version stays unknown, so the others come with the next look
        else:
            known.logs_version = logs.version
        before = known.tokens if touched is None else known.tokens.keys() & touched
        gone = [hour for hour in before if hour not in states]
        for hour in (*changed, *gone):
            known.stats.pop(hour, None)
            known.lines.pop(hour, None)
            known.keys.pop(hour, None)
            known.tokens.pop(hour, None)
        for hour in changed:
            known.tokens[hour] = states[hour].token
        outside = {hour: state.records for hour, state in states.items() if is_outside(rules, hour, now)}
        rest = {} if touched is None else {h: n for h, n in known.outside.items() if h not in touched}
        known.outside = rest | outside
        return sorted([*changed, *gone], reverse=True)


def _raise(error: LakeError | None) -> None:
    if error is not None:
        raise error


def _is_whole(stream: StreamLook) -> bool:
    """Whether no hour was put off."""
    return stream.logs.version in {-1, stream.known.logs_version}


def _outside(rules: StreamRules, stream: StreamLook, look: Look) -> dict[str, int]:
    """Event hours outside `history` -> records; as of an instant only those that receipts speak of until then."""
    known = stream.known
    outside = {hour: n for hour, n in known.outside.items() if is_outside(rules, hour, look.now)}
    if look.as_of is None:
        return outside
    arrived = known.fold.event_hours
    return {hour: min(n, arrived[hour]) for hour, n in outside.items() if hour in arrived}


def _hosts(known: StreamMemory, now: int) -> dict[str, int]:
    """The hosts that are still looked for -> their last sign of life."""
    return {host: last for host, last in known.hosts.items() if last > now - _HOSTS_US}


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
