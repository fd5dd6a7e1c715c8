"""`nw watch`: a small process beside the platform that tells when the platform itself is down.

It depends on little: it asks the web server, and writes alerts to the lake as everybody does, so that nobody hears
twice. If the lake does not answer, its alerts live in a table in the work folder until it does.
"""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final
from urllib.parse import urlsplit

from nw_platform.alerts.alert import Scope
from nw_platform.alerts.dead_man import ping
from nw_platform.alerts.evaluation import Alerting, Outcome
from nw_platform.alerts.platform import platform_finding
from nw_platform.alerts.processes import PROCESS, process_findings
from nw_platform.alerts.webserver import WatchError, ask, judge, unreachable
from nw_platform.cli.output import Output, clock
from nw_platform.errors import NeverwinterError, UsageError
from nw_platform.ingest.opening import open_lake
from nw_platform.lake.store import Lake
from nw_platform.settings import Settings, load, written
from nw_platform.streams.quantities import parse_duration
from nw_platform.watchdog.findings import Finding

HELP = (
    "Watch the platform itself from outside: is the web server there, do the daemons run, is the code loaded, are\n"
    "alerts evaluated? Tells it as any alert is told, and calls alerts.dead_man while all is well."
)
EXAMPLE = "nw watch\n  nw watch --once --url http://dagster:3000"

