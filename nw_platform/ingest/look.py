"""A look at the sources without ingesting: what stands in the way, and how far each lane is behind.

Reads receipts and the listings of the sources, no data; writes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from nw_platform.errors import NeverwinterError
from nw_platform.ingest.outcome import Lag
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import behind
from nw_platform.lake.agreement import refuse_lost_commits
from nw_platform.sources.contract import Problem


@dataclass(frozen=True, slots=True)
class LaneLooked:
    """One lane."""

    lane: str
    planned: int  # planned time of its last receipt, microseconds: another one, and the lane has moved
    lag: Lag


@dataclass(slots=True)
class Looked:
    """What a look saw."""

    problems: dict[str, list[Problem]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)  # stream -> why it could not be looked at, in one line
    lanes: dict[str, list[LaneLooked]] = field(default_factory=dict)  # streams of which every lane stands somewhere


def wait_of(lag: Lag) -> float | None:
    """For how many seconds data waits. None: not known, for records wait, and for no time at all."""
    return None if lag.records and not lag.seconds else lag.seconds


def look(session: Session, streams: Iterable[str], now: int) -> Looked:
    """Look at some streams. One that cannot be looked at is a failure and stops no other."""
    looked = Looked()
    for name in streams:
        try:
            _look(session, name, now, looked)
        except NeverwinterError as error:
            looked.failures[name] = str(error)
    return looked


def _look(session: Session, name: str, now: int, looked: Looked) -> None:
    refuse_lost_commits(session.lake, name)
    pipelines = session.pipelines(name)
    lanes: list[LaneLooked] = []
    problems: list[Problem] = []
    for pipeline in pipelines:
        planned = _stand(pipeline)
        plan = pipeline.plan(now, session.budget)
        problems += [problem for problem in plan.problems if problem not in problems]
        if planned is not None:
            lanes.append(LaneLooked(pipeline.lane, planned, behind(plan, now)))
    looked.problems[name] = problems
    if pipelines and len(lanes) == len(pipelines):
        looked.lanes[name] = lanes


def _stand(pipeline: Pipeline) -> int | None:
    """Have the lane's source stand where its receipts end; when the last was planned. None: it has none yet.

    What is pending is left pending: it is for the tick to see to.
    """
    if not pipeline.pending():
        if pipeline.last_planned is None:
            pipeline.source.restore([])
        return pipeline.last_planned
    raw = pipeline.lake.raw(pipeline.stream).snapshot()
    log = pipeline.receipts() if pipeline.name_in(raw) == pipeline.lane else None
    pipeline.source.restore(log or [])
    return log[-1].planned_time if log else None
