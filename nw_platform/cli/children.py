"""The processes that `nw up` starts: each leads a session of its own, so that a run it started ends with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from nw_platform.errors import NeverwinterError

__all__ = ["Child", "Children"]

READY_SECONDS: Final = 300.0
_STOP_SECONDS: Final = 20.0
_POLL_SECONDS: Final = 0.2
_LAST_WORDS: Final = 4  # lines of a child's log that are shown when it dies
_BOUND: Final = Path(__file__).with_name("bound_to_parent.py")


@dataclass(slots=True)
class Child:
    """One process and the file that its output goes to; `log` is None if there could be no such file."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path | None

    def ended(self) -> bool:
        """Return True if the process has ended."""
        return self.process.poll() is not None

    def last_words(self) -> str:
        """How it ended, in one line, with the end of its log."""
        code = self.process.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        lines: list[str] = []
        if self.log is not None:
            with contextlib.suppress(OSError):
                lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        words = " ".join(" ".join(lines[-_LAST_WORDS:]).split())[-400:]
        where = f" (all of it: {self.log})" if self.log is not None else ""
        return f"the {self.name} {how}: {words or 'it said nothing'}{where}"


class Children:
    """All of them."""

    def __init__(self, logs: Path, environ: Mapping[str, str], stopping: Callable[[], bool]) -> None:
        self.stopping = stopping
        self.logs = logs
        self._environ = dict(environ)
        self._all: list[Child] = []
        logs.mkdir(parents=True, exist_ok=True)

    def start(self, name: str, arguments: Sequence[str]) -> Child:
        """Start a Python process as the leader of a session of its own. The log of the one before is kept beside."""
        log = self._new_log(name)
        bound = [sys.executable, "-I", "-S", str(_BOUND), str(os.getpid())]
        with (log or Path(os.devnull)).open("wb") as file:
            process = subprocess.Popen(  # noqa: S603  (our own arguments)
                [*bound, sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env=self._environ,
                cwd=self.logs,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._all.append(child)
        return child

    def finish(self, name: str, arguments: Sequence[str]) -> None:
        """Run a process to its end.

        Raises:
            NeverwinterError: it failed, with its last words; or it takes too long.
        """
        child = self.start(name, arguments)
        end = time.monotonic() + READY_SECONDS
        while not child.ended() and not self.stopping():
            if time.monotonic() > end:
                self.end(child, patience=0)
                raise NeverwinterError(f"{name} had not ended after {READY_SECONDS:.0f} s; see {self.logs}")
            time.sleep(_POLL_SECONDS)
        if not child.ended():
            return  # `stop` ends it
        self._all.remove(child)
        if child.process.returncode:
            raise NeverwinterError(child.last_words())

    def let(self, name: str, arguments: Sequence[str], seconds: float) -> None:
        """Let a process run for so long at most, whatever comes of it."""
        child = self.start(name, arguments)
        end = time.monotonic() + seconds
        while not child.ended() and not self.stopping() and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)

    def wait(self, child: Child, ready: Callable[[], bool]) -> None:
        """Wait until a child is ready, or until the end is asked for.

        Raises:
            NeverwinterError: a child died, or this one takes too long.
        """
        end = time.monotonic() + READY_SECONDS
        while not self.stopping() and not ready():
            for one in self._all:
                if one.ended() and not self.stopping():
                    raise NeverwinterError(one.last_words())
            if time.monotonic() > end:
                raise NeverwinterError(f"the {child.name} was not ready in {READY_SECONDS:.0f} s; see {self.logs}")
            time.sleep(_POLL_SECONDS)

    def end(self, child: Child, patience: float = _STOP_SECONDS) -> None:
        """End one of them and whatever it started."""
        self._end([child], patience)
        self._all.remove(child)

    def stop(self, patience: float = _STOP_SECONDS) -> None:
        """End all of them and whatever they started."""
        self._end(self._all, patience)
        self._all.clear()

    @staticmethod
    def _end(children: Sequence[Child], patience: float) -> None:
        """Send SIGTERM, and SIGKILL to what is still there after a while. What was stopped goes on, to hear it."""
        for child in reversed(children):
            _signal_group(child, signal.SIGTERM)
            _signal_group(child, signal.SIGCONT)
        end = time.monotonic() + patience
        while time.monotonic() < end and any(_group_lives(child) for child in children):
            for child in children:
                child.process.poll()  # reaps it
            time.sleep(_POLL_SECONDS / 4)
        for child in children:
            _signal_group(child, signal.SIGKILL)
            child.process.wait()

    def _new_log(self, name: str) -> Path | None:
        """The file for the output; None if it cannot be made: a full disk must not keep a process from starting."""
        log = self.logs / f"{name}.log"
        try:
            if log.exists():
                log.replace(log.with_suffix(".previous.log"))
            log.write_bytes(b"")
        except OSError:
            return None
        return log


def _signal_group(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)


def _group_lives(child: Child) -> bool:
    try:
        os.killpg(child.process.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # only zombies are left of it
        return False
    return True
