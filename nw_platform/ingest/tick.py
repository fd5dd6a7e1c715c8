"""What one minute does: every stream with news gets a batch in turn, until all are done or time is up.

Streams take turns, one batch each, so that a day's backlog of one starves no other. One stream's failure is a line in
the report and stops nobody else.
"""

from __future__ import annotations

import errno
import logging
from collections import deque
from collections.abc import Callable, Collection

from nw_platform.errors import CommitConflictError, NeverwinterError
from nw_platform.ingest.batch import span_order
from nw_platform.ingest.outcome import Lag, Progress, StreamProblem, TickReport, silent
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.recovery import recover
from nw_platform.ingest.session import Session
from nw_platform.sources.contract import Plan

_LOG = logging.getLogger(__name__)
_MINUTE_US = 60_000_000
_SOON_US = 10_000_000
_WAITS = 5  # for data that settles; a source that is written to all the time ends it here
_FULL = "make room (nw retention --dry-run says what may go); the next tick goes on"
_CLOSED = "make the lake writable (nw doctor says what is not); the next tick goes on"
_FIXES = {errno.ENOSPC: _FULL, errno.EDQUOT: _FULL, errno.EROFS: _CLOSED, errno.EACCES: _CLOSED, errno.EPERM: _CLOSED}
_LOST_RACES = 20  # in a row, for one stream: then others are left to it until the next tick


def has_news(session: Session, now: int) -> list[str]:
    """Streams that a tick would do something for. Reads listings and table versions, no data; writes nothing."""
    return [name for name in session.settings.streams if _news(session, name, now)]


def run_tick(
    session: Session,
    clock: Callable[[], int],
    *,
    streams: Collection[str] | None = None,
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
        deadline: start no batch after this instant.
        until_caught_up: whatever was there when a stream's turn began is in at the end, and `every` does not count.
        pause: with `until_caught_up`: waits so many seconds where data is there that is certain to be whole only then.
        progress: called after every batch.

    Returns:
        What was done. Failures of single streams are in it; they are not raised.
    """
    report = TickReport()
    names = [name for name in session.settings.streams if streams is None or name in streams]
    turns = deque(names)
    lost: dict[str, int] = {}
    settling: dict[str, int] = {}
    waits = _WAITS if until_caught_up and pause is not None else 0
    while turns or (settling and waits):
        if not turns and pause is not None:
            waits -= 1
            pause(max(0, min(settling.values()) - clock()) / 1_000_000)
            turns.extend(settling)
            settling.clear()
        if deadline is not None and clock() >= deadline:
            report.more = True
            break
        name = turns.popleft()
        try:
            again = _turn(session, name, clock, report, settling, waits=not until_caught_up)
        except CommitConflictError as error:
            report.lost_races += 1
            lost[name] = lost.get(name, 0) + 1
            again = lost[name] < _LOST_RACES
            if not again:
                report.failures[name] = f"another run is faster every time ({error}); it goes on with the next tick"
        except NeverwinterError as error:
            report.failures[name] = str(error)
            session.forget(name)
            again = False
        except Exception as error:  # noqa: BLE001  (whatever one stream meets must not stop the others)
            _LOG.debug("stream %s failed", name, exc_info=True)
            report.failures[name] = _why(error)
            session.forget(name)
            again = False
        if again:
            turns.append(name)
        progress(len(report.batches), 0, f"{sum(b.records for b in report.batches):,} records")
    _look_behind(session, names, clock, report)
    return report


def _turn(
    session: Session,
    name: str,
    clock: Callable[[], int],
    report: TickReport,
    settling: dict[str, int],
    *,
    waits: bool,
) -> bool:
    """One batch of one stream. True: there is more."""
    report.lags.pop(name, None)
    pipeline = session.pipeline(name)
    if pipeline is None:
        return False
    if pipeline.stale():
        report.batches += recover(pipeline, clock())
    now = clock()
    if waits and not _due(session, pipeline, name, now):
        return False
    plan = pipeline.plan(now, session.budget)
    batch = None
    if plan.spans:
        batch = pipeline.step(plan, now)
        if batch is not None:
            report.batches.append(batch)
    found = [StreamProblem(name, problem) for problem in pipeline.problems]
    report.problems += [problem for problem in found if problem not in report.problems]
    if plan.more and batch is not None:
        return True
    if plan.spans and (batch is None or not waits):  # only reading shows what is broken, or not certain yet
        plan = pipeline.plan(now, session.budget)
        if batch is None and any(span_order(span) not in pipeline.failed for span in plan.spans):
            return True
    _say_left(name, plan, now, report, settling)
    return False


def _say_left(name: str, plan: Plan, now: int, report: TickReport, settling: dict[str, int]) -> None:
    """What a stream whose turns are over leaves for later."""
    if plan.settles_at is not None and plan.settles_at - now <= _SOON_US:
        settling[name] = plan.settles_at
    if not plan.more:
        report.lags[name] = Lag(0.0, None if plan.waiting is None else 0)


def _look_behind(session: Session, names: Collection[str], clock: Callable[[], int], report: TickReport) -> None:
    """Say how much is left of streams whose turns ended before their data did, or that are not due (`every`)."""
    for name in (name for name in names if name not in report.lags and name not in report.failures):
        try:
            pipeline = session.pipeline(name)
            if pipeline is None:
                report.lags[name] = Lag(0.0)  # nothing was there yet to tell its format by
            elif pipeline.last_planned is not None:
                now = clock()
                plan = pipeline.source.plan(now, session.budget)
                age = 0 if plan.oldest is None else max(0, now - plan.oldest)
                report.lags[name] = Lag(age / 1_000_000, plan.waiting)
        except Exception:  # noqa: BLE001  (the next turn meets the same failure, and reports it)
            _LOG.debug("stream %s: it cannot be told how far it is behind", name, exc_info=True)


def _why(error: Exception) -> str:
    """One line on what nobody translated; it names the fix where the system's error tells it."""
    told = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    number = error.errno if isinstance(error, OSError) else None
    fix = _FIXES.get(number) if number is not None else None
    return f"{told}; {fix}" if fix else told


def _due(session: Session, pipeline: Pipeline, name: str, now: int) -> bool:
    """Whether a stream that asked for fewer, larger batches (`every`) has waited long enough."""
    every = session.settings.streams[name].every_us
    last = pipeline.last_planned
    return every <= _MINUTE_US or last is None or not 0 <= now - last < every  # a clock may have been ahead once


def _news(session: Session, name: str, now: int) -> bool:
    try:
        pipeline = session.pipeline(name)
        if pipeline is None:
            return False
        return pipeline.pending() or (_due(session, pipeline, name, now) and pipeline.news(now, session.budget))
    except Exception:  # noqa: BLE001  (the tick itself meets the same failure, and reports it)
        _LOG.debug("stream %s could not be looked at", name, exc_info=True)
        return True
