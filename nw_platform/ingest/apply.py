"""Step 4 of the protocol: a parsed batch becomes rows of `logs`, its repeats rows of `duplicates`.

    a. Snapshot of `logs`. If the lane's transaction has this sequence already, there is nothing to do.
    b. Which rows repeat an id of their event hour, as of this snapshot or within the batch?
    c. received = normal + error + watchdog + duplicates, or stop.
    d. The repeats go to `duplicates` in one commit, with the transaction (apply of the stream, n).
    e. All touched event hours in one commit to `logs`, with the transactions (lane, sequence) and (apply, n).
    f. The ids are remembered.
A crash after d leaves repeats without their batch; redoing the step replaces them, for (lane, sequence) is in them.
Because of (apply, n) no two appliers of one stream can be between b and e with the same n and both succeed.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import CommitConflictError, InvariantError
from nw_platform.ingest.batch import Parsed, in_pieces, pieces_by_hour
from nw_platform.ingest.dedupe import APPLY_APP, Remembered, alone
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.parquet import QUICK_LEVEL, WrittenFile
from nw_platform.lake.store import DUPLICATES_SCHEMA, Lake
from nw_platform.lake.tables import LakeFile, LakeTable, Snapshot, batch_of, file_name
from nw_platform.record.hours import HOUR_US, hour_of, partition_of
from nw_platform.record.spans import Receipt

_WRITERS = 2
RULES_KEY = "neverwinter.rules"


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a batch's records."""

    normal: int
    error: int
    watchdog: int
    duplicates: int
    late: int
    rejects: int


def duplicates_app(stream: str) -> str:
    """The app id whose version in `duplicates` is the number of the stream's last apply that wrote there."""
    return f"{APPLY_APP}/{stream}"


def next_apply(stream: str, logs: Snapshot, duplicates: Snapshot | None) -> int:
    """The number of the next apply. `duplicates`: looked at before `logs`, so that it is ahead by one at most ...

    ... unless `logs` lost commits: then numbers go on behind those that `duplicates` knows.
    """
    seen = duplicates.transaction(duplicates_app(stream)) if duplicates is not None else -1
    return max(logs.transaction(APPLY_APP) + 1, seen)


def apply_batch(
    lake: Lake, stream: str, receipt: Receipt, parsed: Parsed, *, rules: str, work: Path, now: int
) -> Applied | None:
    """Put one parsed batch into `logs` exactly once. None: another run had done it already.

    Raises:
        CommitConflictError: another run applied something at the same time; call again.
        InvariantError: the counts do not add up; nothing was committed.
    """
    with alone(work) as mine:
        logs = lake.logs(stream)
        duplicates = lake.duplicates().snapshot()  # before `logs`: no compaction has merged what is stale in it
        snapshot = logs.ensure(parsed.rows.schema)
        if snapshot.transaction(receipt.lane) >= receipt.sequence:
            return None
        number = next_apply(stream, snapshot, duplicates)
        known = Remembered(mine, snapshot)
        return _apply(lake, logs, snapshot, duplicates, receipt, parsed, known, number=number, rules=rules, now=now)


def _apply(
    lake: Lake,
    logs: LakeTable,
    snapshot: Snapshot,
    duplicates: Snapshot | None,
    receipt: Receipt,
    parsed: Parsed,
    known: Remembered,
    *,
    number: int,
    rules: str,
    now: int,
) -> Applied:
    repeated = known.repeated(parsed)
    kept = parsed.rows.filter(pa.array(~repeated)) if repeated.any() else parsed.rows
    applied = _counted(kept, int(repeated.sum()))
    received = applied.normal + applied.error + applied.watchdog + applied.duplicates
    if received != receipt.records:
        raise InvariantError(
            f"stream {receipt.stream}, batch {receipt.lane}/{receipt.sequence}: received {receipt.records}, but "
            f"normal {applied.normal} + error {applied.error} + watchdog {applied.watchdog} + duplicates "
            f"{applied.duplicates} = {received}; nothing was committed"
        )
    put_duplicates(lake, duplicates, receipt, parsed.rows.filter(pa.array(repeated)), number=number, now=now)
    written = write_hours(logs, snapshot.schema(), kept, parsed.hours[~repeated], receipt.lane, receipt.sequence)
    reached(Step.LOGS_WRITTEN)
    try:
        snapshot.commit(
            add=written,
            transactions={receipt.lane: receipt.sequence, APPLY_APP: number},
            metadata={RULES_KEY: rules},
            now=now,
        )
    except CommitConflictError:
        logs.discard(written)
        raise
    reached(Step.LOGS_COMMITTED)
    known.took(number, receipt.lane, receipt.sequence)
    return applied


