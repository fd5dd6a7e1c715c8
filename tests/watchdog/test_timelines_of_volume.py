"""What the watchdog says of volume when: each case is a timeline: what was seen, when one looks, what is found.

Read a case as: on this stream with these rules, having seen this, at this time, these findings and no others of the
check. Times are UTC on 2026-11-22 (a Sunday) unless they say otherwise.
"""

from __future__ import annotations

from datetime import date

import pytest

from nw_platform.record.hours import HOUR_US
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import (
    StreamRules,
    VolumeRule,
)
from nw_platform.watchdog.volume import days_before, weeks_before
from tests.watchdog.timeline import (
    DAY,
    MINUTE,
    QUARTERS,
    Case,
    at,
    found,
    full,
    holds,
    hours,
    seen,
    stats,
)


def before(day: str, lines: int) -> dict[str, int]:
    """Lines of hour 05 of an earlier day."""
    return {f"2026-{day}T05": lines}


DAYS_BEFORE = before("11-21", 80) | before("11-20", 84) | before("11-19", 70)
WORKDAYS = {f"2026-11-{day}T05": 400 for day in (16, 17, 18, 19, 20)} | {"2026-11-08T05": 42, "2026-11-01T05": 40}
VOLUME = [
    Case(
        "every quarter has its lines",
        "volume",
        (QUARTERS,),
        seen(hours=hours(h05=full())),
        "06:10",
        [(f"{DAY}T05", "quarters", True)],
    ),
    Case(
        "a quarter is short",
        "volume",
        (QUARTERS,),
        seen(hours=hours(h05=stats({0: 10, 15: 9, 30: 10, 45: 10}))),
        "06:10",
        [(f"{DAY}T05", "quarters", False)],
    ),
    Case(
        "nothing at all arrived",
        "volume",
        (QUARTERS,),
        seen(judge=[f"{DAY}T05"]),
        "06:10",
        [(f"{DAY}T05", "quarters", False)],
    ),
    Case("a quarter is not over", "volume", (QUARTERS,), seen(judge=[f"{DAY}T05"]), "05:14", []),
    Case("a quarter is over, its grace is not", "volume", (QUARTERS,), seen(judge=[f"{DAY}T05"]), "05:19", []),
    Case(
        "the grace is over",
        "volume",
        (QUARTERS,),
        seen(judge=[f"{DAY}T05"]),
        "05:20",
        [(f"{DAY}T05", "quarters", False)],
    ),
    Case(
        "ingestion has not looked that far",
        "volume",
        (QUARTERS,),
        seen(judge=[f"{DAY}T05"], ingested_until=at("05:19")),
        "05:40",
        [],
    ),
    Case(
        "the stream is new in this quarter",
        "volume",
        (QUARTERS,),
        seen(since="05:01", judge=[f"{DAY}T05"]),
        "05:20",
        [],
    ),
    Case(
        "the first hour of a new stream without a record",
        "volume",
        (QUARTERS,),
        seen(since="05:01", judge=[f"{DAY}T05", f"{DAY}T06"]),
        "06:30",
        [],
    ),
    Case(
        "the first whole quarter after a new stream's first record counts",
        "volume",
        (QUARTERS,),
        seen(since="05:01", judge=[f"{DAY}T05"], first_event=at("05:14"), last_event=at("05:14")),
        "05:35",
        [(f"{DAY}T05", "quarters", False)],
    ),
    Case("an empty lake, just started", "volume", (QUARTERS,), seen(since="05:59", judge=[f"{DAY}T05"]), "06:00", []),
    Case(
        "a history with an end that is loaded now is judged between its first and last record",
        "volume",
        (QUARTERS,),
        seen(since="12:00", hours=hours(h05=stats({20: 50, 50: 50})), first_event=at("05:20"), last_event=at("05:50")),
        "12:01",
        [(f"{DAY}T05", "quarters", False)],
        {"history_until": date(2026, 11, 23)},
    ),
    Case(
        "of time before the first receipt nobody knows how many lines there were",
        "volume",
        (QUARTERS,),
        seen(since="12:00", hours=hours(h05=stats({20: 50, 50: 50})), first_event=at("05:20"), last_event=at("05:50")),
        "12:01",
        [],
    ),
    Case(
        "enough lines before the first receipt are enough",
        "volume",
        (QUARTERS,),
        seen(since="12:00", hours=hours(h05=stats({0: 50, 15: 10})), first_event=at("05:00"), last_event=at("05:40")),
        "12:01",
        [(f"{DAY}T05", "quarters", True)],
    ),
    Case(
        "too many lines before the first receipt are too many",
        "volume",
        (VolumeRule("max", max_lines=5),),
        seen(since="12:00", hours=hours(h05=stats({20: 6})), first_event=at("05:20"), last_event=at("05:20")),
        "12:01",
        [(f"{DAY}T05", "max", False)],
    ),
    Case(
        "old data in a stream's first hour does not make the quarters before its first receipt watched ones",
        "volume",
        (QUARTERS,),
        seen(
            since="05:00",
            first_receipt=at("05:31"),
            judge=[f"{DAY}T05"],
            hours={"2026-11-21T05": stats({29: 3})},
            first_event=at("2026-11-21 05:29"),
            last_event=at("05:31"),
        ),
        "05:50",
        [],
    ),
    Case(
        "one record of old data says nothing about its hour",
        "volume",
        (QUARTERS,),
        seen(since="12:00", hours=hours(h05=stats({20: 1})), first_event=at("05:20"), last_event=at("05:20")),
        "12:01",
        [],
    ),
    Case(
        "too many lines are found while the window is still open",
        "volume",
        (VolumeRule("max", max_lines=5),),
        seen(hours=hours(h05=stats({1: 6}))),
        "05:02",
        [(f"{DAY}T05", "max", False)],
    ),
    Case(
        "not too many yet",
        "volume",
        (VolumeRule("max", max_lines=5),),
        seen(hours=hours(h05=stats({1: 5}))),
        "05:02",
        [],
    ),
    Case(
        "a day's window belongs to its last hour",
        "volume",
        (VolumeRule("day", min_lines=24, every_us=24 * HOUR_US),),
        seen(hours=hours(**{f"h{n:02}": stats({n: 1}) for n in range(24)})),
        "2026-11-23 00:10",
        [(f"{DAY}T23", "day", True)],
    ),
    Case(
        "before history begins",
        "volume",
        (QUARTERS,),
        seen(hours=hours(h05=stats({0: 1}))),
        "07:00",
        [],
        {"history_from": date(2026, 11, 23)},
    ),
    Case(
        "after history ends",
        "volume",
        (QUARTERS,),
        seen(hours=hours(h05=stats({0: 1}))),
        "07:00",
        [],
        {"history_until": date(2026, 11, 22)},
    ),
    Case("a paused stream", "volume", (QUARTERS,), seen(judge=[f"{DAY}T05"]), "07:00", [], {"paused": True}),
    Case(
        "half of what this hour usually has",
        "volume",
        (VolumeRule("v", change_pct=40),),
        seen(
            hours=hours(h05=full(10)),
            same_hours={f"{DAY}T05": DAYS_BEFORE},
        ),
        "06:10",
        [(f"{DAY}T05", "v, change", False)],
    ),
    Case(
        "two days before are too few to compare with",
        "volume",
        (VolumeRule("v", change_pct=40),),
        seen(hours=hours(h05=full(10)), same_hours={f"{DAY}T05": before("11-21", 80) | before("11-20", 84)}),
        "06:10",
        [],
    ),
    Case(
        "a Sunday is far from the days before it and near the Sundays before it",
        "volume",
        (VolumeRule("v", change_pct=40),),
        seen(hours=hours(h05=full(10)), same_hours={f"{DAY}T05": {**WORKDAYS, **before("11-15", 38)}}),
        "06:10",
        [(f"{DAY}T05", "v, change", True)],
    ),
    Case(
        "a Sunday that is far from Sundays, too",
        "volume",
        (VolumeRule("v", change_pct=40),),
        seen(hours=hours(h05=full(2)), same_hours={f"{DAY}T05": {**WORKDAYS, **before("11-15", 38)}}),
        "06:10",
        [(f"{DAY}T05", "v, change", False)],
    ),
    Case(
        "only weeks are compared where days are none",
        "volume",
        (VolumeRule("v", change_pct=40, days=0),),
        seen(hours=hours(h05=full(2)), same_hours={f"{DAY}T05": WORKDAYS}),
        "06:10",
        [(f"{DAY}T05", "v, change", False)],
    ),
]


