"""The types of a stream's keys: zones, regular expressions, layouts, days, topics, columns."""

from __future__ import annotations

import codecs
import contextlib
import re
from datetime import UTC, date, datetime
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from nw_platform.record.hours import to_us
from nw_platform.record.names import ENVELOPE_COLUMNS, FILLABLE_COLUMNS, RESERVED_COLUMNS
from nw_platform.streams.quantities import refusal
from nw_platform.streams.strict import Text

ColumnType = Literal["string", "int32", "int64", "float64", "bool", "timestamp", "date"]

_FILLABLE_TYPES: Final = dict.fromkeys(FILLABLE_COLUMNS, "string") | {"pid": "int32", "seq": "int64"}
_TIME: Final = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}.*)?\Z")
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}\Z")
FIRST_YEAR: Final = 1970
LAST_YEAR: Final = 2261


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


def _strptime(layout: str) -> str:
    if "%" not in layout:
        raise refusal("a strptime layout like %d/%b/%Y:%H:%M:%S %z")
    return layout


def _encoding(name: str) -> str:
    try:
        "x".encode(name)  # codecs that are no encodings of text, such as hex, are refused here
        return codecs.lookup(name).name
    except (LookupError, ValueError):
        raise refusal("an encoding like utf-8, latin-1 or cp1252") from None


def _day(value: object) -> object:
    day = value
    if isinstance(value, str) and _DAY.match(value):
        try:
            day = date.fromisoformat(value)
        except ValueError:
            day = None
    if type(day) is not date or not FIRST_YEAR <= day.year <= LAST_YEAR:
        raise refusal(f"a day like 2024-01-01, from {FIRST_YEAR} to {LAST_YEAR}")
    return day


def _start(value: object) -> object:
    """`earliest`, `latest`, or microseconds since the epoch; a time without a zone is UTC."""
    if value in {"earliest", "latest"}:
        return value
    if isinstance(value, str) and _TIME.match(value):
        with contextlib.suppress(ValueError):
            time = datetime.fromisoformat(value)
            return to_us(time if time.tzinfo else time.replace(tzinfo=UTC))
    raise refusal("earliest, latest, or a time like 2026-11-22T05:00Z")


def _topics(value: object) -> object:
    """A topic, a list of topics or one ^regex, as a tuple."""
    topics = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else ()
    if not topics or not all(isinstance(t, str) and t for t in topics):
        raise refusal("a topic, a list of topics, or a ^regular expression")
    if len(set(topics)) < len(topics):
        raise refusal("each topic once")
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
Layout = Annotated[Text, AfterValidator(_strptime)]
Encoding = Annotated[Text, AfterValidator(_encoding)]
OneCharacter = Annotated[str, Field(strict=True, min_length=1, max_length=1)]
Day = Annotated[date, BeforeValidator(_day), WithJsonSchema({"type": "string", "format": "date", "x-type": "day"})]
Topics = Annotated[
    tuple[str, ...],
    BeforeValidator(_topics),
    WithJsonSchema(
        {
            "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
            "x-type": "text or list of text",
        }
    ),
]
Start = Annotated[
    str | int,
    BeforeValidator(_start),
    WithJsonSchema({"type": "string", "x-type": "earliest, latest or a time"}),
]
Columns = Annotated[dict[Text, ColumnType], AfterValidator(_columns)]
