"""What traffic to make. Equal specifications make equal bytes, whatever the clock or the machine.

All instants are microseconds since the epoch, UTC.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from nw_platform.errors import UsageError

SECOND_US: Final = 1_000_000
MINUTE_US: Final = 60 * SECOND_US

# A late record says that it happened this much earlier than the minute it is sent in: more than the default
# `late_after` of a stream, and a whole number of minutes, so that a minute's ledger stays a minute's ledger.
LATE_BY_US: Final = 25 * 60 * MINUTE_US

_DATACENTERS: Final = ("east", "west")
_PROCESSES: Final = ("frontend", "checkout")


@dataclass(frozen=True, slots=True)
class Sender:
    """One process on one host: it has one emitter session and writes files of its own."""

    host: str
    ip: str
    process: str
    pid: int

    def session(self, seed: int) -> str:
        """The name of its emitter session: 12 hex digits."""
        return hashlib.sha256(f"{seed}/{self.host}/{self.process}".encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class Silence:
    """A host that writes nothing, not even heartbeats, in `[start, end)`."""

    host: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class LateFile:
    """The file of a host that holds the instant `covers` arrives only at `arrives`."""

    host: str
    covers: int
    arrives: int


@dataclass(frozen=True, slots=True)
class RenamedKey:
    """From `start` on, senders of `process` write the key `old` as `new`."""

    process: str
    old: str
    new: str
    start: int


@dataclass(frozen=True, slots=True)
class BrokenLines:
    """A host's `process` writes `lines` cut lines in the minute that begins at `minute`."""

    host: str
    process: str
    minute: int
    lines: int


@dataclass(frozen=True, slots=True)
class Faults:
    """Things that go wrong at known places."""

    silences: tuple[Silence, ...] = ()
    late_files: tuple[LateFile, ...] = ()
    renamed_keys: tuple[RenamedKey, ...] = ()
    broken_lines: tuple[BrokenLines, ...] = ()


@dataclass(frozen=True, slots=True)
class TrafficSpec:
    """Traffic of some hosts over some time.

    `rate` counts records per second of all hosts together, watchdog records and repeated lines not included. The
    shares (0 to 1) are of those records: sent as series error, happened long before (late), sent twice, went
    through the spool; `broken` lines, cut short, come on top.
    """

    start: int
    seconds: int
    rate: float
    seed: int = 1
    errors: float = 0.0
    late: float = 0.0
    duplicates: float = 0.0
    spill: float = 0.0
    broken: float = 0.0
    hosts: int = 4
    processes: int = 2  # a host
    minutes_per_file: int = 1
    faults: Faults = Faults()

    def check(self) -> None:
        """Refuse what cannot be made.

        Raises:
            UsageError: an option is out of its range; the message names it.
        """
        for name in ("errors", "late", "duplicates", "spill", "broken"):
            share = getattr(self, name)
            if not 0 <= share <= 1:
                raise UsageError(f"--{name} {share:g} is no share: write it from 0 to 1, for example 0.01 for 1 %")
        if self.seconds < 1:
            raise UsageError(f"--seconds {self.seconds}: at least 1")
        if not 0 < self.rate <= 10_000_000:  # noqa: PLR2004  (said in the message)
            raise UsageError(f"--rate {self.rate:g}: more than 0 and at most 10000000 records a second")
        if not 1 <= self.hosts <= 250:  # noqa: PLR2004  (said in the message)
            raise UsageError(f"--hosts {self.hosts}: from 1 to 250")
        if self.processes not in {1, 2}:
            raise UsageError(f"processes {self.processes}: 1 or 2 a host")
        if self.start % MINUTE_US:
            raise UsageError("traffic starts at a whole minute: write --start as 2026-11-22T05:13Z")
        if not 1 <= self.minutes_per_file <= 720:  # noqa: PLR2004  (said in the message)
            raise UsageError(f"--minutes-per-file {self.minutes_per_file}: from 1 to 720")

    @property
    def end(self) -> int:
        """The instant after the last one."""
        return self.start + timedelta(seconds=self.seconds) // timedelta(microseconds=1)

    def minutes(self) -> range:
        """The first instants of all minutes, the last of which may be cut short by `end`."""
        return range(self.start, self.end, MINUTE_US)


def host_names(count: int) -> list[str]:
    """The names of the first `count` hosts, spread over two datacenters."""
    return [f"web-{i // 2 + 1:02d}.{_DATACENTERS[i % 2]}" for i in range(count)]


def senders(hosts: int, processes: int = len(_PROCESSES)) -> list[Sender]:
    """Every process of the first `hosts` hosts; with one process a host, pairs of hosts take turns in what they run."""
    return [
        Sender(host=host, ip=f"10.{1 + i % 2}.0.{10 + i // 2}", process=process, pid=1000 + 10 * i + p)
        for i, host in enumerate(host_names(hosts))
        for p, process in enumerate(_PROCESSES)
        if processes > 1 or p == i // 2 % 2
    ]
