"""`nw report`: prints a report."""

from __future__ import annotations

import argparse
from typing import Any, Final

import duckdb

from nw_platform.cli.interruptible import interruptible
from nw_platform.cli.output import Output, add_format, choose_format, clock
from nw_platform.errors import UsageError
from nw_platform.ingest.opening import open_lake
from nw_platform.record.hours import parse_bound, period_of
from nw_platform.reports.gaps import told_gaps
from nw_platform.reports.plan import read_gaps
from nw_platform.reports.tables import GRAINS, REPORT_TABLES, TABLES, Table
from nw_platform.reports.views import Result, execute, open_sql
from nw_platform.settings import Settings, load

HELP = (
    "Print the newest period of a report, or the one asked for. Names may be cut short where that is clear: `summary`\n"
    "is summary_report. Figures are rounded in a table; csv and json have them whole."
)
EXAMPLE = "nw report summary\n  nw report key_coverage --grain day --period 2015-05-18 --format json"

_NAMES: Final = (*REPORT_TABLES, "host_status", "sequence_gaps", "receipts", "duplicates", "alerts", "report_gaps")
_DIGITS: Final = 3


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw report`."""
    parser.add_argument("name", metavar="NAME", help=", ".join(_NAMES))
    parser.add_argument("--grain", choices=GRAINS, help="default day (hour where there is nothing longer)")
    parser.add_argument(
        "--period", metavar="P", help="2026-11-22T05, or the first day of the period, or `every`; default the newest"
    )
    parser.add_argument("--stream", metavar="S", help="only this stream")
    add_format(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the rows, in the order of the report's keys."""
    table = TABLES[_full_name(args.name)]
    settings = load(args.config)
    columns = [column.name for column in table.columns]
    conditions: list[str] = []
    parameters: dict[str, str | None] = {}
    if args.stream is not None:
        if "stream" not in columns:
            raise UsageError(f"{table.name} is not by stream; leave --stream out")
        conditions = ["stream = $stream"]
        parameters["stream"] = settings.stream(args.stream).name
    if table.grains:
        grain = args.grain or ("day" if "day" in table.grains else table.grains[0])
        conditions.append("grain = $grain")
        parameters["grain"] = grain
        _check_period(args.period, grain)
    elif args.grain or args.period:
        raise UsageError(f"{table.name} has no periods; leave --grain and --period out")
    result = interruptible(lambda: _rows(settings, table, args.period, conditions, parameters), out)
    for line in told_gaps(read_gaps(open_lake(settings).reports_root)):
        out.note(line)
    if not result.rows:
        out.note(_nothing(table.name, parameters))
    chosen = choose_format(args, out)
    shown = chosen or ("json" if out.as_json else "table")
    rows = result.mappings() if shown in {"csv", "json"} else [_rounded(row) for row in result.mappings()]
    out.result(rows, chosen, columns=result.columns)
    return 0


def _rows(
    settings: Settings, table: Table, period: str | None, conditions: list[str], parameters: dict[str, str | None]
) -> Result:
    """The report's rows. Adds the period that is shown, where there is one, to the conditions and their parameters."""
    lake = open_lake(settings)  # no Session: nothing is made or locked where it is only read
    lake.require(adopts=False)
    with open_sql(lake, settings, clock(), tables=[table.name]) as connection:
        if table.grains and period != "every":
            parameters["period"] = period or _newest(connection, table.name, parameters, conditions)
            conditions.append("period = $period")
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        return execute(connection, f"SELECT * FROM {table.name}{where} ORDER BY ALL", parameters)


def _full_name(name: str) -> str:
    found = [known for known in _NAMES if known == name] or [known for known in _NAMES if known.startswith(name)]
    if name in {"summary", "log_type"}:
        found = [f"{name}_report"]
    if len(found) != 1:
        raise UsageError(f"there is no report {name!r}; the reports are {', '.join(_NAMES)}")
    return found[0]


def _check_period(period: str | None, grain: str) -> None:
    """A UsageError, unless the period is one that the grain can have."""
    if period is None or period == "every":
        return
    proper = "all" if grain == "all" else period_of(grain, parse_bound(period))
    if period != proper:
        raise UsageError(f"grain {grain} has no period {period}; did you mean --period {proper}?")


def _newest(
    connection: duckdb.DuckDBPyConnection, table: str, parameters: dict[str, str | None], conditions: list[str]
) -> str | None:
    rows = execute(connection, f"SELECT max(period) FROM {table} WHERE {' AND '.join(conditions)}", parameters).rows
    newest: str | None = rows[0][0]
    return newest


def _nothing(table: str, parameters: dict[str, str | None]) -> str:
    asked = ", ".join(f"{name} {value}" for name, value in parameters.items() if value is not None)
    if table in REPORT_TABLES:
        return f"{table} has nothing for {asked or 'this'}; `nw build` builds what is in logs"
    return f"{table} is empty"


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, _DIGITS) if isinstance(value, float) else value for name, value in row.items()}
