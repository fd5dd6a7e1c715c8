"""What a preview of a stream holds: plain values, for a terminal and for machines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal

WARN_ABOVE: Final = 0.01  # share of rejected records
FAIL_ABOVE: Final = 0.20

FoundBy = Literal["declared", "recognised", "kept", "undecided"]


@dataclass(frozen=True, slots=True)
class Times:
    """The event times of the sampled records that were not rejected. Microseconds since the epoch."""

    first: int
    last: int
    reading: str  # how they are read, in words


@dataclass(frozen=True, slots=True)
class Reject:
    """A record that was rejected: why, where it begins (bytes or an offset), and its first characters."""

    reason: str
    source: str
    position: int
    beginning: str


@dataclass(slots=True)
class Preview:
    """One stream. `problems` make `nw config check` fail, `warnings` do not; one line each."""

    stream: str
    where: str
    unit: str = "file"  # or topic
    found: int = 0
    empty: int = 0  # of those found
    waiting: int | None = None  # records at the source, where it can say
    format: str = "auto"
    found_by: FoundBy = "undecided"
    why: str = ""  # what there is to say of how the format was found
    options: dict[str, Any] = field(default_factory=dict)  # of the format: what was declared or found out
    sampled_from: tuple[str, ...] = ()
    records: int = 0  # sampled
    rejected: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    rejects: tuple[Reject, ...] = ()  # the first of each reason
    times: Times | None = None
    hosts: tuple[str, ...] = ()  # the most frequent
    host_count: int = 0
    unfilled: tuple[str, ...] = ()  # declared columns that no sampled record fills
    fitting_encoding: str | None = None  # what to declare where records are not in the encoding
    samples: tuple[dict[str, Any], ...] = ()
    warnings: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    @property
    def reject_share(self) -> float:
        """The share of sampled records that were rejected, 0 to 1."""
        return self.rejected / self.records if self.records else 0.0
