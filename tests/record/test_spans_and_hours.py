"""Receipts chain by their canonical form; hours and periods are UTC arithmetic."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nw_platform.errors import UsageError
from nw_platform.record.hours import (
    hour_of,
    hour_start,
    hours_between,
    next_hour,
    parse_bound,
    period_directory,
    period_of,
    to_datetime,
    to_iso,
    to_us,
)  # fmt: skip
from nw_platform.record.spans import FIRST_DIGEST, Receipt, Span

TEXT = st.text(max_size=12)
SPANS = st.builds(
    Span, source=TEXT, partition=st.integers(0, 9), start=st.integers(0, 99), end=st.integers(0, 99), incarnation=TEXT,
    records=st.integers(0, 9), state=st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=3),
)  # fmt: skip


def receipt(**changes):
    fields = {
        "stream": "web", "lane": "0.0", "sequence": 1, "kind": "batch", "arrival_hour": "2026-11-22T05", "spans": (),
        "positions": {}, "records": 0, "bytes": 0, "skipped_lines": 0, "digest": "d", "previous_digest": FIRST_DIGEST,
        "event_hours": {}, "planned_time": 7,
    }  # fmt: skip
    return Receipt(**{**fields, **changes})


@given(st.lists(SPANS, max_size=3), st.dictionaries(TEXT, st.integers(), max_size=3))
def test_a_receipt_is_what_its_canonical_form_says(spans, positions):
    written = receipt(spans=tuple(spans), positions=positions)
    read = Receipt.parse(written.canonical())
    assert read == written
    assert read.self_digest() == written.self_digest()


def test_any_change_of_a_receipt_changes_its_digest():
    assert receipt().self_digest() != receipt(bytes=1).self_digest()


@given(st.integers(0, 2**52))
def test_instants_survive_the_calendar(instant):
    assert to_us(to_datetime(instant)) == instant
    assert hour_start(hour_of(instant)) <= instant < hour_start(next_hour(hour_of(instant)))


def test_periods():
    assert period_of("hour", "2026-11-22T05") == "2026-11-22T05"
    assert period_of("day", "2026-11-22T05") == "2026-11-22"
    assert period_of("week", "2026-11-22T05") == "2026-11-16"  # a Monday
    assert period_of("month", "2026-11-22T05") == "2026-11-01"
    assert period_of("all", "2026-11-22T05") == "all"
    assert period_directory("hour", "2026-11-22T05") == "2026-11-22"
    assert period_directory("all", "all") == "all"


def test_bounds():
    assert parse_bound("2026-11-22") == "2026-11-22T00"
    assert parse_bound("2026-11-22T05") == "2026-11-22T05"
    assert hours_between("2026-11-22T22", "2026-11-23T01") == ["2026-11-22T22", "2026-11-22T23", "2026-11-23T00"]
    for wrong in ("2026-13-01", "yesterday", "2026-11-22T24", "2026-11-22 05"):
        with pytest.raises(UsageError, match="no UTC hour or day"):
            parse_bound(wrong)


def test_iso_ends_in_z():
    assert to_iso(to_us(datetime(2026, 11, 22, 5, 6, 7, tzinfo=UTC))) == "2026-11-22T05:06:07Z"