LAKE: Final = "lake"
CONFIGURATION: Final = "configuration"
_EVERY_S: Final = 60.0
_TRIES: Final = 3  # a web server that is just being started again is no alert
_PAUSE_S: Final = 3.0
_DEFAULT_URL: Final = "http://127.0.0.1:3000"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw watch`."""
    parser.add_argument("--url", help=f"the Dagster web server (default: alerts.link, else {_DEFAULT_URL})")
    parser.add_argument("--once", action="store_true", help="look once; ends with 1 if something is wrong")
    parser.add_argument(
        "--after", metavar="DURATION", default="5m", help="how long a daemon may be silent (default 5m)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Look each minute until SIGTERM or SIGINT; or once."""
    settings = load(args.config)
    url = args.url or settings.alerts.link or _DEFAULT_URL
    if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
        raise UsageError("--url is no address of a web server; write it as http://127.0.0.1:3000")
    try:
        silent_us = parse_duration(args.after)
    except ValueError as error:
        raise UsageError(f"--after: {error}") from None
    with _stop_requested() as stop:
        watch = Watch(settings, url, silent_us, stop, stays=not args.once)
        try:
            if args.once:
                return 1 if watch.look(out, answering_since=0) else 0
            watch.keep_looking(out)
        finally:
            watch.close()
    return 0


class Watch:
    """Looks at one platform again and again."""

    def __init__(
        self, settings: Settings, url: str, silent_us: int, stop: threading.Event, *, stays: bool = True
    ) -> None:
        self._url, self._silent_us, self._stop = url, silent_us, stop
        self._written = written(settings.path)
        self._use(settings)
        self._answering_since: int | None = None
        self._silent_since: int | None = None
        self._told = ""
        self._configuration_is_told = not stays  # that it can be used; see _configuration

    def keep_looking(self, out: Output) -> None:
        """Look each minute until it is stopped. Whatever goes wrong is told, and tried again."""
        while not self._stop.is_set():
            try:
                self.look(out)
            except Exception as error:  # noqa: BLE001  (it has to outlive everything)
                self._note(out, f"{type(error).__name__}: {' '.join(str(error).split())}")
            self._stop.wait(_EVERY_S)

    def close(self) -> None:
        """Let others send what is pending. May be called twice."""
        self._alerting.close()
        self._spare.close()

    def _use(self, settings: Settings) -> None:
        folder = settings.work / "watch" / "platform"
        self._settings = settings
        self._alerting = Alerting.of(settings, open_lake(settings))
        self._spare = Alerting.of(settings, Lake(str(folder / "lake"), work=folder))  # while the lake is away

    def _follow_configuration(self) -> str:
        """Use what the configuration says now: who knows the old one only would give up messages to a new channel.

        Returns why that is not possible; then the old one counts.
        """
        problem = ""
        for attempt in range(2):  # once is no reason: it may just be being written
            mark = written(self._settings.path)
            if mark == self._written or (attempt and self._stop.wait(_PAUSE_S)):
                return ""
            try:
                settings = load(self._settings.path)
            except NeverwinterError as error:
                problem = " ".join(str(error).split())
            else:
                self.close()
                self._use(settings)
                self._written = mark
                return ""
        return problem

    def _configuration(self, problem: str) -> list[Finding]:
        """Whether the configuration can be used, if there is something to say of it.

        That it can is said when this process begins to stay, and when it was mended; not each minute. Another watch may
        have a file of its own, and must not end the alert about this one.
        """
        if problem:
            self._configuration_is_told = False
        elif self._configuration_is_told:
            return []
        message = f"the configuration cannot be used: {problem}" if problem else "the configuration can be used"
        return [platform_finding(CONFIGURATION, "", passed=not problem, message=message, repair="nw config check")]

    def look(self, out: Output, *, answering_since: int | None = None) -> list[Finding]:
        """Look once, tell what changed, and return what is wrong."""
        configuration = self._configuration(self._follow_configuration())
        found, judged = self._seen(answering_since)
        if not judged:
            return []
        processes = process_findings()
        judged = judged | {PROCESS} if processes else judged
        found, now = [*found, *configuration, *processes], clock()
        outcome, problem = self._told_in_lake(found, judged, now)
        lake = platform_finding(
            LAKE,
            "",
            passed=not problem,
            message=f"the lake cannot be used by alerts: {problem}" if problem else "the lake can be used by alerts",
            repair="nw doctor",
        )
        spare = self._told_without_lake([*found, lake], judged | {LAKE}, now, is_needed=bool(problem))
        wrong = [finding for finding in [*found, lake] if not finding.passed]
        told = [f"{finding.check}: {finding.message}" for finding in wrong] or ["all is well"]
        told += [outcome.told() for outcome in (outcome, spare) if outcome and (outcome.events or outcome.waiting)]
        if not wrong and (failed := ping(self._settings.alerts.dead_man)):
            told.append(failed)
        if not problem and all(finding.passed for finding in configuration):
            self._configuration_is_told = True
        self._note(out, "; ".join(told))
        return wrong

    def _seen(self, answering_since: int | None) -> tuple[list[Finding], frozenset[str]]:
        """What the web server says, or that it says nothing. Nothing was judged: the end was asked for."""
        reason = ""
        for attempt in range(_TRIES):
            if attempt and self._stop.wait(_PAUSE_S):
                return [], frozenset()
            try:
                data, now = ask(self._url), clock()
                since = self._answering_since
                if since is None:
                    since = now if answering_since is None else answering_since
                seen = judge(data, self._url, now, since, self._silent_us)
            except WatchError as error:
                reason = str(error)
            else:
                self._answering_since, self._silent_since = since, None
                return seen
        self._answering_since = None
        self._silent_since = self._silent_since or clock()
        return unreachable(self._url, reason, self._silent_since)

    def _told_in_lake(self, found: list[Finding], judged: frozenset[str], now: int) -> tuple[Outcome | None, str]:
        """Evaluate as everybody does; or why that is not possible."""
        problem = ""
        for attempt in range(2):  # others commit, too: once is no reason to say that the lake is away
            if attempt and self._stop.wait(_PAUSE_S):
                break
            try:
                at, _ = self._alerting.begin(now)
                return self._alerting.evaluate(found, _scope(judged), at, clock), ""
            except (NeverwinterError, OSError) as error:
                problem = " ".join(str(error).split())[:300]
        return None, problem

    def _told_without_lake(
        self, found: list[Finding], judged: frozenset[str], now: int, *, is_needed: bool
    ) -> Outcome | None:
        """Evaluate in the work folder: all if the lake is away, else only what was opened there before."""
        at, _ = self._spare.begin(now)
        state = self._spare.state()
        if not is_needed:
            if not state.open and not state.pending:
                return None
            found = [finding for finding in found if finding.key in state.open]
        return self._spare.evaluate(found, _scope(judged), at, clock)

    def _note(self, out: Output, told: str) -> None:
        """Say what changed, once."""
        if told != self._told:
            out.note(told)
        self._told = told


def _scope(judged: frozenset[str]) -> Scope:
    """What was judged: of the platform these checks, and no stream, whatever the configuration says of streams."""
    return Scope(declared=None, streams=frozenset(), platform_checks=judged)


@contextmanager
def _stop_requested() -> Iterator[threading.Event]:
    """Set when SIGTERM or SIGINT came."""
    stop = threading.Event()

    def ask_to_stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stop.set()

    before = {number: signal.signal(number, ask_to_stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
