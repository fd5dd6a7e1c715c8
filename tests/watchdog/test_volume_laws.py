"""Volume against a computation of its own over random minutes, and how fast a thousand streams are judged."""

from __future__ import annotations

import time
from collections import Counter
from datetime import date

from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.record.hours import HOUR_US, hour_of, hour_start
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import (
    BalanceRule,
    FileRule,
    RateRule,
    ShareRule,
    SilenceRule,
    StreamRules,
    VolumeRule,
)
from nw_platform.watchdog.findings import changes, remember, rollup
from nw_platform.watchdog.observations import Balanced, HourStats, StreamObservations
from tests.watchdog.timeline import DIALER

MINUTE = 60_000_000
START = hour_start("2026-11-22T00")


def observed(events: list[int], hours: int, live_since: int) -> StreamObservations:
    """Observations of one line at each of these minutes after START."""
    named: dict[str, Counter[int]] = {}
    for minute in events:
        named.setdefault(hour_of(START + minute * MINUTE), Counter())[minute % 60] += 1
    return StreamObservations(
        "web",
        live_since=live_since,
        judge=[hour_of(START + n * HOUR_US) for n in range(hours)],
        hours={
            hour: HourStats(lines=sum(counts.values()), minutes=tuple(counts[n] for n in range(60)))
            for hour, counts in named.items()
        },
        first_event=START + min(events) * MINUTE if events else None,
        last_event=START + max(events) * MINUTE if events else None,
    )


@given(
    events=st.lists(st.integers(0, 359), max_size=60),
    minimum=st.integers(0, 4),
    spare=st.integers(0, 4),
    every=st.sampled_from([5, 7, 10, 15, 60, 90, 120]),
    grace=st.integers(0, 20),
    live=st.integers(0, 360),
    now=st.integers(0, 400),
    ends=st.none() | st.just(date(2026, 11, 23)),
)
@settings(max_examples=300, deadline=None)
def test_volume_fails_exactly_where_a_known_window_breaks_a_bound(
    events, minimum, spare, every, grace, live, now, ends
):
    events = [minute for minute in events if minute < now]
    rule = VolumeRule("v", minimum, minimum + spare, every * MINUTE, grace * MINUTE)
    seen = observed(events, 6, START + live * MINUTE)
    found = evaluate([StreamRules("web", (rule,), history_until=ends)], {"web": seen}, START + now * MINUTE)
    failing = {f.partition for f in found if f.check == "volume" and not f.passed}

    truth = set()
    epoch = START // MINUTE
    first_window = -(epoch % every)
    for begin in range(first_window, 360, every):
        end = begin + every
        if end > 360 or end <= 0:
            continue
        lines = sum(begin <= minute < end for minute in events)
        bracketed = ends is not None and bool(events) and min(events) <= begin and end <= max(events)
        started = begin >= live + 60 or (bool(events) and begin >= min(events))
        known = end + grace <= now and ((begin >= live and started) or bracketed)
        if lines > minimum + spare or (known and lines < minimum):
            truth.add(hour_of(START + (end - 1) * MINUTE))
    assert failing == truth


def thousand_streams() -> tuple[list[StreamRules], dict[str, StreamObservations], int]:
    now = START + 12 * HOUR_US + 30 * MINUTE
    judged = [hour_of(now - n * HOUR_US) for n in range(3)]
    minutes = tuple([20] * 60)
    stats = HourStats(lines=1200, errors=3, minutes=minutes, conditions={"a": minutes, "b": minutes})
    rules, seen = [], {}
    for number in range(1000):
        name = f"stream_{number}"
        expected = (
            VolumeRule("v", min_lines=10 + number % 40, every_us=5 * MINUTE),
            FileRule("f", DIALER.name, DIALER.by, zone="Europe/Berlin"),
            RateRule("r", "a", max_pct=50, every_us=10 * MINUTE),
            BalanceRule("b", "a", "b", every_us=10 * MINUTE),
            SilenceRule(""),
            ShareRule("error_rate", "", 5.0),
            ShareRule("late", "", 1.0),
        )
        rules.append(StreamRules(name, expected))
        seen[name] = StreamObservations(
            name,
            live_since=START,
            arrivals=dict.fromkeys(judged, 60),
            judge=judged,
            hours=dict.fromkeys(judged, stats),
            hosts={f"host-{n}": now - MINUTE for n in range(10)},
            balances=dict.fromkeys(judged, Balanced(1200, 1200, 0)),
        )
    return rules, seen, now


def test_a_thousand_streams_with_seven_expectations_each_are_judged_in_time():
    rules, seen, now = thousand_streams()
    began = time.process_time()
    found = evaluate(rules, seen, now)
    rolled = rollup(found, now)
    state = remember({}, rolled, now)
    assert changes(state, rolled, now) == []
    assert time.process_time() - began < 5
    assert {f.stream for f in found if f.check == "expected_files" and not f.passed} == {r.stream for r in rules}


def test_ten_thousand_hosts_are_judged_in_time():
    now = START + 12 * HOUR_US
    hosts = {f"host-{n:05}": now - (n % 7) * 3 * MINUTE for n in range(10_000)}
    seen = StreamObservations("web", live_since=START, hosts=hosts)
    began = time.process_time()
    found = evaluate([StreamRules("web", (SilenceRule(""),))], {"web": seen}, now)
    assert time.process_time() - began < 2
    assert sum(not f.passed for f in found if f.check == "silence") == sum(n % 7 >= 2 for n in range(10_000))
