"""Signs that a process of `nw up` works, and when their absence means that it does not.

A sign is fed with what was seen (`saw`) and asked for a problem (`problem`). All times are seconds of a clock that is
never set (`time.monotonic`): of heartbeats only their change counts, and not the time that is written in them.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import grpc
import psutil
import requests

__all__ = [
    "AnswerSign",
    "HeartbeatSign",
    "NoSign",
    "Pace",
    "Sign",
    "answers_grpc",
    "answers_http",
    "heartbeats",
    "listens",
    "stopped_processes",
]

_HEALTH: Final = "/grpc.health.v1.Health/Check"
_DAGSTER: Final = b"\x0a\x0aDagsterApi"  # HealthCheckRequest(service="DagsterApi")
_SERVING: Final = b"\x08\x01"  # HealthCheckResponse(status=SERVING)
_OK: Final = 200
_BEATS_QUERY: Final = "{instance {daemonHealth {allDaemonStatuses {daemonType required lastHeartbeatTime}}}}"
_MAY_BE_LONG: Final = frozenset({"BACKFILL"})  # one step of a large backfill takes as long as it takes

Beats = Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Pace:
    """How often is looked, and how long is waited; seconds."""

    look: float = 5.0
    timeout: float = 20.0  # of one question
    ready: float = 300.0  # until the first sign of a process that was just started
    silent: float = 60.0  # an answer that comes late is one
    stopped: float = 15.0  # a process that was stopped (SIGSTOP) and not continued
    heartbeat: float = 90.0  # all parts of the daemon; each gives a sign every 30 s
    part_heartbeat: float = 600.0  # one part of the daemon while others go on
    clock_jump: float = 60.0  # a clock that was set by less delays a tick by no more than that
    waits: tuple[float, ...] = (0.0, 2.0, 5.0, 15.0, 30.0)  # before the first restart, the second, ...
    window: float = 900.0  # in which no more restarts than those are made
    calm: float = 600.0  # so long after its restart the alert of a process is resolved


class Sign(Protocol):
    """Tells from what was seen of a process whether it works."""

    def reset(self, now: float) -> None:
        """Forget what was seen: the process was just started, or nobody looked for a while."""

    def problem(self, now: float) -> str:
        """What is wrong, in some words that follow the process's name; empty: nothing."""


class NoSign:
    """A process that is asked nothing: it works as long as it lives."""

    def reset(self, now: float) -> None:
        """Nothing is remembered."""

    def problem(self, now: float) -> str:
        """Nothing is known."""
        del now
        return ""


class AnswerSign:
    """A process that answers when it is asked."""

    def __init__(self, pace: Pace, now: float) -> None:
        self._pace = pace
        self.reset(now)

    def reset(self, now: float) -> None:
        """Expect the first answer within `Pace.ready`."""
        self._since, self._reset_at, self._has_answered = now, now, False

    def saw(self, *, answered: bool, asked: float, now: float) -> None:
        """Take down whether it answered what it was `asked` then; not if the process asked is no more."""
        if answered and asked >= self._reset_at:
            self._since, self._has_answered = now, True

    def problem(self, now: float) -> str:
        """Say since when there was no answer, if that is too long."""
        silent = now - self._since
        limit = self._pace.silent if self._has_answered else self._pace.ready
        return f"has not answered for {silent:.0f} s" if silent > limit else ""


class HeartbeatSign:
    """The daemon: its parts write heartbeats, which somebody else (the web server) has to be asked for."""

    def __init__(self, pace: Pace, now: float) -> None:
        self._pace = pace
        self.reset(now)

    def reset(self, now: float) -> None:
        """Expect heartbeats from now on."""
        self._started, self._looked = now, now
        self._beats: dict[str, float | None] = {}
        self._changed: dict[str, float] = {}
        self._has_beaten = False

    def saw(self, beats: Beats | None, now: float) -> None:
        """Take down the last heartbeat of each part; None: nobody could say."""
        if beats is None:
            return
        for part, beat in beats.items():
            if part not in self._changed:  # what was written before the daemon started is no sign of it
                self._changed[part] = self._started
            elif beat != self._beats[part]:
                self._changed[part] = now
                self._has_beaten = True
            self._beats[part] = beat
        self._looked = now

    def problem(self, now: float) -> str:
        """Say which parts gave no sign for too long; what happened since the last look is not known."""
        del now
        silent = {part: self._looked - changed for part, changed in self._changed.items()}
        if not silent:
            return ""
        limit = self._pace.heartbeat if self._has_beaten else max(self._pace.heartbeat, self._pace.ready)
        if min(silent.values()) > limit:
            return f"has given no sign of life for {min(silent.values()):.0f} s"
        late = [part for part, seconds in silent.items() if seconds > self._pace.part_heartbeat]
        parts = ", ".join(sorted(set(late) - _MAY_BE_LONG))
        return f"has given no sign of life in part ({parts}) for {self._pace.part_heartbeat:.0f} s" if parts else ""


def listens(place: Path) -> bool:
    """Return True if somebody takes connections at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(place))
        except OSError:
            return False
    return True


def answers_grpc(place: Path, timeout: float) -> bool:
    """Return True if the code server at a socket says that it serves, within `timeout` seconds."""
    try:
        with grpc.insecure_channel(f"unix:{place}") as channel:
            return bool(channel.unary_unary(_HEALTH)(_DAGSTER, timeout=timeout) == _SERVING)
    except grpc.RpcError:
        return False


def answers_http(url: str, timeout: float) -> bool:
    """Return True if the web server answers within `timeout` seconds."""
    try:
        with _direct() as session:
            return session.get(f"{url}/server_info", timeout=timeout).status_code == _OK
    except requests.exceptions.RequestException:
        return False


def heartbeats(url: str, timeout: float) -> Beats | None:
    """The last heartbeat of each part of the daemon, as the web server knows it; None if it does not say."""
    try:
        with _direct() as session:
            answer = session.post(f"{url}/graphql", json={"query": _BEATS_QUERY}, timeout=timeout).json()
        statuses = answer["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
        return {one["daemonType"]: one["lastHeartbeatTime"] for one in statuses if one["required"]}
    except (requests.exceptions.RequestException, ValueError, KeyError, TypeError):
        return None


def _direct() -> requests.Session:
    """A session that uses no proxy: the web server is on this machine."""
    session = requests.Session()
    session.trust_env = False
    return session


def stopped_processes(pid: int) -> list[psutil.Process]:
    """Those of a process and of what it started that are stopped (SIGSTOP): they do nothing until SIGCONT comes."""
    with contextlib.suppress(psutil.Error):
        leader = psutil.Process(pid)
        return [one for one in [leader, *leader.children(recursive=True)] if _is_stopped(one)]
    return []


def _is_stopped(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.Error):
        return bool(process.status() == psutil.STATUS_STOPPED)
    return False
