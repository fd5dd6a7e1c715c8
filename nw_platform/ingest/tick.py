"""What one minute does: every lane with news gets a batch in turn, until all are done or time is up.

Lanes take turns, one batch each, so that a day's backlog of one stream starves no other. One stream's failure is a line
in the report and stops nobody else. Runs that take one lane number each can go on side by side.
"""

from __future__ import annotations

import contextlib
import errno
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

from nw_platform.errors import CommitConflictError, LakeError, NeverwinterError, UnreachableLakeError
from nw_platform.ingest.batch import span_order
from nw_platform.ingest.outcome import BatchReport, Lag, Progress, StreamProblem, TickReport, silent
from nw_platform.ingest.pipeline import Pipeline, Taken
from nw_platform.ingest.recovery import recover
from nw_platform.ingest.session import Session
from nw_platform.lake.mending import mend_log
from nw_platform.lake.unreadable import repair_of
from nw_platform.sources.contract import Plan

_Lane = tuple[str, int]  # stream, number of the lane

_LOG = logging.getLogger(__name__)
_MINUTE_US = 60_000_000
_SOON_US = 10_000_000
_WAITS = 5  # for data that settles; a source that is written to all the time ends it here
_FULL = "make room (nw retention --dry-run says what may go); the next tick goes on"
_CLOSED = "make the lake writable (nw doctor says what is not); the next tick goes on"
_FIXES = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EROFS: _CLOSED, errno.EACCES: _CLOSED, errno.EPERM: _CLOSED}
_LOST_RACES = 20  # in a row, for one stream: then others are left to it until the next tick


def has_news(session: Session, now: int, lane: int | None = None) -> list[str]:
    """Streams that a tick would do something for. Reads listings and table versions, no data; writes nothing.

    `lane`: only lanes of this number.
    """
    return [
        name
        for name, declared in session.settings.streams.items()
        if any(_news(session, (name, index), now) for index in _indexes(declared.lanes, lane))
    ]


def run_tick(
    session: Session,
    clock: Callable[[], int],
    *,
    streams: Collection[str] | None = None,
    lane: int | None = None,
    deadline: int | None = None,
    until_caught_up: bool = False,
    pause: Callable[[float], object] | None = None,
    progress: Progress = silent,
) -> TickReport:
    """Ingest what is new.

    Args:
        session: the open platform.
        clock: now, in microseconds since the epoch.
        streams: only these; None: all.
        lane: only the lane of this number of each; None: all.
        deadline: start no batch after this instant.
        until_caught_up: whatever was there when a stream's turn began is in at the end, and `every` does not count.
        pause: with `until_caught_up`: waits so many seconds where data is there that is certain to be whole only then.
        progress: called after every batch.

    Returns:
        What was done. Failures of single streams are in it; they are not raised.

    Raises:
        LakeError: the lake is not the one that is known.
    """
    names = [name for name in session.settings.streams if streams is None or name in streams]
    try:
        session.lake.require()
    except UnreachableLakeError as error:
        return TickReport(failures=dict.fromkeys(names, str(error)))
    tick = _Tick(session, clock, every_counts=not until_caught_up)
    report = tick.report
    lanes = [(name, index) for name in names for index in _indexes(session.settings.streams[name].lanes, lane)]
    turns = deque(lanes)
    waits = _WAITS if until_caught_up and pause is not None else 0
    with tick.pool:
        while turns or (tick.settling and waits):
            if not turns and pause is not None:
                waits -= 1
                pause(max(0, min(tick.settling.values()) - clock()) / 1_000_000)
                turns.extend(tick.settling)
                tick.settling.clear()
            if deadline is not None and clock() >= deadline:
                report.more = True
                break
            turn = turns.popleft()
            if turn[0] not in report.failures and tick.take(turn):
                turns.append(turn)
            progress(len(report.batches), 0, f"{sum(b.records for b in report.batches):,} records")
        tick.settle()
    tick.look_behind(lanes)
    return report


def _indexes(lanes: int, lane: int | None) -> Iterable[int]:
    return range(lanes) if lane is None else range(lane, min(lane + 1, lanes))


def _pipeline(session: Session, turn: _Lane) -> Pipeline | None:
    pipelines = session.pipelines(turn[0])
    return pipelines[turn[1]] if pipelines else None


