"""`nw sql`: asks the lake with SQL."""

from __future__ import annotations

import argparse
import sys

from nw_platform.cli.interruptible import interruptible
from nw_platform.cli.output import Output, add_format, choose_format, clock
from nw_platform.errors import UsageError
from nw_platform.ingest.opening import open_lake
from nw_platform.reports.views import run_query
from nw_platform.settings import load

HELP = (
    "Run one query (DuckDB's SQL) over logs, each stream, the reports, receipts, duplicates and alerts; docs/\n"
    "tables.md has them all, `SHOW TABLES` and `DESCRIBE logs` too. It only reads. `-`: from standard input."
)
EXAMPLE = "nw sql \"SELECT status, count(*) FROM apache_access WHERE dt = '2015-05-18' GROUP BY ALL\" --format csv"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw sql`."""
    parser.add_argument("query", metavar="QUERY", help="the query; - reads it from standard input")
    add_format(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Run the query and print its rows."""
    query = sys.stdin.read() if args.query == "-" else args.query
    if not query.strip():
        raise UsageError("the query is empty: nw sql 'SELECT count(*) FROM logs'")
    settings = load(args.config)
    lake = open_lake(settings)  # no Session: it imports sources and formats
    lake.require(adopts=False)
    result = interruptible(lambda: run_query(lake, settings, query, clock()), out)
    out.result(result.mappings(), choose_format(args, out), columns=result.columns)
    return 0
