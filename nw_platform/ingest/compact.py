"""Step 5 of the protocol: a closed hour's small files become one sorted file. A job of its own, not the tick's.

Readers see the same rows before and after. A conflict with anything else means: leave it to the next time.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from nw_platform.errors import CommitConflictError
from nw_platform.ingest.apply import is_dangling
from nw_platform.ingest.hourfiles import DUPLICATES_SORTED_BY, RAW_SORTED_BY, SORTED_BY, scan_hours, write_sorted
from nw_platform.ingest.outcome import Progress, silent
from nw_platform.ingest.session import Session
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.engine import connect
from nw_platform.lake.tables import LakeFile, LakeTable, file_name
from nw_platform.record.hours import HOUR_US, hour_start

# An hour is closed this long after its end: late minutes are over, and most late records are in.
CLOSED_AFTER_US: Final = 15 * 60_000_000


@dataclass(frozen=True, slots=True)
class Compacted:
    """One partition whose files were merged."""

    table: str
    stream: str
    hour: str
    files: int
    records: int


def compact(
    session: Session, now: int, *, streams: Collection[str] | None = None, progress: Progress = silent
) -> list[Compacted]:
    """Merge the files of every closed hour of raw and logs, and of every past day of receipts and duplicates."""
    done: list[Compacted] = []
    lake = session.lake
    names = [name for name in session.settings.streams if streams is None or name in streams]
    for number, stream in enumerate(names):
        progress(number, len(names), stream)
        for kind, table, sort, watched in (
            ("raw", lake.raw(stream), RAW_SORTED_BY, ("lane", "sequence")),
            ("logs", lake.logs(stream), SORTED_BY, ("event_time",)),
        ):
            done += _merge_partitions(kind, stream, table, now, sort=sort, watched=watched)
        done += _merge_partitions(
            "receipts", stream, lake.receipts(), now, sort=("lane", "sequence"), watched=("lane", "sequence")
        )
        if (logs := lake.logs(stream).snapshot()) is not None:
            done += _merge_partitions(
                "duplicates", stream, lake.duplicates(), now, sort=DUPLICATES_SORTED_BY, watched=("event_time",),
                leave=functools.partial(is_dangling, logs=logs),
            )  # fmt: skip
    progress(len(names), len(names), "")
    return done


def compact_alerts(session: Session, now: int) -> list[Compacted]:
    """Merge the files of every past day of `alerts`, which belongs to no stream."""
    return _merge_partitions("alerts", "", session.lake.alerts(), now, sort=("time",), watched=("time",))


def _merge_partitions(
    kind: str,
    stream: str,
    table: LakeTable,
    now: int,
    *,
    sort: tuple[str, ...],
    watched: tuple[str, ...],
    leave: Callable[[LakeFile], bool] = lambda _: False,
) -> list[Compacted]:
    """Merge each closed partition of more than one file, those to `leave` alone left out."""
    snapshot = table.snapshot()
    if snapshot is None:
        return []
    groups: dict[tuple[str, ...], list[LakeFile]] = {}
    for file in snapshot.files(stream=[stream]) if "stream" in table.partition_by else snapshot.files():
        if not leave(file):
            groups.setdefault(tuple(file.partition.values()), []).append(file)
    done = []
    for files in groups.values():
        partition = files[0].partition
        first = f"{partition['dt']}T{partition.get('hour', '23')}"
        if len(files) > 1 and now >= hour_start(first) + HOUR_US + CLOSED_AFTER_US:
            merged = _merge(table, partition, now, sort=sort, watched=watched, leave=leave)
            if merged:
                done.append(Compacted(kind, stream, first if "hour" in partition else partition["dt"], *merged))
    return done


def _merge(
    table: LakeTable,
    partition: dict[str, str],
    now: int,
    *,
    sort: tuple[str, ...],
    watched: tuple[str, ...],
    leave: Callable[[LakeFile], bool],
) -> tuple[int, int] | None:
    """(files merged, records), or None if another run came between."""
    snapshot = table.snapshot()
    if snapshot is None:
        return None
    files = [f for f in snapshot.files(**{name: [value] for name, value in partition.items()}) if not leave(f)]
    schema = snapshot.schema()
    with connect() as connection:
        name = file_name("compacted", snapshot.version)
        query = scan_hours(files, schema)
        written = write_sorted(connection, table, query, schema, partition, name=name, sort=sort, statistics=watched)
    reached(Step.COMPACTION_WRITTEN)
    if written is None or written.records != sum(file.records for file in files):
        table.discard([written] if written else [])
        return None
    try:
        snapshot.commit(add=[written], remove=files, transactions={}, metadata={}, now=now, data_change=False)
    except CommitConflictError:
        table.discard([written])
        return None
    reached(Step.COMPACTION_COMMITTED)
    return len(files), written.records
