"""Relations over a snapshot's files, and the plan of one dbt invocation as it is handed to the plugin."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Self

import duckdb
import pyarrow as pa

from nw_platform.lake.engine import literal, quoted, sql_type
from nw_platform.record.envelope import ENVELOPE_FIELDS, TRAILING_FIELDS
from nw_platform.record.hours import GRAINS, period_directory
from nw_platform.reports.scans import files_scan


@dataclass(frozen=True, slots=True)
class StreamFiles:
    """The log files of a stream that an invocation reads. `own`: the stream's own columns, name -> DuckDB type."""

    stream: str
    always_present: bool
    own: Mapping[str, str] = field(default_factory=dict)
    urls: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One dbt invocation: what it reads and which periods it writes. Everything is plain JSON."""

    root: str = ""  # of the report files; empty: publish nothing
    work: str = ""  # local folder for staged files and spilling
    memory: str = "768MB"
    streams: Sequence[StreamFiles] = ()
    duplicates: Sequence[str] = ()  # urls
    keys: Sequence[str] = ()  # local paths: the counts of keys, a file a stream (counting.py)
    values: Sequence[str] = ()  # the same of values
    hours: Sequence[str] = ()  # hours to read from logs and duplicates
    periods: Mapping[str, Sequence[str]] = field(default_factory=dict)  # grain -> periods to write
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)  # grain -> periods that longer ones merge

    def as_text(self) -> str:
        """JSON; `parse` is its inverse."""
        return json.dumps(asdict(self))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The plan that `as_text` wrote."""
        data: dict[str, Any] = json.loads(text)
        return cls(**{**data, "streams": [StreamFiles(**stream) for stream in data["streams"]]})


_ENVELOPE: Final = {f.name: sql_type(f.type) for f in ENVELOPE_FIELDS}
_TRAILING: Final = {f.name: sql_type(f.type) for f in TRAILING_FIELDS}


def _naive_columns(columns: Mapping[str, str]) -> dict[str, str]:
    """The same with times without a zone: UTC, whatever the session's zone is, and faster to compute with."""
    return {name: "TIMESTAMP" if kind == "TIMESTAMPTZ" else kind for name, kind in columns.items()}


def own_columns(schema: pa.Schema) -> dict[str, str]:
    """A stream's own columns of `logs`: name -> DuckDB type, given the table's schema."""
    return {f.name: sql_type(f.type) for f in schema if f.name not in _ENVELOPE and f.name not in _TRAILING}


def schema_columns(schema: pa.Schema) -> dict[str, str]:
    """Columns of an Arrow schema: name -> DuckDB type."""
    return {f.name: sql_type(f.type) for f in schema}


def logs_columns(own: Mapping[str, str]) -> dict[str, str]:
    """All columns of a stream's `logs` files: name -> DuckDB type."""
    return {**_ENVELOPE, **own, **_TRAILING}


def reports_scan(urls: Sequence[str], columns: Mapping[str, str], partitions: Sequence[str]) -> str:
    """A SELECT of these columns and the partition columns, as strings, from exactly these report files.

    A file of an older version gives nulls for a column that it does not have; one that has no `period` is no report
    file, and makes the query fail with its name. No files: no rows, typed.
    """
    scan = files_scan(urls, columns, partitions, path="nw path")
    if not urls:
        return scan
    listed = ", ".join(quoted(name) for name in [*columns, *partitions])
    foreign = "error('report file ' || \"nw path\" || ' has no column period')"
    return f"SELECT {listed} FROM ({scan}) WHERE CASE WHEN period IS NULL THEN {foreign} ELSE true END"


def relation_of(stream: str) -> str:
    """The SQL name of a stream's records inside dbt."""
    return f"lake.{quoted('stream ' + stream)}"


def hour_of_file(url: str) -> str:
    """The event hour of a file of `logs`, as its folders say."""
    _, day, hour, _ = url.rsplit("/", 3)
    return f"{day.removeprefix('dt=')}T{hour.removeprefix('hour=')}"


def stream_relation_sql(stream: StreamFiles) -> str:
    """A SELECT of the records of a stream's files: the columns of `logs`, and `period`, the event hour."""
    # The files' partition values are those of the directories; `stream` is one of them, and known.
    scan = files_scan(stream.urls, _naive_columns(logs_columns(stream.own)), ("dt", "hour"))
    return f"SELECT *, dt || 'T' || hour AS period FROM ({scan})"


def create_sources(connection: duckdb.DuckDBPyConnection, plan: StepPlan) -> None:
    """Create the schema `lake`: periods, logs (all streams, envelope columns), duplicates, one view a stream."""
    connection.execute("CREATE SCHEMA IF NOT EXISTS lake")
    connection.execute("CREATE TABLE lake.periods (grain VARCHAR, period VARCHAR, dt VARCHAR)")
    rows = [(g, p, period_directory(g, p)) for g in GRAINS for p in plan.periods.get(g, ())]
    if rows:
        columns = list(zip(*rows, strict=True))
        table = pa.table(dict(zip(("grain", "period", "dt"), map(list, columns), strict=True)))
        connection.register("nw_periods", table)
        connection.execute("INSERT INTO lake.periods SELECT * FROM nw_periods")
        connection.unregister("nw_periods")
    place = [n for n in _TRAILING if n != "extra"]
    envelope = ", ".join(quoted(name) for name in [*_ENVELOPE, *place])
    empty = files_scan([], _naive_columns({**_ENVELOPE, **{n: _TRAILING[n] for n in place}}), ("dt", "hour"))
    views = [f"SELECT ''::VARCHAR AS stream, dt || 'T' || hour AS period, {envelope} FROM ({empty})"]
    for stream in plan.streams:
        relation = relation_of(stream.stream)
        connection.execute(f"CREATE VIEW {relation} AS {stream_relation_sql(stream)}")
        views.append(f"SELECT {literal(stream.stream)} AS stream, period, {envelope} FROM {relation}")
    connection.execute("CREATE VIEW lake.logs AS " + " UNION ALL ".join(views))
    kinds = _naive_columns({**_ENVELOPE, **{n: _TRAILING[n] for n in place}, "lane": "VARCHAR", "sequence": "BIGINT"})
    wanted = ", ".join(literal(hour) for hour in plan.hours) or "''"
    connection.execute(
        f"""CREATE VIEW lake.duplicates AS SELECT *, strftime(event_time, '%Y-%m-%dT%H') AS period
        FROM ({files_scan(plan.duplicates, kinds, ("stream", "dt"))}) WHERE period IN ({wanted})"""
    )
