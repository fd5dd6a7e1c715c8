"""What Kafka and HDFS have in common: a folder, a process, its ports; up, down, and what happens after a crash.

FOLDER/<name>/data/           what the service keeps; `down` leaves it, `purge` deletes it
FOLDER/<name>/started         the service has answered on this data folder; without this file it is made anew
FOLDER/<name>/process.json    {"pid": ..., "ports": {...}} of the last start; ports are kept from start to start
FOLDER/<name>/server.log      what the process says
FOLDER/<name>.lock            held while somebody starts or stops it
"""

from __future__ import annotations

import json
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

from nw_platform.errors import NeverwinterError, UsageError
from nw_platform.services import processes
from nw_platform.services.artefacts import ServiceName
from nw_platform.services.java import find_java
from nw_platform.services.locks import locked

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.05
_ATTEMPTS: Final = 3  # another process may take a port between the choice and the start
_LAST_LINES: Final = 4
_JVM: Final = ("-Xms64m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-Djava.net.preferIPv4Stack=true")
_QUICK: Final = ("-XX:TieredStopAtLevel=1",)  # halves the CPU time of a start; slower from the second minute on


@dataclass(frozen=True, slots=True)
class Process:
    """The process of a service."""

    pid: int
    ports: Mapping[str, int]


class Service(ABC):
    """One service in one folder. Objects are cheap: all state is in the folder and in the process table."""

    name: ClassVar[ServiceName]
    port_names: ClassVar[Sequence[str]]

    def __init__(self, folder: Path, *, quick: bool = False) -> None:
        """Nothing is started or written.

        Args:
            folder: where the services of a project live; `<folder>/<name>` is this one's.
            quick: start with less CPU time and run slower: for tests.
        """
        self.folder = folder.resolve() / self.name
        self._jvm = (*_JVM, *(_QUICK if quick else ()), f"-Djava.io.tmpdir={self.folder / 'tmp'}")

    @property
    def log(self) -> Path:
        """What the process says."""
        return self.folder / "server.log"

    @abstractmethod
    def addresses(self, ports: Mapping[str, int]) -> dict[str, str]:
        """What clients connect to, as `nw services status --json` prints it."""

    @abstractmethod
    def _format(self, ports: Mapping[str, int]) -> None:
        """Make an empty `data` folder ready for the first start."""

    @abstractmethod
    def _command(self, ports: Mapping[str, int], *, first: bool) -> list[str]:
        """The command of the server, without `java` and the options of the JVM. `first`: on an empty data folder."""

    @abstractmethod
    def _answers(self, ports: Mapping[str, int]) -> bool:
        """Whether this service, not another at the same ports, does its work now; takes at most some seconds."""

    def up(self, *, timeout: float = _START_SECONDS) -> dict[str, str]:
        """Start it if it does not run, wait until it answers, and return its addresses.

        Args:
            timeout: seconds.

        Raises:
            UsageError: the folder holds something else.
            RequirementError: Java, Maven or the jars are missing.
            NeverwinterError: it does not start, or does not answer in time.
        """
        deadline = time.monotonic() + timeout
        with self._locked():
            running = self.process()
            if running is None or not self._wait(running, deadline):
                running = self._start(deadline)
            self._started.touch()
            return self.addresses(running.ports)

    def down(self, *, purge: bool = False) -> bool:
        """Stop it, with `purge` delete its data too. Returns whether it ran.

        Raises:
            NeverwinterError: it does not end.
        """
        with self._locked():
            ran = self._end(signal.SIGTERM)
            if purge and self._sign.exists():
                shutil.rmtree(self.folder, ignore_errors=True)
            return ran

    def kill(self) -> None:
        """End it as a crash does (SIGKILL)."""
        with self._locked():
            self._end(signal.SIGKILL)

    def status(self) -> dict[str, str] | None:
        """Its addresses if it runs and answers; else None."""
        running = self.process()
        if running is None or not all(map(processes.listens, running.ports.values())):
            return None
        return self.addresses(running.ports) if self._answers(running.ports) else None

    def process(self) -> Process | None:
        """Its process; None where it does not run, whatever the pid file says."""
        written = self._read()
        if written is not None and processes.is_running(written.pid, self._mark):
            return written
        return None

    @property
    def _sign(self) -> Path:
        return self.folder / ".service"

    @property
    def _started(self) -> Path:
        return self.folder / "started"

    @property
    def _mark(self) -> str:
        return processes.mark(self.folder)

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.folder.with_name(f"{self.name}.lock"))

    def _start(self, deadline: float) -> Process:
        self._claim()
        self._end(signal.SIGKILL)  # one whose pid file was lost
        (self.folder / "tmp").mkdir(parents=True, exist_ok=True)
        for attempt in range(1, _ATTEMPTS + 1):
            ports = self._ports()
            first = not self._started.exists()
            if first:
                shutil.rmtree(self.folder / "data", ignore_errors=True)
                (self.folder / "data").mkdir()
                self._format(ports)
            self.log.unlink(missing_ok=True)
            command = [*self._java(), *self._command(ports, first=first)]
            process = Process(processes.start(command, self.log), ports)
            self._write(process)
            if self._wait(process, deadline):
                return process
            if attempt == _ATTEMPTS or all(map(processes.is_free, ports.values())):
                break
        raise NeverwinterError(f"{self.name} ended instead of starting: {self._last_words()} ({self.log})")

    def _claim(self) -> None:
        if not self._sign.exists():
            if self.folder.exists() and any(self.folder.iterdir()):
                raise UsageError(
                    f"{self.folder} holds something else, not data of `nw services`: choose another folder (--dir)"
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            self._sign.touch()

    def _java(self, *, heap: str = "512m") -> list[str]:
        return [find_java(), f"-Xmx{heap}", *self._jvm]

    def _ports(self) -> dict[str, int]:
        """The ports of the last start if they are free; else others."""
        written = self._read()
        if written is not None and set(written.ports) == set(self.port_names):
            kept = dict(written.ports)
            if all(map(processes.is_free, kept.values())):
                return kept
        return dict(zip(self.port_names, processes.free_ports(len(self.port_names)), strict=True))

    def _wait(self, process: Process, deadline: float) -> bool:
        """Wait until it answers (True) or has ended (False).

        Raises:
            NeverwinterError: it does neither in time.
        """
        while processes.is_running(process.pid, self._mark):
            if all(map(processes.listens, process.ports.values())) and self._answers(process.ports):
                return True
            if time.monotonic() > deadline:
                raise NeverwinterError(f"{self.name} runs but does not answer: look into {self.log}, or stop it")
            time.sleep(_POLL_SECONDS)
        return False

    def _last_words(self) -> str:
        try:
            lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        return " | ".join(line.strip() for line in lines[-_LAST_LINES:]) or "it said nothing"

    def _end(self, sign: signal.Signals) -> bool:
        pids = {*processes.find(self._mark), *([running.pid] if (running := self.process()) else [])}
        for pid in pids:
            processes.stop(pid, self._mark, patience=_STOP_SECONDS, sign=sign)
        return bool(pids)

    def _read(self) -> Process | None:
        try:
            written = json.loads((self.folder / "process.json").read_text(encoding="utf-8"))
            return Process(int(written["pid"]), {name: int(port) for name, port in written["ports"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _write(self, process: Process) -> None:
        path = self.folder / "process.json"
        draft = path.with_suffix(".tmp")
        draft.write_text(json.dumps({"pid": process.pid, "ports": dict(process.ports)}), encoding="utf-8")
        draft.replace(path)
