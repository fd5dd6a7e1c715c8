"""What was seen of a stream: plain data, gathered by `observe.py` or written down in a test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final, Protocol

from nw_platform.lake.agreement import LaneBehind
from nw_platform.record.hours import HOUR_US, hour_of, hour_start
from nw_platform.watchdog.expectations import MINUTE_US

NO_MINUTES = (0,) * 60
START_UP_US: Final = HOUR_US  # after so long somebody should have sent something


class Balance(Protocol):
    """Of one event hour: what the receipts counted, and what `logs` and `duplicates` hold."""

    @property
    def raw(self) -> int: ...  # noqa: D102  (said above)
    @property
    def logs(self) -> int: ...  # noqa: D102  (said above)
    @property
    def duplicates(self) -> int: ...  # noqa: D102  (said above)


@dataclass(frozen=True, slots=True)
class Balanced:
    """A balance that is remembered."""

    raw: int
    logs: int
    duplicates: int


class SourceProblem(Protocol):
    """Something at a source that is no record, as sources.contract.Problem."""

    @property
    def kind(self) -> str: ...  # noqa: D102  (said above)
    @property
    def source(self) -> str: ...  # noqa: D102  (said above)
    @property
    def position(self) -> int: ...  # noqa: D102  (said above)
    @property
    def reason(self) -> str: ...  # noqa: D102  (said above)


@dataclass(frozen=True, slots=True)
class HourStats:
    """The `logs` of one event hour. `lines` are of series normal and error; watchdog records count apart."""

    lines: int = 0
    errors: int = 0  # series error
    rejects: Mapping[str, int] = field(default_factory=dict)  # reject_reason -> errors
    late: int = 0
    watchdog: int = 0
    minutes: tuple[int, ...] = NO_MINUTES  # lines in each minute of the hour
    first_time: int | None = None
    last_time: int | None = None
    error_host: tuple[str, int] | None = None  # the host with most errors, and how many
    late_host: tuple[str, int] | None = None
    error_since: int | None = None  # event time of the first error
    spilled: int = 0  # records of every series that went through a spool
    spill_host: tuple[str, int] | None = None
    types: Mapping[str, int] = field(default_factory=dict)  # log type -> lines, where a rule asks for it
    conditions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)  # SQL condition -> lines by minute
    values: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # subject -> value not allowed -> lines
    filled: Mapping[str, int] = field(default_factory=dict)  # subject -> lines with a value


@dataclass(frozen=True, slots=True)
class Gap:
    """Numbers of a session that are missing, both ends included, between two records. Times in microseconds."""

    host: str | None
    process: str | None
    session: str
    first: int
    last: int
    before: int  # event time of the record before
    after: int


@dataclass(frozen=True, slots=True)
class Unreceived:
    """What one sender says it sent of a log type in a minute, and how much of it is not there."""

    host: str | None
    process: str | None
    minute: int  # its first instant, microseconds
    log_type: str
    said: int
    lost: int


@dataclass(frozen=True, slots=True)
class LossSeen:
    """What one event hour lacks, duplicates counted as seen."""

    sessions: int = 0  # with a numbered record
    records: int = 0  # numbered ones
    missing: int = 0  # numbers between two records of a session
    gaps: int = 0
    largest: tuple[Gap, ...] = ()
    said: int = 0  # records that ledgers tell of
    lost: int = 0  # of them, those that are not there
    unreceived: tuple[Unreceived, ...] = ()

    def with_changes(self, **changes: Any) -> LossSeen:  # noqa: ANN401  (passed on to dataclasses.replace)
        """A copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys that an hour's records of one log type have."""

    records: int
    keys: dict[str, dict[str, int]] = field(default_factory=dict)  # key -> kind of value -> records


@dataclass(frozen=True, slots=True)
class Fault:
    """Something wrong that a receipt shows."""

    kind: str  # sequence | chain | gap | overlap | damaged | unreadable | vanished | repeat | ...
    lane: str
    sequence: int
    arrival_hour: str
    at: int  # planned time of the receipt, microseconds
    source: str = ""
    partition: int = 0
    position: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class FileSeen:
    """One content of one file, as far as it was read. Times are planned times of receipts."""

    source: str
    partition: int
    end: int  # bytes, unpacked
    first_seen: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class LagSeen:
    """How far a stream was behind its source. None: the source cannot say."""

    at: int  # when one looked, microseconds
    seconds: float | None = None  # age of the oldest data that is ready and not ingested; 0: there is none
    records: int | None = None  # how many are ready
    expires_in: float | None = None  # seconds until the source's own retention deletes the first


