"""Statements that make the lake's tables known to Spark, Hive, Trino or a DuckDB of one's own."""

from __future__ import annotations

from typing import Final, Literal

from nw_platform.errors import UsageError
from nw_platform.lake.engine import literal
from nw_platform.lake.store import Lake
from nw_platform.reports.relations import logs_columns, own_columns
from nw_platform.reports.tables import REPORT_TABLES, TABLES, Table
from nw_platform.reports.views import view_statements
from nw_platform.settings import Settings

Dialect = Literal["spark", "hive", "trino", "duckdb"]
DIALECTS: Final[tuple[Dialect, ...]] = ("spark", "hive", "trino", "duckdb")

_HIVE: Final = {
    "VARCHAR": "STRING",
    "INTEGER": "INT",
    "BIGINT": "BIGINT",
    "DOUBLE": "DOUBLE",
    "BOOLEAN": "BOOLEAN",
    "TIMESTAMP": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP",
    "TIMESTAMP WITH TIME ZONE": "TIMESTAMP",
    "DATE": "DATE",
    "VARCHAR[]": "ARRAY<STRING>",
}
_TRINO: Final = {
    **{kind: kind for kind in _HIVE},
    "TIMESTAMP": "TIMESTAMP(6)",
    "TIMESTAMPTZ": "TIMESTAMP(6)",
    "VARCHAR[]": "ARRAY(VARCHAR)",
}
_LAKE_TABLES: Final = ("receipts", "duplicates", "alerts")


def ddl(lake: Lake, settings: Settings, dialect: str, now: int) -> str:
    """The statements, in an order that works. Names are put into the schema `neverwinter`.

    Raises:
        UsageError: there is no such dialect.
    """
    if dialect == "duckdb":
        return "\n".join(f"{statement};" for statement in view_statements(lake, settings, now)) + "\n"
    if dialect not in DIALECTS:
        raise UsageError(f"there is no dialect {dialect!r}; the dialects are {', '.join(DIALECTS)}")
    statements = [_schema(dialect)]
    statements += [
        _delta(lake, dialect, f"logs_{name}", f"logs/stream={name}", _stream_columns(lake, name))
        for name in settings.streams
    ]
    statements += [
        _delta(lake, dialect, name, name, {c.name: c.kind for c in TABLES[name].columns}) for name in _LAKE_TABLES
    ]
    for name in REPORT_TABLES:
        statements.append(_report(lake, dialect, TABLES[name]))
        statements.append(_discover(dialect, name))
    return "\n\n".join(f"{statement};" for statement in statements if statement) + "\n"


def _schema(dialect: str) -> str:
    return f"CREATE {'SCHEMA' if dialect == 'trino' else 'DATABASE'} IF NOT EXISTS neverwinter"


def _stream_columns(lake: Lake, stream: str) -> dict[str, str]:
    snapshot = lake.logs(stream).snapshot()
    own = own_columns(snapshot.schema()) if snapshot is not None else {}
    return {**logs_columns(own), "dt": "VARCHAR", "hour": "VARCHAR"}


def _delta(lake: Lake, dialect: str, name: str, path: str, columns: dict[str, str]) -> str:
    """A Delta table: the engine takes its columns from the table's own log; hive names them."""
    place = f"{_url(lake)}/{path}"
    if dialect == "spark":
        return f"CREATE TABLE IF NOT EXISTS neverwinter.{name} USING DELTA LOCATION {literal(place)}"
    if dialect == "trino":
        return (
            f"CALL delta.system.register_table(schema_name => 'neverwinter', table_name => {literal(name)}, "
            f"table_location => {literal(place)})"
        )
    listed = ",\n  ".join(f"`{column}` {_HIVE[kind]}" for column, kind in columns.items())
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS neverwinter.{name} (\n  {listed}\n)\n"
        f"STORED BY 'io.delta.hive.DeltaStorageHandler' LOCATION {literal(place)}"
    )


def _report(lake: Lake, dialect: str, table: Table) -> str:
    """Parquet files, partitioned by grain and dt."""
    place = f"{_url(lake)}/reports/{table.name}"
    if dialect == "trino":
        columns = [f'"{name}" {_TRINO[kind]}' for name, kind in table.stored().items()]
        listed = ",\n  ".join([*columns, '"grain" VARCHAR', '"dt" VARCHAR'])
        return (
            f"CREATE TABLE IF NOT EXISTS hive.neverwinter.{table.name} (\n  {listed}\n) WITH (format = 'PARQUET', "
            f"external_location = {literal(place)}, partitioned_by = ARRAY['grain', 'dt'])"
        )
    listed = ",\n  ".join(f"`{name}` {_HIVE[kind]}" for name, kind in table.stored().items())
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS neverwinter.{table.name} (\n  {listed}\n)\n"
        f"PARTITIONED BY (`grain` STRING, `dt` STRING)\nSTORED AS PARQUET LOCATION {literal(place)}"
    )


def _discover(dialect: str, name: str) -> str:
    if dialect == "trino":
        return f"CALL hive.system.sync_partition_metadata('neverwinter', {literal(name)}, 'FULL')"
    return f"MSCK REPAIR TABLE neverwinter.{name}"


def _url(lake: Lake) -> str:
    return f"file://{lake.url}" if lake.local_root is not None else lake.url