@pytest.mark.parametrize("case", VOLUME, ids=lambda case: f"{case.check}: {case.name}")
def test_timeline(case: Case):
    holds(case)


def test_a_failing_volume_says_which_windows_and_since_when():
    rules = StreamRules("web", (VolumeRule("q", min_lines=10, every_us=15 * MINUTE),))
    observed = seen(hours=hours(h05=stats({0: 10, 15: 9, 45: 10})))
    [finding] = found(rules, observed, "06:10", "volume")
    assert finding.message == (
        "logs/web 2026-11-22T05: 2 of 4 windows of 15 min have fewer than 10 lines: 05:15 (9), 05:30 (0) "
        "(since 2026-11-22T05:15:00Z); what arrived is proved by: nw verify web 2026-11-22T05 2026-11-22T06"
    )
    assert finding.since == at("05:15")
    assert finding.numbers == {"lines": 29, "windows": 4, "low": 2, "high": 0, "min_lines": 10}


def test_a_stream_that_was_removed_is_not_judged():
    assert evaluate([], {"web": seen(judge=[f"{DAY}T05"])}, at("07:00")) == []


def test_the_same_hour_is_that_of_the_clock_where_clocks_were_changed():
    """Berlin left summer time on 2026-10-25: 08:00 there was 06:00 UTC before, and is 07:00 since."""
    assert days_before("2026-10-26T07", 3, "Europe/Berlin") == ("2026-10-25T07", "2026-10-24T06", "2026-10-23T06")
    assert days_before("2026-10-26T07", 2) == ("2026-10-25T07", "2026-10-24T07")
    assert weeks_before("2026-10-26T07", 2, "Europe/Berlin") == ("2026-10-19T06", "2026-10-12T06")
    assert days_before("2024-03-01T05", 2) == ("2024-02-29T05", "2024-02-28T05")
    rule = VolumeRule("v", change_pct=20, zone="Europe/Berlin")
    opening = {f"2026-10-{day}T06": 1000 for day in range(19, 25)} | {
        f"2026-10-{day}T07": 3000 for day in range(19, 25)
    }
    observed = seen(
        hours={"2026-10-26T07": stats({0: 1000})}, same_hours={"2026-10-26T07": opening}, since="2026-10-01 00:00"
    )
    [finding] = found(StreamRules("web", (rule,)), observed, at("2026-10-26 08:10"), "volume")
    assert finding.passed


def test_a_change_names_both_medians():
    rules = StreamRules("web", (VolumeRule("v", change_pct=40),))
    observed = seen(hours=hours(h05=full(2)), same_hours={f"{DAY}T05": {**WORKDAYS, **before("11-15", 38)}})
    [finding] = found(rules, observed, "06:10", "volume")
    assert "8 lines, -98.0 % against 400, the median of this hour on 6 days before" in finding.message
    assert "-80.0 % against 40, the median of this hour on 3 weeks before (allowed: 40 %)" in finding.message
    assert finding.numbers["usual_lines_weeks"] == 40
