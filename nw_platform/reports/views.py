"""The lake as SQL tables: `nw sql`, `nw report` and the web pages ask the same connection.

It is in memory, reads exactly the files of each table's newest snapshot, and has no other way out: it can write no
file, and read none but these (nw_platform/lake/readonly.py). What is asked is checked before it runs (statements.py).
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import duckdb
import pyarrow as pa

from nw_platform.errors import LakeError, UsageError
from nw_platform.lake.engine import connect, literal, quoted
from nw_platform.lake.lakefiles import bad_alert_files
from nw_platform.lake.readonly import ReadOnlyFiles, lock
from nw_platform.lake.remote import was_replaced
from nw_platform.lake.spill import Spill
from nw_platform.lake.store import ALERTS_SCHEMA, DUPLICATES_SCHEMA, RECEIPTS_SCHEMA, Lake
from nw_platform.lake.tables import LakeFile, LakeTable
from nw_platform.lake.unreadable import repair_named
from nw_platform.record.hosts import center_of
from nw_platform.record.hours import to_datetime
from nw_platform.reports import live_views, report_views
from nw_platform.reports.damage import named_in
from nw_platform.reports.gaps import gaps_sql
from nw_platform.reports.plan import read_gaps
from nw_platform.reports.publish import report_files
from nw_platform.reports.relations import logs_columns, own_columns, reports_scan, schema_columns
from nw_platform.reports.scans import lake_scan
from nw_platform.reports.statements import one_line, reading_query
from nw_platform.reports.tables import INT_VALUE_COUNTS, TABLES, Table
from nw_platform.settings import Settings
from nw_platform.streams.expectations import Values

_LOG: Final = logging.getLogger(__name__)
UNREADABLE: Final = "unreadable: "  # before what a query fails of that needs such a table
_RUNS: Final = 5  # of a query whose files are replaced meanwhile


class ReplacedError(LakeError):
    """A report file was replaced while a query read it."""

    retriable = True


@dataclass(frozen=True, slots=True)
class Result:
    """Rows of a query. Times are naive and UTC, of whichever type they are in SQL."""

    columns: list[str]
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def mappings(self) -> list[dict[str, Any]]:
        """The rows by column name."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def open_sql(
    lake: Lake, settings: Settings, now: int, *, tables: Collection[str] | None = None
) -> duckdb.DuckDBPyConnection:
    """A read-only connection with every table and view of docs/tables.md.

    Args:
        lake: what is read.
        settings: the declared streams, hosts and expected values.
        now: microseconds since the epoch: host_status is as of then.
        tables: create only these views (and what they need); None: all. Opening is then a matter of milliseconds.
    """
    spill = Spill(lake.work / "spill")
    files = ReadOnlyFiles(spill)
    connection = connect(spill=spill.folder)
    connection.register_filesystem(files)
    connection.execute(f"SET max_temp_directory_size = {literal(spill.limit)}")
    # On a time with a zone DuckDB's own goes through calendars, which takes 40 times as long; here all zones are UTC.
    connection.execute(
        "CREATE MACRO date_trunc(part, moment) AS "
        "system.main.date_trunc(part, make_timestamp(epoch_us(moment::TIMESTAMPTZ)))"
    )
    for statement in view_statements(lake.addressed(files.address), settings, now, tables):
        connection.execute(statement)
    lock(connection)
    return connection


def run_query(lake: Lake, settings: Settings, query: str, now: int) -> Result:
    """Run one query that reads.

    Raises:
        UsageError: the query is not one that reads, or is wrong; one line, with the nearest table or column.
    """
    with duckdb.connect() as parser:
        tables = _tables_in(parser, reading_query(parser, query), {*TABLES, *settings.streams})
    for _ in range(_RUNS):
        with open_sql(lake, settings, now, tables=tables) as connection, contextlib.suppress(ReplacedError):
            return execute(connection, query)
    raise ReplacedError("a report file is replaced again and again while it is read; try again later")


def execute(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, Any] | None = None) -> Result:
    """Run a query on an open connection.

    Raises:
        UsageError: the query is wrong; one line.
        ReplacedError: a report file was replaced while it was read; on a new connection the query goes through.
        LakeError: a table that the query needs cannot be read; it names the repair.
    """
    try:
        cursor = connection.execute(query, parameters)
        described = cursor.description or ()
        rows = cursor.fetchall()
        zoned = [i for i, column in enumerate(described) if str(column[1]) == "TIMESTAMP WITH TIME ZONE"]
        return Result(
            _distinct([column[0] for column in described]), [_naive(r, zoned) for r in rows] if zoned else rows
        )
    except duckdb.Error as error:
        if (damaged := named_in(str(error))) is not None and not was_replaced(error):
            raise LakeError(damaged) from error
        if was_replaced(error):
            raise ReplacedError(one_line(error)) from error
        if command := repair_named(error):
            raise LakeError(f"{one_line(error)[:300]}; run: {command}") from error
        if UNREADABLE in str(error):
            raise LakeError(one_line(error).partition(UNREADABLE)[2]) from error
        raise UsageError(one_line(error)) from error


