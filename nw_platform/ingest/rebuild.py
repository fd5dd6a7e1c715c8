"""`nw rebuild`: event hours of `logs` computed anew from `raw`. The work is in rebuilding.py."""

from __future__ import annotations

from nw_platform.ingest.batches import current_batches
from nw_platform.ingest.outcome import HourChange, Progress, silent
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.rebuilding import rebuild_hours
from nw_platform.ingest.recovery import opened
from nw_platform.ingest.session import Session
from nw_platform.lake.receipts import load_receipts


def rebuild(
    session: Session, stream: str, first: str, last: str, now: int, *, progress: Progress = silent
) -> list[HourChange]:
    """Compute the event hours from `first` to before `last` anew from raw. Nothing is committed where nothing differs.

    Raises:
        ExpiredError: retention deleted raw that one of the hours needs.
        InvariantError: raw is not what its receipts say.
    """
    pipeline = opened(session, stream, now)
    return rebuild_hours(pipeline, hours_of(pipeline, first, last), now, progress=progress)


def hours_of(pipeline: Pipeline, first: str, last: str) -> list[str]:
    """Event hours from `first` to before `last` that receipts or `logs` know."""
    snapshot = pipeline.lake.logs(pipeline.stream).snapshot()
    known = set(snapshot.hours()) if snapshot else set()
    for batch in current_batches(load_receipts(pipeline.lake, pipeline.stream, spans=False)):
        known |= batch.event_hours.keys()
    return sorted(hour for hour in known if first <= hour < last)
