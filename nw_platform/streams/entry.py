"""One stream as the configuration file declares it."""

from __future__ import annotations

import codecs
import re
from datetime import date
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from nw_platform.record.names import ENVELOPE_COLUMNS, FILLABLE_COLUMNS, RESERVED_COLUMNS
from nw_platform.record.rules import EventTimeUnit
from nw_platform.streams.expectations import Expectation
from nw_platform.streams.quantities import Duration, DurationOrNever, Size, refusal
from nw_platform.streams.strict import Part, Text, as_written

FormatName = Literal["auto", "json", "combined", "log4j", "syslog", "csv", "regex", "lines"]
MessageFormat = Literal["json", "combined", "log4j", "syslog", "csv", "regex"]
ColumnType = Literal["string", "int32", "int64", "float64", "bool", "timestamp", "date"]

# A key that only some formats understand -> those formats.
KEYS_OF_FORMATS: Final[dict[str, tuple[str, ...]]] = {
    "layout": ("log4j",),
    "pattern": ("regex",),
    "delimiter": ("csv",),
    "quote": ("csv",),
    "header": ("csv",),
    "year": ("syslog", "log4j", "regex", "csv"),
}
MOST_HOURS: Final = 100_000  # Dagster keeps no more partitions of an asset usable

_FILLABLE_TYPES: Final = dict.fromkeys(FILLABLE_COLUMNS, "string") | {"pid": "int32", "seq": "int64"}
_FIRST_YEAR, _LAST_YEAR = 1970, 2262


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise refusal("an IANA time zone like Europe/Berlin, or UTC") from None
    return name


def _regex(pattern: str) -> str:
    try:
        re.compile(pattern)
    except re.error as error:
        raise refusal(f"a regular expression; this one is broken: {error}") from None
    return pattern


def _named_groups(pattern: str) -> str:
    if not re.compile(pattern).groupindex:
        raise refusal("a regular expression with named groups: (?P<name>...)")
    return pattern


def _strptime(layout: str) -> str:
    if "%" not in layout:
        raise refusal("a strptime layout like %d/%b/%Y:%H:%M:%S %z")
    return layout


def _encoding(name: str) -> str:
    try:
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise refusal("an encoding like utf-8, latin-1 or cp1252") from None


def _day(value: object) -> object:
    if isinstance(value, str):
        try:
            value = date.fromisoformat(value)
        except ValueError:
            raise refusal("a day like 2024-01-01") from None
    if type(value) is not date or not _FIRST_YEAR <= value.year <= _LAST_YEAR:
        raise refusal(f"a day like 2024-01-01, from {_FIRST_YEAR} to {_LAST_YEAR}")
    return value


def _topics(value: object) -> object:
    """A topic, a list of topics or one ^regex, as a tuple."""
    topics = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not topics or not all(isinstance(t, str) and t for t in topics):
        raise refusal("a topic, a list of topics, or a ^regular expression")
    for topic in topics:
        if topic.startswith("^"):
            _regex(topic)
        elif not re.fullmatch(r"[A-Za-z0-9._-]{1,249}", topic):
            raise refusal("a topic of letters, digits, '.', '_' and '-', or a ^regular expression")
    return topics


def _columns(columns: dict[str, ColumnType]) -> dict[str, ColumnType]:
    seen: dict[str, str] = {}
    for name, kind in columns.items():
        low = name.lower()
        if low in seen:
            raise refusal(f"columns whose names differ in more than case: {seen[low]} and {name} do not")
        seen[low] = name
        if low in _FILLABLE_TYPES:
            if kind != _FILLABLE_TYPES[low]:
                raise refusal(f"{_FILLABLE_TYPES[low]} for {name}, which fills the column {low} that every stream has")
        elif low in RESERVED_COLUMNS:
            what = "every stream has" if low in ENVELOPE_COLUMNS else "the lake uses itself"
            raise refusal(f"a name other than {name}, a column that {what}; rename the key where it is written")
    return columns


Zone = Annotated[Text, AfterValidator(_zone)]
Regex = Annotated[Text, AfterValidator(_regex)]
GroupsRegex = Annotated[Text, AfterValidator(_regex), AfterValidator(_named_groups)]
Layout = Annotated[Text, AfterValidator(_strptime)]
Encoding = Annotated[Text, AfterValidator(_encoding)]
OneCharacter = Annotated[str, Field(strict=True, min_length=1, max_length=1)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
Topics = Annotated[
    tuple[str, ...],
    BeforeValidator(_topics),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]


class EventTimeEntry(Part):
    """Where and how a record says when it happened."""

    field: Text = Field(default="ts", description="The key, column or group that holds the time.")
    unit: EventTimeUnit | None = Field(
        default=None, description="Of a number: s, ms, us or ns since 1970 (default ms)."
    )
    layout: Layout | None = Field(default=None, description="Of a text: a strptime layout; default ISO 8601.")
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
    format: FormatName = Field(default="auto", description="The format; auto: found out from the first lines.")
    encoding: Encoding = Field(default="utf-8", description="The text encoding.")
    event_time: EventTimeEntry | None = Field(default=None, description="Where and how a record says when it happened.")
    columns: Annotated[dict[Text, ColumnType], AfterValidator(_columns)] = Field(
        default={}, description="Columns of logs, by type: the format's retyped, or keys added; other keys go to extra."
    )
    multiline: Multiline | None = Field(default=None, description="Lines that belong to one record.")
    max_record: Size = Field(default=as_written("1MiB"), description="A longer record is rejected as too_large.")
    message_format: MessageFormat | None = Field(
        default=None, description="json: the format that the message of a wire record itself is in."
    )
    layout: Text | None = Field(default=None, description="log4j: the PatternLayout the lines were written with.")
    pattern: GroupsRegex | None = Field(default=None, description="regex: a regular expression with named groups.")
    delimiter: OneCharacter | None = Field(default=None, description="csv: what separates columns (default a comma).")
    quote: OneCharacter | None = Field(default=None, description='csv: what quotes a value (default ").')
    header: bool | None = Field(default=None, description="csv: whether the first line names the columns.")
    year: int | None = Field(
        default=None, ge=_FIRST_YEAR, le=_LAST_YEAR, strict=True, description="The year of times that name none."
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
    every_us: Duration = Field(default=as_written("1m"), alias="every", description="The longest wait before a batch.")
    history: History = Field(default=History(), description="The event hours that are shown as partitions.")
    lanes: int = Field(default=1, ge=1, le=64, strict=True, description="kafka: partitions are read in so many groups.")
    retention: Retention = Field(default=Retention(), description="How long raw and logs are kept.")
    expect: tuple[Expectation, ...] = Field(default=(), description="What the stream promises.")

    @model_validator(mode="after")
    def _fits_format(self) -> StreamEntry:
        for key, formats in KEYS_OF_FORMATS.items():
            inner = (self.format, self.message_format)
            if getattr(self, key) is not None and not set(inner) & set(formats):
                raise refusal(f"`{key}` only with `format: {formats[0]}`; the format is {self.format}")
        if "regex" in (self.format, self.message_format) and self.pattern is None:
            raise refusal("a `pattern` with `format: regex`; it is missing")
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
