"""`nw up`: Dagster's webserver, daemon and code server for one configuration, as children of this process.

Imports nothing of Dagster: the three are commands. What keeps them at work is in `supervision`.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Final

import yaml

from nw_platform.alerts.processes import TOLD_VARIABLE, write_news
from nw_platform.cli import allocation
from nw_platform.cli.children import Child, Children
from nw_platform.cli.code_socket import CodeSocket
from nw_platform.cli.dagster_home import POSTGRES_VARIABLE, home_problem, locked, postgres_url, prepare_home
from nw_platform.cli.orphans import end_orphans, marks
from nw_platform.cli.output import Output, clock
from nw_platform.cli.supervision import Part, Supervisor
from nw_platform.cli.vital_signs import (
    AnswerSign,
    HeartbeatSign,
    Pace,
    answers_grpc,
    answers_http,
    heartbeats,
    listens,
)
from nw_platform.errors import NeverwinterError, UsageError
from nw_platform.ingest.opening import open_lake
from nw_platform.lake.receipts import read_receipt_files
from nw_platform.lake.tables import LakeFile
from nw_platform.record.hours import hour_of, to_iso
from nw_platform.settings import Settings, load

HELP = "Run the Dagster UI, its daemon and the code server for the configuration, until it is stopped."
EXAMPLE = "nw up\n  nw up --port 3001 --host 0.0.0.0"

DEFAULT_PORT: Final = 3000
_LAST_LOOK_SECONDS: Final = 60.0  # for `nw watch --once` to tell that this ends
_LAST_PORT: Final = 65535


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw up`."""
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"port of the UI (default {DEFAULT_PORT})")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address the UI listens on (default 127.0.0.1: this machine)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Serve until SIGTERM or SIGINT; 1 if one of the processes cannot be kept at work."""
    settings = load(args.config)
    return serve(settings, out, host=args.host, port=args.port)


def serve(settings: Settings, out: Output, *, host: str, port: int, pace: Pace | None = None) -> int:
    """Start everything, print the URL once it answers, keep it at work until a signal comes, stop everything.

    Raises:
        UsageError: the port is taken, or another `nw up` uses the same DAGSTER_HOME.
        LakeError: the lake is not the one that was used before.
        NeverwinterError: something did not start, or does not work however often it is started again.
    """
    open_lake(settings).require()
    home = prepare_home(settings.work, os.environ)
    url = f"http://{_shown(host)}:{port}"
    with locked(home, f"since {to_iso(clock())}, {url}"), _stop_requested() as stopping:
        if orphans := end_orphans(home):
            out.note(f"ended what an earlier `nw up` left behind when it was killed: {', '.join(orphans)}")
        _refuse_taken(host, port)
        place = CodeSocket.of(home)
        place.open()
        environ = _environment(settings, home) | {TOLD_VARIABLE: str(place.told)}
        children = Children(home / "logs", environ, stopping)
        watch = ["-m", "nw_platform.cli.main", "watch", "--url", url]
        is_watched = bool(settings.alerts.channels or settings.alerts.dead_man)
        try:
            return _Platform(children, place, home, host, port, pace or Pace()).serve(out, watch if is_watched else [])
        except NeverwinterError as error:
            if is_watched:
                children.stop()
                children.let("last-look", [*watch, "--once"], _LAST_LOOK_SECONDS)
            problem = home_problem(home)  # then that is why, whatever was said of it
            if problem and problem not in str(error):
                raise NeverwinterError(problem) from error
            raise
        finally:
            children.stop()
            end_orphans(home, patience=0)  # what left its session
            place.close()


class _Platform:
    """The commands of Dagster's processes, and how each of them is asked whether it works."""

    def __init__(self, children: Children, place: CodeSocket, home: Path, host: str, port: int, pace: Pace) -> None:
        self._children, self._place, self._home, self._pace = children, place, home, pace
        self._url = f"http://{_shown(host)}:{port}"
        workspace = home / "workspace.yaml"
        server = {"socket": str(place.link), "location_name": "neverwinter"}
        workspace.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}), encoding="utf-8")
        where = ["-w", str(workspace), "--log-level", "warning"]
        self._daemon = ["-m", "dagster._daemon", "run", *where]
        self._webserver = ["-m", "dagster_webserver", "-h", host, "-p", str(port), *where]

    def serve(self, out: Output, watch: Sequence[str]) -> int:
        """Start the processes one after the other, and keep them at work."""
        children = self._children
        out.note(f"starting; Dagster's home is {self._home}")
        # 1. one process alone: the dbt project is read, runs of a predecessor that was killed are marked as failed
        self._prepare()
        code, daemon, webserver = self._code_part(), self._daemon_part(), self._webserver_part()
        # 2. the code server, which listens once the definitions are loaded
        children.wait(self._start(code), lambda: listens(self._place.link))
        # 3. the others
        self._start(daemon)
        children.wait(self._start(webserver), lambda: answers_http(self._url, timeout=2))
        # 4. what tells of it when one of them hangs
        parts = [code, webserver, daemon]
        if watch:
            parts.append(Part("watch", lambda: watch))
            self._start(parts[-1])
        if children.stopping():
            return 0
        out.result(self._url)
        out.stdout.flush()
        Supervisor(
            children,
            parts,
            self._pace,
            out,
            partial(write_news, self._place.told),
            home_problem=partial(home_problem, self._home),
            mend_clock=partial(children.finish, "clock", ["-m", "resources.sensor_clock"]),
        ).keep()
        return 0

    def _start(self, part: Part) -> Child:
        part.child = self._children.start(part.name, part.arguments())
        part.sign.reset(time.monotonic())
        return part.child

    def _prepare(self) -> None:
        self._children.finish("prepare", ["-m", "resources.prepare", str(self._place.link)])

    def _code_part(self) -> Part:
        sign = AnswerSign(self._pace, time.monotonic())
        return Part("code-server", self._code_server, sign, self._asking(sign, self._code_answers), self._prepare)

    def _webserver_part(self) -> Part:
        sign = AnswerSign(self._pace, time.monotonic())
        answers = partial(answers_http, self._url, self._pace.timeout)
        return Part("webserver", lambda: self._webserver, sign, self._asking(sign, answers))

    def _daemon_part(self) -> Part:
        sign = HeartbeatSign(self._pace, time.monotonic())

        def look() -> None:
            beats = heartbeats(self._url, self._pace.timeout)
            sign.saw(beats, time.monotonic())

        return Part("daemon", lambda: self._daemon, sign, look)

    @staticmethod
    def _asking(sign: AnswerSign, answers: Callable[[], bool]) -> Callable[[], None]:
        def look() -> None:
            asked = time.monotonic()
            answered = answers()
            sign.saw(answered=answered, asked=asked, now=time.monotonic())

        return look

    def _code_answers(self) -> bool:
        return answers_grpc(self._place.link, self._pace.timeout)

    def _code_server(self) -> list[str]:
        """The arguments of the code server, with a socket that no other one has."""
        folder = str(_code_root())
        definitions = ["--python-file", str(_code_root() / "definitions.py"), "--working-directory", folder]
        listen = ["--socket", str(self._place.renew()), "--location-name", "neverwinter", "--log-level", "warning"]
        return ["-m", "dagster", "api", "grpc", *definitions, *listen]


