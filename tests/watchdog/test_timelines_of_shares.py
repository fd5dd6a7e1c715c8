"""What the watchdog says of shares, values and hosts: what was seen, when one looks, what is found.

Read a case as: on this stream with these rules, having seen this, at this time, these findings and no others of the
check. Times are UTC on 2026-11-22 (a Sunday) unless they say otherwise.
"""

from __future__ import annotations

import pytest

from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import (
    BalanceRule,
    RateRule,
    ShareRule,
    SilenceRule,
    StreamRules,
    TypesRule,
    ValuesRule,
)
from nw_platform.watchdog.observations import HourStats
from tests.watchdog.timeline import (
    DAY,
    MINUTE,
    Case,
    at,
    found,
    holds,
    hours,
    seen,
    stats,
)

SHARES = [
    Case(
        "a share of errors above its bound",
        "error_rate",
        (ShareRule("error_rate", "", 5.0),),
        seen(hours=hours(h05=stats({0: 100}, errors=6, rejects={"bad_time": 6}))),
        "05:10",
        [(f"{DAY}T05", "", False)],
    ),
    Case(
        "a share of errors at its bound",
        "error_rate",
        (ShareRule("error_rate", "", 5.0),),
        seen(hours=hours(h05=stats({0: 100}, errors=5))),
        "05:10",
        [(f"{DAY}T05", "", True)],
    ),
    Case(
        "one bad line in a quiet hour",
        "error_rate",
        (ShareRule("error_rate", "", 5.0, at_least=3),),
        seen(hours=hours(h05=stats({0: 2}, errors=1))),
        "05:10",
        [(f"{DAY}T05", "", True)],
    ),
    Case(
        "a large share of spilled records",
        "spill",
        (ShareRule("spill", "", 10.0, at_least=100),),
        seen(hours=hours(h05=stats({0: 900}, watchdog=100, spilled=200))),
        "05:10",
        [(f"{DAY}T05", "", False)],
    ),
    Case(
        "a few spilled records of a quiet host",
        "spill",
        (ShareRule("spill", "", 10.0, at_least=100),),
        seen(hours=hours(h05=stats({0: 10}, spilled=10))),
        "05:10",
        [(f"{DAY}T05", "", True)],
    ),
    Case(
        "an hour of heartbeats only is judged for what was spilled",
        "spill",
        (ShareRule("spill", "", 10.0),),
        seen(hours=hours(h05=stats({}, watchdog=60, spilled=60))),
        "05:10",
        [(f"{DAY}T05", "", False)],
    ),
    Case(
        "types that are expected",
        "unexpected_types",
        (TypesRule("", ("payment", "call.*")),),
        seen(hours=hours(h05=stats({0: 9}, types={"payment": 5, "call.begin": 4}))),
        "05:10",
        [(f"{DAY}T05", "", True)],
    ),
    Case(
        "a type that is not expected",
        "unexpected_types",
        (TypesRule("", ("payment",), at_least=2),),
        seen(hours=hours(h05=stats({0: 9}, types={"payment": 4, "paymnet": 4, "x": 1}))),
        "05:10",
        [(f"{DAY}T05", "", False)],
    ),
    Case(
        "no lines, no share",
        "error_rate",
        (ShareRule("error_rate", "", 5.0),),
        seen(hours=hours(h05=HourStats(watchdog=7))),
        "05:10",
        [],
    ),
    Case(
        "late lines",
        "late",
        (ShareRule("late", "", 1.0),),
        seen(hours=hours(h05=stats({0: 50}, late=1))),
        "05:10",
        [(f"{DAY}T05", "", False)],
    ),
    Case(
        "payments fail",
        "rate",
        (RateRule("p", "status >= 500", "t = 'p'", max_pct=5, every_us=10 * MINUTE),),
        seen(
            hours=hours(
                h05=stats(
                    {0: 40},
                    conditions={
                        "status >= 500": stats({1: 2, 11: 1}).minutes,
                        "t = 'p'": stats({1: 20, 11: 20}).minutes,
                    },
                )
            )
        ),
        "06:10",
        [(f"{DAY}T05", "p", False)],
    ),
    Case(
        "a rate of nothing",
        "rate",
        (RateRule("p", "status >= 500", max_pct=5),),
        seen(judge=[f"{DAY}T05"]),
        "06:10",
        [(f"{DAY}T05", "p", True)],
    ),
    Case(
        "a condition that does not exist",
        "rate",
        (RateRule("p", "stauts >= 500", max_pct=5),),
        seen(judge=[f"{DAY}T05"], broken={"stauts >= 500": "no column stauts"}),
        "06:10",
        [(None, "p", False)],
    ),
    Case(
        "calls begun and not ended",
        "balance",
        (BalanceRule("calls", "b", "e", tolerance_pct=2),),
        seen(hours=hours(h05=stats({0: 197}, conditions={"b": stats({1: 100}).minutes, "e": stats({2: 97}).minutes}))),
        "06:10",
        [(f"{DAY}T05", "calls", False)],
    ),
    Case(
        "calls within tolerance",
        "balance",
        (BalanceRule("calls", "b", "e", tolerance_pct=2),),
        seen(hours=hours(h05=stats({0: 198}, conditions={"b": stats({1: 100}).minutes, "e": stats({2: 98}).minutes}))),
        "06:10",
        [(f"{DAY}T05", "calls", True)],
    ),
    Case(
        "a value nobody knows",
        "values",
        (ValuesRule("status", "status", ("200",)),),
        seen(hours=hours(h05=stats({0: 9}, values={"status": {"418": 1}}, filled={"status": 9}))),
        "05:10",
        [(f"{DAY}T05", "status", False)],
    ),
]

