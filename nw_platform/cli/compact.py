"""`nw compact`: merges the files of closed hours."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Final

from nw_platform.cli.output import Output, clock
from nw_platform.ingest.compact import compact, compact_alerts
from nw_platform.ingest.session import Session
from nw_platform.settings import load

HELP = "Merge the small files of each closed hour into one sorted file. Readers see the same rows before and after."
EXAMPLE = "nw compact\n  nw compact --stream apache_access"

_COLUMNS: Final = ("table", "stream", "hour", "files", "records")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw compact`."""
    parser.add_argument("--stream", metavar="S", action="append", help="only this stream (may be given more than once)")


def run(args: argparse.Namespace, out: Output) -> int:
    """Compact, and print what was merged."""
    settings = load(args.config)
    names = [settings.stream(name).name for name in args.stream or settings.streams]
    with Session(settings) as session, out.progress(None, "compact") as bar:
        done = compact(session, clock(), streams=names, progress=bar.report)
        if not args.stream:
            done += compact_alerts(session, clock())
    if done or out.as_json:
        out.result([asdict(merged) for merged in done], columns=_COLUMNS)
    else:
        out.result("nothing to merge")
    return 0
