"""`nw check`: every expectation and check, judged once."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from nw_platform.cli.output import Output, clock
from nw_platform.errors import NeverwinterError, UsageError
from nw_platform.ingest.session import Session
from nw_platform.record.hours import to_iso, to_us
from nw_platform.settings import load
from nw_platform.sources.contract import Problem
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observe import TickState, Watch

HELP = (
    "Evaluate every expectation and check once and print what fails; ends with 1 if anything does.\n"
    "Reads the lake and the listings of the sources; writes nothing there, and sends no alert."
)
EXAMPLE = "nw check\n  nw check --at 2026-11-22T06:31Z\n  nw check --stream web --all --json"

_COLUMNS: Final = ("state", "check", "message")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw check`."""
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="judge as of this instant, like 2026-11-22T06:31:00Z (default: now); what was ingested later is left out",
    )
    parser.add_argument("--stream", metavar="S", action="append", help="only this stream (may be given more than once)")
    parser.add_argument("--all", action="store_true", help="print what passes, too")


def run(args: argparse.Namespace, out: Output) -> int:
    """Judge; 1 if anything fails."""
    at = None if args.at is None else parse_instant(args.at)
    settings = load(args.config)
    names = {settings.stream(name).name for name in args.stream or settings.streams}
    rules = [r for r in rules_of_all(settings) if r.stream in names]
    now = clock() if at is None else at
    with Session(settings) as session:
        tick = TickState() if at is not None else _look_at_sources(session, names, now)
        watch = Watch(session.lake, folder=settings.work / "watch" / "check")
        with out.progress(None, "check"):
            found = watch.findings(rules, now, tick, as_of=at, from_scratch=True)
        watch.commit()
    failing = [finding for finding in found if not finding.passed]
    told = found if args.all else failing
    if out.as_json:
        out.result([_as_json(finding) for finding in told])
    elif told:
        out.result([_as_row(finding) for finding in told], columns=_COLUMNS)
    out.note(f"{len(found):,} findings at {to_iso(now)}: {len(failing):,} fail")
    return 1 if failing else 0


def parse_instant(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 time; UTC unless it says otherwise.

    Raises:
        UsageError: `text` is none.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time; write it as 2026-11-22T06:31:00Z") from None
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _look_at_sources(session: Session, names: set[str], now: int) -> TickState:
    """What stands in the way of reading the sources now. Nothing is read but listings."""
    problems: dict[str, tuple[Problem, ...]] = {}
    failures: dict[str, str] = {}
    for name in sorted(names):
        try:
            pipeline = session.pipeline(name)
            if pipeline is None:
                continue
            pipeline.pending()  # finds out where the lane stands; `plan` then looks for what is new
            problems[name] = pipeline.plan(now, session.budget).problems
        except NeverwinterError as error:
            failures[name] = str(error)
    return TickState(problems=problems, failures=failures)


def _as_row(finding: Finding) -> Mapping[str, Any]:
    return {
        "state": "ok" if finding.passed else finding.severity,
        "check": finding.check,
        "message": finding.message,
    }


def _as_json(finding: Finding) -> Mapping[str, Any]:
    since = None if finding.since is None else to_iso(finding.since)
    return {**finding.as_json(), "state": "ok" if finding.passed else finding.severity, "since": since}
