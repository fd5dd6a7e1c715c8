"""One stream as the configuration file declares it."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from nw_platform.record.encodings import has_lines
from nw_platform.record.rules import EventTimeUnit
from nw_platform.streams.expectations import Expectation
from nw_platform.streams.fields import (
    FIRST_YEAR,
    LAST_YEAR,
    Columns,
    Day,
    Encoding,
    Layout,
    OneCharacter,
    Regex,
    Start,
    Topics,
    Zone,
)
from nw_platform.streams.quantities import Duration, DurationOrNever, Size, refusal
from nw_platform.streams.strict import Part, Text, as_written

FormatName = Literal["auto", "json", "combined", "log4j", "syslog", "csv", "regex", "lines"]
MessageFormat = Literal["json", "combined", "log4j", "syslog", "csv", "regex"]

# A key that only some formats understand -> those formats.
KEYS_OF_FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "layout": ("log4j",),
    "pattern": ("regex",),
    "delimiter": ("csv",),
    "quote": ("csv",),
    "header": ("csv",),
    "year": ("syslog", "log4j", "regex", "csv", "json", "combined"),
}
MOST_HOURS: Final = 100_000  # Dagster keeps no more partitions of an asset usable


class EventTimeEntry(Part):
    """Where and how a record says when it happened."""

    field: Text = Field(
        default="ts", description="The key, column or group that holds the time; default the first of the common names."
    )
    unit: EventTimeUnit | None = Field(
        default=None, description="Of a number: s, ms, us or ns since 1970 (default: the one that its size tells)."
    )
    layout: Layout | None = Field(
        default=None, description="Of a text: a strptime layout; default ISO 8601 and other common forms."
    )
    zone: Zone = Field(default="UTC", description="The time zone of times that name none.")

    @model_validator(mode="after")
    def _one_of(self) -> EventTimeEntry:
        if self.unit is not None and self.layout is not None:
            raise refusal("unit (for numbers) or layout (for texts), not both")
        return self


class Multiline(Part):
    """Lines that belong together."""

    start: Regex = Field(description="A line that matches begins a record; lines until the next match belong to it.")


class Retention(Part):
    """How long data is kept."""

    raw_us: DurationOrNever = Field(
        default=as_written("never"), alias="raw", description="How long raw is kept (or never)."
    )
    logs_us: DurationOrNever = Field(
        default=as_written("never"), alias="logs", description="How long logs is kept (or never)."
    )


class History(Part):
    """The event hours that are shown as partitions."""

    first: Day = Field(default=as_written("2024-01-01"), alias="from", description="The first day.")
    until: Day | None = Field(default=None, description="The day after the last; without it the end is open.")

    @model_validator(mode="after")
    def _bounded(self) -> History:
        if self.until is not None:
            hours = (self.until - self.first).days * 24
            if hours <= 0:
                raise refusal("an `until` that is after `from`")
            if hours > MOST_HOURS:
                raise refusal(f"at most {MOST_HOURS:,} hours (Dagster's limit); this history has {hours:,}")
        return self


class StreamEntry(Part):
    """A stream as the file declares it."""

    source: Text | None = Field(default=None, description="The name of a source; without it, files of this machine.")
    path: Text | None = Field(default=None, description="Files: a glob below the source's url; ** is any depth.")
    topic: Topics | None = Field(
        default=None, description="kafka: a topic, a list of topics, or a ^regular expression."
    )
    start: Start = Field(
        default="earliest",
        description="kafka: where a new stream begins: earliest, latest, or a time like 2026-11-22T05:00Z.",
    )
    format: FormatName = Field(default="auto", description="The format; auto: found out from the first lines.")
    encoding: Encoding = Field(default="utf-8", description="The text encoding.")
    event_time: EventTimeEntry | None = Field(default=None, description="Where and how a record says when it happened.")
    columns: Columns = Field(
        default={}, description="Columns of logs, by type: the format's retyped, or keys added; other keys go to extra."
    )
    multiline: Multiline | None = Field(default=None, description="Lines that belong to one record.")
    max_record: Size = Field(default=as_written("1MiB"), description="A longer record is rejected as too_large.")
    message_format: MessageFormat | None = Field(
        default=None, description="json: the format that the message of a wire record itself is in."
    )
    layout: Text | None = Field(default=None, description="log4j: the PatternLayout the lines were written with.")
    pattern: Text | None = Field(default=None, description="regex: a regular expression with named groups.")
    delimiter: OneCharacter | None = Field(default=None, description="csv: what separates columns (default a comma).")
    quote: OneCharacter | None = Field(default=None, description='csv: what quotes a value (default ").')
    header: bool | None = Field(default=None, description="csv: whether the first line names the columns.")
    year: int | None = Field(
        default=None, ge=FIRST_YEAR, le=LAST_YEAR, strict=True, description="The year of times that name none."
    )
    log_type: Text | None = Field(default=None, description="The type of records that name none; default the stream.")
    late_after_us: DurationOrNever = Field(
        default=as_written("24h"),
        alias="late_after",
        description="A record that arrives so much later is late.",
    )
    growing: bool | None = Field(
        default=None,
        description="An unterminated last line waits for its end; default true without source, false with one.",
    )
    rotated: tuple[Text, ...] = Field(
        default=(),
        description="Files: globs like path: where files go that are rotated out of it; default their own folder.",
    )
    follow_links: bool = Field(
        default=False,
        strict=True,
        description="Files: whether links that lead out of the landing zone are followed; false: they are named.",
    )
    every_us: Duration = Field(default=as_written("1m"), alias="every", description="The longest wait before a batch.")
    history: History = Field(default_factory=History, description="The event hours that are shown as partitions.")
    lanes: int = Field(default=1, ge=1, le=64, strict=True, description="kafka: partitions are read in so many groups.")
    retention: Retention = Field(default_factory=Retention, description="How long raw and logs are kept.")
    expect: tuple[Expectation, ...] = Field(default=(), description="What the stream promises.")
    paused: bool = Field(
        default=False, strict=True, description="Nothing is expected of it for now; what it holds must still be whole."
    )

    @model_validator(mode="after")
    def _fits_format(self) -> StreamEntry:
        for key, formats in KEYS_OF_FORMATS.items():
            inner = (self.format, self.message_format)
            if getattr(self, key) is not None and not set(inner) & set(formats):
                raise refusal(f"`{key}` only with `format: {formats[0]}`; the format is {self.format}")
        if "regex" in (self.format, self.message_format) and self.pattern is None:
            raise refusal("a `pattern` with `format: regex`; it is missing")
        if self.path is not None and not has_lines(self.encoding):
            raise refusal(f"an encoding whose lines end at byte 0x0A, or utf-16 or utf-32; {self.encoding} is neither")
        if self.format == "csv" and self.header is False and not self.columns:
            raise refusal("`columns` in their order where csv files have no header")
        return self

    @model_validator(mode="after")
    def _distinct_expectations(self) -> StreamEntry:
        named = [(e.kind, getattr(e, "name", None)) for e in self.expect]
        for kind, name in named:
            if name is not None and named.count((kind, name)) > 1:
                raise refusal(f"each name once; two expectations of kind {kind} are called {name}")
        return self
