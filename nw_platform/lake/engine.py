"""DuckDB as the lake's query engine: in memory, UTC, bounded, and reading only files that a snapshot names."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from nw_platform.lake.remote import register
from nw_platform.lake.tables import LakeFile

_TYPES: Final = {
    pa.string(): "VARCHAR", pa.int32(): "INTEGER", pa.int64(): "BIGINT", pa.float64(): "DOUBLE", pa.bool_(): "BOOLEAN",
    pa.binary(): "BLOB", pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ", pa.timestamp("us"): "TIMESTAMP",
    pa.date32(): "DATE", pa.map_(pa.string(), pa.binary()): "MAP(VARCHAR, BLOB)",
}  # fmt: skip


def connect(*, threads: int = 2, memory: str = "768MB", spill: Path | None = None) -> duckdb.DuckDBPyConnection:
    """A connection that keeps nothing, downloads nothing and spills to `spill` (default: the temporary folder).

    It reads local files and those of the remote lakes that this process has opened.
    """
    connection = duckdb.connect(
        config={
            "threads": threads,
            "memory_limit": memory,
            "temp_directory": str(spill or Path(tempfile.gettempdir()) / "neverwinter-spill"),
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    register(connection)
    return connection


def sql_type(kind: pa.DataType) -> str:
    """The DuckDB type of a column of the lake."""
    return _TYPES[kind]


def quoted(name: str) -> str:
    """An identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal."""
    return "'" + text.replace("'", "''") + "'"


def scan(files: Sequence[LakeFile], schema: pa.Schema, *, partitions: Sequence[str] = ("dt", "hour")) -> str:
    """A SELECT of `schema`'s columns, and the partition columns as strings, from exactly these files.

    Files from before a column was declared give nulls for it. No files give no rows, of the same types.
    """
    columns = [quoted(name) for name in schema.names]
    if not files:
        typed = [f"CAST(NULL AS {sql_type(field.type)}) AS {quoted(field.name)}" for field in schema]
        typed += [f"CAST(NULL AS VARCHAR) AS {quoted(name)}" for name in partitions]
        return f"SELECT {', '.join(typed)} WHERE false"
    urls = ", ".join(literal(file.url) for file in files)
    fields = ", ".join(
        f"{literal(f.name)}: {{name: {literal(f.name)}, type: {literal(sql_type(f.type))}, default_value: NULL}}"
        for f in schema
    )
    # An explicit schema: no other file's footer is opened to find out what columns there are.
    present = f"read_parquet([{urls}], schema = MAP {{{fields}}}, filename = '__file')"
    hive = [f"regexp_extract(__file, '.*/{name}=([^/]*)/', 1) AS {quoted(name)}" for name in partitions]
    return f"SELECT {', '.join([*columns, *hive])} FROM {present}"
