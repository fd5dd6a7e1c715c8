"""Where a lane stands, and what a run that died had begun. Runs before the first batch of every process.

genesis missing               written: the start positions, before anything is read
another number of lanes       a new epoch, from where the old lanes stopped (lanes.py)
receipts missing              taken from raw's commits
batch in raw, not in logs     read back from raw, parsed and applied, as if nothing had happened
replay in raw, not in logs    its event hours are rebuilt
rebuild between two commits   repeated
"""

from __future__ import annotations

import contextlib
import time

from nw_platform.errors import CommitConflictError, ConfigError
from nw_platform.ingest.batches import current_batches
from nw_platform.ingest.lanes import start_epoch
from nw_platform.ingest.outcome import BatchReport
from nw_platform.ingest.pipeline import Pipeline, batch_report
from nw_platform.ingest.raw import missing_receipts
from nw_platform.ingest.rawrows import batch_rows
from nw_platform.ingest.rebuilding import interrupted, rebuild_hours, say_moved
from nw_platform.ingest.session import Session
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.agreement import refuse_lost_commits
from nw_platform.lake.receipts import ReceiptLog, append_receipts


def recover(pipeline: Pipeline, now: int) -> list[BatchReport]:
    """Finish what was begun; afterwards the pipeline stands at the lane's last receipt.

    The first lane also finishes those of epochs before.

    Returns:
        A report for each batch whose records were in `raw` and are only now in `logs`.

    Raises:
        CommitConflictError: another run reads the stream by another number of lanes.
        LakeError: raw is behind its receipts; `nw repair` is for that.
        SourceError: the source, whose first positions are wanted, cannot be reached.
    """
    refuse_lost_commits(pipeline.lake, pipeline.stream)
    raw = pipeline.lake.raw(pipeline.stream).ensure()
    reached(Step.TABLE_CREATED)
    if pipeline.name_in(raw) is None:
        with contextlib.suppress(CommitConflictError):  # another run was first
            start_epoch(pipeline.lake, pipeline.stream, pipeline.sources, now)
        raw = pipeline.lake.raw(pipeline.stream).ensure()
    lane = pipeline.name_in(raw)
    if lane is None:
        raise CommitConflictError(f"stream {pipeline.stream}: another run has just changed the number of its lanes")
    pipeline.lane = lane
    pipeline.lake.logs(pipeline.stream).ensure(pipeline.logs_schema)  # a column retyped is refused before it is read
    for name in pipeline.to_record(raw):
        append_receipts(pipeline.lake, missing_receipts(pipeline.lake, raw, pipeline.stream, name), now)
    reports: list[BatchReport] = []
    for name in pipeline.to_finish(raw):
        reports += _finish(pipeline, pipeline.receipts(name), now)
    if hours_left := interrupted(pipeline):
        rebuild_hours(pipeline, hours_left, now, finish=True)
    pipeline.resume(pipeline.receipts())
    return reports


def recover_all(session: Session, stream: str, now: int) -> list[BatchReport]:
    """Recover every lane of a stream."""
    return [report for pipeline in session.pipelines(stream) for report in recover(pipeline, now)]


def _finish(pipeline: Pipeline, log: ReceiptLog, now: int) -> list[BatchReport]:
    """Bring what one lane has in `raw` into `logs`."""
    reports: list[BatchReport] = []
    unapplied = pipeline.unapplied(log)
    current = {batch.sequence: batch for batch in current_batches(unapplied)}  # as replayed since, if it was
    for receipt in unapplied:
        if receipt.kind == "replay":
            hours = {*receipt.event_hours, *receipt.detail.get("was", [])}
            rebuild_hours(pipeline, hours, now, transactions={receipt.lane: receipt.sequence})
            continue
        started = time.perf_counter()
        batch = current[receipt.sequence]
        rows = batch_rows(pipeline.lake, pipeline.stream, batch)
        parsed = pipeline.parse(rows, batch.spans, batch.planned_time)
        if parsed.event_hours() != batch.event_hours:  # the parsing rules were changed in between: first say so
            moved = {(batch.lane, batch.sequence): parsed.event_hours()}
            say_moved(pipeline, pipeline.lake.logs(pipeline.stream).snapshot(), [batch], moved, now)
            return reports + _finish(pipeline, pipeline.receipts(log.lane), now)
        counted = receipt.with_changes(records=batch.records)
        applied = pipeline.apply(counted, parsed, now)
        reports += [batch_report(counted, applied, time.perf_counter() - started, 0)] if applied else []
    return reports


def opened(session: Session, stream: str, now: int) -> Pipeline:
    """A stream's first lane, for what concerns the stream as a whole; every lane is recovered.

    Raises:
        ConfigError: the stream's format is to be sniffed, and there is nothing yet.
    """
    pipeline = session.pipeline(stream)
    if pipeline is None:
        raise ConfigError(f"stream {stream}: nothing was ever ingested, and there is nothing to find its format by")
    for lane in session.pipelines(stream):
        if lane.stale():
            recover(lane, now)
    return pipeline
