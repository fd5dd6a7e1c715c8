"""What a stream promises: judged every minute by the watchdog."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, model_validator

from nw_platform.streams.quantities import Duration, MinuteOfDay, refusal
from nw_platform.streams.strict import Part, Text, as_written

_PLACEHOLDER: Final = re.compile(r"\{([^{}]*)\}")
_PLACEHOLDERS: Final = ("date", "hour")


def _file_name(name: str) -> str:
    if any(found not in _PLACEHOLDERS for found in _PLACEHOLDER.findall(name)):
        raise refusal("a file name or glob with {date} (as 2026-11-22) and {hour} (as 05) in it")
    return name


def _condition(sql: str) -> str:
    """A first look only: the SQL itself is checked where it runs."""
    text = re.sub(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"", "", sql)
    if ";" in text or "--" in text or "/*" in text or "'" in text or '"' in text or text.count("(") != text.count(")"):
        raise refusal("one SQL condition over the columns of logs, like \"log_type = 'payment' AND status >= 500\"")
    return sql


Condition = Annotated[Text, AfterValidator(_condition)]
Percent = Annotated[float, Field(ge=0, le=100, strict=True)]


class Heartbeat(Part):
    """Every emitter and agent of the stream sends a heartbeat this often; a host that does not is silent."""

    kind: Literal["heartbeat"]
    every_us: Duration = Field(default=as_written("1m"), alias="every", description="How often one is expected.")


class Volume(Part):
    """So many lines arrive in each window of time, no matter from which host."""

    kind: Literal["volume"]
    min_lines: int | None = Field(default=None, ge=0, strict=True, description="At least so many lines a window.")
    max_lines: int | None = Field(default=None, ge=0, strict=True, description="At most so many lines a window.")
    every_us: Duration = Field(default=as_written("1h"), alias="every", description="The window.")

    @model_validator(mode="after")
    def _some_bound(self) -> Volume:
        if self.min_lines is None and self.max_lines is None:
            raise refusal("min_lines, max_lines or both")
        if self.min_lines is not None and self.max_lines is not None and self.min_lines > self.max_lines:
            raise refusal("a min_lines that is not above max_lines")
        return self


class File(Part):
    """A file of this name is there by a time of day, every day."""

    kind: Literal["file"]
    name: Annotated[Text, AfterValidator(_file_name)] = Field(
        description="The file's name or a glob; {date} is the day as 2026-11-22, {hour} the hour as 05."
    )
    by_minute: MinuteOfDay = Field(alias="by", description="UTC time of day by which it is there.")
    grace_us: Duration = Field(
        default=as_written("30m"), alias="grace", description="How much later it may be before an alert opens."
    )


class Rate(Part):
    """The share of lines for which a condition holds stays below a bound."""

    kind: Literal["rate"]
    name: Text = Field(description="The name of the expectation, as alerts show it.")
    where: Condition = Field(description="A SQL condition over the columns of the stream's logs.")
    of: Condition | None = Field(default=None, description="Of which lines; by default of all.")
    max_pct: Percent = Field(description="The largest share in percent.")
    every_us: Duration = Field(default=as_written("10m"), alias="every", description="The window.")


class Balance(Part):
    """Two kinds of lines come in equal numbers: begun and ended, sent and acknowledged."""

    kind: Literal["balance"]
    name: Text = Field(description="The name of the expectation, as alerts show it.")
    left: Condition = Field(description="A SQL condition over the columns of the stream's logs.")
    right: Condition = Field(description="A SQL condition over the columns of the stream's logs.")
    tolerance_pct: Percent = Field(
        default=0, description="How far apart the two counts may be, in percent of the larger."
    )
    every_us: Duration = Field(default=as_written("1h"), alias="every", description="The window.")


class Values(Part):
    """A column holds only these values."""

    kind: Literal["values"]
    column: Text = Field(description="The column (or key) of the stream's logs.")
    allowed: tuple[Any, ...] = Field(min_length=1, description="The values that may occur; null always may.")


class _Share(Part):
    max_pct: Percent = Field(description="The largest share in percent.")
    every_us: Duration = Field(default=as_written("1h"), alias="every", description="The window.")


class ErrorRate(_Share):
    """The share of lines of series error stays below a bound."""

    kind: Literal["error_rate"]


class Spill(_Share):
    """The share of lines that went through a spool stays below a bound."""

    kind: Literal["spill"]


class Late(_Share):
    """The share of lines that came late stays below a bound."""

    kind: Literal["late"]


class Lag(Part):
    """What waits at the source is never older than this."""

    kind: Literal["lag"]
    max_us: Duration = Field(default=as_written("15m"), alias="max", description="The oldest that unread data may be.")


class Types(Part):
    """Only these log types occur."""

    kind: Literal["types"]
    allowed: tuple[Text, ...] = Field(min_length=1, description="The log types that may occur.")


Expectation = Annotated[
    Heartbeat | Volume | File | Rate | Balance | Values | ErrorRate | Spill | Late | Lag | Types,
    Field(discriminator="kind"),
]
