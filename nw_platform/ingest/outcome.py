"""What the steps of ingestion report: counts, never records."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nw_platform.sources.contract import Problem

# Called with (done, total, what): for progress bars. The total may be 0 where it is not known.
Progress = Callable[[int, int, str], None]


def silent(done: int, total: int, what: str) -> None:
    """No progress bar."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """One batch that this run put into `logs`. received = normal + error + watchdog + duplicates."""

    stream: str
    lane: str
    sequence: int
    kind: str
    arrival_hour: str
    records: int
    bytes: int
    normal: int
    error: int
    watchdog: int
    duplicates: int
    late: int
    rejects: int
    skipped_lines: int
    spans: int
    event_hours: dict[str, int]
    planned_time: int
    seconds: float  # wall clock, without what overlapped with the batch before: they add up to the time that passed
    problems: int = 0


@dataclass(frozen=True, slots=True)
class StreamProblem:
    """A problem that a stream's source met."""

    stream: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Lag:
    """How far a stream is behind its source."""

    seconds: float  # age of the oldest data that is ready and not ingested; 0: caught up
    records: int | None = None  # how many are ready; None: the source cannot say
    expires_in: float | None = None  # seconds until the source's own retention deletes the first; None: never, unknown

    def and_also(self, other: Lag) -> Lag:
        """Two lanes of one stream together."""
        expires = [at for at in (self.expires_in, other.expires_in) if at is not None]
        counts = (self.records, other.records)
        return Lag(
            max(self.seconds, other.seconds),
            None if None in counts else sum(n for n in counts if n is not None),
            min(expires, default=None),
        )


@dataclass(slots=True)
class TickReport:
    """What one tick did, over all streams."""

    batches: list[BatchReport] = field(default_factory=list)
    problems: list[StreamProblem] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)  # stream -> why, in one line; the others went on
    lags: dict[str, Lag] = field(default_factory=dict)  # stream -> as of the end; without streams that failed
    lost_races: int = 0
    more: bool = False  # time was up before everything was in


@dataclass(frozen=True, slots=True)
class HourChange:
    """What a replay (of an arrival hour) or a rebuild (of an event hour) changed."""

    hour: str
    rows_before: int
    rows_after: int
    changed: int
    kept: int = 0  # records kept as they were, because their source or raw is not there any more
    note: str = ""
