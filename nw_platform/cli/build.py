"""`nw build`: builds the reports whose logs changed, or those of a range."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from typing import Final

from nw_platform.cli.output import Output, clock
from nw_platform.cli.ranges import parse_range
from nw_platform.errors import UsageError
from nw_platform.ingest.session import Session
from nw_platform.reports.build import BuildReport, build
from nw_platform.reports.gaps import told_gaps
from nw_platform.reports.tables import REPORT_TABLES
from nw_platform.settings import load

HELP = (
    "Build the reports of every hour whose logs changed, and of the days, weeks and months it lies in. With FROM and\n"
    "TO: those hours, changed or not. An hour that is not whole (raw = logs + duplicates fails) is refused, and\n"
    "a stream whose part cannot be built is left out and named: exit 1."
)
EXAMPLE = "nw build\n  nw build key_coverage value_coverage 2015-05-18 2015-05-19"

_BOUND: Final = re.compile(r"\d{4}-")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw build`."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="TABLE | FROM TO",
        help=f"report tables ({', '.join(REPORT_TABLES)}; default all), then a range of UTC hours or days",
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Build; 1 if an hour was refused, or a stream is missing from what was built."""
    tables = [word for word in args.what if not _BOUND.match(word)]
    bounds = [word for word in args.what if _BOUND.match(word)]
    if len(bounds) not in {0, 2}:
        raise UsageError("give a range as FROM and TO, TO exclusive: nw build 2026-11-22 2026-11-23")
    first, last = parse_range(*bounds) if bounds else (None, None)
    settings = load(args.config)
    with Session(settings) as session:
        report = build_reports(session, out, tables=tables or None, first=first, last=last)
    if out.as_json:
        built = [{"table": t, "grain": g, "period": p} for t, g, p in report.built]
        refused = [{"hour": hour, "reason": reason} for hour, reason in report.refused]
        gaps = [asdict(gap) for gap in report.gaps]
        out.result({"records": report.records, "built": built, "refused": refused, "gaps": gaps})
    else:
        out.result(_said(report))
    for hour, reason in report.refused:
        out.note(f"{hour} refused: {reason}")
    for line in told_gaps(report.gaps):
        out.note(line)
    return 1 if report.refused or report.gaps else 0


def build_reports(
    session: Session,
    out: Output,
    *,
    tables: list[str] | None = None,
    first: str | None = None,
    last: str | None = None,
) -> BuildReport:
    """Build with a progress bar; arguments as of `nw_platform.reports.build.build`."""
    with out.progress(None, "build") as bar:
        return build(
            session.lake,
            session.settings,
            tables=tables,
            first=first,
            last=last,
            now=clock(),
            progress=bar.report,
        )


def _said(report: BuildReport) -> str:
    if not report.built:
        return "nothing to build: every report is as new as its logs"
    hours = len({period for _, grain, period in report.built if grain == "hour"})
    days = len({period for _, grain, period in report.built if grain == "day"})
    return f"built {hours:,} hours and {days:,} days from {report.records:,} records"
