"""`nw check`: every expectation and check, judged once."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from nw_platform.cli.output import Output, clock
from nw_platform.errors import UsageError
from nw_platform.ingest.look import look, wait_of
from nw_platform.ingest.outcome import Lag
from nw_platform.ingest.session import Session
from nw_platform.record.hours import to_iso, to_us
from nw_platform.settings import load
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import LagSeen
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
    """What stands in the way of reading the sources now, and how far behind they are. Nothing is read but listings."""
    looked = look(session, sorted(names), now)
    lags = {
        name: _lag(functools.reduce(Lag.and_also, (lane.lag for lane in lanes)), now)
        for name, lanes in looked.lanes.items()
    }
    return TickState(problems=looked.problems, failures=looked.failures, lags=lags)


def _lag(lag: Lag, now: int) -> LagSeen:
    return LagSeen(at=now, seconds=wait_of(lag), records=lag.records, expires_in=lag.expires_in)


def _as_row(finding: Finding) -> Mapping[str, Any]:
    return {
        "state": "ok" if finding.passed else finding.severity,
        "check": finding.check,
        "message": finding.message,
    }


def _as_json(finding: Finding) -> Mapping[str, Any]:
    since = None if finding.since is None else to_iso(finding.since)
    return {**finding.as_json(), "state": "ok" if finding.passed else finding.severity, "since": since}
