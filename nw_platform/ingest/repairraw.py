"""Repairs raw for `nw repair`: finds the batches that raw lacks on disk or at the source, and commits them again.

When a commit is lost, the table forgets the file that the commit added, but the file still lies in its partition's
folder, and its rows have the digest that the receipt states. So the source is read only for batches that are not on
disk. Records that neither has are reported, with their positions in the source; reading then continues after them.

    a. Choose the hours to repair: those whose counts differ from the receipts, those with a batch that a lane of raw
       has not reached, and those that the caller names.
    b. Write the missing batches of one hour and commit them, hour by hour. Each commit carries the transaction
       (repair, n), so if two repairs run at once, one of them fails with a conflict.
    c. Move the lanes' transactions to their last receipts in one last commit. Reading continues from there.
A crash in between leaves the hours that were committed whole; the next repair does the others.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.fs as pafs

from nw_platform.errors import CommitConflictError, InvariantError, NeverwinterError
from nw_platform.ingest.batches import CurrentBatch, current_batches
from nw_platform.ingest.outcome import Progress, silent
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.rawrows import batch_rows, digest_of, files_of_batch, rows_of
from nw_platform.ingest.replay import read_again, write_batch
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.agreement import last_receipts, odd_hours
from nw_platform.lake.parquet import WrittenFile
from nw_platform.lake.receipts import load_receipts, receipts_metadata
from nw_platform.lake.tables import LakeFile, Snapshot, batch_of
from nw_platform.record.hours import partition_of
from nw_platform.record.spans import Receipt

REPAIR_APP: Final = "repair"
_MOST_CARRIED: Final = 1000  # receipts that the last commit carries; their own table has them all


@dataclass(frozen=True, slots=True)
class LostBatch:
    """A batch whose records cannot be had again: not on disk, and not at the source."""

    batch: CurrentBatch
    reason: str

    def told(self) -> str:
        """Return one line that says which records are lost and why they cannot be read again."""
        spans = "; ".join(f"{s.source}/{s.partition} [{s.start}, {s.end})" for s in self.batch.spans[:20])
        more = f" and {len(self.batch.spans) - 20} more" if len(self.batch.spans) > 20 else ""  # noqa: PLR2004
        return f"{self.batch.records} records of {spans}{more} cannot be had again: {self.reason}"


@dataclass(slots=True)
class RawRepaired:
    """What became of raw."""

    from_disk: int = 0  # batches
    from_source: int = 0
    lanes: list[str] = field(default_factory=list)  # that were behind
    lost: list[LostBatch] = field(default_factory=list)


def repair_raw(pipeline: Pipeline, damaged: Collection[str], now: int, progress: Progress = silent) -> RawRepaired:
    """Commit the batches that raw lacks, and return what was restored and what is lost.

    The table is created if it is missing.

    `damaged`: arrival hours to check even if their counts agree with the receipts.

    Raises:
        CommitConflictError: another run commits at the same time; call again.
        LakeError: the lake cannot be read or written.
    """
    lake, stream = pipeline.lake, pipeline.stream
    done = RawRepaired()
    receipts = load_receipts(lake, stream)
    if not receipts:
        return done
    raw = lake.raw(stream).ensure()
    lasts = last_receipts(lake.receipts().snapshot(), stream)
    done.lanes = [lane for lane, last in lasts.items() if raw.transaction(lane) < last]
    by_hour = _wanted(raw, receipts, done.lanes, damaged)
    for number, (hour, batches) in enumerate(sorted(by_hour.items())):
        progress(number, len(by_hour), hour)
        _repair_hour(pipeline, hour, batches, done, now)
    _catch_up(pipeline, receipts, lasts, now)
    return done


def _wanted(
    raw: Snapshot, receipts: Sequence[Receipt], lanes: Sequence[str], damaged: Collection[str]
) -> dict[str, list[CurrentBatch]]:
    """Return the hours that have to be checked: arrival hour -> all batches of that hour."""
    batches = current_batches(receipts)
    hours = {*odd_hours(raw, batches), *damaged}
    # Counts do not show a lost replay: the batch it replaced may have had the same number of records.
    unseen = [r for r in receipts if r.lane in lanes and r.sequence > raw.transaction(r.lane)]
    touched = {(r.lane, r.sequence if r.replaces is None else r.replaces) for r in unseen}
    hours |= {batch.arrival_hour for batch in batches if (batch.lane, batch.sequence) in touched}
    batches_by_hour: dict[str, list[CurrentBatch]] = {hour: [] for hour in hours}
    for batch in batches:
        if batch.arrival_hour in hours:
            batches_by_hour[batch.arrival_hour].append(batch)
    return batches_by_hour


def _repair_hour(pipeline: Pipeline, hour: str, batches: Sequence[CurrentBatch], done: RawRepaired, now: int) -> None:
    """Commit what raw lacks of an hour, and take out what belongs to no batch or cannot be read."""
    table = pipeline.lake.raw(pipeline.stream)
    raw = table.ensure()
    live = [batch for batch in batches if batch.records and not batch.expired]
    intact = [batch for batch in live if _is_intact(pipeline, batch)]
    written: list[WrittenFile] = []
    recovered: list[CurrentBatch] = []
    lost: list[CurrentBatch] = []
    try:
        for batch in live:
            if batch in intact:
                continue
            rows = _rows_again(pipeline, batch, done)
            (lost if rows is None else recovered).append(batch)
            written += [] if rows is None else [write_batch(pipeline, batch, rows)]
        remove = _to_remove(pipeline, raw, hour, recovered, [*intact, *lost])
        for batch in intact:
            if remove.keys() & {file.path for file in _files(raw, batch)}:
                written.append(write_batch(pipeline, batch, batch_rows(pipeline.lake, pipeline.stream, batch)))
        reached(Step.REPAIR_WRITTEN)
        if written or remove:
            number = raw.transaction(REPAIR_APP) + 1
            raw.commit(add=written, remove=remove.values(), transactions={REPAIR_APP: number}, metadata={}, now=now)
            reached(Step.REPAIR_COMMITTED)
    except CommitConflictError:
        table.discard(written)
        raise


def _to_remove(
    pipeline: Pipeline, raw: Snapshot, hour: str, recovered: Sequence[CurrentBatch], others: Sequence[CurrentBatch]
) -> dict[str, LakeFile]:
    """Return the files that the commit has to remove from the table's hour, by path.

    These are files that are not on disk, files that belong to no batch, and the old files of `recovered` batches.
    """
    listed = raw.hour_files([hour])
    table = pipeline.lake.raw(pipeline.stream)
    infos = pipeline.lake.files.get_file_info([f"{table.path}/{file.path}" for file in listed])
    gone = {file.path for file, info in zip(listed, infos, strict=True) if info.type != pafs.FileType.File}
    replaced = {file.path for batch in recovered for file in _files(raw, batch)}
    kept = {file.path for batch in others for file in _files(raw, batch)}
    return {file.path: file for file in listed if file.path in gone | replaced or file.path not in kept}


def _files(raw: Snapshot, batch: CurrentBatch) -> list[LakeFile]:
    return files_of_batch(raw, batch.arrival_hour, batch.lane, batch.sequence)


def _is_intact(pipeline: Pipeline, batch: CurrentBatch) -> bool:
    with contextlib.suppress(InvariantError):
        batch_rows(pipeline.lake, pipeline.stream, batch)
        return True
    return False


def _rows_again(pipeline: Pipeline, batch: CurrentBatch, done: RawRepaired) -> pa.Table | None:
    """Read a batch's records from a file on disk, else from the source; return None if neither has them.

    `done` is changed: it counts where the records came from, or gets the lost batch with the reason.
    """
    for file in _on_disk(pipeline, batch):
        rows = _matching(file, batch)
        if rows is not None:
            done.from_disk += 1
            return rows
    try:
        rows, _, digest = read_again(pipeline, batch)
    except NeverwinterError as error:
        done.lost.append(LostBatch(batch, str(error)))
        return None
    if digest != batch.digest:
        reason = "the source has other bytes there than its receipt says"
        done.lost.append(LostBatch(batch, reason))
        return None
    done.from_source += 1
    return rows


def _on_disk(pipeline: Pipeline, batch: CurrentBatch) -> Iterator[LakeFile]:
    """Files of the batch's partition that may hold it: those of its name first, then those that were merged."""
    dt, hour = partition_of(batch.arrival_hour)
    table = pipeline.lake.raw(pipeline.stream)
    folder = f"dt={dt}/hour={hour}"
    selector = pafs.FileSelector(f"{table.path}/{folder}", allow_not_found=True)
    infos = [i for i in pipeline.lake.files.get_file_info(selector) if i.type == pafs.FileType.File]
    names = sorted(info.base_name for info in infos if info.base_name.endswith(".parquet"))
    mine = [name for name in names if batch_of(name) == (batch.lane, batch.sequence)]
    merged = [name for name in names if batch_of(name) is None]
    for name in (*mine, *merged):
        path = f"{folder}/{name}"
        yield LakeFile(path, f"{table.url}/{path}", {"dt": dt, "hour": hour}, 0, 0, {})


def _matching(file: LakeFile, batch: CurrentBatch) -> pa.Table | None:
    """The batch's records in a file, if they are those of its receipt."""
    try:
        rows = rows_of([file], batch.lane, batch.sequence)
    except (duckdb.Error, pa.ArrowException, OSError):
        return None
    return rows if rows.num_rows == batch.records and digest_of(rows) == batch.digest else None


def _catch_up(pipeline: Pipeline, receipts: Sequence[Receipt], lasts: dict[str, int], now: int) -> None:
    """Move the lanes' transactions to their last receipts; the commit carries the receipts that raw had lost."""
    raw = pipeline.lake.raw(pipeline.stream).ensure()
    moves = {lane: last for lane, last in lasts.items() if raw.transaction(lane) < last}
    if not moves:
        return
    carried = [r for r in receipts if r.lane in moves and raw.transaction(r.lane) < r.sequence <= moves[r.lane]]
    number = raw.transaction(REPAIR_APP) + 1
    raw.commit(
        transactions={**moves, REPAIR_APP: number},
        metadata=receipts_metadata(carried[-_MOST_CARRIED:]),
        now=now,
    )
    reached(Step.REPAIR_CAUGHT_UP)
