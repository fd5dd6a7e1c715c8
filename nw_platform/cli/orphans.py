"""Finds and ends what a predecessor of `nw up` left behind when it was killed.

A process is known by two variables that `nw up` gives to all it starts, and that they hand on to theirs: whose home it
works for, and which process started it. They are read from the process itself, so a process id that was given to
somebody else, or a stale file, can never make a stranger look like an orphan.
"""

from __future__ import annotations

import contextlib
import os
import platform
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import psutil

from nw_platform.errors import NeverwinterError, UsageError

__all__ = ["HOME_VARIABLE", "PARENT_VARIABLE", "end_orphans", "home_identity", "left_behind", "marks"]

HOME_VARIABLE: Final = "NW_UP_HOME"
PARENT_VARIABLE: Final = "NW_UP_PROCESS"
_COMMANDS: Final = {  # what is said of a process, by a word of its command
    "run": "spawn_main",
    "code server": "grpc",
    "daemon": "dagster._daemon",
    "web server": "dagster_webserver",
}
_PATIENCE_S: Final = 10.0
_KILL_S: Final = 10.0


def home_identity(home: Path) -> str:
    """What tells a home from all others, also from a copy of it, and from one of that name on another machine."""
    state = home.stat()
    return f"{platform.node()}:{state.st_dev}:{state.st_ino}:{home.resolve()}"


def marks(home: Path) -> dict[str, str]:
    """The variables that this process gives to those it starts."""
    return {HOME_VARIABLE: home_identity(home), PARENT_VARIABLE: str(os.getpid())}


def left_behind(home: Path) -> list[psutil.Process]:
    """The processes that were started for a home: by this process, or by one before it."""
    identity = home_identity(home)
    own = {os.getpid(), *(ancestor.pid for ancestor in psutil.Process().parents())}
    return [process for process, variables in _readable(own) if variables.get(HOME_VARIABLE) == identity]


def end_orphans(home: Path, patience: float = _PATIENCE_S) -> list[str]:
    """End what a predecessor left behind, and return what was ended, as `process 12 (code server)`.

    Call it with the lock of the home held.

    Raises:
        UsageError: they are no orphans: the `nw up` that started them is there, though it holds no lock.
        NeverwinterError: one of them cannot be ended.
    """
    orphans = left_behind(home)
    for orphan in orphans:
        _refuse_living_parent(orphan, home)
    named = [_named(orphan) for orphan in orphans]
    for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, _KILL_S)):
        for orphan in orphans:
            with contextlib.suppress(psutil.NoSuchProcess):
                orphan.send_signal(number)  # psutil refuses if the id has another owner by now
                orphan.send_signal(signal.SIGCONT)  # what was stopped cannot end
        _, orphans = psutil.wait_procs(orphans, timeout=seconds)
    if orphans:
        raise NeverwinterError(
            f"{_named(orphans[0])} of an earlier `nw up` on {home} cannot be ended; end it by hand (kill -9 "
            f"{orphans[0].pid}; one that waits for a disk ends when the disk answers) and start again"
        )
    return named


def _readable(but: set[int]) -> Iterator[tuple[psutil.Process, dict[str, str]]]:
    """The processes whose environment this user may read."""
    for process in psutil.process_iter():
        if process.pid in but:
            continue
        try:
            variables = process.environ()
            is_there = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.Error, OSError):
            continue
        if is_there:
            yield process, variables


def _refuse_living_parent(orphan: psutil.Process, home: Path) -> None:
    """An orphan's parent has gone, so its present parent is another process than the one that started it."""
    try:
        started_by = orphan.environ().get(PARENT_VARIABLE, "")
        parent = orphan.ppid()
    except psutil.Error:
        return
    if started_by == str(parent) and parent != os.getpid():
        raise UsageError(
            f"`nw up` runs already on {home} (process {parent}, whose lock file was removed); stop it, or set "
            "DAGSTER_HOME to another folder"
        )


def _named(process: psutil.Process) -> str:
    """Its id, and which of our commands it is if that can be seen."""
    try:
        words: Sequence[str] = process.cmdline()
    except psutil.Error:
        words = ()
    known = [name for name, sign in _COMMANDS.items() if any(sign in word for word in words)]
    return f"process {process.pid}" + (f" ({known[0]})" if known else "")
