"""Step 7 of the protocol: `nw replay` re-reads the recorded spans of arrival hours from their source.

For each batch the digest of what the source has is compared with what its receipt says and with what `raw` holds.
All equal: nothing is written. Different: one commit per hour replaces the batch's records (lane and sequence stay) and
carries a receipt of kind replay; the event hours involved are then rebuilt. What the source no longer has is kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from nw_platform.errors import CommitConflictError, InvariantError, LakeError, NeverwinterError, SourceError
from nw_platform.ingest.batch import Chunk, span_order
from nw_platform.ingest.batches import CurrentBatch, current_batches
from nw_platform.ingest.outcome import HourChange, Progress, silent
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.raw import commit_raw, next_receipt, read_spans
from nw_platform.ingest.rawrows import batch_rows, files_of_batch
from nw_platform.ingest.recovery import opened, recover_all
from nw_platform.ingest.session import Session
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.parquet import WrittenFile
from nw_platform.lake.receipts import load_receipts
from nw_platform.lake.tables import LakeFile, Snapshot, file_name
from nw_platform.record.envelope import RAW_SCHEMA
from nw_platform.record.hours import partition_of
from nw_platform.record.spans import Span

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class _Fresh:
    """What a source has today of a batch that differs from raw. Its rows are on disk: an hour is more than fits."""

    batch: CurrentBatch
    spans: tuple[Span, ...]
    digest: str
    records: int
    event_hours: Mapping[str, int]
    written: WrittenFile | None  # None: it has no records, or nothing is to be written


def replay(
    session: Session,
    stream: str,
    first: str,
    last: str,
    now: int,
    *,
    dry_run: bool = False,
    progress: Progress = silent,
) -> list[HourChange]:
    """Replay the arrival hours from `first` to before `last`; one result for each that has batches.

    Raises:
        SourceError: the source as a whole cannot be reached.
    """
    pipeline = _opened(session, stream, now)
    batches = current_batches(load_receipts(pipeline.lake, stream, spans=False))
    hours = sorted({b.arrival_hour for b in batches if first <= b.arrival_hour < last})
    results = []
    for done, hour in enumerate(hours):
        progress(done, len(hours), hour)
        results.append(_replay_hour(session, pipeline, hour, now, dry_run=dry_run))
    progress(len(hours), len(hours), "")
    return results


def _opened(session: Session, stream: str, now: int) -> Pipeline:
    """The pipeline; also if it cannot be recovered because of what a replay is to mend."""
    try:
        return opened(session, stream, now)
    except InvariantError:
        pipeline = session.pipeline(stream)
        if pipeline is None:
            raise
        for lane in session.pipelines(stream):
            lane.resume(lane.receipts())
        return pipeline


def _replay_hour(session: Session, pipeline: Pipeline, hour: str, now: int, *, dry_run: bool) -> HourChange:
    for _ in range(_ATTEMPTS):
        try:
            change, committed = _attempt(pipeline, hour, now, dry_run=dry_run)
        except CommitConflictError:
            recover_all(session, pipeline.stream, now)  # a batch came meanwhile: its lane's next receipt is another one
            continue
        if committed:
            recover_all(session, pipeline.stream, now)
        return change
    raise LakeError(f"stream {pipeline.stream}: gave up after {_ATTEMPTS} commit conflicts; replay {hour} again later")


def _attempt(pipeline: Pipeline, hour: str, now: int, *, dry_run: bool) -> tuple[HourChange, bool]:
    """What changes, and whether it was committed: the event hours involved are then to be rebuilt."""
    snapshot = pipeline.lake.raw(pipeline.stream).ensure()
    everything = current_batches(load_receipts(pipeline.lake, pipeline.stream))
    batches = [b for b in everything if b.arrival_hour == hour]
    frozen = {event_hour for b in everything if b.expired for event_hour in b.event_hours}
    before = sum(f.records for f in snapshot.hour_files([hour]))
    notes: list[str] = []
    kept = changed = 0
    fresh: list[_Fresh] = []
    intact: list[CurrentBatch] = []
    for batch in batches:
        if batch.expired:
            notes.append(f"batch {batch.lane}/{batch.sequence}: raw was deleted by retention")
            kept += batch.records
            continue
        present = _present(pipeline, batch)
        try:
            rows, spans, digest = read_again(pipeline, batch)
        except NeverwinterError as error:
            kept += batch.records
            notes.append(f"batch {batch.lane}/{batch.sequence} kept: {error}")
            if present is not None:
                intact.append(batch)
            continue
        if present is not None and digest == batch.digest:
            intact.append(batch)
            continue
        if frozen & batch.event_hours.keys():
            kept += batch.records
            notes.append(f"batch {batch.lane}/{batch.sequence} kept: its event hours need raw that retention deleted")
            intact += [batch] if present is not None else []
            continue
        changed += _difference(present, rows)
        event_hours = pipeline.parse(rows, spans, batch.planned_time).event_hours()
        written = write_batch(pipeline, batch, rows) if len(rows) and not dry_run else None
        fresh.append(_Fresh(batch, spans, digest, len(rows), event_hours, written))
    after = before
    if fresh:
        after = sum(found.records for found in fresh) + sum(batch.records for batch in intact)
        if not dry_run:
            _commit(pipeline, snapshot, hour, fresh, intact, now)
    return HourChange(hour, before, after, changed, kept=kept, note="; ".join(notes)), bool(fresh) and not dry_run


def _present(pipeline: Pipeline, batch: CurrentBatch) -> pa.Table | None:
    """What raw holds of a batch; None if that is not what the receipt says, or cannot be read."""
    with contextlib.suppress(InvariantError):
        return batch_rows(pipeline.lake, pipeline.stream, batch)
    return None


def read_again(pipeline: Pipeline, batch: CurrentBatch) -> tuple[pa.Table, tuple[Span, ...], str]:
    """Read a batch's spans again: their rows, the spans as they are now, and the digest.

    Raises:
        SourceError: the source no longer has all of it, or has other bytes than were recorded.
    """
    chunks: list[Chunk] = []
    some = tuple(span for span in batch.spans if span.end > span.start)  # the others only say what was damaged
    spans, digest, problems = read_spans(
        pipeline.read, some, pipeline.make_framer,
        lane=batch.lane, sequence=batch.sequence, planned=batch.planned_time, take=chunks.append, write=lambda _: None,
    )  # fmt: skip
    if len(spans) < len(some):
        raise SourceError(problems[0].reason if problems else "the source no longer has it")
    rows = pa.concat_tables([c.raw for c in chunks]) if chunks else RAW_SCHEMA.empty_table()
    nothing = tuple(span for span in batch.spans if span.end == span.start)
    return rows, tuple(sorted((*spans, *nothing), key=span_order)), digest


def _difference(present: pa.Table | None, found: pa.Table) -> int:
    """Records that are on one side only or have other bytes."""
    if present is None:
        return len(found)
    keys = ["source", "source_partition", "source_start", "source_end", "value"]
    common: int = present.select(keys).join(found.select(keys), keys, join_type="inner").num_rows
    return len(present) + len(found) - 2 * common


def _commit(
    pipeline: Pipeline, snapshot: Snapshot, hour: str, fresh: Sequence[_Fresh], intact: Sequence[CurrentBatch], now: int
) -> None:
    """Replace the batches' files; other batches that share a file with them get one of their own."""
    written = [found.written for found in fresh if found.written is not None]
    last = {lane: pipeline.receipts(lane)[-1] for lane in {found.batch.lane for found in fresh}}
    if any(snapshot.transaction(lane) != receipt.sequence for lane, receipt in last.items()):
        pipeline.lake.raw(pipeline.stream).discard(written)
        raise CommitConflictError(f"stream {pipeline.stream}: another run is ahead; looking again")
    removed: dict[str, LakeFile] = {}
    for found in fresh:
        of_batch = files_of_batch(snapshot, hour, found.batch.lane, found.batch.sequence)
        removed.update({file.path: file for file in of_batch})
    moved = [
        batch
        for batch in intact
        if any(f.path in removed for f in files_of_batch(snapshot, hour, batch.lane, batch.sequence))
    ]
    # Read again, one at a time: an hour of a backlog is more than memory holds.
    written += [write_batch(pipeline, b, batch_rows(pipeline.lake, pipeline.stream, b)) for b in moved]
    receipts = []
    for found in fresh:
        lane = found.batch.lane
        last[lane] = next_receipt(
            last[lane],
            now,
            kind="replay",
            arrival_hour=hour,
            spans=found.spans,
            records=found.records,
            bytes=sum(s.bytes for s in found.spans),
            skipped_lines=sum(s.skipped_lines for s in found.spans),
            digest=found.digest,
            event_hours=found.event_hours,
            replaces=found.batch.sequence,
            detail={"was": sorted(found.batch.event_hours), "why": "raw was not what the source has"},
        )
        receipts.append(last[lane])
    reached(Step.REPLAY_WRITTEN)
    try:
        commit_raw(pipeline.lake, snapshot, receipts, add=written, remove=removed.values(), now=now)
    except CommitConflictError:
        pipeline.lake.raw(pipeline.stream).discard(written)
        raise


def write_batch(pipeline: Pipeline, batch: CurrentBatch, rows: pa.Table) -> WrittenFile:
    """Write a batch's records to a file of its own in the partition of its arrival hour; no commit names it yet."""
    dt, hh = partition_of(batch.arrival_hour)
    name = file_name(batch.lane, batch.sequence)
    table = pipeline.lake.raw(pipeline.stream)
    with table.writer(name, RAW_SCHEMA, {"dt": dt, "hour": hh}, statistics=("lane", "sequence")) as writer:
        writer.write(rows)
        return writer.close()
