"""Durations, sizes and times of day as a configuration writes them: `15m`, `1MiB`, `06:00`.

Each is an annotated type for pydantic models; the value in the model is an integer (microseconds, bytes, minutes).
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

DURATION_HELP: Final = "a number and a unit (s, m, h, d) like 90s, 15m, 24h or 30d"
SIZE_HELP: Final = "a number and a unit (B, KiB, MiB, GiB) like 1MiB or 512KiB"
TIME_OF_DAY_HELP: Final = 'a UTC time of day like "06:00"'

_UNITS_US: Final = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_UNITS_BYTES: Final = {"b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 10**3, "mb": 10**6, "gb": 10**9}
_DURATION: Final = re.compile(r"([0-9]{1,9})\s?([smhd])\Z")
_SIZE: Final = re.compile(r"([0-9]{1,12})\s?([kmg]i?b|b)\Z", re.IGNORECASE)
_TIME_OF_DAY: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])\Z")
_ZERO: Final = re.compile(r"0\s?[smhd]\Z")
_LONGEST_US: Final = 36_500 * _UNITS_US["d"]


def parse_duration(text: str) -> int:
    """Microseconds of a duration like `90s`, `15m`, `24h`, `30d`.

    Raises:
        ValueError: `text` is no duration, zero, or longer than 36,500 days.
    """
    match = _DURATION.match(text.strip())
    amount = int(match[1]) * _UNITS_US[match[2]] if match else 0
    if not 0 < amount <= _LONGEST_US:
        raise ValueError(f"{text!r} is no duration; allowed: {DURATION_HELP}")
    return amount


def format_duration(duration_us: int | None) -> str:
    """The shortest text that `parse_duration` reads back; None is `never`. Parts of a second are cut off."""
    if duration_us is None:
        return "never"
    for unit in ("d", "h", "m"):
        if duration_us % _UNITS_US[unit] == 0:
            return f"{duration_us // _UNITS_US[unit]}{unit}"
    return f"{duration_us // _UNITS_US['s']}s"


def parse_size(text: str) -> int:
    """Bytes of a size like `1MiB`.

    Raises:
        ValueError: `text` is no size, or zero.
    """
    match = _SIZE.match(text.strip())
    amount = int(match[1]) * _UNITS_BYTES[match[2].lower()] if match else 0
    if amount <= 0:
        raise ValueError(f"{text!r} is no size; allowed: {SIZE_HELP}")
    return amount


def refusal(allowed: str) -> PydanticCustomError:
    """The error for a value that is not what a key takes; what was found is added where errors are reported."""
    return PydanticCustomError("not_allowed", "allowed: {allowed}", {"allowed": allowed})


def _duration(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    try:
        return parse_duration(value)
    except (ValueError, AttributeError):
        raise refusal(DURATION_HELP) from None


def _duration_or_never(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    if value is None or value == "never":
        return None
    try:
        return parse_duration(value)
    except (ValueError, AttributeError):
        raise refusal(f"{DURATION_HELP}, or never") from None


def _window(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    try:
        window = parse_duration(value)
    except (ValueError, AttributeError):
        window = 1
    if window % _UNITS_US["m"]:
        raise refusal("a number of minutes, hours or days like 15m, 1h or 1d")
    return window


def _grace(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    return 0 if isinstance(value, str) and _ZERO.match(value) else _duration(value)


def _size(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    try:
        return parse_size(value)
    except (ValueError, AttributeError):
        raise refusal(f"a number of bytes, or {SIZE_HELP}") from None


def _time_of_day(value: Any) -> Any:  # noqa: ANN401  (whatever the file holds)
    match = _TIME_OF_DAY.match(value) if isinstance(value, str) else None
    if match is None:
        raise refusal(TIME_OF_DAY_HELP)
    return int(match[1]) * 60 + int(match[2])


_DURATION_SCHEMA: Final = {"type": "string", "pattern": r"^[0-9]{1,9} ?[smhd]$", "x-type": "duration"}
Duration = Annotated[int, BeforeValidator(_duration), WithJsonSchema(_DURATION_SCHEMA)]
Grace = Annotated[int, BeforeValidator(_grace), WithJsonSchema(_DURATION_SCHEMA)]  # may be 0s
Window = Annotated[int, BeforeValidator(_window), WithJsonSchema(_DURATION_SCHEMA)]
DurationOrNever = Annotated[
    int | None,
    BeforeValidator(_duration_or_never),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9]{1,9} ?[smhd]|never)$", "x-type": "duration or never"}),
]
Size = Annotated[
    int,
    BeforeValidator(_size),
    WithJsonSchema({"type": ["integer", "string"], "pattern": r"^[0-9]+ ?([KMG]i?)?B$", "x-type": "size"}),
]
MinuteOfDay = Annotated[
    int,
    BeforeValidator(_time_of_day),
    WithJsonSchema({"type": "string", "pattern": "^([01]?[0-9]|2[0-3]):[0-5][0-9]$", "x-type": "time of day"}),
]
