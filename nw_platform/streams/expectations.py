"""What a stream promises: judged every minute by the watchdog."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from nw_platform.streams.fields import Day, Zone
from nw_platform.streams.quantities import Duration, Grace, MinuteOfDay, Window, refusal
from nw_platform.streams.strict import Part, Text, as_written

Severity = Literal["warn", "error"]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WEEK: Final[tuple[Weekday, ...]] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

_PLACEHOLDER: Final = re.compile(r"\{(date)(?::([^{}]*))?\}")
_SAMPLE_DAY: Final = datetime(2026, 11, 22, tzinfo=UTC)


def _file_name(name: str) -> str:
    rest = _PLACEHOLDER.sub("", name)
    layouts = [found[1] for found in _PLACEHOLDER.findall(name)]
    if set("{}") & set(rest) or any(layout and "%" not in layout for layout in layouts):
        raise refusal("a file name, with * and ? for anything, {date} for 2026-11-22, {date:%Y%m%d} for 20261122")
    for layout in layouts:
        _SAMPLE_DAY.strftime(layout)
    return name


def _condition(sql: str) -> str:
    """A first look only: the SQL itself is checked where it runs."""
    text = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "", sql)
    if re.search(r"[;'\"]|--|/\*", text) or text.count("(") != text.count(")"):
        raise refusal("one SQL condition over the columns of logs, like \"log_type = 'payment' AND status >= 500\"")
    return sql


Condition = Annotated[Text, AfterValidator(_condition)]
Percent = Annotated[float, Field(ge=0, le=100, strict=True)]
Lines = Annotated[int, Field(ge=0, strict=True)]


class _Expectation(Part):
    severity: Severity = Field(default="error", description="What an alert about it is: warn or error.")


class _Windowed(_Expectation):
    every_us: Window = Field(default=as_written("1h"), alias="every", description="The window of event time.")
    grace_us: Grace = Field(
        default=as_written("5m"), alias="grace", description="How long after a window's end its lines may still come."
    )


class Heartbeat(_Expectation):
    """Each host sends something, or its heartbeat, this often; one that does not is silent."""

    kind: Literal["heartbeat"]
    every_us: Duration = Field(default=as_written("1m"), alias="every", description="How often one is expected.")
    late_after: int = Field(default=3, ge=1, strict=True, description="After so many missed ones a host is late.")
    down_after: int = Field(default=10, ge=1, strict=True, description="After so many missed ones a host is down.")


class Volume(_Windowed):
    """So many lines happen in each window of time, no matter on which host."""

    kind: Literal["volume"]
    min_lines: Lines | None = Field(default=None, description="At least so many lines a window.")
    max_lines: Lines | None = Field(default=None, description="At most so many lines a window.")
    change_pct: Annotated[float, Field(gt=0, strict=True)] | None = Field(
        default=None,
        description="The largest difference, in percent, from the medians of the same hour on the days and on the"
        " same weekday before; far from both is a finding.",
    )
    days: int = Field(
        default=7, ge=0, le=60, strict=True, description="change_pct: how many days before are looked at."
    )
    weeks: int = Field(
        default=4, ge=0, le=26, strict=True, description="change_pct: how many weeks before are looked at."
    )
    zone: Zone = Field(default="UTC", description="change_pct: the time zone of the same hour.")

    @model_validator(mode="after")
    def _some_bound(self) -> Volume:
        if self.min_lines is None and self.max_lines is None and self.change_pct is None:
            raise refusal("a volume with min_lines, max_lines or change_pct; all are missing")
        if self.min_lines is not None and self.max_lines is not None and self.min_lines > self.max_lines:
            raise refusal("a min_lines that is not above max_lines")
        return self


class File(_Expectation):
    """A file of this name is there by a time of day."""

    kind: Literal["file"]
    name: Annotated[Text, AfterValidator(_file_name)] = Field(
        description="The file's name; * and ? stand for anything, {date} for the day, {date:%Y%m%d} for it in a layout."
    )
    by_minute: MinuteOfDay = Field(alias="by", description='Time of day by which it is there, like "06:00".')
    zone: Zone = Field(default="UTC", description="The time zone of `by` and of the day.")
    grace_us: Grace = Field(
        default=as_written("0s"), alias="grace", description="How much later it may be before an alert opens."
    )
    min_size: Lines = Field(default=1, description="The least bytes it has, unpacked.")
    weekdays: Annotated[tuple[Weekday, ...], Field(min_length=1)] = Field(
        default=WEEK, description="The days on which it is due: mon, tue, wed, thu, fri, sat, sun."
    )
    holidays: tuple[Day, ...] = Field(default=(), description="Days on which none is due, as 2026-12-25.")
    day_offset: int = Field(
        default=0,
        ge=-31,
        le=31,
        strict=True,
        description="The day in the name minus the day it is due: -1 for yesterday's.",
    )

    def holiday_dates(self) -> frozenset[date]:
        """Days on which none is due."""
        return frozenset(self.holidays)


class Rate(_Windowed):
    """The share of lines for which a condition holds stays within bounds."""

    kind: Literal["rate"]
    name: Text = Field(description="The name of the expectation, as alerts show it.")
    where: Condition = Field(description="A SQL condition over the columns of the stream's logs.")
    of: Condition | None = Field(default=None, description="A SQL condition: of which lines; by default of all.")
    max_pct: Percent | None = Field(default=None, description="The largest share in percent.")
    min_pct: Percent | None = Field(default=None, description="The smallest share in percent.")

    @model_validator(mode="after")
    def _some_bound(self) -> Rate:
        if self.max_pct is None and self.min_pct is None:
            raise refusal("a rate with max_pct, min_pct or both; both are missing")
        if self.max_pct is not None and self.min_pct is not None and self.min_pct > self.max_pct:
            raise refusal("a min_pct that is not above max_pct")
        return self


class Balance(_Windowed):
    """Two kinds of lines come in equal numbers: begun and ended, sent and acknowledged."""

    kind: Literal["balance"]
    name: Text = Field(description="The name of the expectation, as alerts show it.")
    left: Condition = Field(description="A SQL condition over the columns of the stream's logs.")
    right: Condition = Field(description="A SQL condition over the columns of the stream's logs.")
    tolerance_pct: Percent = Field(default=0.0, description="How far apart both may be, in percent of the larger.")


class Values(_Expectation):
    """A column holds only these values; null is no value."""

    kind: Literal["values"]
    severity: Severity = Field(default="warn", description="What an alert about it is: warn or error.")
    column: Text = Field(description="The column of the stream's logs.")
    allowed: Annotated[tuple[Any, ...], Field(min_length=1)] = Field(description="The values that may occur.")
    max_pct: Percent = Field(default=0.0, description="So many percent of the lines with a value may have another.")

    @model_validator(mode="after")
    def _scalars(self) -> Values:
        if any(value is None or isinstance(value, (dict, list)) for value in self.allowed):
            raise refusal("texts, numbers, true and false below `allowed`")
        return self


class _Share(_Expectation):
    severity: Severity = Field(default="warn", description="What an alert about it is: warn or error.")
    max_pct: Percent = Field(description="The largest share of an hour's lines, in percent.")
    at_least: Annotated[int, Field(ge=1, strict=True)] = Field(
        default=1, description="Fewer lines are never a finding."
    )


class ErrorRate(_Share):
    """The share of lines of series error stays below a bound."""

    kind: Literal["error_rate"]


class Late(_Share):
    """The share of lines that came late stays below a bound."""

    kind: Literal["late"]


class Spill(_Share):
    """The share of records that went through a sender's spool stays below a bound."""

    kind: Literal["spill"]


