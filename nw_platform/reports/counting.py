"""Counts the keys and values of one stream's records, in bounded memory, before dbt merges the counts of all streams.

The records' JSON is read in slices of a few megabytes (lake/leaves.py); the counts of a slice are added to tables that
spill to disk. What is handed to dbt are two Parquet files a stream:

    <work>/counts/<process>/<stream>.keys.parquet     one row per hour, log_type, log_version, host and kept key
    <work>/counts/<process>/<stream>.values.parquet   one row per hour, log_type, log_version, kept key and value

A stream that cannot be counted fails alone: a build is told why and goes on with the others.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from nw_platform.lake.engine import connect, literal, quoted
from nw_platform.lake.leaves import slices, take_apart
from nw_platform.lake.native import local_path
from nw_platform.lake.remote import place
from nw_platform.reports import fields
from nw_platform.reports.relations import StreamFiles, hour_of_file, stream_relation_sql

_COLUMNS: Final = ["log_type", "log_version", "host", "event_time", "extra", "reject_reason"]
_ROWS_ADDED: Final = 2_000_000  # rows of parts after which they are added up, before more come


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """Where the counts of a stream are: local paths of Parquet files."""

    keys: str
    values: str


def counts_folder(work: Path) -> Path:
    """Where this process keeps counts while it builds."""
    return work / "counts" / str(os.getpid())


@contextlib.contextmanager
def emptied_folder(folder: Path) -> Iterator[Path]:
    """A folder that is empty at the beginning, and gone at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def count_stream(stream: StreamFiles, folder: Path, *, memory: str, max_keys: int = fields.MAX_KEYS) -> StreamCounts:
    """Count the keys and values of a stream's files.

    Args:
        stream: its files and columns.
        folder: where the two files are written, and where DuckDB spills.
        memory: that DuckDB may use, as it writes sizes.
        max_keys: of a log type and hour; the rest is counted in one row.

    Raises:
        duckdb.Error, OSError, pa.ArrowException: a file cannot be read, or the disk is full.
    """
    with connect(memory=memory, spill=folder / "spill") as connection:
        connection.execute(fields.KEY_PARTS)
        connection.execute(fields.VALUE_PARTS)
        connection.execute(f"CREATE VIEW nw_stream AS {stream_relation_sql(stream)}")
        columns = fields.StreamColumns(stream.stream, "nw_stream", stream.always_present, stream.own)
        connection.execute(f"INSERT INTO key_parts BY NAME {fields.typed_keys(columns)}")
        for values in fields.typed_values(columns):
            connection.execute(f"INSERT INTO value_parts BY NAME {values}")
        _count_leaves(connection, stream.urls)
        return _write(connection, stream.stream, folder, max_keys)


def _count_leaves(connection: duckdb.DuckDBPyConnection, urls: Sequence[str]) -> None:
    """Add the parts of all leaves of `extra`, slice by slice."""
    limits = {"key_parts": _ROWS_ADDED, "value_parts": _ROWS_ADDED}
    for records in slices(_records(urls), "extra"):
        numbered = records.append_column("record", pa.array(range(records.num_rows), pa.int64()))
        take_apart(connection, numbered, fields.MAX_DEPTH)
        connection.register("nw_facts", numbered.drop_columns(["extra"]))
        connection.execute(f"INSERT INTO key_parts BY NAME {fields.JSON_KEYS}")
        connection.execute(f"INSERT INTO value_parts BY NAME {fields.JSON_VALUES}")
        connection.unregister("nw_facts")
        _add_up(connection, "key_parts", fields.ADDED_KEYS, limits)
        _add_up(connection, "value_parts", fields.ADDED_VALUES, limits)


def _records(urls: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The records that may have leaves, a row group at a time: the lake's writer bounds those by bytes."""
    for url in urls:
        local = local_path(url)
        files, path = place(url) if local is None else (pafs.LocalFileSystem(), local)
        hour = hour_of_file(url)
        with files.open_input_file(path) as opened:
            file = pq.ParquetFile(opened)
            if "extra" not in file.schema_arrow.names:
                continue
            for group in range(file.num_row_groups):
                rows = file.read_row_group(group, columns=_COLUMNS)
                rows = rows.filter(pc.and_(pc.is_null(rows["reject_reason"]), pc.is_valid(rows["extra"])))
                rows = rows.append_column("period", pa.repeat(hour, rows.num_rows))
                times = rows["event_time"].cast(pa.timestamp("us"))
                rows = rows.set_column(rows.schema.get_field_index("event_time"), "event_time", times)
                yield from rows.to_batches()


def _add_up(connection: duckdb.DuckDBPyConnection, table: str, added: str, limits: dict[str, int]) -> None:
    """Replace the parts by their sums where many came since the last time; sets the table's next limit."""
    rows = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    if rows < limits[table]:
        return
    connection.execute(f"CREATE OR REPLACE TABLE nw_added AS {added}")
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE nw_added RENAME TO {table}")
    left = connection.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0]
    limits[table] = 2 * left + _ROWS_ADDED


def _write(connection: duckdb.DuckDBPyConnection, stream: str, folder: Path, max_keys: int) -> StreamCounts:
    connection.execute(f"CREATE TEMP TABLE nw_kept AS {fields.kept_keys(max_keys)}")
    paths = []
    for kind, counted in (("keys", fields.counted_keys(stream)), ("values", fields.counted_values(stream))):
        path = str(folder / f"{stream}.{kind}.parquet")
        connection.execute(f"COPY ({counted}) TO {literal(path)} (FORMAT parquet, COMPRESSION zstd)")
        paths.append(path)
    return StreamCounts(*paths)


def counts_sql(empty: str, paths: Sequence[str]) -> str:
    """A SELECT over the counts of all streams; `empty`: the same, typed and without rows."""
    if not paths:
        return empty
    listed = ", ".join(map(literal, paths))
    return f"{empty} UNION ALL BY NAME SELECT * FROM read_parquet([{listed}])"


def created_views(keys: Sequence[str], values: Sequence[str]) -> Iterator[str]:
    """The statements that make `lake.key_counts` and `lake.value_counts`."""
    for name, empty, paths in (("key_counts", fields.EMPTY_KEYS, keys), ("value_counts", fields.EMPTY_VALUES, values)):
        yield f"CREATE VIEW lake.{quoted(name)} AS {counts_sql(empty, paths)}"