HOSTS = [
    Case(
        "a host that sends",
        "silence",
        (SilenceRule(""),),
        seen(hosts={"web-01": at("05:59")}),
        "06:00",
        [(None, "web-01", True)],
    ),
    Case(
        "a host that stopped",
        "silence",
        (SilenceRule(""),),
        seen(hosts={"web-01": at("05:00"), "web-02": at("06:00")}),
        "06:00",
        [(None, "web-01", False), (None, "web-02", True)],
    ),
    Case(
        "never seen",
        "silence",
        (SilenceRule("", hosts=("web-03",)),),
        seen(since="05:00"),
        "06:00",
        [(None, "web-03", False)],
    ),
    Case(
        "not seen yet, just started",
        "silence",
        (SilenceRule("", hosts=("web-03",)),),
        seen(since="05:57"),
        "06:00",
        [(None, "web-03", True)],
    ),
    Case(
        "silent since long before it was watched, just started",
        "silence",
        (SilenceRule(""),),
        seen(since="05:57", hosts={"web-01": at("2026-11-21 05:00")}),
        "06:00",
        [(None, "web-01", True)],
    ),
    Case(
        "the clock was set back by an hour",
        "silence",
        (SilenceRule(""),),
        seen(hosts={"web-01": at("06:59")}),
        "06:00",
        [(None, "web-01", True)],
    ),
]

HISTORY = [
    Case("all within", "history", (), seen(), "06:00", [(None, "", True)]),
    Case("records of 1999", "history", (), seen(outside_history={"1999-12-31T23": 2}), "06:00", [(None, "", False)]),
]


@pytest.mark.parametrize("case", [*SHARES, *HOSTS, *HISTORY], ids=lambda case: f"{case.check}: {case.name}")
def test_timeline(case: Case):
    holds(case)


def test_the_host_with_most_errors_is_named():
    observed = seen(
        hours=hours(h05=stats({0: 100}, errors=8, rejects={"bad_time": 2, "bad_format": 6}, error_host=("web-02", 7)))
    )
    [finding] = found(StreamRules("web", (ShareRule("error_rate", "", 5.0),)), observed, "05:10", "error_rate")
    assert "8 of 100 lines are errors (8.00 %; allowed: 5 %)" in finding.message
    assert "most from host web-02 (7); rejected bad_format 6, bad_time 2" in finding.message


def test_an_expected_host_that_another_stream_has_seen_is_not_missed():
    rules = [StreamRules("web", (SilenceRule("", hosts=("a", "b")),)), StreamRules("app", ())]
    observed = {"web": seen(), "app": seen("app", hosts={"a": at("05:59")})}
    results = [(f.subject, f.passed) for f in evaluate(rules, observed, at("06:00")) if f.check == "silence"]
    assert results == [("b", False)]


def test_a_declared_host_may_have_its_data_centre_behind_it():
    rule = SilenceRule("", hosts=("web-01.east", "web-02.east"))
    observed = seen(hosts={"web-01": at("05:59"), "web-02": at("05:59")}, datacenters={"web-01": "East"})
    results = [(f.subject, f.passed) for f in found(StreamRules("web", (rule,)), observed, "06:00", "silence")]
    assert results == [("web-01", True), ("web-02", True), ("web-02.east", False)]


def test_a_host_that_is_down_says_where_it_is():
    rules = StreamRules("web", (SilenceRule("", hosts=("web-09.west",)),), datacenters={"web-09.west": "west"})
    observed = seen(hosts={"web-01": at("05:00")}, datacenters={"web-01": "east"})
    down, never = found(rules, observed, "05:30", "silence")
    assert (down.subject, down.numbers["state"], down.numbers["datacenter"]) == ("web-01", "down", "east")
    assert "host web-01 in east was last seen" in down.message
    assert (never.subject, never.numbers["state"], never.numbers["datacenter"]) == ("web-09.west", "never_seen", "west")


def test_a_spill_names_the_host_and_a_strange_type_its_name():
    rules = StreamRules("web", (ShareRule("spill", "", 10.0), TypesRule("", ("payment",))))
    observed = seen(hours=hours(h05=stats({0: 9}, spilled=5, spill_host=("web-07", 5), types={"x": 9})))
    [spill] = found(rules, observed, "05:30", "spill")
    assert "5 of 9 records went through a spool (55.56 %; allowed: 10 %); most from host web-07 (5)" in spill.message
    [types] = found(rules, observed, "05:30", "unexpected_types")
    assert "1 log types are not expected: 'x' (9)" in types.message