class Loss(_Expectation):
    """No number of a sender's session is missing, and no record that its ledger tells of."""

    kind: Literal["loss"]
    max_missing: Lines = Field(default=0, description="So many missing records an hour are no finding.")
    grace_us: Grace = Field(
        default=as_written("10m"), alias="grace", description="How long after an hour's end its records may still come."
    )


class SchemaDrift(_Expectation):
    """The keys of each log type, and the kinds of their values, stay as they were in the hours before."""

    kind: Literal["schema_drift"]
    severity: Severity = Field(default="warn", description="What an alert about it is: warn or error.")
    hours: int = Field(default=24, ge=3, le=168, strict=True, description="How many hours before are looked at.")
    at_least: Annotated[int, Field(ge=1, strict=True)] = Field(
        default=10, description="Fewer records of a type, or with a key, are never a finding."
    )
    ignore: tuple[Text, ...] = Field(default=(), description="Keys that may come and go; * and ? stand for anything.")
    grace_us: Grace = Field(
        default=as_written("10m"), alias="grace", description="How long after an hour's end its records may still come."
    )


class UnexpectedTypes(_Expectation):
    """There are no other log types than these."""

    kind: Literal["unexpected_types"]
    severity: Severity = Field(default="warn", description="What an alert about it is: warn or error.")
    allowed: Annotated[tuple[Text, ...], Field(min_length=1)] = Field(
        description="The log types that may occur; * and ? stand for anything."
    )
    at_least: Annotated[int, Field(ge=1, strict=True)] = Field(
        default=1, description="Fewer lines of a type in an hour are never a finding."
    )


class Lag(_Expectation):
    """Data does not wait long at the source, and is read long before the source deletes it."""

    kind: Literal["lag"]
    severity: Severity = Field(
        default="warn", description="What an alert about max_age is: warn or error. About min_headroom it is error."
    )
    max_age_us: Duration | None = Field(
        default=None, alias="max_age", description="The longest wait; default 5m, or three times `every` if longer."
    )
    min_headroom_us: Duration | None = Field(
        default=None,
        alias="min_headroom",
        description="The least time left until the source's retention deletes unread data;"
        " default a quarter of how long it keeps data, at most 6h.",
    )


Expectation = Annotated[
    Heartbeat
    | Volume
    | File
    | Rate
    | Balance
    | Values
    | ErrorRate
    | Late
    | Spill
    | UnexpectedTypes
    | Loss
    | SchemaDrift
    | Lag,
    Field(discriminator="kind"),
]
