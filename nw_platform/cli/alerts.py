"""`nw alerts`: what is open, who takes care of it, and whether channels work."""

from __future__ import annotations

import argparse
import getpass
import hashlib
from collections.abc import Mapping
from contextlib import closing
from typing import Any, Final

from nw_platform.alerts.alert import PLATFORM, Event, OpenAlert
from nw_platform.alerts.channels import open_channel
from nw_platform.alerts.evaluation import Alerting
from nw_platform.alerts.message import Message
from nw_platform.alerts.state import AlertState
from nw_platform.cli.output import Output, clock, visible
from nw_platform.errors import NeverwinterError, UsageError
from nw_platform.ingest.session import Session
from nw_platform.record.hours import to_datetime, to_iso
from nw_platform.reports.views import execute, open_sql
from nw_platform.settings import Settings, load
from nw_platform.streams.problems import nearest

HELP = (
    "See the alerts that are open (or, with --all, every transition there was), acknowledge some, or send a test.\n"
    "An alert that is acknowledged is not repeated and not escalated, until it is resolved or gets worse."
)
EXAMPLE = (
    "nw alerts list --stream web\n  nw alerts ack silence --by anna --comment 'new disk on its way'\n"
    "  nw alerts test mail"
)

_COLUMNS: Final = ("opened", "severity", "state", "key", "message")
_TRANSITIONS: Final = ("time", "transition", "severity", "key", "message", "note", "channels")


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw alerts`."""
    actions = parser.add_subparsers(dest="action", metavar="list | ack | test", required=True, help="what to do")
    listing = _action(actions, "list", "what is open", "nw alerts list --stream web")
    listing.add_argument("--all", action="store_true", help="every transition there was, the newest first")
    listing.add_argument("--stream", metavar="S", help="only of this stream; platform: of none")
    ack = _action(actions, "ack", "take care of open alerts", "nw alerts ack 'silence|logs/web|' --by anna")
    ack.add_argument("key", metavar="KEY", help="an alert's key as `list` shows it, or how the keys of several begin")
    ack.add_argument("--by", metavar="NAME", help="who takes care (default: the user)")
    ack.add_argument("--comment", metavar="TEXT", default="", help="what is to be said of it")
    test = _action(actions, "test", "send a test message", "nw alerts test mail")
    test.add_argument("channels", metavar="CHANNEL", nargs="*", help="names of channels (default: all)")


def _action(actions: Any, name: str, does: str, example: str) -> argparse.ArgumentParser:  # noqa: ANN401  (a private type)
    """The parser of one of the three. Global options may stand after it, too."""
    parser: argparse.ArgumentParser = actions.add_parser(
        name,
        help=does,
        description=f"{does[0].upper()}{does[1:]}.",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    group = parser.add_argument_group("global options")
    group.add_argument("-c", "--config", metavar="PATH", default=argparse.SUPPRESS, help="configuration")
    for flag, meaning in (("--json", "print the result as JSON"), ("--debug", "show tracebacks")):
        group.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=meaning)
    return parser


def run(args: argparse.Namespace, out: Output) -> int:
    """Do it; 1 if nothing could be acknowledged, or a test did not arrive."""
    settings = load(args.config)
    if args.action == "test":
        return _test(args, settings, out)
    with Session(settings) as session, closing(Alerting.of(settings, session.lake)) as alerting:
        if args.action == "ack":
            return _acknowledge(args, alerting, out)
        state = alerting.state()
        if args.stream is not None:
            _check_stream(args.stream, state, settings, session)
        if args.all:
            return _transitions(args, settings, session, out)
    stream = "" if args.stream == PLATFORM else args.stream
    alerts = [alert for alert in state.open.values() if stream is None or alert.last.stream == stream]
    alerts.sort(key=lambda alert: (alert.opened, alert.key))
    out.result([_as_json(a) if out.as_json else _as_row(a) for a in alerts], columns=_COLUMNS)
    waiting = state.waiting
    out.note(f"{len(alerts):,} open" + (f"; {waiting:,} message{'s' * (waiting > 1)} waiting" if waiting else ""))
    for reason in state.reasons:
        out.note(visible(reason))
    return 0


def _check_stream(name: str, state: AlertState, settings: Settings, session: Session) -> None:
    """Refuse a stream that is not declared and that no alert ever was about: what is misspelt has none, either.

    Raises:
        UsageError: it is such a one.
    """
    known = {*settings.streams, PLATFORM, *(alert.last.stream for alert in state.open.values())} - {""}
    if name not in known:
        with open_sql(session.lake, settings, clock(), tables=["alerts"]) as connection:
            found = execute(connection, "SELECT DISTINCT stream FROM alerts WHERE stream IS NOT NULL", {})
        known |= {row["stream"] for row in found.mappings()}
    if name not in known:
        raise UsageError(
            f"there is no stream {name!r}; declared are: {', '.join(settings.streams)}{nearest(name, known)}"
        )


def _transitions(args: argparse.Namespace, settings: Settings, session: Session, out: Output) -> int:
    query = """SELECT * FROM alerts WHERE $stream IS NULL OR coalesce(stream, $platform) = $stream
        ORDER BY time DESC, key"""
    with open_sql(session.lake, settings, clock(), tables=["alerts"]) as connection:
        found = execute(connection, query, {"stream": args.stream, "platform": PLATFORM})
    rows = found.mappings()
    out.result(
        rows if out.as_json else [{name: row[name] for name in _TRANSITIONS} for row in rows], columns=_TRANSITIONS
    )
    return 0


def _acknowledge(args: argparse.Namespace, alerting: Alerting, out: Output) -> int:
    if not args.key.strip():
        raise UsageError("which alert? `nw alerts list` shows the keys")
    state = alerting.state()
    keys = state.open.keys()
    exact = {args.key} & keys or {key for key in keys if visible(key) == args.key}  # as `list` shows it

    def chosen(alert: OpenAlert) -> bool:
        begins = alert.key.startswith(args.key) or visible(alert.key).startswith(args.key)
        return alert.key in exact if exact else begins

    matching = [alert for alert in state.open.values() if chosen(alert)]
    if not matching:
        out.error(
            f"no open alert is, or begins with, {args.key!r}{nearest(args.key, state.open)}; see `nw alerts list`"
        )
        return 1
    now = clock()
    outcome = alerting.acknowledge(chosen, args.by or _user(), args.comment, now, clock)
    made = [{"key": event.key, "acknowledged": to_iso(event.time), "by": event.note} for event in outcome.events]
    out.result(made, columns=("key", "acknowledged", "by"))
    already = len(matching) - len(made)
    out.note(f"alerts: {outcome.told()}" + (f"; {already} acknowledged before" if already > 0 else ""))
    for reason in outcome.reasons:
        out.note(visible(reason))
    return 1 if outcome.failed else 0


def _test(args: argparse.Namespace, settings: Settings, out: Output) -> int:
    declared = settings.alerts.channels
    for name in args.channels:
        if name not in declared:
            there = f"declared are: {', '.join(declared)}" if declared else "no channel is declared"
            raise UsageError(f"there is no channel {name!r}; {there}{nearest(name, declared)}")
    if not declared:
        raise UsageError(f"{settings.path} declares no channel; add one under alerts: channels:")
    rows = []
    for name in dict.fromkeys(args.channels or declared):
        channel = open_channel(name, declared[name], link=settings.alerts.link)
        try:
            channel.send(_test_message(name, clock()))
        except NeverwinterError as error:
            rows.append({"channel": name, "result": "failed", "error": " ".join(str(error).split())})
        else:
            rows.append({"channel": name, "result": "sent", "error": None})
        finally:
            channel.close()
    out.result(rows, columns=("channel", "result", "error"))
    return 0 if all(row["result"] == "sent" for row in rows) else 1


def _test_message(channel: str, now: int) -> Message:
    event = Event(
        time=now,
        key=f"test|{PLATFORM}||{channel}",
        check="test",
        asset=PLATFORM,
        stream="",
        partition="",
        subject=channel,
        severity="warn",
        transition="opened",
        message=f"A test of the channel {channel}: nothing is wrong.",
        opened=now,
        repair="nothing to repair",
    )
    identity = hashlib.sha256(f"{event.key}|{now}".encode()).hexdigest()[:32]
    return Message(id=identity, thread=identity, events=(event,), is_test=True)


def _as_row(alert: OpenAlert) -> Mapping[str, Any]:
    return {
        "opened": to_datetime(alert.opened),
        "severity": alert.last.severity,
        "state": "open" if alert.acknowledged is None else "acknowledged",
        "key": alert.key,
        "message": alert.last.message,
    }


def _as_json(alert: OpenAlert) -> Mapping[str, Any]:
    last = alert.last
    return {
        **_as_row(alert),
        **{name: getattr(last, name) for name in ("check", "asset", "repair")},
        **{name: getattr(last, name) or None for name in ("stream", "partition", "subject", "note")},
        "since": None if last.since is None else to_datetime(last.since),
        "told": to_datetime(alert.told),
        "acknowledged": None if alert.acknowledged is None else to_datetime(alert.acknowledged),
        "channels": sorted(alert.threads),
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "somebody"