@dataclass(frozen=True, slots=True)
class StreamObservations:
    """What is known of one stream at one moment.

    `hours` has an entry for each event hour that holds records among those to judge and those their windows reach
    into; an hour without one is empty. Nothing is concluded from the absence of what lies before `live_since`.
    """

    stream: str
    live_since: int  # since when it is watched: the first receipt's planned time, else the first look at it
    first_receipt: int | None = None  # its planned time; a stream may have been looked at before
    # Arrival hour to judge -> receipts in it; None: not known any more.
    arrivals: Mapping[str, int | None] = field(default_factory=dict)
    faults: Sequence[Fault] = ()
    lanes_behind: Sequence[LaneBehind] = ()  # lanes of which raw lacks what receipts say
    raw_differs: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # arrival hour -> in raw, by receipts
    files: Sequence[FileSeen] = ()
    judge: Sequence[str] = ()  # event hours to judge
    hours: Mapping[str, HourStats] = field(default_factory=dict)
    first_event: int | None = None  # of the stream, watchdog records excluded
    last_event: int | None = None
    outside_history: Mapping[str, int] = field(default_factory=dict)  # event hour outside `history` -> records
    balances: Mapping[str, Balance] = field(default_factory=dict)
    in_flight: Mapping[str, int] = field(default_factory=dict)  # event hour -> records of the newest receipts
    same_hours: Mapping[str, Mapping[str, int]] = field(default_factory=dict)  # hour -> earlier hour -> lines
    hosts: Mapping[str, int] = field(default_factory=dict)  # host -> event time of its last sign of life
    datacenters: Mapping[str, str] = field(default_factory=dict)  # host -> where it is, if that is known
    losses: Mapping[str, LossSeen] = field(default_factory=dict)  # event hour -> what it lacks, once it is over
    keys: Mapping[str, Mapping[str, Keys]] = field(default_factory=dict)  # event hour -> log type -> its keys
    problems: Sequence[SourceProblem] = ()  # met by the last tick while it looked at the source
    failure: str = ""  # why the last tick could not read the stream at all
    is_read: bool = True  # False: its tables cannot be read; nothing is known of it but `hosts`, from the look before
    repair: str = ""  # the command that makes anew what of its tables cannot be read, if that is known
    lag: LagSeen | None = None  # None: not known
    broken: Mapping[str, str] = field(default_factory=dict)  # condition that cannot be evaluated -> why
    ingested_until: int | None = None  # ingestion has looked at the source up to then; None: not known
    is_listed_only: bool = False  # the source was listed and not read


def lines_between(hours: Mapping[str, HourStats], start: int, end: int, *, condition: str | None = None) -> int:
    """Lines (of a condition) with start <= event time < end; both whole minutes, in microseconds."""
    total = 0
    at = start
    while at < end:
        hour_at = at - at % HOUR_US
        stats = hours.get(_hour(hour_at))
        stop = min(end, hour_at + HOUR_US)
        if stats is not None and (stats.lines or condition is not None):
            minutes = stats.minutes if condition is None else stats.conditions.get(condition, NO_MINUTES)
            total += sum(minutes[(at - hour_at) // MINUTE_US : (stop - hour_at) // MINUTE_US])
        at = stop
    return total


_NAMES: dict[int, str] = {}


def _hour(start: int) -> str:
    """`hour_of` for the first instant of an hour, remembered: it is asked for the same few hours very often."""
    name = _NAMES.get(start)
    if name is None:
        if len(_NAMES) > 50_000:  # noqa: PLR2004  (a bound, about six years)
            _NAMES.clear()
        name = _NAMES[start] = hour_of(start)
    return name


@lru_cache(maxsize=10_000)
def windows_of(hour: str, every_us: int) -> tuple[tuple[int, int], ...]:
    """The windows (start, end) whose last instant lies in `hour`; aligned to the epoch."""
    begin = hour_start(hour)
    first_end = (begin // every_us + 1) * every_us
    return tuple((end - every_us, end) for end in range(first_end, begin + HOUR_US + 1, every_us))
