"""Step 8 of the protocol: event hours of `logs` and `duplicates` computed anew from `raw`.

a. The batches that touch the hours, as receipts say. Each is parsed once, its rows staged by event hour.
b. If parsing rules have changed since a batch was parsed, its records may now lie in other hours: every hour that
it touched or now touches belongs to the rebuild, and the batches of those hours too, until nothing is added.
Receipts of kind replay then say the new hours (the bytes and their digest stay).
c. Per hour: repeats are told by id in the order in which batches were applied; the rest, sorted, is compared with
what is there. Equal hours keep their files.
d. One commit to `duplicates`, one to `logs`, with the transactions (apply, n) and (rebuild, n) each. A crash between
the two is found by `recover`, which rebuilds the hours that the first commit names; no other step moves (rebuild, n).
A batch that is in `raw` and not in `logs` yet is left to whoever applies it, with its duplicates.
"""

from __future__ import annotations

import functools
import json
import shutil
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nw_platform.errors import CommitConflictError, ExpiredError
from nw_platform.ingest.apply import RULES_KEY, duplicates_app, is_dangling, next_apply
from nw_platform.ingest.batches import CurrentBatch, current_batches
from nw_platform.ingest.dedupe import APPLY_APP, REBUILD_APP
from nw_platform.ingest.hourfiles import (
    DUPLICATES_SORTED_BY,
    bag_digest,
    rows_changed,
    scan_hours,
    write_sorted,
)
from nw_platform.ingest.outcome import HourChange, Progress, silent
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.raw import commit_raw, next_receipt
from nw_platform.ingest.rawrows import batch_rows
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.engine import connect, literal, quoted
from nw_platform.lake.parquet import WrittenFile
from nw_platform.lake.receipts import load_receipts
from nw_platform.lake.scratch import not_writable, scratch
from nw_platform.lake.store import DUPLICATES_SCHEMA
from nw_platform.lake.tables import LakeFile, Snapshot, file_name
from nw_platform.record.hours import HOUR_US, hour_of, hour_start, next_hour, partition_of, to_iso

REBUILD_KEY: Final = "neverwinter.rebuild"
_ORDER: Final = ("__batch", "__row", "__sent")


@dataclass(slots=True)
class Staged:
    """Parsed rows of batches, on local disk, by event hour."""

    folder: Path
    schema: pa.Schema
    dropped: Callable[[str], str] | None = None  # event hour -> SQL of the duplicates that it has now
    batches: dict[tuple[str, int], dict[str, int]] = field(default_factory=dict)  # (lane, sequence) -> event hours now

    def add(self, number: int, batch: CurrentBatch, pipeline: Pipeline) -> None:
        """Parse one batch and stage its rows. `number`: its place in the order of application."""
        rows = batch_rows(pipeline.lake, pipeline.stream, batch)
        parsed = pipeline.parse(rows, batch.spans, batch.planned_time)
        self.batches[batch.lane, batch.sequence] = parsed.event_hours()
        sent = parsed.from_sender if parsed.from_sender is not None else np.zeros(len(parsed.hours), dtype=bool)
        order = np.argsort(parsed.hours, kind="stable")
        whole = (
            _conformed(parsed.rows, self.schema)
            .append_column("__batch", pa.repeat(pa.scalar(number, pa.int64()), len(order)))
            .append_column("__row", pa.array(np.arange(len(order))))
            .append_column("__sent", pa.array(sent))
            .append_column("lane", pa.repeat(batch.lane, len(order)))
            .append_column("sequence", pa.repeat(pa.scalar(batch.sequence, pa.int64()), len(order)))
            .take(pa.array(order))
        )
        hours, firsts = np.unique(parsed.hours[order], return_index=True)
        bounds = [*firsts.tolist(), len(order)]
        for i, value in enumerate(hours):
            target = self.folder / hour_of(int(value) * HOUR_US)
            target.mkdir(parents=True, exist_ok=True)
            pq.write_table(whole.slice(bounds[i], bounds[i + 1] - bounds[i]), target / f"{number:08d}.parquet")

    def query(self, hour: str, *, repeats: bool) -> str:
        """Rows of an hour: what belongs into `logs`, or (`repeats`) into `duplicates`."""
        files = sorted((self.folder / hour).glob("*.parquet"))
        schema = DUPLICATES_SCHEMA if repeats else self.schema
        if not files:
            return scan_hours([], schema)
        staged = f"read_parquet([{', '.join(literal(str(file)) for file in files)}])"
        columns = ", ".join(quoted(name) for name in schema.names)
        kept_first = f"{self._was_dropped(hour)}, " if self.dropped else ""
        numbered = f"row_number() OVER (PARTITION BY event_id ORDER BY {kept_first}{', '.join(_ORDER[:2])})"
        sent = f"SELECT *, {numbered} AS __n FROM {staged} AS s WHERE __sent"
        if repeats:
            return f"SELECT {columns} FROM ({sent}) WHERE __n > 1"
        return f"SELECT {columns} FROM {staged} WHERE NOT __sent UNION ALL SELECT {columns} FROM ({sent}) WHERE __n = 1"

    def _was_dropped(self, hour: str) -> str:
        """Lanes are applied in no order that receipts tell: of equal ids the copy that was kept stays."""
        if self.dropped is None:
            return "false"
        place = ("source", "source_partition", "source_start", "lane", "sequence")
        same = " AND ".join(f"d.{name} = s.{name}" for name in place)
        return f"EXISTS (SELECT 1 FROM ({self.dropped(hour)}) AS d WHERE {same})"


