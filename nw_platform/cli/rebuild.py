"""`nw rebuild`: computes logs of some event hours from raw again."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from nw_platform.cli.output import Output, clock
from nw_platform.cli.ranges import add_range, parse_range
from nw_platform.cli.replay import COLUMNS
from nw_platform.ingest.rebuild import rebuild
from nw_platform.ingest.session import Session
from nw_platform.settings import load

HELP = (
    "Parse raw again and replace logs of some event hours. Where parsing rules have changed, it extends to every hour\n"
    "that the same raw touched or now touches, and prints that. Hours whose raw has expired are refused."
)
EXAMPLE = "nw rebuild apache_access 2015-05-18 2015-05-19"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw rebuild`."""
    parser.add_argument("stream", metavar="STREAM", help="the stream")
    add_range(parser)


def run(args: argparse.Namespace, out: Output) -> int:
    """Rebuild and print rows before, after and changed, an hour a line."""
    first, last = parse_range(args.first, args.last)
    settings = load(args.config)
    name = settings.stream(args.stream).name
    with Session(settings) as session, out.progress(None, "rebuild") as bar:
        changes = rebuild(session, name, first, last, clock(), progress=bar.report)
    out.result([asdict(change) for change in changes], columns=COLUMNS)
    return 0