@dataclass(slots=True)
class _Tick:
    """One tick: what its turns share."""

    session: Session
    clock: Callable[[], int]
    every_counts: bool
    report: TickReport = field(default_factory=TickReport)
    lost: dict[_Lane, int] = field(default_factory=dict)  # races, in a row
    settling: dict[_Lane, int] = field(default_factory=dict)  # lanes that wait for data to settle -> when it does
    mended: set[str] = field(default_factory=set)  # streams whose tables were looked at for torn commits
    left: dict[_Lane, Lag] = field(default_factory=dict)  # lanes whose turns are over -> how far behind they are
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, thread_name_prefix="apply"))
    putting: tuple[str, Future[BatchReport]] | None = None  # stream, its batch that is on its way into logs

    def take(self, turn: _Lane) -> bool:
        """One turn of one lane. True: it wants another."""
        self.left.pop(turn, None)
        return self._guarded(turn, lambda: self._batch(turn))

    def settle(self) -> None:
        """Wait for the batch that is on its way into logs."""
        if self.putting is not None:
            name, batch = self.putting
            self.putting = None
            self._guarded((name, 0), lambda: self.report.batches.append(batch.result()))

    def _guarded(self, turn: _Lane, act: Callable[[], bool | None]) -> bool:
        """Do something for one stream; what it fails of is said in the report. True: it wants another turn."""
        name = turn[0]
        try:
            return bool(act())
        except CommitConflictError as error:
            self.report.lost_races += 1
            self.lost[turn] = self.lost.get(turn, 0) + 1
            if self.lost[turn] < _LOST_RACES:
                return True
            told = f"lost {_LOST_RACES} commit races in a row ({error}); trying again at the next tick"
            self.report.failures[name] = told
        except NeverwinterError as error:
            self.session.forget(name)
            if isinstance(error, LakeError) and self._drop_torn_commits(name):
                return True
            self.report.failures[name] = str(error)
        except Exception as error:  # noqa: BLE001  (whatever one stream meets must not stop the others)
            _LOG.debug("stream %s failed", name, exc_info=True)
            self.report.failures[name] = _why(name, error)
            self.session.forget(name)
        return False

    def _drop_torn_commits(self, name: str) -> bool:
        """Set aside what a power cut left half written of the stream's tables. True: there was something."""
        if name in self.mended:
            return False
        self.mended.add(name)
        lake = self.session.lake
        tables = (lake.receipts(), lake.raw(name), lake.logs(name), lake.duplicates())
        try:
            mended = [mend_log(lake, table, self.clock(), torn_only=True) for table in tables]
        except LakeError:
            return False  # the first error says what is wrong
        return any(one.aside for one in mended)

    def look_behind(self, lanes: Iterable[_Lane]) -> None:
        """Say how far each stream is behind; lanes whose turns ended before their data did are looked at again."""
        for turn in lanes:
            if turn not in self.left and turn[0] not in self.report.failures:
                with contextlib.suppress(Exception):  # the next turn meets the same failure, and reports it
                    self._look(turn)
        left = {turn: lag for turn, lag in self.left.items() if turn[0] not in self.report.failures}
        self.report.lags = _by_stream(left)

    def _batch(self, turn: _Lane) -> bool:
        name = turn[0]
        pipeline = _pipeline(self.session, turn)
        if pipeline is None:
            return False
        if pipeline.stale():
            self.report.batches += recover(pipeline, self.clock())
        now = self.clock()
        if self.every_counts and not _due(self.session, pipeline, name, now):
            return False
        plan = pipeline.plan(now, self.session.budget)
        batch = pipeline.take(plan, now) if plan.is_news else None
        if batch is not None:
            self._put(pipeline, batch, now)
        found = [StreamProblem(name, problem) for problem in pipeline.problems]
        self.report.problems += [problem for problem in found if problem not in self.report.problems]
        if batch is not None and (plan.more or _is_short(plan, batch)):
            return True
        if plan.spans and (batch is None or not self.every_counts):  # only reading shows what is broken or not certain
            plan = pipeline.plan(now, self.session.budget)
            if batch is None and any(span_order(span) not in pipeline.failed for span in plan.spans):
                return True
        if plan.settles_at is not None and plan.settles_at - now <= _SOON_US:
            self.settling[turn] = plan.settles_at
        if not plan.more:
            self.left[turn] = Lag(0.0, None if plan.waiting is None else 0)
        return False

    def _put(self, pipeline: Pipeline, taken: Taken, now: int) -> None:
        """Into logs while the next batch is read, one at a time: so batches stay in order, and memory is bounded."""
        self.settle()
        if pipeline.stream in self.report.failures:
            return  # the batch before did not get there: both wait in raw for the next run
        self.putting = (pipeline.stream, self.pool.submit(pipeline.put, taken, now))

    def _look(self, turn: _Lane) -> None:
        pipeline = _pipeline(self.session, turn)
        if pipeline is None:
            self.left[turn] = Lag(0.0)  # nothing was there yet to tell its format by
        elif pipeline.last_planned is not None:
            now = self.clock()
            self.left[turn] = behind(pipeline.source.plan(now, self.session.budget), now)


def _is_short(plan: Plan, batch: Taken) -> bool:
    """Whether a source that counts its records handed out fewer than planned: they are larger than it thought."""
    ends = {(span.source, span.partition, span.incarnation): span.end for span in batch.receipt.spans}
    return plan.waiting is not None and any(
        ends.get((span.source, span.partition, span.incarnation), span.start) < span.end for span in plan.spans
    )


def behind(plan: Plan, now: int) -> Lag:
    """How far a lane is behind, by what its next batch would be."""
    age = 0 if plan.oldest is None else max(0, now - plan.oldest)
    expires = None if plan.expires_at is None else (plan.expires_at - now) / 1_000_000
    return Lag(age / 1_000_000, plan.waiting, expires)


def _by_stream(lags: Mapping[_Lane, Lag]) -> dict[str, Lag]:
    found: dict[str, Lag] = {}
    for (name, _), lag in lags.items():
        found[name] = found[name].and_also(lag) if name in found else lag
    return found


def _why(stream: str, error: Exception) -> str:
    """One-line text for an unexpected error, with the fix where the error's number or the file in it tells that."""
    told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    number = error.errno if isinstance(error, OSError) else None
    command = repair_of(stream, error)
    fix = f"run: {command}" if command else _FIXES.get(number or 0)
    return f"{told}; {fix}" if fix else told


def _due(session: Session, pipeline: Pipeline, name: str, now: int) -> bool:
    """Whether a stream that asked for fewer, larger batches (`every`) has waited long enough."""
    every = session.settings.streams[name].every_us
    last = pipeline.last_planned
    return every <= _MINUTE_US or last is None or not 0 <= now - last < every  # a clock may have been ahead once


def _news(session: Session, turn: _Lane, now: int) -> bool:
    name = turn[0]
    try:
        pipeline = _pipeline(session, turn)
        if pipeline is None:
            return False
        return pipeline.pending() or (_due(session, pipeline, name, now) and pipeline.news(now, session.budget))
    except Exception:  # noqa: BLE001  (the tick itself meets the same failure, and reports it)
        _LOG.debug("stream %s could not be looked at", name, exc_info=True)
        return True
