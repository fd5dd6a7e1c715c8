"""`nw ddl`: prints statements that make the lake's tables known to another engine."""

from __future__ import annotations

import argparse

from nw_platform.cli.output import Output, clock
from nw_platform.ingest.session import Session
from nw_platform.reports.ddl import DIALECTS, ddl
from nw_platform.settings import load

HELP = (
    "Print DDL for the Delta tables and the report files. Columns that compare with other periods or with the\n"
    "configuration are computed by `nw sql`; the duckdb dialect prints those views too."
)
EXAMPLE = "nw ddl --dialect spark | spark-sql"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw ddl`."""
    parser.add_argument("--dialect", choices=DIALECTS, default="spark", help="default spark")


def run(args: argparse.Namespace, out: Output) -> int:
    """Print the statements."""
    settings = load(args.config)
    with Session(settings) as session:
        out.result(ddl(session.lake, settings, args.dialect, clock()))
    return 0
