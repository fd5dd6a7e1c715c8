"""`nw check`: every expectation and check, judged once."""

from __future__ import annotations

import argparse
import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import Any, Final

from nw_platform.alerts.alert import Scope
from nw_platform.alerts.dead_man import ping
from nw_platform.alerts.evaluation import Alerting, scope_of
from nw_platform.cli.output import Output, clock, visible
from nw_platform.errors import LakeError, UsageError
from nw_platform.ingest.look import look, wait_of
from nw_platform.ingest.outcome import Lag
from nw_platform.ingest.session import Session
from nw_platform.record.hours import to_iso, to_us
from nw_platform.settings import Settings, load
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.expectations import SilenceRule, StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import LagSeen
from nw_platform.watchdog.observe import TickState, Watch

HELP = (
    "Evaluate every expectation and check once and print what fails; ends with 1 if anything does.\n"
    "Reads the lake and the listings of the sources. What changed becomes transitions in the table `alerts`, and\n"
    "channels hear of it; with --at nothing is written and nothing sent, unless --deliver says so."
)
EXAMPLE = "nw check\n  nw check --no-deliver\n  nw check --at 2026-11-22T06:31Z\n  nw check --stream web --all --json"

_YEARS: Final = 1971, 2200
_COLUMNS: Final = ("state", "check", "message")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw check`."""
    parser.add_argument(
        "--at",
        metavar="TIME",
        help="judge as of this instant, like 2026-11-22T06:31:00Z (default: now); what was ingested later is left out",
    )
    parser.add_argument("--stream", metavar="S", action="append", help="only this stream (may be given more than once)")
    parser.add_argument(
        "--deliver",
        action=argparse.BooleanOptionalAction,
        help="open, remind and resolve alerts, and send them (default: yes; with --at: no)",
    )
    parser.add_argument("--all", action="store_true", help="print what passes, too")


def run(args: argparse.Namespace, out: Output) -> int:
    """Judge; 1 if anything fails."""
    at = None if args.at is None else parse_instant(args.at)
    settings = load(args.config)
    names = {settings.stream(name).name for name in args.stream or settings.streams}
    rules = _rules_to_look_at(settings, names)
    now = clock() if at is None else at
    delivers = at is None if args.deliver is None else args.deliver
    with Session(settings) as session, closing(Alerting.of(settings, session.lake)) as alerting:
        tick = TickState(is_listed_only=True) if at is not None else _look_at_sources(session, names, now)
        watch = Watch(session.lake, folder=settings.work / "watch" / "check")
        moment, also, problem = _begin(alerting, now) if delivers else (now, {}, "")
        if at is not None and at < (newest := alerting.newest()):
            raise UsageError(
                f"{args.at} is before the newest transition of the table alerts ({to_iso(newest)}), and what is "
                "written now comes after it; give that time or a later one, or leave out --deliver"
            )
        with out.progress(None, "check"):
            watched = alerting.watched()
            seen = watch.findings(rules, moment, tick, also=also, watched=watched, as_of=at, from_scratch=True)
        found = [finding for finding in seen if finding.stream in names]
        failing = [finding for finding in found if not finding.passed]
        told = found if args.all else failing
        if out.as_json:
            out.result([_as_json(finding) for finding in told])
        elif told:
            out.result([_as_row(finding) for finding in told], columns=_COLUMNS)
        out.note(f"{len(found):,} findings at {to_iso(now)}: {len(failing):,} fail")
        went = not problem
        if problem:
            out.error(f"alerts could not be delivered: {problem}")
        elif delivers:
            scope = scope_of(settings, watch.judged() & names)
            went = _deliver(alerting, found, scope, moment, clock if at is None else lambda: now, out)
        watch.commit()
    if delivers and at is None and not args.stream and (problem := ping(settings.alerts.dead_man)):
        out.note(problem)
    return 0 if went and not failing else 1


def _rules_to_look_at(settings: Settings, names: set[str]) -> list[StreamRules]:
    """The rules of some streams; of all, if one of them misses hosts: those may be seen by any stream."""
    every = rules_of_all(settings)
    chosen = [rules for rules in every if rules.stream in names]
    return every if any(rule.hosts for rules in chosen for rule in rules.of(SilenceRule)) else chosen


def _begin(alerting: Alerting, now: int) -> tuple[int, Mapping[str, Collection[str]], str]:
    """The time to judge at, hours of open alerts, and why neither is known.

    It is asked before the look: what others find out during that is newer, and stays.
    """
    try:
        moment, also = alerting.begin(now)
    except (LakeError, OSError) as error:
        return now, {}, " ".join(str(error).split())
    return moment, also, ""


def _deliver(
    alerting: Alerting, found: Sequence[Finding], scope: Scope, now: int, timer: Callable[[], int], out: Output
) -> bool:
    """Make transitions and send them; False: something could not be written or sent. What was found is out by then."""
    try:
        outcome = alerting.evaluate(found, scope, now, timer)
    except (LakeError, OSError) as error:
        out.error(f"alerts could not be delivered: {' '.join(str(error).split())}")
        return False
    out.note(f"alerts: {outcome.told()}")
    for reason in outcome.reasons:
        out.note(visible(reason))
    return not outcome.failed


def parse_instant(text: str) -> int:
    """Microseconds since the epoch of an ISO 8601 time; UTC unless it says otherwise.

    Raises:
        UsageError: `text` is none, or one that no stream can have.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no time; write it as 2026-11-22T06:31:00Z") from None
    if not _YEARS[0] <= moment.year < _YEARS[1]:  # whatever is added to such a time is still one
        raise UsageError(f"{text!r} cannot be judged; give a time of the years {_YEARS[0]} to {_YEARS[1] - 1}")
    return to_us(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


def _look_at_sources(session: Session, names: set[str], now: int) -> TickState:
    """What stands in the way of reading the sources now, and how far behind they are. Nothing is read but listings."""
    looked = look(session, sorted(names), now)
    lags = {
        name: _lag(functools.reduce(Lag.and_also, (lane.lag for lane in lanes)), now)
        for name, lanes in looked.lanes.items()
    }
    return TickState(looked.problems, looked.failures, lags=lags, is_listed_only=True)


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
