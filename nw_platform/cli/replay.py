"""`nw replay`: reads raw of some arrival hours from the source again."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Final

from nw_platform.cli.output import Output, clock
from nw_platform.cli.ranges import add_range, parse_range
from nw_platform.ingest.replay import replay
from nw_platform.ingest.session import Session
from nw_platform.settings import load

HELP = (
    "Read the spans of some arrival hours from the source again and compare. Equal: nothing is written.\n"
    "Different: raw is replaced and the event hours involved are rebuilt. What the source no longer has is kept."
)
EXAMPLE = "nw replay apache_access 2026-11-22T05 2026-11-22T06 --dry-run"

COLUMNS: Final = ("hour", "rows_before", "rows_after", "changed", "kept", "note")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw replay`."""
    parser.add_argument("stream", metavar="STREAM", help="the stream")
    add_range(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would change, and change nothing")


def run(args: argparse.Namespace, out: Output) -> int:
    """Replay and print rows before, after and changed, an hour a line."""
    first, last = parse_range(args.first, args.last)
    settings = load(args.config)
    name = settings.stream(args.stream).name
    with Session(settings) as session, out.progress(None, "replay") as bar:
        changes = replay(session, name, first, last, clock(), dry_run=args.dry_run, progress=bar.report)
    out.result([asdict(change) for change in changes], columns=COLUMNS)
    if args.dry_run:
        out.note("dry run: nothing was changed")
    return 0
