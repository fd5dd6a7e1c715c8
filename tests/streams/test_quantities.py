import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from nw_platform.streams.quantities import (
    Duration,
    DurationOrNever,
    Grace,
    MinuteOfDay,
    Size,
    Window,
    format_duration,
    parse_duration,
    parse_size,
)

UNITS = {"s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


@given(st.integers(1, 36_500), st.sampled_from(sorted(UNITS)))
def test_a_duration_is_its_number_of_units(amount, unit):
    assert parse_duration(f"{amount}{unit}") == amount * UNITS[unit]


@given(st.integers(1, 10**9 - 1))
def test_what_is_formatted_reads_back_and_is_the_shortest(seconds):
    text = format_duration(seconds * 1_000_000)
    assert parse_duration(text) == seconds * 1_000_000
    assert len(text) <= len(f"{seconds}s")


@given(st.text(max_size=12))
def test_any_text_is_a_duration_or_refused(text):
    try:
        duration = parse_duration(text)
    except ValueError:
        duration = 1
    assert 0 < duration <= 36_500 * UNITS["d"]


@pytest.mark.parametrize(
    "text", ["", "30", "d", "0s", "-1h", "1.5h", "1h30m", "1 w", "36501d", "\u0661s", "1e3s", "never"]
)
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"), [("1MiB", 1 << 20), ("512 KiB", 512 << 10), ("1mb", 10**6), ("7B", 7), ("2GiB", 2 << 30)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "1", "0MiB", "1TiB", "MiB", "1.5MiB"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match="no size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("kind", "value", "result"),
    [
        (Duration, "1h", UNITS["h"]),
        (DurationOrNever, "never", None),
        (DurationOrNever, "1d", UNITS["d"]),
        (Grace, "0s", 0),
        (Grace, "5m", 5 * UNITS["m"]),
        (Window, "120s", 2 * UNITS["m"]),
        (Size, 4096, 4096),
        (Size, "4KiB", 4096),
        (MinuteOfDay, "06:00", 360),
        (MinuteOfDay, "23:59", 1439),
    ],
)
def test_values_as_a_file_has_them(kind, value, result):
    assert TypeAdapter(kind).validate_python(value) == result


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Duration, "never"), (Duration, 60), (Duration, None), (Duration, "0s"), (DurationOrNever, "ever"),
        (Grace, -1), (Window, "90s"), (Size, True), (Size, 0), (Size, "x"), (MinuteOfDay, "6"), (MinuteOfDay, 360),
        (MinuteOfDay, "24:00"), (MinuteOfDay, "06:60"),
    ],
)  # fmt: skip
def test_values_that_are_refused(kind, value):
    with pytest.raises(ValidationError, match="allowed: "):
        TypeAdapter(kind).validate_python(value)
