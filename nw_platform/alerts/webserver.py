"""Looks at the platform from outside: what Dagster's web server says, if it says anything.

It asks the server's GraphQL interface, so it needs no access to Dagster's storage, and imports nothing of Dagster.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import requests

from nw_platform.alerts.platform import DAEMON_SILENT_US, daemon_finding, platform_finding
from nw_platform.record.hours import to_iso
from nw_platform.watchdog.findings import Finding

__all__ = ["ALERTING", "CODE_LOCATION", "DAEMON", "WEBSERVER", "WatchError", "ask", "judge", "unreachable"]

WEBSERVER: Final = "webserver"
DAEMON: Final = "daemon"
CODE_LOCATION: Final = "code_location"
ALERTING: Final = "alerting"

_TIMEOUT_S: Final = 10.0
_OK: Final = 200
_SENSOR: Final = "alerts"
_SETTLING_US: Final = 60_000_000  # so long after the web server has started a daemon may still show its old heartbeat
_QUERY: Final = """
query NwWatch {
  instance {daemonHealth {allDaemonStatuses {daemonType required lastHeartbeatTime}}}
  workspaceOrError {
    __typename
    ... on Workspace {
      locationEntries {
        name loadStatus
        locationOrLoadError {
          __typename
          ... on PythonError {message}
          ... on RepositoryLocation {
            repositories {sensors {name sensorState {status ticks(limit: 3) {status timestamp}}}}
          }
        }
      }
    }
    ... on PythonError {message}
  }
}
"""


class WatchError(Exception):
    """The web server gave no answer that means anything; the text says why, in one line."""


def ask(url: str) -> Mapping[str, Any]:
    """What the web server says now.

    Args:
        url: its address, `http://host:3000`; a path prefix may follow.

    Raises:
        WatchError: it cannot be reached, or what answers is no Dagster.
    """
    try:
        answer = requests.post(f"{url.rstrip('/')}/graphql", json={"query": _QUERY}, timeout=_TIMEOUT_S)
        status, body = answer.status_code, answer.json() if answer.status_code == _OK else None
    except requests.exceptions.Timeout:
        raise WatchError(f"no answer in {_TIMEOUT_S:.0f} s") from None
    except requests.exceptions.ConnectionError:
        raise WatchError("no connection") from None
    except (requests.exceptions.RequestException, ValueError) as error:
        raise WatchError(f"no answer of a Dagster web server ({type(error).__name__})") from None
    if status != _OK:
        raise WatchError(f"it answers with HTTP {status}")
    data = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(data, Mapping) or not data.get("instance"):
        raise WatchError(f"it answers with an error: {_one_line(body)}")
    return data


def unreachable(url: str, reason: str, since: int | None) -> tuple[list[Finding], frozenset[str]]:
    """The findings when the web server does not answer. Nothing else is judged then."""
    message = f"the Dagster web server {_shown(url)} cannot be asked: {reason}"
    repair = "start `nw up` again, or mend the address that `nw watch --url` is given"
    found = platform_finding(WEBSERVER, "", passed=False, message=message, repair=repair, since=since)
    return [found], frozenset({WEBSERVER})


def judge(
    data: Mapping[str, Any], url: str, now: int, answering_since: int, silent_us: int = DAEMON_SILENT_US
) -> tuple[list[Finding], frozenset[str]]:
    """Findings of what the web server says, and the checks that were judged.

    Args:
        data: from `ask`.
        url: where it was asked.
        now: microseconds since the epoch.
        answering_since: since when it has answered without a gap, as far as is known; 0: for long.
        silent_us: how long a daemon, or the sensor that evaluates alerts, may be silent.

    Raises:
        WatchError: the answer is not one of a Dagster that is known here.
    """
    try:
        return _judge(data, url, now, answering_since, silent_us)
    except (KeyError, TypeError, AttributeError) as error:
        raise WatchError(f"its answer is not understood ({type(error).__name__})") from None


def _judge(
    data: Mapping[str, Any], url: str, now: int, answering_since: int, silent_us: int
) -> tuple[list[Finding], frozenset[str]]:
    found = [platform_finding(WEBSERVER, "", passed=True, message=f"the Dagster web server {_shown(url)} answers")]
    judged = {WEBSERVER, DAEMON}
    settled = answering_since + _SETTLING_US - silent_us if answering_since else 0
    daemons = data["instance"]["daemonHealth"]["allDaemonStatuses"]
    heartbeats = {status["daemonType"]: status["lastHeartbeatTime"] for status in daemons if status["required"]}
    found.append(daemon_finding(heartbeats, now, settled, silent_us))
    workspace = data.get("workspaceOrError") or {}
    entries = workspace.get("locationEntries")
    if entries is None:
        failed = f"the workspace cannot be loaded: {_one_line(workspace.get('message'))}"
        found.append(_location("workspace", failed))
        return found, frozenset(judged | {CODE_LOCATION})
    if all(entry["loadStatus"] == "LOADED" for entry in entries):  # else nobody knows yet
        judged.add(CODE_LOCATION)
        found += [_judged(entry) for entry in entries]
    alerting = _alerting(list(_ticking(entries)), now, answering_since, silent_us)
    return (found, frozenset(judged)) if alerting is None else ([*found, alerting], frozenset(judged | {ALERTING}))


def _judged(entry: Mapping[str, Any]) -> Finding:
    loaded = entry["locationOrLoadError"] or {}
    if loaded.get("__typename") == "RepositoryLocation":
        return platform_finding(CODE_LOCATION, entry["name"], passed=True, message=f"{entry['name']} is loaded")
    return _location(
        entry["name"], f"the code location {entry['name']} cannot be loaded: {_one_line(loaded.get('message'))}"
    )


def _location(name: str, message: str) -> Finding:
    repair = "see the code server's log, `nw config check`, and start `nw up` again"
    return platform_finding(CODE_LOCATION, name, passed=False, message=message, repair=repair)


def _ticking(entries: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """The states of the sensor that evaluates alerts."""
    for entry in entries:
        for repository in (entry["locationOrLoadError"] or {}).get("repositories") or ():
            for sensor in repository["sensors"]:
                if sensor["name"] == _SENSOR:
                    yield sensor["sensorState"]


def _alerting(states: list[Mapping[str, Any]], now: int, answering_since: int, silent_us: int) -> Finding | None:
    """Whether alerts are evaluated. None: there is no such sensor, or nobody can say."""
    if not states:
        return None
    if all(state["status"] == "STOPPED" for state in states):
        message = f"the sensor {_SENSOR} was stopped by hand: no alert is opened or resolved"
        repair = f"start the sensor {_SENSOR} in the Dagster UI"
        return platform_finding(ALERTING, "", passed=False, message=message, repair=repair, severity="warn")
    ended = [
        int(tick["timestamp"] * 1e6)
        for state in states
        for tick in state["ticks"]
        if tick["status"] in {"SKIPPED", "SUCCESS"}
    ]
    last = max(ended, default=None)
    passed = now - max(last or 0, answering_since) <= silent_us
    never = (
        "none of its last ticks came to its end"
        if any(state["ticks"] for state in states)
        else f"the sensor {_SENSOR} never ticked"
    )
    told = never if last is None else f"the last time was {to_iso(last)}"
    message = "alerts are evaluated" if passed else f"alerts are not evaluated: {told}"
    repair = f"see the ticks of the sensor {_SENSOR} in the Dagster UI"
    return platform_finding(ALERTING, "", passed=passed, message=message, repair=repair, since=last)


def _shown(url: str) -> str:
    """An address without a password in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"


def _one_line(text: object) -> str:
    line = re.sub(r"(?<=://)[^/\s@]+@", "***@", " ".join(str(text or "no details").split()))
    return line if len(line) <= 300 else f"{line[:297]}..."  # noqa: PLR2004  (a line)
