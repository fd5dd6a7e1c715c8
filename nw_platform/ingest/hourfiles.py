"""Whole event hours written anew: streamed, sorted by event time, in bounded memory; and compared with what is there.

Both a rebuild and a compaction end in the same form, so that a rebuilt hour equals a compacted one row for row (P2).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import pyarrow as pa

from nw_platform.lake.engine import quoted, scan
from nw_platform.lake.parquet import WrittenFile
from nw_platform.lake.tables import LakeFile, LakeTable

SORTED_BY: Final = ("event_time", "source", "source_partition", "source_start")
RAW_SORTED_BY: Final = ("lane", "sequence", "source", "source_partition", "source_start")
DUPLICATES_SORTED_BY: Final = ("event_time", "lane", "sequence", "source", "source_partition", "source_start")
_ROWS: Final = 250_000


def write_sorted(
    connection: duckdb.DuckDBPyConnection,
    table: LakeTable,
    query: str,
    schema: pa.Schema,
    partition: dict[str, str],
    *,
    name: str,
    sort: Sequence[str] = SORTED_BY,
    statistics: Sequence[str] = ("event_time",),
) -> WrittenFile | None:
    """Write the rows of `query` (columns of `schema`) as one sorted file of a partition. None: there are no rows."""
    columns = ", ".join(quoted(name) for name in schema.names)
    ordered = f"SELECT {columns} FROM ({query}) ORDER BY {', '.join(sort)}"
    reader = connection.sql(ordered).to_arrow_reader(_ROWS)
    with table.writer(name, schema, partition, statistics=statistics, sorting=sort) as writer:
        for batch in reader:
            writer.write(pa.table(batch).cast(schema))
        written = writer.close()
    if not written.records:
        table.discard([written])
        return None
    return written


def bag_digest(connection: duckdb.DuckDBPyConnection, query: str, schema: pa.Schema) -> tuple[int, int]:
    """(rows, sum of row hashes) of a query: equal for equal rows in any order, found in one pass and no memory."""
    columns = ", ".join(quoted(name) for name in schema.names)
    counted = f"SELECT count(*), coalesce(sum(hash({columns})::HUGEINT), 0) FROM ({query})"
    ((rows, digest),) = connection.execute(counted).fetchall()
    return int(rows), int(digest)


def rows_changed(connection: duckdb.DuckDBPyConnection, before: str, after: str, schema: pa.Schema) -> int:
    """Records that are on one side only, or differ in any column; told apart by their position at the source."""
    columns = ", ".join(quoted(name) for name in schema.names)
    keyed = "SELECT source, source_partition, source_start, hash({columns}) AS h FROM ({query})"
    query = (
        f"SELECT count(*) FROM ({keyed.format(columns=columns, query=before)}) b "
        f"FULL JOIN ({keyed.format(columns=columns, query=after)}) a "
        "USING (source, source_partition, source_start) WHERE a.h IS DISTINCT FROM b.h"
    )
    ((changed,),) = connection.execute(query).fetchall()
    return int(changed)


def scan_hours(files: Sequence[LakeFile], schema: pa.Schema) -> str:
    """A SELECT of some hours' rows."""
    return scan(files, schema, partitions=())
