"""What the watchdog says when: each case is a timeline (what was seen, and when one looks) and what is found then.

Read a case as: on this stream with these rules, having seen this, at this time, these findings and no others of the
check. Times are UTC on 2026-11-22 (a Sunday) unless they say otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest

from nw_platform.record.hours import HOUR_US, hour_of, hour_start, to_us
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import (
    BalanceRule,
    FileRule,
    RateRule,
    ShareRule,
    SilenceRule,
    StreamRules,
    ValuesRule,
    VolumeRule,
)
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import FileSeen, HourStats, StreamObservations

MINUTE = 60_000_000
DAY = "2026-11-22"
QUARTERS = VolumeRule("quarters", min_lines=10, every_us=15 * MINUTE)
DIALER = FileRule("dialer", "dialer-{date}.csv", time(6), grace_us=30 * MINUTE)


def at(text: str, day: str = DAY) -> int:
    """An instant: `05:30`, or `2026-11-21 05:30`."""
    whole = text if len(text) > 8 else f"{day} {text}"
    return to_us(datetime.fromisoformat(whole).replace(tzinfo=UTC))


def stats(lines: dict[int, int], **more: Any) -> HourStats:
    """The stats of an hour with so many lines in these minutes."""
    minutes = tuple(lines.get(minute, 0) for minute in range(60))
    return HourStats(lines=sum(minutes), minutes=minutes, **more)


def hours(**named: HourStats) -> dict[str, HourStats]:
    """`h05=...` is hour 05 of the day."""
    return {f"{DAY}T{name[1:]}": value for name, value in named.items()}


def seen(stream: str = "web", *, since: str = "2026-11-01 00:00", **more: Any) -> StreamObservations:
    more.setdefault("judge", sorted(more.get("hours", {})))
    return StreamObservations(stream, live_since=at(since), **more)


def found(rules: StreamRules, observed: StreamObservations, now: str | int, check: str) -> list[Finding]:
    moment = now if isinstance(now, int) else at(now)
    return [f for f in evaluate([rules], {"web": observed}, moment) if f.check == check]


@dataclass(frozen=True)
class Case:
    """`expected`: (partition, subject, passed) of every finding of `check`, in order."""

    name: str
    check: str
    rules: tuple[Any, ...]
    observed: StreamObservations
    now: str
    expected: list[tuple[str | None, str, bool]]
    declared: dict[str, Any] | None = None


def full(count: int = 10) -> HourStats:
    return stats({0: count, 15: count, 30: count, 45: count})


def file(name: str, arrived: str, size: int = 100, partition: int = 0) -> FileSeen:
    return FileSeen(name, partition, size, at(arrived), at(arrived))


VOLUME = [
    Case(
        "every quarter has its lines", "volume", (QUARTERS,), seen(hours=hours(h05=full())), "06:10",
        [(f"{DAY}T05", "quarters", True)],
    ),
    Case(
        "a quarter is short", "volume", (QUARTERS,), seen(hours=hours(h05=stats({0: 10, 15: 9, 30: 10, 45: 10}))), "06:10",
        [(f"{DAY}T05", "quarters", False)],
    ),
    Case(
        "nothing at all arrived", "volume", (QUARTERS,), seen(judge=[f"{DAY}T05"]), "06:10",
        [(f"{DAY}T05", "quarters", False)],
    ),
    Case("a quarter is not over", "volume", (QUARTERS,), seen(judge=[f"{DAY}T05"]), "05:14", []),
    Case("a quarter is over, its grace is not", "volume", (QUARTERS,), seen(judge=[f"{DAY}T05"]), "05:19", []),
    Case(
        "the grace is over", "volume", (QUARTERS,), seen(judge=[f"{DAY}T05"]), "05:20", [(f"{DAY}T05", "quarters", False)]
    ),
    Case(
        "ingestion has not looked that far", "volume", (QUARTERS,),
        seen(judge=[f"{DAY}T05"], ingested_until=at("05:19")), "05:40", [],
    ),
    Case("the stream is new in this quarter", "volume", (QUARTERS,), seen(since="05:01", judge=[f"{DAY}T05"]), "05:20", []),
    Case(
        "the first whole quarter of a new stream counts", "volume", (QUARTERS,), seen(since="05:01", judge=[f"{DAY}T05"]),
        "05:35", [(f"{DAY}T05", "quarters", False)],
    ),
    Case("an empty lake, just started", "volume", (QUARTERS,), seen(since="05:59", judge=[f"{DAY}T05"]), "06:00", []),
    Case(
        "old data loaded now is judged between its first and last record", "volume", (QUARTERS,),
        seen(
            since="12:00", hours=hours(h05=stats({20: 50, 50: 50})), first_event=at("05:20"), last_event=at("05:50")
        ), "12:01", [(f"{DAY}T05", "quarters", False)],
    ),
    Case(
        "one record of old data says nothing about its hour", "volume", (QUARTERS,),
        seen(since="12:00", hours=hours(h05=stats({20: 1})), first_event=at("05:20"), last_event=at("05:20")), "12:01", [],
    ),
    Case(
        "too many lines are found while the window is still open", "volume", (VolumeRule("max", max_lines=5),),
        seen(hours=hours(h05=stats({1: 6}))), "05:02", [(f"{DAY}T05", "max", False)],
    ),
    Case(
        "not too many yet", "volume", (VolumeRule("max", max_lines=5),), seen(hours=hours(h05=stats({1: 5}))), "05:02", []
    ),
    Case(
        "a day's window belongs to its last hour", "volume", (VolumeRule("day", min_lines=24, every_us=24 * HOUR_US),),
        seen(hours=hours(**{f"h{n:02}": stats({n: 1}) for n in range(24)})), "2026-11-23 00:10", [(f"{DAY}T23", "day", True)],
    ),
    Case(
        "before history begins", "volume", (QUARTERS,), seen(hours=hours(h05=stats({0: 1}))), "07:00", [],
        {"history_from": date(2026, 11, 23)},
    ),
    Case(
        "after history ends", "volume", (QUARTERS,), seen(hours=hours(h05=stats({0: 1}))), "07:00", [],
        {"history_until": date(2026, 11, 22)},
    ),
    Case("a paused stream", "volume", (QUARTERS,), seen(judge=[f"{DAY}T05"]), "07:00", [], {"paused": True}),
    Case(
        "half of what this hour usually has", "volume", (VolumeRule("v", change_pct=40),),
        seen(hours=hours(h05=full(10)), same_hours={f"{DAY}T05": {"a": 80, "b": 84, "c": 70}}), "06:10",
        [(f"{DAY}T05", "v, change", False)],
    ),
    Case(
        "two days before are too few to compare with", "volume", (VolumeRule("v", change_pct=40),),
        seen(hours=hours(h05=full(10)), same_hours={f"{DAY}T05": {"a": 80, "b": 84, "c": 0}}), "06:10", [],
    ),
]  # fmt: skip

FILES = [
    Case("not due and not there", "expected_files", (DIALER,), seen(since="00:00"), "05:59", []),
    Case("due, within its grace", "expected_files", (DIALER,), seen(since="00:00"), "06:29", []),
    Case(
        "missing when the grace is over", "expected_files", (DIALER,), seen(since="00:00"), "06:30",
        [(f"{DAY}T06", f"dialer-{DAY}.csv", False)],
    ),
    Case(
        "early", "expected_files", (DIALER,), seen(since="00:00", files=[file(f"in/dialer-{DAY}.csv", "03:00")]), "04:00",
        [(f"{DAY}T06", f"dialer-{DAY}.csv", True)],
    ),
    Case(
        "late resolves it", "expected_files", (DIALER,), seen(since="00:00", files=[file(f"dialer-{DAY}.csv", "09:00")]),
        "09:01", [(f"{DAY}T06", f"dialer-{DAY}.csv", True)],
    ),
    Case(
        "packed is as good", "expected_files", (DIALER,), seen(since="00:00", files=[file(f"dialer-{DAY}.csv.gz", "03:00")]),
        "07:00", [(f"{DAY}T06", f"dialer-{DAY}.csv", True)],
    ),
    Case(
        "yesterday's file is not today's", "expected_files", (DIALER,),
        seen(since="00:00", files=[file("dialer-2026-11-21.csv", "03:00")]), "07:00",
        [(f"{DAY}T06", f"dialer-{DAY}.csv", False)],
    ),
    Case(
        "too small", "expected_files", (FileRule("d", "d-{date}.csv", time(6), min_size=101),),
        seen(since="00:00", files=[file(f"d-{DAY}.csv", "03:00")]), "06:00", [(f"{DAY}T06", f"d-{DAY}.csv", False)],
    ),
    Case(
        "came again, large enough", "expected_files", (FileRule("d", "d-{date}.csv", time(6), min_size=101),),
        seen(since="00:00", files=[file(f"d-{DAY}.csv", "03:00"), file(f"d-{DAY}.csv", "07:00", 101, 1)]), "07:00",
        [(f"{DAY}T06", f"d-{DAY}.csv", True)],
    ),
    Case(
        "another layout, a wildcard and yesterday's date", "expected_files",
        (FileRule("d", "d-*-{date:%Y%m%d}.csv", time(6), day_offset=-1),),
        seen(since="00:00", files=[file("d-east-20261121.csv", "03:00")]), "07:00", [(f"{DAY}T06", "d-*-20261121.csv", True)],
    ),
    Case("the deadline was before the stream was watched", "expected_files", (DIALER,), seen(since="06:01"), "08:00", []),
    Case(
        "not due on a Sunday", "expected_files", (FileRule("d", "d-{date}", time(6), weekdays=frozenset(range(6))),),
        seen(since="00:00"), "07:00", [],
    ),
    Case(
        "not due on a holiday", "expected_files",
        (FileRule("d", "d-{date}", time(6), holidays=frozenset({date(2026, 11, 22)})),), seen(since="00:00"), "07:00", [],
    ),
    Case(
        "each missing day is its own finding", "expected_files", (DIALER,), seen(since="2026-11-20 00:00"), "07:00",
        [(f"{d}T06", f"dialer-{d}.csv", False) for d in ("2026-11-20", "2026-11-21", DAY)],
    ),
    Case(
        "06:00 in Berlin is 05:00 UTC in winter", "expected_files", (FileRule("d", "d-{date}", time(6), zone="Europe/Berlin"),),
        seen(since="00:00"), "05:00", [(f"{DAY}T05", f"d-{DAY}", False)],
    ),
]  # fmt: skip

SHARES = [
    Case(
        "a share of errors above its bound", "error_rate", (ShareRule("error_rate", "", 5.0),),
        seen(hours=hours(h05=stats({0: 100}, errors=6, rejects={"bad_time": 6}))), "05:10", [(f"{DAY}T05", "", False)],
    ),
    Case(
        "a share of errors at its bound", "error_rate", (ShareRule("error_rate", "", 5.0),),
        seen(hours=hours(h05=stats({0: 100}, errors=5))), "05:10", [(f"{DAY}T05", "", True)],
    ),
    Case(
        "one bad line in a quiet hour", "error_rate", (ShareRule("error_rate", "", 5.0, at_least=3),),
        seen(hours=hours(h05=stats({0: 2}, errors=1))), "05:10", [(f"{DAY}T05", "", True)],
    ),
    Case(
        "no lines, no share", "error_rate", (ShareRule("error_rate", "", 5.0),),
        seen(hours=hours(h05=HourStats(watchdog=7))), "05:10", [],
    ),
    Case(
        "late lines", "late", (ShareRule("late", "", 1.0),), seen(hours=hours(h05=stats({0: 50}, late=1))), "05:10",
        [(f"{DAY}T05", "", False)],
    ),
    Case(
        "payments fail", "rate", (RateRule("p", "status >= 500", "t = 'p'", max_pct=5, every_us=10 * MINUTE),),
        seen(hours=hours(h05=stats({0: 40}, conditions={
            "status >= 500": stats({1: 2, 11: 1}).minutes, "t = 'p'": stats({1: 20, 11: 20}).minutes,
        }))), "06:10", [(f"{DAY}T05", "p", False)],
    ),
    Case(
        "a rate of nothing", "rate", (RateRule("p", "status >= 500", max_pct=5),), seen(judge=[f"{DAY}T05"]), "06:10",
        [(f"{DAY}T05", "p", True)],
    ),
    Case(
        "a condition that does not exist", "rate", (RateRule("p", "stauts >= 500", max_pct=5),),
        seen(judge=[f"{DAY}T05"], broken={"stauts >= 500": "no column stauts"}), "06:10", [(f"{DAY}T05", "p", False)],
    ),
    Case(
        "calls begun and not ended", "balance", (BalanceRule("calls", "b", "e", tolerance_pct=2),),
        seen(hours=hours(h05=stats({0: 197}, conditions={"b": stats({1: 100}).minutes, "e": stats({2: 97}).minutes}))),
        "06:10", [(f"{DAY}T05", "calls", False)],
    ),
    Case(
        "calls within tolerance", "balance", (BalanceRule("calls", "b", "e", tolerance_pct=2),),
        seen(hours=hours(h05=stats({0: 198}, conditions={"b": stats({1: 100}).minutes, "e": stats({2: 98}).minutes}))),
        "06:10", [(f"{DAY}T05", "calls", True)],
    ),
    Case(
        "a value nobody knows", "values", (ValuesRule("status", "status", ("200",)),),
        seen(hours=hours(h05=stats({0: 9}, values={"status": {"418": 1}}, filled={"status": 9}))), "05:10",
        [(f"{DAY}T05", "status", False)],
    ),
]  # fmt: skip

HOSTS = [
    Case(
        "a host that sends", "silence", (SilenceRule(""),), seen(hosts={"web-01": at("05:59")}), "06:00",
        [(None, "web-01", True)],
    ),
    Case(
        "a host that stopped", "silence", (SilenceRule(""),), seen(hosts={"web-01": at("05:00"), "web-02": at("06:00")}),
        "06:00", [(None, "web-01", False), (None, "web-02", True)],
    ),
    Case(
        "never seen", "silence", (SilenceRule("", hosts=("web-03",)),), seen(since="05:00"), "06:00", [(None, "web-03", False)]
    ),
    Case(
        "not seen yet, just started", "silence", (SilenceRule("", hosts=("web-03",)),), seen(since="05:57"), "06:00",
        [(None, "web-03", True)],
    ),
    Case(
        "silent since long before it was watched, just started", "silence", (SilenceRule(""),),
        seen(since="05:57", hosts={"web-01": at("2026-11-21 05:00")}), "06:00", [(None, "web-01", True)],
    ),
    Case(
        "the clock was set back by an hour", "silence", (SilenceRule(""),), seen(hosts={"web-01": at("06:59")}), "06:00",
        [(None, "web-01", True)],
    ),
]  # fmt: skip

HISTORY = [
    Case("all within", "history", (), seen(), "06:00", [(None, "", True)]),
    Case(
        "records of 1999", "history", (), seen(outside_history={"1999-12-31T23": 2}), "06:00", [(None, "", False)]
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", [*VOLUME, *FILES, *SHARES, *HOSTS, *HISTORY], ids=lambda case: f"{case.check}: {case.name}"
)
def test_timeline(case: Case):
    rules = StreamRules("web", case.rules, **(case.declared or {}))
    results = found(rules, case.observed, case.now, case.check)
    assert [(f.partition, f.subject, f.passed) for f in results] == case.expected
    for finding in results:
        assert "\n" not in finding.message
        assert finding.message.startswith(f"{finding.asset}")
        if not finding.passed:
            assert finding.repair
            assert finding.repair in finding.message
            assert finding.since is not None or finding.check == "silence"
            assert (
                finding.partition is None or finding.partition in finding.message or finding.check == "expected_files"
            )


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


def test_a_missing_file_says_which_one_when_it_was_due_and_where_to_put_it():
    rules = StreamRules("web", (DIALER,), where="hdfs://nn/in")
    [finding] = found(rules, seen(since="00:00"), "06:30", "expected_files")
    assert finding.message == (
        "raw/web: dialer-2026-11-22.csv has not arrived; it was due 2026-11-22 06:00 UTC (2026-11-22T06:00:00Z) with a "
        "grace of 30 min; ask for it, put it in hdfs://nn/in, then: nw ingest --stream web --once"
    )
    assert finding.since == at("06:00")


def test_the_host_with_most_errors_is_named():
    observed = seen(
        hours=hours(h05=stats({0: 100}, errors=8, rejects={"bad_time": 2, "bad_format": 6}, error_host=("web-02", 7)))
    )
    [finding] = found(StreamRules("web", (ShareRule("error_rate", "", 5.0),)), observed, "05:10", "error_rate")
    assert "8 of 100 lines are errors (8.00 %; allowed: 5 %)" in finding.message
    assert "most from host web-02 (7); rejected bad_format 6, bad_time 2" in finding.message


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


def test_an_expected_host_that_another_stream_has_seen_is_not_missed():
    rules = [StreamRules("web", (SilenceRule("", hosts=("a", "b")),)), StreamRules("app", ())]
    observed = {"web": seen(), "app": seen("app", hosts={"a": at("05:59")})}
    results = [(f.subject, f.passed) for f in evaluate(rules, observed, at("06:00")) if f.check == "silence"]
    assert results == [("b", False)]


def test_a_stream_that_was_removed_is_not_judged():
    assert evaluate([], {"web": seen(judge=[f"{DAY}T05"])}, at("07:00")) == []


def test_hours_are_as_declared():
    assert hour_of(hour_start(f"{DAY}T05")) == f"{DAY}T05"
