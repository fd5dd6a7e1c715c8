"""What a stream tells its format: the parsing rules as plain values. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

# Names of the types a declaration may give a column (parsing/contract.py has their Arrow types).
COLUMN_TYPES: Final = ("string", "int32", "int64", "float64", "bool", "timestamp", "date")

EventTimeUnit = Literal["s", "ms", "us", "ns"]


@dataclass(frozen=True, slots=True)
class EventTime:
    """Where and how a record says when it happened.

    `field`: the default stands for the first of the common names that the record has. `unit`: None lets each number
    tell its own by its size. `layout` is a strptime layout; `zone` an IANA name or UTC.
    """

    field: str = "ts"
    unit: EventTimeUnit | None = None
    layout: str | None = None
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class ParseOptions:
    """All that parsing depends on besides the rows. Its digest is the digest of a stream's parsing rules."""

    stream: str
    format: str
    datacenter: str | None = None
    event_time: EventTime | None = None
    columns: Mapping[str, str] = field(default_factory=dict)  # declared: name -> type as in TYPES
    log_type: str | None = None  # default of records that do not say; the stream's name
    encoding: str = "utf-8"
    max_record: int = 1 << 20  # bytes
    late_after_us: int | None = 24 * 3_600_000_000  # None: never
    message_format: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # the format's own: pattern, layout, delimiter, year...
