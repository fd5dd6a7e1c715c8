"""What is expected of a stream, in the form in which it is judged. `declared.py` makes these from declarations.

Every rule has a `subject`: the name under which its findings are known, unique among the stream's rules of a check.
Lengths of time are microseconds; windows are multiples of a minute, aligned to the epoch (so a day is a UTC day).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from typing import Any, Final

from nw_platform.watchdog.findings import Severity

MINUTE_US: Final = 60_000_000
DEFAULT_GRACE_US: Final = 5 * MINUTE_US


@dataclass(frozen=True, slots=True)
class VolumeRule:
    """So many lines (series normal and error) in each window of event time."""

    subject: str
    min_lines: int | None = None
    max_lines: int | None = None
    every_us: int = 60 * MINUTE_US
    grace_us: int = DEFAULT_GRACE_US  # how long after a window's end its lines may still come
    change_pct: float | None = None  # largest difference from the medians of the same hour before
    days: int = 7
    weeks: int = 4
    zone: str = "UTC"  # of "the same hour"
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class FileRule:
    """A file by a time of day. `name` holds `{date}` or `{date:%Y%m%d}`, and `*` and `?` for anything."""

    subject: str
    name: str
    by: time
    grace_us: int = 0
    zone: str = "UTC"
    min_size: int = 1  # bytes, unpacked
    weekdays: frozenset[int] = frozenset(range(7))  # Monday is 0: days on which a file is due
    holidays: frozenset[date] = frozenset()  # days on which none is due
    day_offset: int = 0  # date in the name minus the day it is due: -1 for yesterday's file
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class SilenceRule:
    """Each host sends something, or its heartbeat, this often."""

    subject: str
    every_us: int = MINUTE_US
    late_after: int = 3  # intervals without a sign of life until a host is late
    down_after: int = 10  # ... until it is down
    slack_us: int = 2 * MINUTE_US  # how long a sign of life takes to get here
    hosts: tuple[str, ...] = ()  # expected before they are first seen
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class ShareRule:
    """At most so many per cent of an hour's lines are errors, or late; or of its records went through a spool."""

    check: str  # error_rate | late | spill
    subject: str
    max_pct: float
    at_least: int = 1  # fewer than this many are never a finding
    severity: Severity = "warn"


@dataclass(frozen=True, slots=True)
class RateRule:
    """Of the lines for which `of` holds (all, if None), `where` holds for min_pct to max_pct in each window."""

    subject: str
    where: str
    of: str | None = None
    max_pct: float | None = None
    min_pct: float | None = None
    every_us: int = 60 * MINUTE_US
    grace_us: int = DEFAULT_GRACE_US
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class BalanceRule:
    """As many lines on the left as on the right in each window, within a tolerance in per cent of the larger."""

    subject: str
    left: str
    right: str
    tolerance_pct: float = 0.0
    every_us: int = 60 * MINUTE_US
    grace_us: int = DEFAULT_GRACE_US
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class ValuesRule:
    """A column holds no other values than these; null is no value."""

    subject: str
    column: str
    allowed: tuple[str, ...]  # as SQL text of the value
    max_pct: float = 0.0  # of the lines that have a value
    severity: Severity = "warn"


@dataclass(frozen=True, slots=True)
class TypesRule:
    """No other log types than these."""

    subject: str
    allowed: tuple[str, ...]  # names; `*` and `?` stand for anything
    at_least: int = 1  # fewer lines of a type are never a finding
    severity: Severity = "warn"


@dataclass(frozen=True, slots=True)
class LossRule:
    """No number of a session is missing, and no record that a sender's ledger tells of."""

    subject: str
    max_missing: int = 0  # so many an hour are no finding
    grace_us: int = 10 * MINUTE_US  # how long after an hour's end its records may still come
    severity: Severity = "error"


@dataclass(frozen=True, slots=True)
class DriftRule:
    """The keys of each log type, and the kinds of their values, stay as they were in the hours before."""

    subject: str
    hours: int = 24  # so many before are looked at
    at_least: int = 10  # fewer records of a type, or with a key, are never a finding
    ignore: tuple[str, ...] = ()  # keys; `*` and `?` stand for anything
    grace_us: int = 10 * MINUTE_US
    severity: Severity = "warn"


@dataclass(frozen=True, slots=True)
class LagRule:
    """Data waits at the source for at most so long, and is read at least so long before the source deletes it."""

    subject: str
    max_age_us: int = 5 * MINUTE_US
    min_headroom_us: int | None = None  # None: a part of how long the source keeps data
    severity: Severity = "warn"  # of the age; data that is about to be lost is an error


Rule = (
    VolumeRule
    | FileRule
    | SilenceRule
    | ShareRule
    | RateRule
    | BalanceRule
    | ValuesRule
    | TypesRule
    | LossRule
    | DriftRule
    | LagRule
)


@dataclass(frozen=True, slots=True)
class StreamRules:
    """All that one stream is judged by."""

    stream: str
    rules: tuple[Rule, ...] = ()
    history_from: date = date(2024, 1, 1)
    history_until: date | None = None  # exclusive
    landing: bool = True  # files, whose positions start at 0; else offsets of a topic, which need not
    where: str = ""  # where its files are, for messages
    datacenters: Mapping[str, str] = field(default_factory=dict)  # declared host -> its datacenter, where known
    paused: bool = False  # nothing is expected of it for now

    def of(self, kind: type[Any]) -> tuple[Any, ...]:
        """The rules of one kind."""
        return tuple(rule for rule in self.rules if isinstance(rule, kind))

    @property
    def conditions(self) -> tuple[str, ...]:
        """The SQL conditions whose lines have to be counted, each once, in order."""
        found: dict[str, None] = {}
        for rule in self.rules:
            if isinstance(rule, RateRule):
                found[rule.where] = None
                if rule.of is not None:
                    found[rule.of] = None
            elif isinstance(rule, BalanceRule):
                found[rule.left] = None
                found[rule.right] = None
        return tuple(found)

    @property
    def reach_us(self) -> int:
        """The longest window."""
        windows = [r.every_us for r in self.rules if isinstance(r, VolumeRule | RateRule | BalanceRule)]
        return max(windows, default=0)

    @property
    def settle_us(self) -> int:
        """How long after the end of an hour something of it may still become due."""
        windows = [r.grace_us for r in self.rules if isinstance(r, VolumeRule | RateRule | BalanceRule)]
        return max(windows, default=0)
