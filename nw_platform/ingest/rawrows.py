"""Reading records back from `raw`: one batch, in its canonical order."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from nw_platform.errors import ExpiredError, InvariantError
from nw_platform.ingest.batches import CurrentBatch
from nw_platform.lake.engine import connect, literal, scan
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeFile, Snapshot
from nw_platform.record.digests import RecordsDigest
from nw_platform.record.envelope import RAW_SCHEMA
from nw_platform.record.hours import next_hour


def files_of_batch(snapshot: Snapshot, hour: str, lane: str, sequence: int) -> list[LakeFile]:
    """The files of an arrival hour that may hold records of a batch, by their statistics."""
    return [f for f in snapshot.hour_files([hour]) if _may_hold(f, "lane", lane) and _may_hold(f, "sequence", sequence)]


def rows_of(files: list[LakeFile], lane: str, sequence: int) -> pa.Table:
    """A batch's records in canonical order, from files that hold them among others."""
    query = (
        f"SELECT * FROM ({scan(files, RAW_SCHEMA, partitions=())}) WHERE lane = {literal(lane)} AND sequence = "
        f"{sequence} ORDER BY source, source_partition, source_start"
    )
    with connect() as connection:
        return connection.sql(query).to_arrow_table().cast(RAW_SCHEMA)


def batch_rows(lake: Lake, stream: str, batch: CurrentBatch) -> pa.Table:
    """A batch's records as its receipt says: RAW_SCHEMA, canonical order.

    Raises:
        ExpiredError: none of it is in `raw` any more.
        InvariantError: `raw` holds other records than the receipt says, or cannot be read.
    """
    snapshot = lake.raw(stream).snapshot()
    files = files_of_batch(snapshot, batch.arrival_hour, batch.lane, batch.sequence) if snapshot else []
    name = f"batch {batch.lane}/{batch.sequence} (arrival hour {batch.arrival_hour}) of stream {stream}"
    if not files and batch.records and batch.expired:
        raise ExpiredError(f"the raw records of {name} were deleted by retention; its hours stay as they are")
    try:
        rows = rows_of(files, batch.lane, batch.sequence)
    except duckdb.Error as error:
        reason = " ".join(str(error).split())[:200]
        raise InvariantError(
            f"raw of {name} cannot be read ({reason}); run: nw replay {stream} {batch.arrival_hour} "
            f"{next_hour(batch.arrival_hour)}"
        ) from error
    if rows.num_rows != batch.records or digest_of(rows) != batch.digest:
        raise InvariantError(
            f"raw of {name} is not what its receipt says ({rows.num_rows} records, receipt {batch.records}); run: "
            f"nw replay {stream} {batch.arrival_hour} {next_hour(batch.arrival_hour)}"
        )
    return rows


def digest_of(rows: pa.Table) -> str:
    """The digest of records in canonical order."""
    digest = RecordsDigest()
    for batch in rows.to_batches():
        digest.update(batch["value"], batch["source_start"], batch["source_end"], batch["key"])
    return digest.hexdigest()


def _may_hold(file: LakeFile, name: str, value: str | int) -> bool:
    bounds = file.statistics.get(name)
    return bounds is None or bounds[0] is None or bounds[0] <= value <= bounds[1]