def _conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the table's columns, in its order; columns that are not declared any more are null."""
    known = set(rows.column_names)
    columns = [rows[f.name].cast(f.type) if f.name in known else pa.nulls(len(rows), f.type) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def rebuild_hours(
    pipeline: Pipeline,
    hours: Collection[str],
    now: int,
    *,
    transactions: dict[str, int] | None = None,
    finish: bool = False,
    progress: Progress = silent,
) -> list[HourChange]:
    """Compute hours anew; commits only what differs. `transactions` go into the commit to `logs`, also if empty.

    `finish`: a rebuild that died is being finished; `logs` is to say so even where it has nothing to change.

    Raises:
        ExpiredError: raw that one of the hours needs was deleted.
        InvariantError: raw is not what its receipts say.
    """
    wanted = set(hours)
    while True:
        folder = scratch(pipeline.work, "rebuild") / uuid.uuid4().hex
        try:
            return _attempt(pipeline, wanted, now, folder, transactions or {}, progress, finish=finish)
        except CommitConflictError:
            continue  # a batch was applied meanwhile: again, on the new state
        except OSError as error:
            raise not_writable(folder.parent, error) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _attempt(
    pipeline: Pipeline,
    wanted: set[str],
    now: int,
    folder: Path,
    transactions: dict[str, int],
    progress: Progress,
    *,
    finish: bool,
) -> list[HourChange]:
    logs = pipeline.lake.logs(pipeline.stream)
    duplicates = pipeline.lake.duplicates().snapshot()  # before `logs`: see `next_apply`
    snapshot = logs.ensure(pipeline.logs_schema)
    everything = current_batches(load_receipts(pipeline.lake, pipeline.stream))
    applied = {
        lane: max(snapshot.transaction(lane), transactions.get(lane, -1)) for lane in {b.lane for b in everything}
    }
    batches = [b for b in everything if b.sequence <= applied[b.lane]]
    dropped = functools.partial(_dropped, pipeline, snapshot) if len(applied) > 1 else None
    staged = Staged(folder, snapshot.schema(), dropped)
    hours = _stage(pipeline, staged, batches, wanted, progress)
    if moved := [b for b in batches if staged.batches.get((b.lane, b.sequence), b.event_hours) != b.event_hours]:
        wanted |= hours  # if this attempt loses a race, the next one has to do them all
        transactions = {**transactions, **say_moved(pipeline, snapshot, moved, staged.batches, now)}
    number = next_apply(pipeline.stream, snapshot, duplicates)
    with connect() as connection:
        changes, added, removed = _compare(connection, pipeline, snapshot, staged, hours)
        different = [c.hour for c in changes if c.changed]
        doubles = _replace_duplicates(connection, pipeline, snapshot, staged, hours, different, number, now)
    if different or doubles or transactions or finish:
        reached(Step.REBUILD_WRITTEN)
        moves = {lane: max(v, snapshot.transaction(lane)) for lane, v in transactions.items()}
        try:
            snapshot.commit(
                add=added, remove=removed, transactions={**moves, APPLY_APP: number, REBUILD_APP: number},
                metadata={RULES_KEY: pipeline.rules, REBUILD_KEY: json.dumps(sorted(different))}, now=now,
            )  # fmt: skip
        except CommitConflictError:
            logs.discard(added)
            raise
        reached(Step.REBUILD_COMMITTED)
    return changes


def say_moved(
    pipeline: Pipeline,
    logs: Snapshot | None,
    moved: list[CurrentBatch],
    hours: Mapping[tuple[str, int], dict[str, int]],
    now: int,
) -> dict[str, int]:
    """Receipts that say in which hours the records of these batches are now; returns the lanes' new transactions.

    `hours`: (lane, sequence) of each -> event hour -> records. No transaction for a lane in which a batch before them
    is not in `logs` yet: it must not be passed over. Recovery then gets to these too.

    Raises:
        CommitConflictError: a batch came meanwhile.
    """
    raw = pipeline.lake.raw(pipeline.stream).ensure()
    logbooks = {lane: pipeline.receipts(lane) for lane in sorted({batch.lane for batch in moved})}
    last = {lane: log[-1] for lane, log in logbooks.items()}
    if any(raw.transaction(lane) != receipt.sequence for lane, receipt in last.items()):
        raise CommitConflictError(f"stream {pipeline.stream}: another run is ahead; looking again")
    waiting = {
        lane
        for lane, log in logbooks.items()
        if any(r.records or r.kind == "replay" for r in log[(logs.transaction(lane) if logs else -1) + 1 :])
    }
    receipts = []
    for batch in moved:
        last[batch.lane] = next_receipt(
            last[batch.lane],
            now,
            kind="replay",
            arrival_hour=batch.arrival_hour,
            spans=batch.spans,
            records=batch.records,
            bytes=batch.bytes,
            digest=batch.digest,
            event_hours=hours[batch.lane, batch.sequence],
            replaces=batch.sequence,
            detail={"was": sorted(batch.event_hours), "why": "parsing rules changed"},
        )
        receipts.append(last[batch.lane])
    commit_raw(pipeline.lake, raw, receipts, now=now)
    return {lane: receipt.sequence for lane, receipt in last.items() if lane not in waiting}


def _stage(
    pipeline: Pipeline, staged: Staged, batches: list[CurrentBatch], wanted: set[str], progress: Progress
) -> set[str]:
    """Stage every batch that the hours need; returns the hours, more than asked for if parsing rules have changed."""
    hours = set(wanted)
    while True:
        todo = [
            (number, batch)
            for number, batch in enumerate(batches)
            if (batch.lane, batch.sequence) not in staged.batches and hours & batch.event_hours.keys()
        ]
        if not todo:
            return hours
        for done, (number, batch) in enumerate(todo):
            if batch.expired:
                gone = sorted(hours & batch.event_hours.keys())
                raise ExpiredError(
                    f"stream {pipeline.stream}: raw of arrival hour {batch.arrival_hour} was deleted by retention, and "
                    f"{', '.join(gone[:3])} need it; these hours stay as they are (a rebuild would lose records)"
                )
            progress(done, len(todo), f"batch {batch.lane}/{batch.sequence}")
            staged.add(number, batch, pipeline)
            now_in = staged.batches[batch.lane, batch.sequence]
            if now_in != batch.event_hours:
                hours |= batch.event_hours.keys() | now_in.keys()


def _compare(
    connection: duckdb.DuckDBPyConnection,
    pipeline: Pipeline,
    snapshot: Snapshot,
    staged: Staged,
    hours: set[str],
) -> tuple[list[HourChange], list[WrittenFile], list[LakeFile]]:
    """What changes, the new files of hours that do, and the files they replace."""
    logs = pipeline.lake.logs(pipeline.stream)
    changes, added, removed = [], [], []
    schema = staged.schema
    for hour in sorted(hours):
        files = snapshot.hour_files([hour])
        before, after = scan_hours(files, schema), staged.query(hour, repeats=False)
        new = bag_digest(connection, after, schema)
        note = ""
        try:
            old = bag_digest(connection, before, schema)
            changed = 0 if old == new else rows_changed(connection, before, after, schema)
        except duckdb.Error as error:  # a file that is damaged or gone is what a rebuild is for
            old, changed = (sum(f.records for f in files), 0), max(new[0], 1)
            note = f"was not readable: {' '.join(str(error).split())[:120]}"
        changes.append(HourChange(hour, old[0], new[0], changed, note=note))
        if not changed:
            continue
        removed += files
        name = file_name("rebuilt", snapshot.version)
        dt, hh = partition_of(hour)
        written = write_sorted(connection, logs, after, schema, {"dt": dt, "hour": hh}, name=name)
        added += [written] if written else []
    return changes, added, removed


def _dropped(pipeline: Pipeline, logs: Snapshot, hour: str) -> str:
    """The positions of an hour's duplicates, as SQL."""
    snapshot = pipeline.lake.duplicates().snapshot()
    files = snapshot.files(stream=[pipeline.stream], dt=[hour[:10]]) if snapshot else []
    return scan_hours([file for file in files if not is_dangling(file, logs)], DUPLICATES_SCHEMA)


def _replace_duplicates(
    connection: duckdb.DuckDBPyConnection,
    pipeline: Pipeline,
    logs: Snapshot,
    staged: Staged,
    hours: set[str],
    different: list[str],
    number: int,
    now: int,
) -> bool:
    """Make the duplicates of the hours what they are now, in one commit; hours around them keep theirs."""
    table = pipeline.lake.duplicates()
    snapshot = table.snapshot()
    by_day: dict[str, list[str]] = {}
    for hour in sorted(hours):
        by_day.setdefault(hour[:10], []).append(hour)
    added: list[WrittenFile] = []
    removed: list[LakeFile] = []
    for day, of_day in by_day.items():
        files = snapshot.files(stream=[pipeline.stream], dt=[day]) if snapshot else []
        files = [file for file in files if not is_dangling(file, logs)]
        there = scan_hours(files, DUPLICATES_SCHEMA)
        inside = " OR ".join(f"(event_time >= {_at(h)} AND event_time < {_at(next_hour(h))})" for h in of_day)
        after = " UNION ALL ".join(f"({staged.query(hour, repeats=True)})" for hour in of_day)
        before = f"SELECT * FROM ({there}) WHERE {inside}"
        if bag_digest(connection, before, DUPLICATES_SCHEMA) == bag_digest(connection, after, DUPLICATES_SCHEMA):
            continue
        removed += files
        written = write_sorted(
            connection, table,
            f"SELECT * FROM ({there}) WHERE NOT ({inside}) UNION ALL SELECT * FROM ({after})", DUPLICATES_SCHEMA,
            {"stream": pipeline.stream, "dt": day}, name=file_name("rebuilt", number), sort=DUPLICATES_SORTED_BY,
        )  # fmt: skip
        added += [written] if written else []
    if not added and not removed:
        return False
    snapshot = snapshot or table.ensure()
    if snapshot.transaction(duplicates_app(pipeline.stream)) > number:
        table.discard(added)
        raise CommitConflictError(f"stream {pipeline.stream}: another run has applied more; looking again")
    try:
        snapshot.commit(
            add=added, remove=removed,
            transactions={duplicates_app(pipeline.stream): number, _rebuild_app(pipeline.stream): number},
            metadata={_rebuild_key(pipeline.stream): json.dumps(sorted({*hours, *different}))}, now=now,
        )  # fmt: skip
    except CommitConflictError:
        table.discard(added)
        raise
    reached(Step.DUPLICATES_REPLACED)
    return True


def interrupted(pipeline: Pipeline) -> list[str]:
    """The hours of a rebuild that died between its two commits; none if there was none."""
    duplicates, logs = pipeline.lake.duplicates().snapshot(), pipeline.lake.logs(pipeline.stream).snapshot()
    if duplicates is None or logs is None:
        return []
    if duplicates.transaction(_rebuild_app(pipeline.stream)) <= logs.transaction(REBUILD_APP):
        return []
    key = _rebuild_key(pipeline.stream)
    return next((json.loads(commit[key]) for commit in duplicates.history() if key in commit), [])


def _rebuild_app(stream: str) -> str:
    """The app id whose version in `duplicates` is the number of the stream's last rebuild that wrote there."""
    return f"{REBUILD_APP}/{stream}"


def _rebuild_key(stream: str) -> str:
    """The metadata of a commit to `duplicates` that names a rebuild's hours: the streams share that table."""
    return f"{REBUILD_KEY}/{stream}"


def _at(hour: str) -> str:
    return f"TIMESTAMPTZ {literal(to_iso(hour_start(hour)))}"
