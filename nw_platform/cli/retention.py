"""`nw retention`: deletes what has expired."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from nw_platform.cli.output import Output, clock
from nw_platform.ingest.retention import expire
from nw_platform.ingest.session import Session
from nw_platform.settings import load

HELP = (
    "Delete the partitions of raw and logs that are older than their stream's `retention`, each after a receipt that\n"
    "says what was deleted. Receipts are kept for ever."
)
EXAMPLE = "nw retention --dry-run"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw retention`."""
    parser.add_argument("--dry-run", action="store_true", help="say what would be deleted, and delete nothing")


def run(args: argparse.Namespace, out: Output) -> int:
    """Delete what has expired, and print it."""
    settings = load(args.config)
    with Session(settings) as session, out.progress(None, "retention") as bar:
        looked_at = expire(session, clock(), dry_run=args.dry_run, progress=bar.report)
    gone = [one for one in looked_at if one.raw_hours or one.logs_hours or one.deleted_files]
    if out.as_json:
        out.result([asdict(one) for one in gone])
    elif gone:
        out.result(
            [{**asdict(one), "raw_hours": len(one.raw_hours), "logs_hours": len(one.logs_hours)} for one in gone]
        )
    else:
        out.result("nothing has expired")
    if args.dry_run:
        out.note("dry run: nothing was deleted")
    return 0
