"""The one door from Dagster's side into nw_platform. Tests pass a fake of the same shape as an override."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, Protocol

from nw_platform.settings import Settings
from nw_platform.watchdog.findings import Finding

Layer = Literal["raw", "logs"]
LAYERS: Final[tuple[Layer, ...]] = ("raw", "logs")

Numbers = Mapping[str, int | float | str]  # counts; and hours as text
Sums = Mapping[str, Mapping[str, Mapping[str, int | float]]]  # stream -> arrival hour -> sums over batches
# lag_seconds, lag_records, lag_headroom_hours (until the source's retention deletes unread data): those that are known.
LagNumbers = Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class HourOf:
    """What a table holds of one hour. `token` changes whenever the hour's files change."""

    records: int
    token: str


@dataclass(frozen=True, slots=True)
class TableState:
    """One table as of one version."""

    version: int
    hours: Mapping[str, HourOf]


@dataclass(frozen=True, slots=True)
class TickOutcome:
    """What a tick did, in counts."""

    numbers: Sums
    problems: Sequence[Mapping[str, object]] = ()  # JSON values
    failures: Mapping[str, str] = field(default_factory=dict)  # stream -> one line
    lags: Mapping[str, LagNumbers] = field(default_factory=dict)  # by stream, as of the end
    lost_races: int = 0
    more: bool = False


@dataclass(frozen=True, slots=True)
class MaintainOutcome:
    """What upkeep did, in counts."""

    counts: Mapping[str, Mapping[str, int]]  # stream -> merged_hours, merged_files, expired_raw_hours, ...
    failures: Mapping[str, str] = field(default_factory=dict)  # stream -> one line


@dataclass(frozen=True, slots=True)
class LastTick:
    """What the last run of a lane (or of all) met at the sources: the evaluations in between are made with it."""

    problems: Sequence[Mapping[str, object]] = ()
    failures: Mapping[str, str] = field(default_factory=dict)
    ingested_until: int | None = None  # microseconds; when ingestion last was up to date
    lags: Mapping[str, LagNumbers] = field(default_factory=dict)  # by stream, as of `looked_at`; of failed ones none
    looked_at: int | None = None  # microseconds; when the sources were last looked at


@dataclass(frozen=True, slots=True)
class Health:
    """What Dagster's side knows of the platform itself."""

    findings: Sequence[Finding] = ()
    judged: Collection[str] = ()  # names of the checks that were judged, whatever was found


@dataclass(frozen=True, slots=True)
class HourOutcome:
    """What a replay or a rebuild did to one hour."""

    hour: str
    numbers: Numbers
    note: str = ""


@dataclass(frozen=True, slots=True)
class BuildOutcome:
    """Which report periods were built, and which were refused and why."""

    seconds: float = 0.0
    built: Sequence[tuple[str, str, str]] = ()  # table, grain, period
    refused: Sequence[tuple[str, str]] = ()  # period, reason
    gaps: Sequence[str] = ()  # streams that are missing from what was built, a line each
    rows: Mapping[tuple[str, str], int] = field(default_factory=dict)  # (table, day) -> rows of the day's report
    tests: Mapping[str, tuple[bool, str]] = field(default_factory=dict)  # dbt's unique id of a test -> passed, message


class Platform(Protocol):
    """What Dagster's side asks of nw_platform.

    `now` is in microseconds since the epoch; hours are UTC, written `2026-11-22T05`; ranges exclude their last hour.
    Safe to use from several threads.
    """

    settings: Settings

    def clock(self) -> int:
        """The time. Below this layer and the command line nothing reads a clock."""

    def news(self, now: int, lane: int | None = None) -> list[str]:
        """Streams that have something to ingest or to apply (in their lane of this number; None: in any).

        Cheap; never raises for one bad source.
        """

    def tick(
        self, *, streams: Collection[str] | None = None, lane: int | None = None, deadline: int | None = None
    ) -> TickOutcome:
        """Ingest what is there (in the lanes of this number; None: in all), taking turns, until `deadline`."""

    def version(self, layer: Layer, stream: str) -> int | None:
        """The version of a table; None if there is none yet. Cheap."""

    def state(self, layer: Layer, stream: str) -> TableState | None:
        """All hours of a table; None if there is none yet."""

    def first_arrival(self, stream: str) -> str | None:
        """The arrival hour of the stream's first receipt; None if there is none yet."""

    def hour_numbers(self, layer: Layer, stream: str, hours: Collection[str], now: int) -> Mapping[str, Numbers]:
        """Numbers of whole hours as the lake has them. Hours may be missing."""

    def replay(self, stream: str, first: str, last: str, now: int) -> list[HourOutcome]:
        """Read the raw data of some arrival hours from the source again."""

    def rebuild(self, stream: str, first: str, last: str, now: int) -> list[HourOutcome]:
        """Compute `logs` of some event hours from raw again."""

    def maintain(self) -> MaintainOutcome:
        """Merge the files of closed hours, delete what has expired. A stream that fails stops no other."""

    def changed_days(self, now: int) -> dict[str, str]:
        """Days whose reports are older than their logs, oldest first; a token of what they would be built from."""

    def built_days(self) -> dict[str, dict[str, int]]:
        """Days that have reports, oldest first, however they were built: table -> rows of the day's report."""

    def build(self, first: str, last: str, now: int, *, tables: Collection[str] | None = None) -> BuildOutcome:
        """Build the reports of some hours (None: all tables)."""

    def findings(self, viewer: str | None, now: int, tick: LastTick) -> list[Finding]:
        """Evaluate the checks: what may have changed since the viewer's last look; None: everything."""

    def alert(self, viewer: str, now: int, tick: LastTick, health: Health) -> str:
        """Evaluate the checks as of now, and open, remind of and resolve alerts; what was done, in one line.

        Raises:
            NeverwinterError: the lake cannot be read or written. A channel that fails is part of what was done.
        """

    def seen(self, viewer: str) -> None:
        """The viewer's findings were put to use; a look without it is repeated."""

    def close(self) -> None:
        """Release what is open. May be called twice."""
