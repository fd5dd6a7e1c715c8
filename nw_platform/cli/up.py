"""`nw up`: Dagster's webserver, daemon and code server for one configuration, as children of this process.

Imports nothing of Dagster: the three are commands. Each is the leader of a process group of its own, so that a run it
started ends with it, and each gets SIGTERM from the kernel should this process be killed.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Final

from nw_platform.cli import allocation
from nw_platform.cli.dagster_home import POSTGRES_VARIABLE, locked, postgres_url, prepare_home, socket_path
from nw_platform.cli.output import Output, clock
from nw_platform.errors import NeverwinterError, UsageError
from nw_platform.lake.receipts import read_receipt_files
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeFile
from nw_platform.record.hours import hour_of
from nw_platform.settings import Settings, load

HELP = "Run the Dagster UI, its daemon and the code server for the configuration, until it is stopped."
EXAMPLE = "nw up\n  nw up --port 3001 --host 0.0.0.0"

DEFAULT_PORT: Final = 3000
_READY_SECONDS: Final = 180.0
_STOP_SECONDS: Final = 20.0
_LAST_LOOK_SECONDS: Final = 60.0  # for `nw watch --once` to tell that this ends
_POLL_SECONDS: Final = 0.2
_PR_SET_PDEATHSIG: Final = 1
_LAST_WORDS: Final = 4  # lines of a child's log that are shown when it dies


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `nw up`."""
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help=f"port of the UI (default {DEFAULT_PORT})")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address the UI listens on (default 127.0.0.1: this machine)"
    )


def run(args: argparse.Namespace, out: Output) -> int:
    """Serve until SIGTERM or SIGINT; 1 if one of the processes died."""
    settings = load(args.config)
    return serve(settings, out, host=args.host, port=args.port)


def serve(settings: Settings, out: Output, *, host: str, port: int) -> int:
    """Start everything, print the URL once it answers, wait for a signal, stop everything.

    Raises:
        UsageError: the port is taken, or another `nw up` uses the same DAGSTER_HOME.
        NeverwinterError: something did not start.
    """
    home = prepare_home(settings.work, os.environ)
    with locked(home), _stop_requested() as stopping:
        _refuse_taken(host, port)
        environ = _environment(settings, home)
        children = _Children(home / "logs", environ, stopping)
        watch = ["-m", "nw_platform.cli.main", "watch", "--url", f"http://{_shown(host)}:{port}"]
        is_watched = bool(settings.alerts.channels or settings.alerts.dead_man)
        try:
            return _serve(children, out, home, host, port, watch if is_watched else [])
        except NeverwinterError:
            if is_watched:
                children.stop()
                children.let("last-look", [*watch, "--once"], _LAST_LOOK_SECONDS)
            raise
        finally:
            children.stop()
            shutil.rmtree(socket_path(home).parent, ignore_errors=True)


def _serve(children: _Children, out: Output, home: Path, host: str, port: int, watch: Sequence[str]) -> int:
    place = socket_path(home)
    shutil.rmtree(place.parent, ignore_errors=True)
    place.parent.mkdir(mode=0o700)
    workspace = home / "workspace.yaml"
    workspace.write_text(
        f"load_from:\n  - grpc_server: {{socket: {place}, location_name: neverwinter}}\n", encoding="utf-8"
    )
    out.note(f"starting; Dagster's home is {home}")
    # 1. one process alone: the dbt project is read, runs of a predecessor that was killed are marked as failed
    children.finish("prepare", ["-m", "resources.prepare", str(place)])
    # 2. the code server, which listens once the definitions are loaded
    folder = str(_code_root())
    definitions = ["--python-file", str(_code_root() / "definitions.py"), "--working-directory", folder]
    listen = ["--socket", str(place), "--location-name", "neverwinter", "--log-level", "warning"]
    children.start("code-server", ["-m", "dagster", "api", "grpc", *definitions, *listen])
    children.wait("code-server", lambda: _listens(place))
    # 3. the others
    where = ["-w", str(workspace), "--log-level", "warning"]
    children.start("daemon", ["-m", "dagster._daemon", "run", *where])
    children.start("webserver", ["-m", "dagster_webserver", "-h", host, "-p", str(port), *where])
    url = f"http://{_shown(host)}:{port}"
    children.wait("webserver", lambda: _answers(f"{url}/server_info"))
    # 4. what tells of it when one of them hangs
    if watch:
        children.start("watch", watch)
    if not children.stopping():
        out.result(url)
        children.watch()
    return 0


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path


