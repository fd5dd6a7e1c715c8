"""`nw repair`: makes a damaged lake whole again."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Final

from nw_platform.cli.output import Output, clock
from nw_platform.ingest.repair import repair
from nw_platform.ingest.session import Session
from nw_platform.settings import load

HELP = (
    "Make damaged tables of the lake whole again: commits that were lost or cannot be read, receipts that are gone,\n"
    "raw that is behind its receipts. Records come from files on disk, then from the source; what neither has is\n"
    "named, and the exit code is 1. Nothing is deleted; on a whole lake nothing is changed. Stop other runs first."
)
EXAMPLE = "nw repair web\n  nw repair && nw verify"

COLUMNS: Final = ("stream", "table", "is_done", "what")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw repair`."""
    parser.add_argument("streams", metavar="STREAM", nargs="*", help="only these streams (default: all)")


def run(args: argparse.Namespace, out: Output) -> int:
    """Repair; 1 if something cannot be had again."""
    settings = load(args.config)
    names = [settings.stream(name).name for name in args.streams or settings.streams]
    with Session(settings) as session, out.progress(None, "repair") as bar:
        done = repair(session, names, clock(), progress=bar.report)
    if out.as_json or done:
        out.result([asdict(one) for one in done], columns=COLUMNS)
    else:
        out.result("nothing to repair: raw is what its receipts say, and logs are what raw is")
    lost = [one for one in done if not one.is_done]
    if lost:
        out.note(f"{len(lost)} things could not be repaired; they are listed above")
    return 1 if lost else 0
