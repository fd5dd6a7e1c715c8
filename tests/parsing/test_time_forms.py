"""Times as text and as numbers, declared and not: what is read, as what, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from nw_platform.parsing.contract import EventTime
from nw_platform.parsing.text_times import TIME_NAMES, find_time_field, parse_text
from nw_platform.parsing.time_forms import FORMS, ZONE_NAMES, zone_offsets
from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hours import to_us

AT = datetime(2026, 11, 20, 10, 0, 1, tzinfo=UTC)
RECEIVED = to_us(datetime(2026, 11, 22, 12, tzinfo=UTC))


def read(text: str | None, declared: EventTime | None = None, year: int | None = None) -> datetime | None:
    """The time of one text, read between others that must not matter."""
    texts = ["1795168800123", text, "2026-11-20T10:00:01Z", "x", None]
    received = pa.array([RECEIVED] * len(texts), pa.int64()).cast(TIMESTAMP)
    many = parse_text(pa.array(texts, pa.string()), declared, received, year).to_pylist()
    alone = parse_text(pa.array([text], pa.string()), declared, received[:1], year).to_pylist()
    assert many[1] == alone[0]
    return many[1]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("suffix", "hour"), [("", 10), (" +0100", 9), ("+01:00", 9), (" CET", 9), (" EST", 15), (" UTC", 10), ("Z", 10)]
)
def test_every_form_is_read_with_a_zone_and_without(form, suffix, hour):
    if form.endswith("2026") and suffix:
        form, suffix = f"Fri Nov 20 10:00:01 {suffix.strip()} 2026", ""
    if form.endswith("AM") and suffix:
        suffix = f" {suffix.strip()}"
    assert read(form + suffix) == AT.replace(hour=hour)


@pytest.mark.parametrize("form", [form for form in FORMS if "10:00:01" in form])
def test_every_form_with_a_clock_takes_fractions_and_second_60(form):
    assert read(form.replace(":01", ":01.123456789")) == AT.replace(microsecond=123456)
    assert read(form.replace(":01", ":01,5")) == AT.replace(microsecond=500_000)
    assert read(form.replace(":01", ":60")) == AT.replace(minute=1, second=0)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-20 10:00:01 +0100", AT.replace(hour=9)),
        ("2026-11-20T10:00:01.123456789Z", AT.replace(microsecond=123456)),
        ("2026-11-20T10:00:01+01:00[Europe/Berlin]", AT.replace(hour=9)),
        ("Fri Nov 20 2026 10:00:01 GMT+0100 (CET)", AT.replace(hour=9)),
        ("2026-11-20 10:00:01.25 +0100 CET m=+0.001", AT.replace(hour=9, microsecond=250_000)),
        ("2026-12-31 23:59:60", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2026-12-31T23:59:60.5Z", datetime(2027, 1, 1, 0, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-11-20 9:00:01", AT.replace(hour=9)),
        ("20261120T100001.5Z", AT.replace(microsecond=500_000)),
        ("20 Nov 2026", AT.replace(hour=0, second=0)),
        ("2026-11-20 01:00 PM", AT.replace(hour=13, second=0)),
        ("12/31/1999 10:00:00", None),
        ("11/12/2026 10:00:00", None),
        ("2026-11-20 10:00:01 CST", None),  # of America, China or Cuba
        ("2026-11-20 10:00:01 XYZ", None),
        ("2026-11-20 10:00:61", None),
        ("2026-02-30 10:00:01 EST", None),
        ("Novable 20 2026 10:00:01", None),
        ("at 2026-11-20 10:00:01", None),
        ("10:00:01", None),
        ("", None),
        ("true", None),
    ],
)
def test_other_texts(text, wanted):
    assert read(text) == wanted


@pytest.mark.parametrize(
    ("text", "unit", "wanted"),
    [
        ("1795168801", None, AT),
        ("1795168801.25", None, AT.replace(microsecond=250_000)),
        ("1.795168801e9", None, AT),
        ("1795168801123", None, AT.replace(microsecond=123_000)),
        ("1795168801123456", None, AT.replace(microsecond=123_456)),
        ("1795168801123456999", None, AT.replace(microsecond=123_456)),
        ("20261120", None, AT.replace(hour=0, second=0)),
        ("20260231", None, None),
        ("1795168801", "s", AT),
        ("1795168801", "ms", datetime(1970, 1, 21, 18, 39, 28, 801_000, tzinfo=UTC)),
        ("1795168801123456", "us", AT.replace(microsecond=123_456)),
        ("20261120", "s", datetime(1970, 8, 23, 12, 5, 20, tzinfo=UTC)),
        ("20261120100001", "ms", None),  # a number counts the declared unit and is nothing else
        ("-5", None, None),
        ("99999999999999999999999", None, None),
        ("0x10", None, None),
    ],
)
def test_numbers_tell_their_unit_by_their_size_unless_it_is_declared(text, unit, wanted):
    assert read(text, EventTime("t", unit)) == wanted


def test_names_of_zones_are_those_of_the_declared_zone_first():
    chicago = EventTime("t", zone="America/Chicago")
    assert read("2026-11-20 10:00:01 CST", chicago) == AT.replace(hour=16)
    assert read("Nov 20 10:00:01 CST", chicago) == AT.replace(hour=16)
    assert read("2026-11-20 10:00:01", chicago) == AT.replace(hour=16)
    assert read("2026-11-20 10:00:01 EST", chicago) == AT.replace(hour=15)
    assert zone_offsets("Asia/Shanghai")["CST"] == "+08:00"
    assert "CST" not in ZONE_NAMES


def test_a_year_that_is_not_named_is_the_declared_one_or_the_latest():
    assert read("Dec 24 10:00:01") == datetime(2025, 12, 24, 10, 0, 1, tzinfo=UTC)
    assert read("Dec 24 10:00:01", year=2019) == datetime(2019, 12, 24, 10, 0, 1, tzinfo=UTC)
    layout = EventTime("t", layout="%d.%m. %H:%M:%S", zone="Europe/Berlin")
    assert read("20.11. 11:00:01", layout) == AT
    assert read("20.11. 11:00:60", layout) == AT.replace(minute=1, second=0)


def test_the_first_name_of_the_list_counts_whatever_the_order_of_the_fields():
    assert TIME_NAMES[0] == "ts"
    assert find_time_field(["a", "Time", "TIMESTAMP"], None) == 2
    assert find_time_field(["time", "ts"], EventTime(zone="Europe/Berlin")) == 1
    assert find_time_field(["time"], EventTime(zone="Europe/Berlin")) == 0
    assert find_time_field(["time", "when"], EventTime("When")) == 1
    assert find_time_field(["time"], EventTime("when")) is None


@pytest.mark.parametrize(
    "clock", ["2026-11-20T10:00:01", "2026-11-20 10:00:01 ", "20/Nov/2026:10:00:01 ", "Nov 20 10:00:01"]
)
@pytest.mark.parametrize("offset", ["+1500", "-18:00", "+25:00", "+9999", "+01:75", "-0360"])
def test_what_no_zone_can_be_is_no_offset(clock, offset):
    assert read(clock + offset) is None
    layout = {"T": "%Y-%m-%dT%H:%M:%S%z", "/": "%d/%b/%Y:%H:%M:%S %z"}.get(clock[10] if clock[2] != "/" else "/")
    if layout is not None:
        assert read(clock + offset, EventTime(layout=layout)) is None
        assert read(clock + "+14:00", EventTime(layout=layout)) == AT.replace(day=19, hour=20)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("2026-11-20 10:00:01 (CET)", AT.replace(hour=9)),
        ("2026-11-20T10:00:01[EST]", AT.replace(hour=15)),
        ("20 Nov 2026 10:00:01 (UTC)", AT),
        ("2026-11-20T10:00:01Z[Europe/Berlin]", AT),
        ("Fri, 20 Nov 2026 10:00:01 -0500 (EST)", AT.replace(hour=15)),
        ("Fri Nov 20 2026 10:00:01 GMT+0100 (Central European Standard Time)", AT.replace(hour=9)),
        ("2026-11-20T10:00:01[Europe/Berlin]", None),
        ("2026-11-20 10:00:01 (IST)", None),
        ("2026-11-20 10:00:01 (local)", None),
    ],
)
def test_a_zone_in_brackets_is_a_comment_only_behind_an_offset(text, wanted):
    assert read(text) == wanted


@pytest.mark.parametrize("text", ["20261301", "20261132", "20261100"])
def test_eight_digits_are_a_day_or_nothing(text):
    assert read(text) is None
