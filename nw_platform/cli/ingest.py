"""`nw ingest`: what a tick does, without Dagster."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

from nw_platform.cli.output import Output, clock
from nw_platform.errors import UsageError
from nw_platform.ingest.outcome import BatchReport, TickReport
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.settings import load

HELP = "Read what is new at the sources into raw and logs: once, or every minute until it is stopped."
EXAMPLE = "nw ingest --once\n  nw ingest --stream apache_access\n  nw ingest --stream app --lane 1"

_EVERY_S: Final = 60.0
_COUNTS: Final = ("records", "bytes", "normal", "error", "watchdog", "duplicates", "late", "rejects", "skipped_lines")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw ingest`."""
    parser.add_argument("--stream", metavar="S", action="append", help="only this stream (may be given more than once)")
    parser.add_argument(
        "--lane", metavar="I", type=int, help="only the lane of this number, from 0: other processes take the others"
    )
    parser.add_argument("--once", action="store_true", help="stop when everything that is there now is in")


def run(args: argparse.Namespace, out: Output) -> int:
    """Ingest; 1 if a file is damaged or unreadable, or a stream failed."""
    settings = load(args.config)
    names = [settings.stream(name).name for name in args.stream or settings.streams]
    most = max(settings.streams[name].lanes for name in names)
    if args.lane is not None and not 0 <= args.lane < most:
        raise UsageError(f"--lane {args.lane}: the lanes of {', '.join(names)} are numbered 0 to {most - 1}")
    with Session(settings) as session:
        if not args.once:
            return _loop(session, names, args.lane, out)
        with out.progress(None, "ingest") as bar:
            report = run_tick(
                session, clock, streams=names, lane=args.lane, until_caught_up=True, pause=time.sleep,
                progress=bar.report,
            )  # fmt: skip
    return _say(report, names, out, quiet=False)


def _loop(session: Session, names: Sequence[str], lane: int | None, out: Output) -> int:
    """A tick a minute until SIGTERM (which lets a batch end) or an interrupt."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    code = 0
    while not stop.is_set():
        started = time.monotonic()
        report = run_tick(session, clock, streams=names, lane=lane, deadline=clock() + int(_EVERY_S * 1_000_000))
        code = _say(report, names, out, quiet=True) or code
        if not report.more:
            stop.wait(max(0.0, _EVERY_S - (time.monotonic() - started)))
    return code


def _say(report: TickReport, names: Sequence[str], out: Output, *, quiet: bool) -> int:
    """Print what a tick did. `quiet`: say nothing of streams with nothing new."""
    rows = [_sum(name, [b for b in report.batches if b.stream == name]) for name in names]
    busy = [row for row in rows if row["batches"]]
    if out.as_json:
        found = [{"stream": p.stream, **asdict(p.problem)} for p in report.problems]
        if busy or found or report.failures or not quiet:
            out.result(
                {"streams": rows, "problems": found, "failures": report.failures, "lost_races": report.lost_races}
            )
    elif busy or not quiet:
        out.result("\n".join(_line(row, report.failures) for row in (busy if quiet else rows)))
    for met in report.problems:
        problem = met.problem
        named = problem.reason.startswith(problem.source)
        place = f"{problem.source} at byte {problem.position}" if problem.position else problem.source
        where = "" if named or problem.partition is not None else f"{place}: "
        out.note(f"{met.stream}: {problem.kind}: {where}{problem.reason}")
    for stream, reason in report.failures.items():
        out.note(f"{stream}: failed: {reason}")
    if report.lost_races:
        out.note(f"another run was first {report.lost_races} times; nothing is in twice")
    is_troubled = any(not met.problem.is_doubt for met in report.problems)
    return 1 if is_troubled or report.failures else 0


def _sum(name: str, batches: Sequence[BatchReport]) -> dict[str, Any]:
    """What all batches of a stream come to."""
    hours = sorted({hour for batch in batches for hour in batch.event_hours})
    counts = {key: sum(getattr(batch, key) for batch in batches) for key in _COUNTS}
    seconds = round(sum(batch.seconds for batch in batches), 3)
    return {"stream": name, "batches": len(batches), **counts, "event_hours": hours, "seconds": seconds}


def _line(row: dict[str, Any], failures: Mapping[str, str]) -> str:
    if not row["batches"]:
        return f"{row['stream']}: {'failed' if row['stream'] in failures else 'nothing new'}"
    hours = row["event_hours"]
    span = f" ({hours[0]} to {hours[-1]})" if len(hours) > 1 else f" ({hours[0]})" if hours else ""
    counts = ", ".join(_count(row[key], key) for key in ("records", "rejects", "duplicates"))
    size = f"{row['bytes']:,} bytes in {row['seconds']:.1f} s"
    return f"{row['stream']}: {counts}, {row['late']:,} late, {_count(len(hours), 'event hours')}{span}, {size}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what[:-1] if number == 1 else what}"
