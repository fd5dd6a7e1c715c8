"""What the watchdog says of files when: each case is a timeline: what was seen, when one looks, what is found.

Read a case as: on this stream with these rules, having seen this, at this time, these findings and no others of the
check. Times are UTC on 2026-11-22 (a Sunday) unless they say otherwise.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

import pytest

from nw_platform.record.hours import HOUR_US, to_us
from nw_platform.watchdog.expectations import (
    FileRule,
    StreamRules,
)
from nw_platform.watchdog.observations import StreamObservations
from tests.watchdog.timeline import (
    DAY,
    DIALER,
    Case,
    at,
    file,
    found,
    holds,
    seen,
)

FILES = [
    Case("not due and not there", "expected_files", (DIALER,), seen(since="00:00"), "05:59", []),
    Case("due, within its grace", "expected_files", (DIALER,), seen(since="00:00"), "06:29", []),
    Case(
        "missing when the grace is over",
        "expected_files",
        (DIALER,),
        seen(since="00:00"),
        "06:30",
        [(f"{DAY}T06", f"dialer-{DAY}.csv", False)],
    ),
    Case(
        "early",
        "expected_files",
        (DIALER,),
        seen(since="00:00", files=[file(f"in/dialer-{DAY}.csv", "03:00")]),
        "04:00",
        [(f"{DAY}T06", f"dialer-{DAY}.csv", True)],
    ),
    Case(
        "late resolves it",
        "expected_files",
        (DIALER,),
        seen(since="00:00", files=[file(f"dialer-{DAY}.csv", "09:00")]),
        "09:01",
        [(f"{DAY}T06", f"dialer-{DAY}.csv", True)],
    ),
    Case(
        "packed is as good",
        "expected_files",
        (DIALER,),
        seen(since="00:00", files=[file(f"dialer-{DAY}.csv.gz", "03:00")]),
        "07:00",
        [(f"{DAY}T06", f"dialer-{DAY}.csv", True)],
    ),
    Case(
        "yesterday's file is not today's",
        "expected_files",
        (DIALER,),
        seen(since="00:00", files=[file("dialer-2026-11-21.csv", "03:00")]),
        "07:00",
        [(f"{DAY}T06", f"dialer-{DAY}.csv", False)],
    ),
    Case(
        "too small",
        "expected_files",
        (FileRule("d", "d-{date}.csv", time(6), min_size=101),),
        seen(since="00:00", files=[file(f"d-{DAY}.csv", "03:00")]),
        "06:00",
        [(f"{DAY}T06", f"d-{DAY}.csv", False)],
    ),
    Case(
        "came again, large enough",
        "expected_files",
        (FileRule("d", "d-{date}.csv", time(6), min_size=101),),
        seen(since="00:00", files=[file(f"d-{DAY}.csv", "03:00"), file(f"d-{DAY}.csv", "07:00", 101, 1)]),
        "07:00",
        [(f"{DAY}T06", f"d-{DAY}.csv", True)],
    ),
    Case(
        "another layout, a wildcard and yesterday's date",
        "expected_files",
        (FileRule("d", "d-*-{date:%Y%m%d}.csv", time(6), day_offset=-1),),
        seen(since="00:00", files=[file("d-east-20261121.csv", "03:00")]),
        "07:00",
        [(f"{DAY}T06", "d-*-20261121.csv", True)],
    ),
    Case(
        "the deadline was before the stream was watched", "expected_files", (DIALER,), seen(since="06:01"), "08:00", []
    ),
    Case(
        "not due on a Sunday",
        "expected_files",
        (FileRule("d", "d-{date}", time(6), weekdays=frozenset(range(6))),),
        seen(since="00:00"),
        "07:00",
        [],
    ),
    Case(
        "not due on a holiday",
        "expected_files",
        (FileRule("d", "d-{date}", time(6), holidays=frozenset({date(2026, 11, 22)})),),
        seen(since="00:00"),
        "07:00",
        [],
    ),
    Case(
        "each missing day is its own finding",
        "expected_files",
        (DIALER,),
        seen(since="2026-11-20 00:00"),
        "07:00",
        [(f"{d}T06", f"dialer-{d}.csv", False) for d in ("2026-11-20", "2026-11-21", DAY)],
    ),
    Case(
        "06:00 in Berlin is 05:00 UTC in winter",
        "expected_files",
        (FileRule("d", "d-{date}", time(6), zone="Europe/Berlin"),),
        seen(since="00:00"),
        "05:00",
        [(f"{DAY}T05", f"d-{DAY}", False)],
    ),
]


@pytest.mark.parametrize("case", FILES, ids=lambda case: f"{case.check}: {case.name}")
def test_timeline(case: Case):
    holds(case)


def test_a_missing_file_says_which_one_when_it_was_due_and_where_to_put_it():
    rules = StreamRules("web", (DIALER,), where="hdfs://nn/in")
    [finding] = found(rules, seen(since="00:00"), "06:30", "expected_files")
    assert finding.message == (
        "raw/web: dialer-2026-11-22.csv has not arrived; it was due 2026-11-22 06:00 UTC (2026-11-22T06:00:00Z) with a "
        "grace of 30 min; ask for it, put it in hdfs://nn/in, then: nw ingest --stream web --once"
    )
    assert finding.since == at("06:00")


@pytest.mark.parametrize(
    ("day", "by", "expected"),
    [
        (date(2026, 3, 28), time(2, 30), "2026-03-28 01:30"),  # the day before clocks go forward
        (
            date(2026, 3, 29),
            time(2, 30),
            "2026-03-29 01:30",
        ),  # 02:30 does not exist: later than both readings' instants
        (date(2026, 3, 29), time(6, 0), "2026-03-29 04:00"),
        (date(2026, 10, 25), time(2, 30), "2026-10-25 01:30"),  # 02:30 is there twice: the second
        (date(2026, 10, 25), time(6, 0), "2026-10-25 05:00"),
        (date(2028, 2, 29), time(6, 0), "2028-02-29 05:00"),  # a leap day is a day
    ],
)
def test_a_deadline_in_berlin_around_changes_of_the_clock(day: date, by: time, expected: str):
    rule = FileRule("d", "d-{date}", by, zone="Europe/Berlin")
    due = at(expected)
    for now, count in ((due - 1, 0), (due, 1)):
        observed = StreamObservations("web", live_since=due - 10 * HOUR_US)
        rules = StreamRules("web", (rule,))
        names = [f.subject for f in found(rules, observed, now, "expected_files")]
        assert names == [f"d-{day}"] * count


def test_every_day_of_a_year_has_exactly_one_deadline_and_every_hour_of_a_day_its_window():
    rule = FileRule("d", "d-{date}", time(2, 30), zone="America/New_York")
    start = to_us(datetime(2028, 1, 1, tzinfo=UTC))
    names = set()
    for day in range(366):
        now = start + (day + 1) * 24 * HOUR_US
        observed = StreamObservations("web", live_since=now - 24 * HOUR_US)
        new = [f.subject for f in found(StreamRules("web", (rule,)), observed, now, "expected_files")]
        assert len(new) == 1
        names.update(new)
    first = date(2028, 1, 1)
    assert names == {f"d-{first + timedelta(days=n)}" for n in range(366)}
