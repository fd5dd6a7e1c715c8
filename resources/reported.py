"""What Dagster has been told so far, kept in the instance's own key-value storage.

It is a hint: with a new DAGSTER_HOME it is empty, and everything is reported again. It is saved after the events it
stands for, so that a crash between the two repeats events and loses none. Keys hold a digest of the lake's address:
two lakes may share one instance.

    <prefix>/<asset>              summary: table version, hours reported through, hours held back, months kept
    <prefix>/<asset>/<month>      hour -> [token, numbers summed over ticks]
    <prefix>/checks/<stream>      the state of watchdog.findings.changes
    <prefix>/tick                 what the last tick met at the sources
    <prefix>/instance             a random name of this instance
    <prefix>/heartbeat            when a tick run was last alive, microseconds since the epoch
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from resources.platform import LastTick

EMPTY = "-"  # the token of an hour that has no files


class KeyValues(Protocol):
    """The part of Dagster's DaemonCursorStorage that is used."""

    def get_cursor_values(self, keys: set[str]) -> Mapping[str, str]:
        """The values of those keys that are there."""

    def set_cursor_values(self, pairs: Mapping[str, str]) -> None:
        """Write; with several pairs some of which are new, Dagster 1.13 loses the new ones: write one at a time."""


@dataclass(slots=True)
class Hour:
    """An hour as it was reported."""

    token: str
    numbers: dict[str, int | float] = field(default_factory=dict)


@dataclass(slots=True)
class Summary:
    """What was reported of one asset as a whole."""

    version: int | None = None  # of the table
    through: str = ""  # every hour before this one was reported, also if nothing arrived in it
    held: str = ""  # the earliest hour that is beyond the partitions so far
    more: bool = False  # a bounded report left something for the next tick
    months: list[str] = field(default_factory=list)


class Reported:
    """Reads and writes the state."""

    def __init__(self, storage: KeyValues, lake: str) -> None:
        self._storage = storage
        self._prefix = f"neverwinter/{hashlib.sha256(lake.encode()).hexdigest()[:12]}"

    def summaries(self, assets: Iterable[str]) -> dict[str, Summary]:
        """One summary for each asset."""
        found = self._get(assets)
        return {asset: Summary(**found[asset]) if asset in found else Summary() for asset in assets}

    def hours(self, asset: str, months: Iterable[str]) -> dict[str, Hour]:
        """All hours of some months that were reported."""
        found = self._get(f"{asset}/{month}" for month in months)
        return {hour: Hour(*value) for month in found.values() for hour, value in month.items()}

    def save(self, asset: str, summary: Summary, hours: Mapping[str, Hour], changed_months: Iterable[str]) -> None:
        """Write the changed months of `hours`, then the summary."""
        for month in sorted(changed_months):
            rows = {hour: [state.token, state.numbers] for hour, state in hours.items() if hour.startswith(month)}
            self._set(f"{asset}/{month}", rows)
        self._set(asset, asdict(summary))

    def checks(self, stream: str) -> dict[str, bool]:
        """The state of the stream's checks."""
        name = f"checks/{stream}"
        return dict(self._get([name]).get(name, {}))

    def save_checks(self, stream: str, state: Mapping[str, bool]) -> None:
        """Write the state of the stream's checks."""
        self._set(f"checks/{stream}", dict(state))

    def last_tick(self) -> LastTick:
        """What the last tick met."""
        return LastTick(**self._get(["tick"]).get("tick", {}))

    def save_tick(self, tick: LastTick) -> None:
        """Replace it."""
        self._set("tick", asdict(tick))

    def viewer(self, name: str) -> str:
        """The name of one that looks at findings for this instance: what one instance was told, another was not."""
        found = self._get(["instance"])
        if "instance" not in found:
            self._set("instance", uuid.uuid4().hex[:12])
            found = self._get(["instance"])
        return f"{found['instance']}-{name}"

    def heartbeat(self) -> int:
        """When a tick run was last alive; 0 if never."""
        return int(self._get(["heartbeat"]).get("heartbeat", 0))

    def beat(self, now: int) -> None:
        """A tick run is alive."""
        self._set("heartbeat", now)

    def _get(self, names: Iterable[str]) -> dict[str, Any]:
        by_key = {f"{self._prefix}/{name}": name for name in names}
        found = self._storage.get_cursor_values(set(by_key)) if by_key else {}
        return {by_key[key]: json.loads(text) for key, text in found.items()}

    def _set(self, name: str, value: object) -> None:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        self._storage.set_cursor_values({f"{self._prefix}/{name}": text})
