"""`nw generate`: reproducible traffic and the truth about it."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Final

from nw_platform.cli.output import Output, clock
from nw_platform.errors import UsageError
from nw_platform.generator.spec import MINUTE_US, SECOND_US, TrafficSpec
from nw_platform.generator.traffic import generate
from nw_platform.generator.truth import TRUTH_FILE
from nw_platform.record.hours import to_iso, to_us

HELP: Final = """\
Write wire records of several hosts into a landing zone, one file a minute and process, ready by rename, and
_truth.json, the exact counts of what was sent. Equal options give equal bytes. As fast as the machine allows."""
EXAMPLE: Final = "nw generate --rate 2000 --seconds 600 --seed 7 --errors 0.01 --late 0.002 --out ./landing/app"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("--out", required=True, metavar="URL", help="folder or fsspec URL to write to")
    parser.add_argument("--rate", type=float, default=100.0, help="records a second, all hosts together (default 100)")
    parser.add_argument("--seconds", type=int, default=60, help="how much time to fill (default 60)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other traffic (default 1)")
    for name, what in (
        ("errors", "records that are sent as series error"),
        ("late", "records that happened 25 hours before they are sent"),
        ("duplicates", "records that are sent twice"),
        ("spill", "records that went through the spool"),
        ("broken", "lines, cut short, that come on top"),
    ):
        parser.add_argument(
            f"--{name}", type=float, default=0.0, metavar="SHARE", help=f"share of {what}, 0 to 1 (default 0)"
        )
    parser.add_argument("--hosts", type=int, default=4, help="number of hosts, of two processes each (default 4)")
    parser.add_argument(
        "--start", metavar="TIME", help="the first minute, as 2026-11-22T05:13Z (default: so that the traffic ends now)"
    )
    parser.add_argument("--minutes-per-file", type=int, default=1, metavar="N", help="minutes a file holds (default 1)")


def run(args: argparse.Namespace, out: Output) -> int:
    """Write the traffic; say what was sent."""
    start = _start(args.start) if args.start else (clock() - args.seconds * SECOND_US) // MINUTE_US * MINUTE_US
    spec = TrafficSpec(
        start=start,
        seconds=args.seconds,
        rate=args.rate,
        seed=args.seed,
        errors=args.errors,
        late=args.late,
        duplicates=args.duplicates,
        spill=args.spill,
        broken=args.broken,
        hosts=args.hosts,
        minutes_per_file=args.minutes_per_file,
    )
    done = 0
    with out.progress(len(spec.minutes()), "minutes") as bar:

        def told(minutes: int) -> None:
            nonlocal done
            bar.advance(minutes - done)
            done = minutes

        truth = generate(spec, args.out, progress=told)
    out.result(
        {
            "out": args.out,
            "truth": f"{args.out.rstrip('/')}/{TRUTH_FILE}",
            "from": to_iso(spec.start),
            "to": to_iso(spec.end),
            **{f"sent_{name}": count for name, count in truth["sent"].items()},
            "records": truth["records"],
            "duplicates": truth["duplicates"],
            "rejects": sum(truth["rejects"].values()),
            "late": truth["late"],
        }
    )
    return 0


def _start(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(f"--start {text!r} is no time; write it as 2026-11-22T05:13Z") from error
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
