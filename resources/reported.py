"""What Dagster has been told so far, kept in the instance's own key-value storage.

It is a hint: with a new DAGSTER_HOME it is empty, and everything is reported again. It is saved after the events it
stands for, so that a crash between the two repeats events and loses none. Keys hold a digest of the lake's address:
two lakes may share one instance.

    <prefix>/<asset>              summary: table version, hours reported through, hours held back, months kept
    <prefix>/<asset>/<month>      hour -> [token, numbers summed over ticks]
    <prefix>/checks/<stream>      the state of watchdog.findings.changes
    <prefix>/tick                 what the last tick met at the sources
    <prefix>/tick/<i>             what the last run of lane i (from 1) met there
    <prefix>/brought/<i>          what the runs of lane i brought, summed over all of them; the last days
    <prefix>/brought              lane -> how much of that was told
    <prefix>/instance             a random name of this instance
    <prefix>/heartbeat            when a tick run was last alive, microseconds since the epoch
    <prefix>/heartbeat/<i>        when a run of lane i was
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Protocol

from nw_platform.record.hours import HOUR_US, hour_of
from resources.lanes import added, merged, without
from resources.platform import LastTick, Sums

EMPTY = "-"  # the token of an hour that has no files
_BROUGHT_US: Final = 48 * HOUR_US  # so long what a lane brought waits for a tick that tells it


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

    def last_tick(self, lanes: Mapping[str, int]) -> LastTick:
        """What the last runs of all lanes met. `lanes`: stream -> how many lanes it has."""
        numbers = range(max(lanes.values(), default=1))
        found = self._get(_of_lane("tick", number) for number in numbers)
        return merged([LastTick(**found.get(_of_lane("tick", number), {})) for number in numbers], lanes)

    def tick_of(self, lane: int) -> LastTick:
        """What the last run of one lane met; of lane 0 that is the last tick."""
        name = _of_lane("tick", lane)
        return LastTick(**self._get([name]).get(name, {}))

    def save_tick(self, tick: LastTick, lane: int = 0) -> None:
        """Replace it."""
        self._set(_of_lane("tick", lane), asdict(tick))

    def bring(self, lane: int, numbers: Sums, now: int) -> None:
        """Add what a run of a lane brought: the next tick tells it. Each writes what the other only reads."""
        if not numbers:
            return
        name, oldest = _of_lane("brought", lane), hour_of(now - _BROUGHT_US)
        total = added(self._get([name]).get(name, {}), numbers)
        kept = {stream: {h: n for h, n in hours.items() if h >= oldest} for stream, hours in total.items()}
        self._set(name, kept)

    def brought(self, lanes: int) -> dict[str, Sums]:
        """What the lanes from 1 on have brought: lane -> all of it that is remembered, told or not."""
        names = {str(lane): _of_lane("brought", lane) for lane in range(1, lanes)}
        found = self._get(names.values())
        return {lane: found[name] for lane, name in names.items() if name in found}

    def untold(self, brought: Mapping[str, Sums]) -> Sums:
        """What of that was not told yet."""
        told = self._get(["brought"]).get("brought", {}) if brought else {}
        return added(*(without(sums, told.get(lane, {})) for lane, sums in brought.items()))

    def save_told(self, brought: Mapping[str, Sums]) -> None:
        """All of that was told."""
        self._set("brought", brought)

    def viewer(self, name: str) -> str:
        """The name of one that looks at findings for this instance: what one instance was told, another was not."""
        found = self._get(["instance"])
        if "instance" not in found:
            self._set("instance", uuid.uuid4().hex[:12])
            found = self._get(["instance"])
        return f"{found['instance']}-{name}"

    def heartbeat(self, lane: int = 0) -> int:
        """When a run of a lane (0: a tick) was last alive; 0 if never."""
        name = _of_lane("heartbeat", lane)
        return int(self._get([name]).get(name, 0))

    def beat(self, now: int, lane: int = 0) -> None:
        """A run of a lane (0: a tick) is alive."""
        self._set(_of_lane("heartbeat", lane), now)

    def _get(self, names: Iterable[str]) -> dict[str, Any]:
        by_key = {f"{self._prefix}/{name}": name for name in names}
        found = self._storage.get_cursor_values(set(by_key)) if by_key else {}
        return {by_key[key]: json.loads(text) for key, text in found.items()}

    def _set(self, name: str, value: object) -> None:
        text = json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        self._storage.set_cursor_values({f"{self._prefix}/{name}": text})


def _of_lane(name: str, lane: int) -> str:
    return f"{name}/{lane}" if lane else name
