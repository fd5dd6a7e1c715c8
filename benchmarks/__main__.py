"""`python -m benchmarks [NAME...] [--megabytes N] [--quick]`: figures and their targets (docs/benchmarks.md).

What is measured runs in a process of its own; a peer and the platform take turns and are compared pair by pair, so
that a machine which is busy with other things spoils both. Everything is made in a temporary folder that is removed.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks import deltas, freshness, ids, ingest, kafka, sql, watchdog
from benchmarks.figures import Figure, table


@dataclass(frozen=True, slots=True)
class Scale:
    """How much is measured."""

    megabytes: int  # text a format
    pairs: int  # runs of each
    minutes: int
    per_second: int  # records of a delta
    uuids_per_second: int
    rows: int
    records: int  # in Kafka
    backlog: int
    steady_minutes: float
    streams: int
    hosts: int


FULL: Final = Scale(
    1000,
    3,
    minutes=60,
    per_second=20_000,
    uuids_per_second=5000,
    rows=50_000_000,
    records=3_000_000,
    backlog=20_000_000,
    steady_minutes=15,
    streams=1000,
    hosts=10_000,
)
QUICK: Final = Scale(
    20,
    1,
    minutes=6,
    per_second=1000,
    uuids_per_second=500,
    rows=600_000,
    records=100_000,
    backlog=200_000,
    steady_minutes=2,
    streams=30,
    hosts=1000,
)

NAMES: Final[dict[str, Callable[[Path, Scale], Iterable[Figure]]]] = {
    "combined": lambda to, by: ingest.figures("combined", to, megabytes=by.megabytes, pairs=by.pairs),
    "json": lambda to, by: ingest.figures("json", to, megabytes=by.megabytes, pairs=by.pairs),
    "deltas": lambda to, by: deltas.figures("session", to, minutes=by.minutes, per_second=by.per_second),
    "uuids": lambda to, by: deltas.figures("uuid", to, minutes=by.minutes, per_second=by.uuids_per_second),
    "ids": lambda to, by: ids.figures(to, records=by.backlog),
    "kafka": lambda to, by: kafka.figures(to, records=by.records, pairs=by.pairs),
    "backlog": lambda to, by: kafka.backlog(to, records=by.backlog),
    "freshness": lambda to, by: freshness.figures(to, per_second=by.per_second, minutes=by.steady_minutes),
    "watchdog": lambda to, by: watchdog.figures(to, streams=by.streams, hosts=by.hosts),
    "sql": lambda to, by: sql.figures(to, rows=by.rows, pairs=by.pairs),
}


def main() -> int:
    """Measure and print. 1 if a target was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Ratios to plain DuckDB, with targets.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(NAMES)} (default: all)")
    parser.add_argument("--megabytes", type=int, help=f"text a format (default {FULL.megabytes})")
    parser.add_argument("--pairs", type=int, help=f"runs of each (default {FULL.pairs})")
    parser.add_argument(
        "--per-second", type=int, help=f"records of a delta (default {FULL.per_second}; uuids: a quarter)"
    )
    parser.add_argument("--records", type=int, help=f"in Kafka (default {FULL.records}; backlog, ids: {FULL.backlog})")
    parser.add_argument("--minutes", type=float, help=f"of steady records (default {FULL.steady_minutes:g})")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: shows that everything runs, proves no figure")
    args = parser.parse_args()
    if unknown := [name for name in args.names if name not in NAMES]:
        parser.error(f"there is no measurement {unknown[0]}; there are {', '.join(NAMES)}")
    scale = QUICK if args.quick else FULL
    scale = replace(scale, megabytes=args.megabytes or scale.megabytes, pairs=args.pairs or scale.pairs)
    if args.per_second:
        scale = replace(scale, per_second=args.per_second, uuids_per_second=max(1, args.per_second // 4))
    if args.records:
        scale = replace(scale, records=args.records, backlog=args.records)
    scale = replace(scale, steady_minutes=args.minutes or scale.steady_minutes)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the temporary folder goes then too
    found: list[Figure] = []
    for name in args.names or NAMES:
        with tempfile.TemporaryDirectory(prefix="neverwinter-bench-") as folder:
            for figure in NAMES[name](Path(folder), scale):
                found.append(figure)
                _note("  ".join(cell for cell in figure.cells() if cell))
    sys.stdout.write(table(found) + "\n")
    return 1 if any(figure.met is False for figure in found) else 0


def _note(line: str) -> None:
    """Say how far it is."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