class _Children:
    """The processes. Their output goes to files."""

    def __init__(self, logs: Path, environ: Mapping[str, str], stopping: Callable[[], bool]) -> None:
        self.stopping = stopping
        self._logs = logs
        self._environ = dict(environ)
        self._all: list[_Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, arguments: Sequence[str]) -> _Child:
        """Start a Python process as the leader of a group of its own."""
        log = self._logs / f"{name}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603  (our own arguments)
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environ,
                cwd=self._logs,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  (this process has no other thread)
            )
        child = _Child(name, process, log)
        self._all.append(child)
        return child

    def finish(self, name: str, arguments: Sequence[str]) -> None:
        """Run a process to its end.

        Raises:
            NeverwinterError: it failed; with its last words.
        """
        child = self.start(name, arguments)
        while child.process.poll() is None and not self.stopping():
            time.sleep(_POLL_SECONDS)
        if child.process.poll() is None:
            return  # `stop` ends it
        self._all.remove(child)
        if child.process.returncode:
            raise NeverwinterError(_last_words(child))

    def let(self, name: str, arguments: Sequence[str], seconds: float) -> None:
        """Let a process run for so long at most, whatever comes of it."""
        child = self.start(name, arguments)
        end = time.monotonic() + seconds
        while child.process.poll() is None and not self.stopping() and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)

    def wait(self, name: str, ready: Callable[[], bool]) -> None:
        """Wait until a child is ready, or until the end is asked for.

        Raises:
            NeverwinterError: it died, or takes too long.
        """
        end = time.monotonic() + _READY_SECONDS
        while not self.stopping() and not ready():
            self._raise_dead()
            if time.monotonic() > end:
                raise NeverwinterError(f"the {name} was not ready in {_READY_SECONDS:.0f} s; see {self._logs}")
            time.sleep(_POLL_SECONDS)

    def watch(self) -> None:
        """Wait until the end is asked for.

        Raises:
            NeverwinterError: a child died.
        """
        while not self.stopping():
            self._raise_dead()
            time.sleep(_POLL_SECONDS)

    def stop(self, patience: float = _STOP_SECONDS) -> None:
        """End all of them and whatever they started: SIGTERM, and SIGKILL to what is still there after a while."""
        for child in reversed(self._all):
            _signal_group(child, signal.SIGTERM)
        end = time.monotonic() + patience
        while time.monotonic() < end and any(_group_lives(child) for child in self._all):
            for child in self._all:
                child.process.poll()  # reaps it
            time.sleep(_POLL_SECONDS / 4)
        for child in self._all:
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
        self._all.clear()

    def _raise_dead(self) -> None:
        for child in self._all:
            if child.process.poll() is not None and not self.stopping():
                raise NeverwinterError(_last_words(child))


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


def _die_with_parent() -> None:
    """Linux: SIGTERM when the parent goes. Elsewhere nothing: then only an orderly end takes the children along."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _signal_group(child: _Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _group_lives(child: _Child) -> bool:
    try:
        os.killpg(child.process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # only zombies are left of it
        return False
    return True


def _last_words(child: _Child) -> str:
    lines = child.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    told = " ".join(" ".join(lines[-_LAST_WORDS:]).split())[-400:]
    reason = f"the {child.name} ended with code {child.process.returncode}"
    return f"{reason}: {told or 'it said nothing'} (all of it: {child.log})"


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
    }


def _first_arrivals(settings: Settings) -> str:
    """The first arrival hour that is shown: that of the lake's first receipt, the open one if there is none yet."""
    lake = Lake(settings.lake, work=settings.work)
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
            f"nw up --port {port + 1 if port < 65535 else DEFAULT_PORT}"  # noqa: PLR2004  (the last port)
        ) from error


def _listens(place: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(place))
        except OSError:
            return False
    return True


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  (our own address)
            return bool(answer.status == 200)  # noqa: PLR2004  (OK)
    except (OSError, urllib.error.URLError):
        return False


def _shown(host: str) -> str:
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104  (compared, not bound)
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host
