"""Processes that outlive who started them: found again by a mark in their command line, never by a number alone.

A pid in a file may meanwhile be another process's. So each service's JVM carries `-Dneverwinter.service=FOLDER`, and
only a process with exactly that argument is ours.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from nw_platform.errors import NeverwinterError

_POLL_SECONDS: Final = 0.03
# Below the range from which the kernel takes ports for outgoing connections: a client that tries again and again to
# reach a stopped service at a port of that range ends up connected to itself, and the service cannot start again.
_PORTS: Final = range(15000, 30000)


def mark(folder: Path) -> str:
    """The argument by which the process of the service in `folder` is known."""
    return f"-Dneverwinter.service={folder.resolve()}"


def start(command: Sequence[str], log: Path) -> int:
    """Start a process that outlives this one; its output goes to `log`. Returns its pid."""
    with log.open("ab") as file:
        process = subprocess.Popen(  # noqa: S603  (our own arguments)
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            env=environment(),
            start_new_session=True,
        )
    _children[process.pid] = process
    return process.pid


def environment() -> dict[str, str]:
    """The environment of a service: with a locale in which Java can open paths beyond ASCII."""
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def is_running(pid: int, mark: str) -> bool:
    """Whether `pid` is the process with that mark (False for one that has ended and was not waited for)."""
    if (child := _children.get(pid)) is not None:
        # A program that is being started has no arguments to look at for a moment.
        if child.poll() is None:
            return True
        del _children[pid]
    return mark in _arguments(pid)


def find(mark: str) -> list[int]:
    """The processes with that mark, whoever started them."""
    if _PROC.is_dir():
        pids = [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]
        return [pid for pid in pids if mark in _arguments(pid)]
    listed = subprocess.run(["ps", "-axww", "-o", "pid=,command="], capture_output=True, text=True, check=True).stdout  # noqa: S607
    rows = [line.split(maxsplit=1) for line in listed.splitlines()]
    return [int(row[0]) for row in rows if len(row) > 1 and mark in row[1].split(" ")]


def stop(pid: int, mark: str, *, patience: float, sign: signal.Signals = signal.SIGTERM) -> None:
    """End the process and wait for its end; after `patience` seconds it is killed.

    Raises:
        NeverwinterError: it does not end.
    """
    for one, seconds in ((sign, patience), (signal.SIGKILL, 10.0)):
        if not is_running(pid, mark):
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, one)
        deadline = time.monotonic() + seconds
        while is_running(pid, mark) and time.monotonic() < deadline:
            time.sleep(_POLL_SECONDS)
    if is_running(pid, mark):
        raise NeverwinterError(f"process {pid} does not end, not even when killed: look at it with `ps {pid}`")


def free_ports(count: int) -> list[int]:
    """So many ports of 127.0.0.1 that nobody listens on now."""
    found: list[int] = []
    for port in random.sample(_PORTS, len(_PORTS)):
        if is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise NeverwinterError(f"no {count} free ports between {_PORTS.start} and {_PORTS.stop} on 127.0.0.1")


def is_free(port: int) -> bool:
    """Whether a server could listen there now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def listens(port: int) -> bool:
    """Whether somebody listens on that port of 127.0.0.1."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


_PROC: Final = Path("/proc/self").parent
_children: dict[int, subprocess.Popen[bytes]] = {}  # what this process started: waited for, so that no zombie stays


def _arguments(pid: int) -> list[str]:
    if _PROC.is_dir():
        try:
            return (_PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            return []
    told = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
    return told.stdout.split()
