"""A stream, resolved: what ingestion, reports and the watchdog work with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any, Final, Self

from nw_platform.record.rules import EventTime, ParseOptions
from nw_platform.streams.expectations import Expectation
from nw_platform.streams.sources import LOCAL, SourceDecl

DEFAULT_HISTORY: Final = date(2024, 1, 1)
_HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class StreamDecl:
    """One declared stream. Durations in microseconds, sizes in bytes; None as a duration means never."""

    name: str
    source: SourceDecl = LOCAL
    path: str | None = None  # files: a glob below the source's url; an absolute path if the source is LOCAL
    topics: tuple[str, ...] = ()  # kafka: names or ^regular expressions
    start: str | int = "earliest"  # kafka: where it begins; earliest, latest, or microseconds since the epoch
    format: str = "auto"  # "auto": not known before a sample was seen, see streams/sniffing.py
    event_time: EventTime | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    max_record: int = 1 << 20
    message_format: str | None = None
    multiline_start: str | None = None
    layout: str | None = None
    pattern: str | None = None
    delimiter: str | None = None
    quote: str | None = None
    header: bool | None = None
    year: int | None = None
    log_type: str | None = None
    late_after_us: int | None = 24 * _HOUR_US
    growing: bool = False
    rotated: tuple[str, ...] = ()  # globs as `path`
    follow_links: bool = False
    every_us: int = 60_000_000
    history_from: date = DEFAULT_HISTORY
    history_until: date | None = None  # the day after the last
    lanes: int = 1
    retention_raw_us: int | None = None
    retention_logs_us: int | None = None
    expect: tuple[Expectation, ...] = ()
    paused: bool = False  # nothing is expected of it for now
    options: Mapping[str, Any] = field(default_factory=dict)  # of the format, found by sniffing

    def parse_options(self) -> ParseOptions:
        """All that parsing depends on. `options` holds only the keys that were declared or sniffed."""
        own = {
            key: getattr(self, key)
            for key in ("layout", "pattern", "delimiter", "quote", "header", "year", "multiline_start")
            if getattr(self, key) is not None
        }
        return ParseOptions(
            stream=self.name,
            format=self.format,
            datacenter=self.source.datacenter,
            event_time=self.event_time,
            columns=dict(self.columns),
            log_type=self.log_type,
            encoding=self.encoding,
            max_record=self.max_record,
            late_after_us=self.late_after_us,
            message_format=self.message_format,
            options={**self.options, **own},
        )

    def with_changes(self, **changes: Any) -> Self:  # noqa: ANN401  (passed on to dataclasses.replace)
        """A copy with some fields changed."""
        return replace(self, **changes)
