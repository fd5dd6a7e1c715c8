"""Where a lane stands, and what a run that died had begun. Runs before the first batch of every process.

genesis missing               written: the start positions, before anything is read
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
from nw_platform.ingest.outcome import BatchReport
from nw_platform.ingest.pipeline import Pipeline, batch_report
from nw_platform.ingest.raw import commit_raw, genesis, missing_receipts
from nw_platform.ingest.rawrows import batch_rows
from nw_platform.ingest.rebuilding import interrupted, rebuild_hours, say_moved
from nw_platform.ingest.session import Session
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.receipts import append_receipts


def recover(pipeline: Pipeline, now: int) -> list[BatchReport]:
    """Finish what was begun; afterwards the pipeline stands at the lane's last receipt.

    Returns:
        A report for each batch whose records were in `raw` and are only now in `logs`.
    """
    raw = pipeline.lake.raw(pipeline.stream).ensure()
    reached(Step.TABLE_CREATED)
    if raw.transaction(pipeline.lane) < 0:
        first = genesis(pipeline.source, pipeline.stream, pipeline.lane, now)
        with contextlib.suppress(CommitConflictError):  # another run was first
            commit_raw(pipeline.lake, raw, [first], now=now)
        raw = pipeline.lake.raw(pipeline.stream).ensure()
    pipeline.lake.logs(pipeline.stream).ensure(pipeline.logs_schema)  # a column retyped is refused before it is read
    append_receipts(pipeline.lake, missing_receipts(pipeline.lake, raw, pipeline.stream, pipeline.lane), now)
    log = pipeline.receipts()
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
            return reports + recover(pipeline, now)
        counted = receipt.with_changes(records=batch.records)
        applied = pipeline.apply(counted, parsed, now)
        reports += [batch_report(counted, applied, time.perf_counter() - started, 0)] if applied else []
    if hours_left := interrupted(pipeline):
        rebuild_hours(pipeline, hours_left, now, finish=True)
    pipeline.resume(pipeline.receipts())
    return reports


def opened(session: Session, stream: str, now: int) -> Pipeline:
    """A stream's pipeline, recovered.

    Raises:
        ConfigError: the stream's format is to be sniffed, and there is nothing yet.
    """
    pipeline = session.pipeline(stream)
    if pipeline is None:
        raise ConfigError(f"stream {stream}: nothing was ever ingested, and there is nothing to find its format by")
    if pipeline.stale():
        recover(pipeline, now)
    return pipeline