def _naive(row: tuple[Any, ...], places: Collection[int]) -> tuple[Any, ...]:
    return tuple(v.replace(tzinfo=None) if i in places and v is not None else v for i, v in enumerate(row))


def _distinct(names: Sequence[str]) -> list[str]:
    """Names of which none repeats (`a`, `a_1`), so that a row as a mapping loses nothing."""
    found: list[str] = []
    for name in names:
        others = (f"{name}_{n}" for n in itertools.count(1))
        found.append(name if name not in found else next(o for o in others if o not in found and o not in names))
    return found


def _tables_in(parser: duckdb.DuckDBPyConnection, select: str, known: Collection[str]) -> set[str] | None:
    """The tables a query reads; None if that cannot be told (then all are made)."""
    try:
        named = {name.lower() for name in parser.get_table_names(select)}
    except duckdb.Error:
        return None
    folded = {name.lower(): name for name in known}
    # An unknown name: make all views, so that the error can name the nearest.
    return {folded[name] for name in named} if named and named <= set(folded) else None


def view_statements(lake: Lake, settings: Settings, now: int, tables: Collection[str] | None = None) -> Iterator[str]:
    """The statements that make the views on an empty DuckDB connection; arguments as of `open_sql`."""
    yield from _lookups(settings)
    yield f"CREATE TABLE nw.gaps AS {gaps_sql(read_gaps(lake.reports_root))}"
    for name, sql in _definitions(lake, settings, now, tables):
        yield f"CREATE OR REPLACE VIEW {quoted(name)} AS {sql}"


def _lookups(settings: Settings) -> Iterator[str]:
    """Small tables from the configuration, for the views: declared columns, expected values, expected hosts."""
    declared = [(name, column) for name, stream in settings.streams.items() for column in stream.columns]
    domains = [
        (name, expectation.column, _as_text(value))
        for name, stream in settings.streams.items()
        for expectation in stream.expect
        if isinstance(expectation, Values)
        for value in expectation.allowed
    ]
    centers = {source.datacenter for source in settings.sources.values() if source.datacenter is not None}
    hosts = [(host, center_of(host, centers)) for host in settings.hosts]
    yield "SET TimeZone = 'UTC'"
    yield "CREATE SCHEMA IF NOT EXISTS nw"
    yield _lookup("declared", ("stream", "key"), declared)
    yield _lookup("domains", ("stream", "key", "value"), domains)
    yield _lookup("hosts", ("host", "datacenter"), hosts)


def _lookup(name: str, columns: Sequence[str], rows: Sequence[Sequence[str | None]]) -> str:
    head = f"CREATE TABLE nw.{name} AS SELECT * FROM (VALUES "
    nulls = f"({', '.join('NULL::VARCHAR' for _ in columns)})"
    tuples = [f"({', '.join('NULL' if v is None else literal(v) for v in row)})" for row in rows]
    return f"{head}{', '.join([nulls, *tuples])}) AS t({', '.join(columns)}) WHERE {columns[0]} IS NOT NULL"