@contextmanager
def _stop_requested() -> Iterator[Callable[[], bool]]:
    """Whether SIGTERM or SIGINT came. A second one does no more: stopping is bounded in time."""
    asked: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment(settings: Settings, home: Path) -> dict[str, str]:
    path = os.pathsep.join(filter(None, [str(_code_root()), os.environ.get("PYTHONPATH", "")]))
    postgres = os.environ.get(POSTGRES_VARIABLE)
    return {
        **allocation.environment(),  # the processes of runs are started by these
        **os.environ,
        **({POSTGRES_VARIABLE: postgres_url(postgres)} if postgres else {}),
        "DAGSTER_HOME": str(home),
        "DAGSTER_DISABLE_TELEMETRY": "1",
        "NW_CONFIG": settings.path,
        "NW_ARRIVALS_FROM": _first_arrivals(settings),
        "PYTHONPATH": path,
        "PYTHONUNBUFFERED": "1",
        **marks(home),
    }


def _first_arrivals(settings: Settings) -> str:
    """The first arrival hour that is shown: that of the lake's first receipt, the open one if there is none yet."""
    lake = open_lake(settings)
    receipts = lake.receipts().snapshot()
    firsts: dict[str, LakeFile] = {}
    for file in receipts.files() if receipts else ():
        known = firsts.setdefault(file.partition["stream"], file)
        if (file.partition["dt"], file.statistics["sequence"]) < (known.partition["dt"], known.statistics["sequence"]):
            firsts[file.partition["stream"]] = file
    found = (receipt for stream, file in firsts.items() for receipt in read_receipt_files(lake, [file], stream))
    return min((receipt.arrival_hour for receipt in found), default=hour_of(clock()))


def _code_root() -> Path:
    """Where definitions.py, assets, sensors and resources are: beside nw_platform, in a checkout and installed."""
    return Path(__file__).resolve().parents[2]


def _refuse_taken(host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UsageError(
            f"port {port} of {host} cannot be used ({reason}); stop what listens there, or choose another: "
            f"nw up --port {port + 1 if port < _LAST_PORT else DEFAULT_PORT}"
        ) from error


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104  (compared, not bound)
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
