"""What the watchdog remembers of a stream between two looks: a hint, so that a look costs what is new.

One JSON file a stream, replaced atomically. Without it, or if it cannot be understood, everything is looked at again.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from nw_platform.record.hosts import plain_host
from nw_platform.record.hours import hour_start, next_hour
from nw_platform.watchdog.observations import Balanced, Gap, HourStats, Keys, LossSeen, Unreceived
from nw_platform.watchdog.receipts import ReceiptFold

_VERSION: Final = 5


@dataclass(slots=True)
class StreamMemory:
    """Of one stream. Times are microseconds."""

    first_look: int
    rules: str = ""  # digest of the rules that the counts were made for
    fold: ReceiptFold = field(default_factory=ReceiptFold)
    receipts_version: int = -1  # Delta versions that were looked at
    logs_version: int = -1
    tokens: dict[str, str] = field(default_factory=dict)  # event hour -> token of what was judged
    stats: dict[str, HourStats] = field(default_factory=dict)  # of the hours that windows may still reach
    lines: dict[str, int] = field(default_factory=dict)  # of the hours that later ones may be compared with
    broken: dict[str, str] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    datacenters: dict[str, str] = field(default_factory=dict)  # of hosts
    first_event: int | None = None
    last_event: int | None = None
    outside: dict[str, int] = field(default_factory=dict)
    losses: dict[str, LossSeen] = field(default_factory=dict)  # of hours that are over
    loss_keys: dict[str, str] = field(default_factory=dict)  # event hour -> of what `losses` was counted
    sessions: dict[str, tuple[int, int]] = field(default_factory=dict)  # session -> hour, number of its last record
    keys: dict[str, dict[str, Keys]] = field(default_factory=dict)  # event hour -> log type -> its keys
    balances: dict[str, Balanced] = field(default_factory=dict)  # of the last look that saw news
    failing: set[str] = field(default_factory=set)  # event hours with a finding that failed
    judged_until: int | None = None

    def since(self) -> int:
        """Since when the stream is watched: the first receipt, else the first look; but nothing that has expired."""
        first = self.first_look if self.fold.first is None else min(self.first_look, self.fold.first)
        expired = self.fold.expired
        return first if expired is None else max(first, hour_start(next_hour(expired)))

    def first_kept(self) -> int | None:
        """The first event, or the first instant that retention left."""
        if self.first_event is None or self.fold.expired is None:
            return self.first_event
        return max(self.first_event, hour_start(next_hour(self.fold.expired)))

    def widen(self, hours: Iterable[HourStats]) -> None:
        """Take in the first and last event of some hours."""
        times = [t for stats in hours for t in (stats.first_time, stats.last_time) if t is not None]
        times += [t for t in (self.first_event, self.last_event) if t is not None]
        self.first_event, self.last_event = min(times, default=None), max(times, default=None)

    def as_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` is its inverse."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        return {
            **plain,
            "version": _VERSION,
            "fold": self.fold.as_json(),
            "stats": {hour: asdict(stats) for hour, stats in self.stats.items()},
            "balances": {hour: [b.raw, b.logs, b.duplicates] for hour, b in self.balances.items()},
            "losses": {hour: asdict(lost) for hour, lost in self.losses.items()},
            "sessions": {session: list(last) for session, last in self.sessions.items()},
            "keys": {hour: {name: asdict(keys) for name, keys in types.items()} for hour, types in self.keys.items()},
            "failing": sorted(self.failing),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The memory that `as_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        if data["version"] != _VERSION:
            raise ValueError(f"version {data['version']} of the memory is not known")
        plain = {name: data[name] for name in _PLAIN}
        return cls(
            **(plain | _plain_hosts(plain["hosts"], plain["datacenters"])),
            fold=ReceiptFold.from_json(data["fold"]),
            stats={hour: _stats(stats) for hour, stats in data["stats"].items()},
            balances={hour: Balanced(*counts) for hour, counts in data["balances"].items()},
            losses={hour: _losses(lost) for hour, lost in data["losses"].items()},
            sessions={session: (int(hour), int(seq)) for session, (hour, seq) in data["sessions"].items()},
            keys={hour: {name: Keys(**keys) for name, keys in types.items()} for hour, types in data["keys"].items()},
            failing=set(data["failing"]),
        )


_PLAIN: Final = (
    "first_look", "rules", "receipts_version", "logs_version", "tokens", "lines", "broken", "hosts", "datacenters",
    "loss_keys", "first_event", "last_event", "outside", "judged_until",
)  # fmt: skip


def load(folder: Path | None, stream: str) -> StreamMemory | None:
    """The memory of a stream; None if there is none that can be used."""
    if folder is None:
        return None
    try:
        return StreamMemory.from_json(json.loads((folder / f"{stream}.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def save(folder: Path, stream: str, memory: StreamMemory) -> None:
    """Write the memory of a stream. A folder that cannot be written costs time, not correctness."""
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{stream}.{os.getpid()}"
        fresh.write_text(json.dumps(memory.as_json(), separators=(",", ":")), encoding="utf-8")
        fresh.replace(folder / f"{stream}.json")


def _plain_hosts(hosts: Mapping[str, int], datacenters: Mapping[str, str]) -> dict[str, Any]:
    """Both by the plain names of hosts, which memories of older versions do not have."""
    last_seen: dict[str, int] = {}
    for host, last in hosts.items():
        name = plain_host(host)
        last_seen[name] = max(last, last_seen.get(name, last))
    return {"hosts": last_seen, "datacenters": {plain_host(host): center for host, center in datacenters.items()}}


def _stats(data: Mapping[str, Any]) -> HourStats:
    """Stats from JSON: its lists are tuples again."""
    fields = dict(data)
    fields["minutes"] = tuple(fields["minutes"])
    fields["conditions"] = {name: tuple(minutes) for name, minutes in fields["conditions"].items()}
    for name in ("error_host", "late_host", "spill_host"):
        fields[name] = tuple(fields[name]) if fields[name] else None
    return HourStats(**fields)


def _losses(data: Mapping[str, Any]) -> LossSeen:
    fields = dict(data)
    fields["largest"] = tuple(Gap(**gap) for gap in fields["largest"])
    fields["unreceived"] = tuple(Unreceived(**sender) for sender in fields["unreceived"])
    return LossSeen(**fields)