def _as_text(value: object) -> str:
    """A value of the configuration as value counts write it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _definitions(lake: Lake, settings: Settings, now: int, tables: Collection[str] | None) -> Iterator[tuple[str, str]]:
    """(name, SELECT) of the views asked for. Views that look at logs come first and inline what they need."""
    wanted = {*TABLES, *settings.streams} if tables is None else set(tables)
    every = wanted & {"logs", "host_status", "sequence_gaps"}
    streams: dict[str, str] = {}
    for name in settings.streams:
        if every or name in wanted:
            streams[name] = _stream_sql(lake, name)
            if name in wanted:
                columns = "stream, dt, hour, * EXCLUDE (stream, dt, hour)"
                yield name, f"SELECT {columns} FROM (SELECT {literal(name)} AS stream, * FROM ({streams[name]}))"
    if every:
        logs = live_views.logs(streams)
        duplicates = _lake_sql(lake.duplicates(), DUPLICATES_SCHEMA)
        yield from (
            (name, sql)
            for name, sql in (
                ("logs", logs),
                ("host_status", live_views.host_status(streams, to_datetime(now))),
                ("sequence_gaps", live_views.sequence_gaps(streams, duplicates)),
            )
            if name in wanted
        )
    for name in wanted & set(TABLES) - every - {"logs", "host_status", "sequence_gaps"}:
        if name == "receipts":
            yield name, _chosen(TABLES[name], _lake_sql(lake.receipts(), RECEIPTS_SCHEMA))
        elif name == "duplicates":
            yield name, _chosen(TABLES[name], _lake_sql(lake.duplicates(), DUPLICATES_SCHEMA))
        elif name == "alerts":
            yield name, _chosen(TABLES[name], _lake_sql(lake.alerts(), ALERTS_SCHEMA))
        elif name == "report_gaps":
            yield name, _chosen(TABLES[name], gaps_sql(read_gaps(lake.reports_root)))
        else:
            yield name, _report_sql(lake, settings, name)


def _report_sql(lake: Lake, settings: Settings, name: str) -> str:
    files = report_files_sql(lake, TABLES[name])
    if name == "log_type_report":
        return report_views.log_type_report(files)
    if name == "key_coverage":
        return report_views.key_coverage(files, report_files_sql(lake, TABLES[name], ("all",)))
    if name == "value_coverage":
        return report_views.value_coverage(
            files, report_views.values_by_grain(report_files_sql(lake, INT_VALUE_COUNTS))
        )
    if name == "value_coverage_top":
        return report_views.value_coverage_top(files, report_files_sql(lake, INT_VALUE_COUNTS, ("month",)))
    if name == "summary_report":
        return _summary_sql(lake, settings, files)
    return _chosen(TABLES[name], files)


def _summary_sql(lake: Lake, settings: Settings, files: str) -> str:
    """The summary; without the alerts that are open, where those cannot be read."""
    ledgers = live_views.ledgers({stream: _ledgers_sql(lake, stream) for stream in settings.streams})
    minutes = report_files_sql(lake, TABLES["minute_counters"])
    if problem := _alerts_problem(lake):
        _LOG.warning("open_alerts of summary_report is null: %s", problem)
        alerts = lake_scan([], schema_columns(ALERTS_SCHEMA), lake.alerts().partition_by)
        summary = report_views.summary_report(files, alerts, ledgers, minutes)
        return f"SELECT * REPLACE (CAST(NULL AS BIGINT) AS open_alerts) FROM ({summary})"
    return report_views.summary_report(files, _lake_sql(lake.alerts(), ALERTS_SCHEMA), ledgers, minutes)


def report_files_sql(lake: Lake, table: Table, grains: Collection[str] | None = None) -> str:
    """A SELECT of the stored columns, `grain` and `dt` over the report files that are there now."""
    reports = report_files(lake.reports_root)
    folders = [f"{table.name}/grain={grain}" for grain in (grains or table.grains)]
    urls = [lake.address(reports.url(path)) for folder in folders for path in reports.below(folder)]
    return reports_scan(urls, table.stored(), ("grain", "dt"))


def _ledgers_sql(lake: Lake, stream: str) -> str:
    """As `_stream_sql`, of those files only that may hold a ledger."""

    def may_hold(file: LakeFile) -> bool:
        low, high = file.statistics.get("log_type", (None, None))
        return low is None or high is None or low <= "nw.ledger" <= high

    return _stream_sql(lake, stream, may_hold)


def _alerts_problem(lake: Lake) -> str:
    """Why the table of alerts cannot be read whole; '' if it can."""
    try:
        return next((f"{bad.file.path} of alerts {bad.told()}" for bad in bad_alert_files(lake)), "")
    except LakeError as error:
        return str(error)


def _stream_sql(lake: Lake, stream: str, chosen: Callable[[LakeFile], bool] = lambda _: True) -> str:
    """All columns of a stream's logs, and dt and hour. `chosen`: of these files only."""
    try:
        snapshot = lake.logs(stream).snapshot()
        files = [file for file in snapshot.files() if chosen(file)] if snapshot is not None else []
    except LakeError as error:
        return _unreadable_sql(logs_columns({}), ("dt", "hour"), error)
    own = own_columns(snapshot.schema()) if snapshot is not None else {}
    return lake_scan(files, logs_columns(own), ("dt", "hour"), time="event_time")


def _lake_sql(table: LakeTable, schema: pa.Schema) -> str:
    """A Delta table as it is, its partition columns included."""
    try:
        snapshot = table.snapshot()
        files = snapshot.files() if snapshot is not None else []
    except LakeError as error:
        return _unreadable_sql(schema_columns(schema), table.partition_by, error)
    return lake_scan(files, schema_columns(schema), table.partition_by)


def _unreadable_sql(columns: Mapping[str, str], partitions: Sequence[str], error: LakeError) -> str:
    """A SELECT of a table that cannot be read: it fails when it is run, so that queries on other tables do not."""
    typed = [*columns.items(), *((name, "VARCHAR") for name in partitions)]
    nulls = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in typed)
    return f"SELECT {nulls} WHERE error({literal(f'{UNREADABLE}{error}')}) IS NULL"


def _chosen(table: Table, sql: str) -> str:
    return f"SELECT {', '.join(quoted(column.name) for column in table.columns)} FROM ({sql})"
