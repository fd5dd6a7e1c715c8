"""What must raise no alarm, and what must not clear one: one timeline each."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from nw_platform.record.hours import hour_of, to_us
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import BalanceRule, FileRule, RateRule, SilenceRule, StreamRules, VolumeRule
from nw_platform.watchdog.observations import FileSeen, HourStats, StreamObservations
from nw_platform.watchdog.observe import TickState
from tests.watchdog.simulated import DAY, HOUR, MINUTE, at, minutes

BERLIN = ZoneInfo("Europe/Berlin")
EXPECT = [
    {"kind": "volume", "min_lines": 1, "every": "15m"},
    {"kind": "heartbeat", "every": "1m"},
    {"kind": "file", "name": "dialer-{date}.csv", "by": "05:00", "grace": "30m"},
    {"kind": "rate", "name": "r", "where": "severity = 'X'", "min_pct": 1, "every": "1h"},
]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25", "2028-02-29", "2026-12-31"])
def test_steady_traffic_is_steady_where_clocks_change_and_on_leap_days(day: str):
    """A line a minute, a host that is alive and a file at 02:30 local time: from noon before to noon after."""
    begin = datetime.fromisoformat(f"{day}T12:00").replace(tzinfo=UTC) - timedelta(days=1)
    rules = StreamRules(
        "web",
        (
            VolumeRule("v", min_lines=15, max_lines=15, every_us=15 * MINUTE),
            VolumeRule("day", min_lines=1440, max_lines=1440, every_us=24 * HOUR),
            VolumeRule("change", change_pct=1, days=3, weeks=2, zone="Europe/Berlin"),
            FileRule("f", "calls-{date:%Y%m%d}.csv", time(2, 30), grace_us=30 * MINUTE, zone="Europe/Berlin"),
            SilenceRule(""),
            RateRule("r", "a", min_pct=50),
            BalanceRule("b", "a", "c"),
        ),
    )
    full = HourStats(lines=60, minutes=(1,) * 60, conditions={"a": (1,) * 60, "c": (1,) * 60})
    for step in range(0, 24 * 60, 5):
        moment = begin + timedelta(minutes=step)
        now = to_us(moment)
        names = [hour_of(now - n * HOUR) for n in range(1, 29)]
        local = moment.astimezone(BERLIN)
        files = [
            FileSeen(f"calls-{there:%Y%m%d}.csv", 0, 10, to_us(come.astimezone(UTC)), to_us(come.astimezone(UTC)))
            for back in range(35)
            if (there := local.date() - timedelta(days=back))
            and (come := datetime.combine(there, time(1, 15), tzinfo=BERLIN)) <= local
        ]
        passed = (now // MINUTE) % 60
        open_hour = replace(full, lines=passed, minutes=tuple(int(n < passed) for n in range(60)))
        seen = StreamObservations(
            "web",
            live_since=now - 40 * 24 * HOUR,
            files=files,
            judge=[*names[:2], hour_of(now)],
            hours=dict.fromkeys(names, full) | {hour_of(now): open_hour},
            same_hours={name: {hour_of(to_us(moment) - n * HOUR): 60 for n in range(1, 24 * 15)} for name in names[:2]},
            hosts={"web-01": now - MINUTE},
        )
        assert [f.message for f in evaluate([rules], {"web": seen}, now) if not f.passed] == []


def test_a_file_that_does_not_come_on_a_leap_day_is_missed_once():
    rules = StreamRules("web", (FileRule("f", "calls-{date}.csv", time(6), day_offset=-1),))
    seen = StreamObservations("web", live_since=to_us(datetime(2028, 2, 29, tzinfo=UTC)))
    now = to_us(datetime(2028, 3, 1, 6, 1, tzinfo=UTC))
    failing = [f.subject for f in evaluate([rules], {"web": seen}, now) if not f.passed]
    assert failing == ["calls-2028-02-28.csv", "calls-2028-02-29.csv"]


def test_the_first_hour_of_an_empty_lake_and_of_a_new_stream(make):
    platform = make({"web": {"path": "in/*.log", "expect": EXPECT}})
    for step in range(0, 50, 7):
        assert platform.failing(at("05:01") + step * MINUTE) == set()
    platform.land("a.log", minutes("05:46", 10), host="web-01")
    platform.tick(at("05:55"))
    platform.land("b.log", minutes("05:56", 10), host="web-01")
    platform.tick(at("06:05"))
    assert platform.failing(at("06:06")) == set()
    platform.tick_state = TickState(ingested_until=at("06:40"))
    assert {check for check, _, _ in platform.failing(at("06:40"))} == {"volume", "silence"}


@pytest.mark.parametrize("looked_before", [True, False])
def test_an_old_file_does_not_make_time_before_the_first_receipt_watched(make, *, looked_before: bool):
    platform = make({"web": {"path": "in/*.log", "late_after": "never", "expect": EXPECT[:1]}})
    if looked_before:
        assert platform.failing(at("22:01")) == set()
    platform.land("a.log", minutes("22:24", 10))
    platform.tick(at("22:34"))
    assert platform.failing(at("22:34")) == set()
    platform.land("old.log", minutes("2026-11-21 22:29", 3))
    platform.land("b.log", minutes("22:34", 10))
    platform.tick(at("22:44"))
    assert platform.failing(at("22:44")) == set()
    assert platform.failing(at("22:45"), from_scratch=True) == set()
    platform.tick_state = TickState(ingested_until=at("23:30"))
    assert [(check, hour) for check, hour, _ in sorted(platform.failing(at("23:30")))] == [
        ("volume", f"{DAY}T22"), ("volume", f"{DAY}T23"),
    ]  # fmt: skip


def test_a_stream_that_never_gets_anything_is_missed_after_an_hour(make):
    platform = make({"web": {"path": "in/*.log", "expect": EXPECT[:2]}}, hosts=["web-01"])
    assert platform.failing(at("05:01")) == set()
    platform.tick_state = TickState(ingested_until=at("06:25"))
    assert {(check, subject) for check, _, subject in platform.failing(at("06:25"))} == {("silence", "web-01")}
    platform.tick_state = TickState(ingested_until=at("06:36"))
    assert {check for check, _, _ in platform.failing(at("06:36"))} == {"volume", "silence"}


def test_a_clock_that_is_set_back_by_an_hour_changes_no_verdict(make):
    expect = [{"kind": "volume", "min_lines": 1, "every": "15m"}, {"kind": "heartbeat", "every": "1m"}]
    platform = make({"web": {"path": "in/*.log", "late_after": "never", "expect": expect}})
    platform.land("0.log", minutes("05:00", 60), host="web-01")
    platform.tick(at("06:00"))
    platform.land("1.log", [*minutes("06:00", 15), *minutes("06:30", 12)], host="web-01")
    platform.tick(at("06:42"))
    before = {f.key: f.passed for f in platform.look(at("06:42"))}
    assert [key for key, passed in before.items() if not passed] == [
        f"volume|logs/web|{DAY}T06|min_lines 1, every 15 min"
    ]
    for step in range(0, 60, 4):  # 05:42 once more
        now = at("05:42") + step * MINUTE
        platform.land(f"again{step}.log", minutes("06:42", 1), host="web-01")
        platform.tick(now)
        after = {f.key: f.passed for f in platform.look(now)}
        assert {key: after[key] for key in before if key in after} == {k: p for k, p in before.items() if k in after}
        assert {f"volume|logs/web|{DAY}T06|min_lines 1, every 15 min", "silence|logs/web||web-01"} <= after.keys()
    platform.tick_state = TickState(ingested_until=at("06:58"))
    assert ("silence", None, "web-01") in platform.failing(at("06:58"))


def test_a_renamed_stream_starts_anew_and_the_old_one_is_not_judged(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never", "expect": EXPECT[:2]}})
    platform.land("a.log", minutes("05:00", 20), host="web-01")
    platform.tick(at("05:20"))
    platform.tick_state = TickState(ingested_until=at("06:30"))
    assert platform.failing(at("06:30")) != set()
    [rules] = rules_of_all(platform.settings)
    found = platform.watch.findings([replace(rules, stream="site")], at("06:31"), platform.tick_state)
    assert {(f.stream, f.passed) for f in found} == {("site", True)}
    assert platform.watch.judged() == {"site"}


def test_a_removed_expectation_has_no_finding_any_more_though_its_stream_is_judged(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never", "expect": EXPECT[:2]}})
    platform.land("a.log", minutes("05:00", 20), host="web-01")
    platform.tick(at("05:20"))
    platform.tick_state = TickState(ingested_until=at("06:30"))
    assert {check for check, _, _ in platform.failing(at("06:30"))} == {"volume", "silence"}
    [rules] = rules_of_all(platform.settings)
    kept = replace(rules, rules=tuple(rule for rule in rules.rules if not isinstance(rule, SilenceRule)))
    found = platform.watch.findings([kept], at("06:31"), platform.tick_state, also={"web": [f"{DAY}T05"]})
    assert {f.check for f in found if not f.passed} == {"volume"}
    assert "silence" not in {f.check for f in found}
    assert platform.watch.judged() == {"web"}


def test_a_backfill_of_yesterday_does_not_clear_the_silence_of_today(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never", "expect": EXPECT[:2]}})
    platform.land("a.log", minutes("05:00", 20), host="web-01")
    platform.tick(at("05:20"))
    platform.tick_state = TickState(ingested_until=at("06:10"))
    before = platform.failing(at("06:10"))
    assert ("silence", None, "web-01") in before
    platform.land("old.log", minutes("2026-11-21 05:00", 600), host="web-01")
    platform.tick(at("06:11"))
    assert before <= platform.failing(at("06:11"))
    platform.land("now.log", minutes("06:11", 1), host="web-01")
    platform.tick(at("06:12"))
    assert ("silence", None, "web-01") not in platform.failing(at("06:12"))