def put_duplicates(
    lake: Lake, snapshot: Snapshot | None, receipt: Receipt, rows: pa.Table, *, number: int, now: int
) -> None:
    """Make `rows` the duplicates of one batch, instead of any that a run which died has left in `snapshot`.

    Raises:
        CommitConflictError: an applier that is further on has written meanwhile.
    """
    table = lake.duplicates()
    app = duplicates_app(receipt.stream)
    if snapshot is None:
        if not rows.num_rows:
            return
        snapshot = table.ensure()
    stale = [f for f in snapshot.files(stream=[receipt.stream]) if batch_of(f.path) == (receipt.lane, receipt.sequence)]
    if not rows.num_rows and not stale:
        return
    if snapshot.transaction(app) > number:
        raise CommitConflictError(f"stream {receipt.stream}: another run has applied more; looking again")
    extra = {"lane": pa.repeat(receipt.lane, len(rows)), "sequence": pa.repeat(receipt.sequence, len(rows))}
    whole = pa.Table.from_arrays(
        [extra[name] if name in extra else rows[name] for name in DUPLICATES_SCHEMA.names], schema=DUPLICATES_SCHEMA
    )
    days = pc.strftime(rows["event_time"], format="%Y-%m-%d")
    written = []
    for day in pc.unique(days).to_pylist():
        name = file_name(receipt.lane, receipt.sequence)
        partition = {"stream": receipt.stream, "dt": day}
        with table.writer(name, DUPLICATES_SCHEMA, partition, statistics=("event_time",)) as writer:
            writer.write(whole.filter(pc.equal(days, day)))
            written.append(writer.close())
    reached(Step.DUPLICATES_WRITTEN)
    try:
        snapshot.commit(add=written, remove=stale, transactions={app: number}, metadata={}, now=now)
    except CommitConflictError:
        table.discard(written)
        raise
    reached(Step.DUPLICATES_COMMITTED)


def write_hours(
    logs: LakeTable, schema: pa.Schema, rows: pa.Table, hours: np.ndarray, lane: str, sequence: int
) -> list[WrittenFile]:
    """Write rows into one new file per event hour. `hours`: each row's, in hours since the epoch."""
    whole = _conformed(rows, schema)
    if not in_pieces(hours):
        order = np.argsort(hours, kind="stable")
        hours, whole = hours[order], whole.take(pa.array(order))
    pieces = pieces_by_hour(hours)

    def write(value: int) -> WrittenFile:
        dt, hh = partition_of(hour_of(value * HOUR_US))
        partition = {"dt": dt, "hour": hh}
        with logs.writer(
            file_name(lane, sequence), schema, partition, statistics=("event_time",), level=QUICK_LEVEL
        ) as writer:
            writer.write(pa.concat_tables([whole.slice(a, b - a) for a, b in pieces[value]]))
            return writer.close()

    with ThreadPoolExecutor(_WRITERS, thread_name_prefix="logs") as pool:
        return list(pool.map(write, sorted(pieces)))


def is_dangling(file: LakeFile, logs: Snapshot) -> bool:
    """Whether a file of `duplicates` is of a batch that is not in `logs` yet: found by its name, it may be replaced."""
    batch = batch_of(file.path)
    return batch is not None and batch[1] > logs.transaction(batch[0])


def _conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The rows with the table's columns, in its order; columns that a declaration dropped are null."""
    missing: Sequence[pa.Field] = [f for f in schema if f.name not in rows.schema.names]
    for field in missing:
        rows = rows.append_column(field, pa.nulls(rows.num_rows, field.type))
    return rows.select(schema.names).cast(schema)


def _counted(kept: pa.Table, duplicates: int) -> Applied:
    counts = {row["values"]: row["counts"] for row in pc.value_counts(kept["series"]).to_pylist()}
    return Applied(
        normal=counts.get("normal", 0),
        error=counts.get("error", 0),
        watchdog=counts.get("watchdog", 0),
        duplicates=duplicates,
        late=pc.sum(kept["late"]).as_py() or 0,
        rejects=kept.num_rows - kept["reject_reason"].null_count,
    )
