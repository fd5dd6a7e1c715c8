"""Positions of records, compared between raw and logs + duplicates. Joins run in DuckDB and spill to disk."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Final

import pyarrow as pa

from nw_platform.ingest.batches import CurrentBatch
from nw_platform.lake.engine import connect, literal, scan
from nw_platform.lake.store import Lake
from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hours import hour_start as start_of
from nw_platform.record.hours import next_hour, to_iso

_POSITION: Final = (
    pa.field("source", pa.string()),
    pa.field("source_partition", pa.int32()),
    pa.field("source_start", pa.int64()),
)
_RAW: Final = pa.schema([pa.field("lane", pa.string()), pa.field("sequence", pa.int64()), *_POSITION])
_LOGS: Final = pa.schema([pa.field("ingest_time", TIMESTAMP), *_POSITION])
_SHOWN: Final = 1000  # differences listed at most; more of the same help nobody


def strangers(
    lake: Lake, stream: str, batches: Sequence[CurrentBatch], first: str, last: str
) -> Iterator[tuple[str, int, str, int, int]]:
    """(lane, sequence, arrival hour, records there, records that receipts know) where the two differ in raw.

    `batches`: all current batches of the arrival hours from `first` to before `last`.
    """
    snapshot = lake.raw(stream).snapshot()
    known = {(b.lane, b.sequence, b.arrival_hour): b.records for b in batches if b.records}
    hours = [hour for hour in snapshot.hours() if first <= hour < last] if snapshot else []
    files = snapshot.hour_files(hours) if snapshot else []
    query = f"SELECT lane, sequence, dt || 'T' || hour, count(*) FROM ({scan(files, _RAW)}) GROUP BY ALL"
    with connect() as connection:
        rows = connection.execute(query).fetchall()
    # Records without a lane are of a foreign file.
    found = {("?" if lane is None else lane, sequence or 0, hour): n for lane, sequence, hour, n in rows}
    for key in sorted(known.keys() | found.keys()):
        if known.get(key, 0) != found.get(key, 0):
            yield *key, found.get(key, 0), known.get(key, 0)


def balance(
    lake: Lake, stream: str, batches: Sequence[CurrentBatch], unfinished: Collection[tuple[str, int]] = ()
) -> Iterator[tuple[str, int, int, int, int]]:
    """(source, partition, start, times in raw, times in logs + duplicates) of every position where these differ.

    `batches`: all current batches of some arrival hours. Records of `logs` belong to those hours by `ingest_time`.
    `unfinished`: (lane, sequence) of batches that are not in `logs` yet; their positions are left out.
    """
    if not batches:
        return
    arrival = {batch.arrival_hour for batch in batches}
    event = {hour for batch in batches for hour in batch.event_hours}
    raw, logs = lake.raw(stream).snapshot(), lake.logs(stream).snapshot()
    duplicates = lake.duplicates().snapshot()
    raw_rows = scan(raw.hour_files(arrival) if raw else [], _RAW, partitions=())
    waiting = " OR ".join(f"(lane = {literal(lane)} AND sequence = {n})" for lane, n in unfinished) or "false"
    logs_rows = scan(logs.hour_files(event) if logs else [], _LOGS, partitions=())
    days = {hour[:10] for hour in event}
    repeats = scan(duplicates.files(stream=[stream], dt=days) if duplicates else [], _LOGS, partitions=())
    inside = " OR ".join(
        f"(ingest_time >= {_instant(hour)} AND ingest_time < {_instant(next_hour(hour))})" for hour in sorted(arrival)
    )
    position = "source, source_partition, source_start"
    # Positions of a topic that was deleted and made again come again; then each batch may hold one once.
    times = "count(DISTINCT (lane, sequence))" if _again(batches) else "1"
    query = (
        f"WITH r AS (SELECT {position}, count(*) AS n, {times} AS times FROM ({raw_rows}) GROUP BY ALL), "
        f"o AS (SELECT DISTINCT {position} FROM ({raw_rows}) WHERE {waiting}), "
        f"k AS (SELECT * FROM ({logs_rows}) UNION ALL SELECT * FROM ({repeats})), "
        f"l AS (SELECT {position}, count(*) AS n FROM k WHERE {inside} GROUP BY ALL) "
        f"SELECT {position}, coalesce(r.n, 0), coalesce(l.n, 0) FROM r FULL JOIN l USING ({position}) "
        f"ANTI JOIN o USING ({position}) WHERE r.n IS DISTINCT FROM l.n OR r.n <> r.times ORDER BY ALL LIMIT {_SHOWN}"
    )
    with connect() as connection:
        yield from connection.execute(query).fetchall()


def _again(batches: Sequence[CurrentBatch]) -> bool:
    """Whether the batches are of several incarnations of a partition."""
    incarnations = {(s.source, s.partition, s.incarnation) for batch in batches for s in batch.spans}
    return len(incarnations) > len({(source, partition) for source, partition, _ in incarnations})


def _instant(hour: str) -> str:
    return f"TIMESTAMPTZ {literal(to_iso(start_of(hour)))}"
