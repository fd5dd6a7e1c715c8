"""The failure that started this project, replayed: a load that does not arrive for five days. And days without failure.

The findings are those of the real watchdog, the time is simulated, and the messages are exactly those that are listed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest

from nw_platform.alerts.alert import Scope
from nw_platform.record.hours import HOUR_US, hour_of, hour_start, to_datetime, to_us
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import FileRule, ShareRule, SilenceRule, StreamRules, VolumeRule
from nw_platform.watchdog.observations import Balanced, FileSeen, HourStats, StreamObservations
from tests.alerts.story import HOUR, MINUTE, World, at, policy_of
from tests.watchdog.timeline import DIALER

DAY = 24 * HOUR
RULES = StreamRules("dialer", (DIALER,))
SCOPE = Scope(frozenset({"dialer"}), frozenset({"dialer"}))
TO_OPS = "routes: [{to: [ops], escalate: {after: 90m, to: [boss]}}]"


def world(judge, alerts: str = TO_OPS) -> World:
    return World(policy_of(alerts), SCOPE, judge=judge)


def arrival(day: int, arrived: int) -> FileSeen:
    return FileSeen(f"in/dialer-2026-11-{day}.csv", day, 1000, arrived, arrived)


def judge_files(files: list[FileSeen], since: str = "20T00:00"):
    """What the watchdog finds, given when each file was ingested."""

    def judge(now: int):
        here = [file for file in files if file.first_seen <= now]
        seen = StreamObservations("dialer", live_since=at(since), files=here, ingested_until=now)
        return evaluate([RULES], {"dialer": seen}, now)

    return judge


def lines(told) -> list[tuple[str, str, str]]:
    """(transition, channel, partition and file) of every message, in order."""
    assert not any(one.message.is_digest for one in told)
    events = [(one.message.events[0], one.channel) for one in told]
    return [(e.transition, channel, f"{e.partition} {e.subject}") for e, channel in events]


@pytest.mark.parametrize("offset", [0, 1, 37_000_000, 59_999_999], ids=["0 s", "1 us", "37 s", "59.999999 s"])
def test_a_load_that_is_missing_for_five_days_is_told_within_a_minute_each_hour_and_when_it_is_there(offset):
    # Every day's file is there at 05:00 but that of the 22nd; it comes on the 27th at 14:17:05.
    came = at("27T14:17:05")
    files = [arrival(day, at(f"{day}T05:00")) for day in range(20, 30) if day != 22] + [arrival(22, came)]
    story = world(judge_files(files))
    for now in range(at("21T00:00") + offset, at("29T00:00"), MINUTE):
        story.evaluate(now)

    due, found = at("06:30"), "2026-11-22T06 dialer-2026-11-22.csv"
    hours = (came - due) // HOUR
    assert hours == 5 * 24 + 7
    expected = [("opened", "ops", found), ("reminded", "ops", found), ("reminded", "boss", found)]
    expected += [("reminded", "ops", found)] * (hours - 1)
    expected += [("resolved", "ops", found), ("resolved", "boss", found)]
    assert lines(story.told) == expected

    opened, *between, resolved, _ = story.told
    assert due <= opened.at < due + MINUTE
    assert came <= resolved.at < came + MINUTE
    boss = between.pop(1)
    assert opened.at + 90 * MINUTE <= boss.at < opened.at + 91 * MINUTE
    for number, reminder in enumerate(between, start=1):
        assert opened.at + number * HOUR <= reminder.at < opened.at + number * HOUR + MINUTE
    assert len({(one.channel, one.message.id) for one in story.told}) == len(story.told)
    assert {one.message.thread for one in story.told if one.channel == "ops"} == {opened.message.id}


def test_a_load_that_fails_anew_every_day_has_an_alert_a_day_and_all_are_over_at_once():
    files = [arrival(day, at("27T05:45")) for day in range(22, 28)] + [arrival(21, at("21T05:00"))]
    story = world(judge_files(files, "20T12:00"), "reminder: never, routes: [{to: [ops]}], digest_over: 10")
    for now in range(at("21T00:00"), at("28T00:00"), MINUTE):
        story.evaluate(now)
    told = lines(story.told)
    days = [f"2026-11-{day}T06 dialer-2026-11-{day}.csv" for day in range(22, 27)]
    assert told[:5] == [("opened", "ops", day) for day in days]
    assert sorted(told[5:]) == [("resolved", "ops", day) for day in days]
    assert [one.at for one in story.told] == [at(f"{day}T06:30") for day in range(22, 27)] + [at("27T05:45")] * 5


def test_nothing_is_said_twice_by_a_machine_whose_clock_goes_back_an_hour_each_day():
    """It runs ahead by an hour from midnight to noon, day by day; the file of the 22nd comes on the 24th."""
    noon = StreamRules("dialer", (replace(DIALER, by=time(12, 20), grace_us=0),))
    came = at("24T13:30")
    files = [arrival(day, at(f"{day}T05:00")) for day in (20, 21, 23, 24, 25)] + [arrival(22, came)]
    story = world(None, "reminder: 1d, routes: [{to: [ops]}]")
    for wall in range(at("21T00:00"), at("25T00:00"), MINUTE):
        is_ahead = wall % DAY < 12 * HOUR
        here = [replace(file, first_seen=wall, last_seen=wall) for file in files if file.first_seen <= wall]
        seen = StreamObservations("dialer", live_since=at("20T00:00"), files=here)
        story.judge = lambda now, seen=seen: evaluate([noon], {"dialer": seen}, now)
        story.evaluate(wall + HOUR * is_ahead, wall)
    assert [str(one) for one in story.told] == [
        "11:20 ops: opened dialer:expected_files@12/dialer-2026-11-22.csv",
        "23T11:20 ops: reminded dialer:expected_files@12/dialer-2026-11-22.csv (still failing)",
        "24T11:20 ops: reminded dialer:expected_files@12/dialer-2026-11-22.csv (still failing)",
        "24T13:30 ops: resolved dialer:expected_files@12/dialer-2026-11-22.csv",
    ]


def test_an_expectation_that_is_removed_while_its_file_is_missing_is_withdrawn():
    story = world(judge_files([]))
    story.evaluate(at("06:30"))
    story.judge = lambda now: evaluate([StreamRules("dialer")], {"dialer": StreamObservations("dialer", 0)}, now)
    story.evaluate(at("06:31"))
    assert [str(one) for one in story.told[-1:]] == [
        "06:31 ops: resolved dialer:expected_files@06/dialer-2026-11-22.csv (withdrawn: no longer expected)"
    ]


# Days without failure: whatever the calendar does, nobody is told of anything.

BERLIN = ZoneInfo("Europe/Berlin")
FULL = StreamRules(
    "dialer",
    (
        FileRule("daily", "dialer-{date}.csv", time(2, 30), zone="Europe/Berlin", grace_us=10 * MINUTE),
        VolumeRule("quarters", min_lines=15, max_lines=15, every_us=15 * MINUTE),
        VolumeRule("hours", min_lines=60, every_us=HOUR),
        SilenceRule("", MINUTE, 3, 10, hosts=("web-1",)),
        ShareRule("error_rate", "", 5.0),
    ),
)


@lru_cache(maxsize=1000)
def hour_until(minutes: int, errors: int = 0) -> HourStats:
    """An hour with one line in each of its first minutes."""
    return HourStats(lines=minutes, errors=errors, minutes=(1,) * minutes + (0,) * (60 - minutes))


def healthy(now: int, since: int) -> StreamObservations:
    """A stream with a line a minute, and a file at 02:00 on the clock in Berlin, from `since` on: all in time."""
    first, here = hour_start(hour_of(max(since, now - 3 * HOUR))), hour_start(hour_of(now))
    hours = {}
    for start in range(first, here + 1, HOUR_US):
        begun = max(0, (since - start) // MINUTE)
        ended = min(60, (now - start) // MINUTE)
        if begun == 0:
            hours[hour_of(start)] = hour_until(ended)
        else:
            minutes = tuple(int(begun <= minute < ended) for minute in range(60))
            hours[hour_of(start)] = HourStats(lines=sum(minutes), minutes=minutes)
    last = now - now % MINUTE
    return StreamObservations(
        "dialer",
        live_since=since,
        judge=sorted(hours),
        hours=hours,
        balances={hour: Balanced(stats.lines, stats.lines, 0) for hour, stats in hours.items()},
        files=[file for file in files_of(to_datetime(now).date()) if file.first_seen <= now],
        hosts={"web-1": last} if last > since else {},
        first_event=since,
        last_event=last,
        ingested_until=now,
    )


@lru_cache(maxsize=1000)
def files_of(today: date) -> list[FileSeen]:
    """The files of the days around, each there at 02:00 on the clock in Berlin."""
    found = []
    for back in range(-1, 33):
        day = today - timedelta(days=back)
        came = to_us(datetime.combine(day, time(2), BERLIN).astimezone(UTC))
        found.append(FileSeen(f"dialer-{day}.csv", back, 1000, came, came))
    return found


CALENDAR = {
    "clocks go ahead in Berlin": ("2026-03-28T00:00", "2026-03-30T12:00"),
    "clocks go back in Berlin": ("2026-10-24T00:00", "2026-10-26T12:00"),
    "a leap day": ("2028-02-28T00:00", "2028-03-01T12:00"),
    "a year ends": ("2026-12-31T00:00", "2027-01-01T12:00"),
}


@pytest.mark.parametrize("name", CALENDAR)
def test_a_healthy_stream_is_never_spoken_of(name):
    begin, end = (at(text) for text in CALENDAR[name])
    story = world(lambda now: evaluate([FULL], {"dialer": healthy(now, at("2026-01-01T00:00"))}, now))
    judged = 0
    for now in range(begin, end, MINUTE):
        story.evaluate(now)
        judged += 1
    assert judged > 1000
    assert story.events == []
    # The same days speak of it when the file does not come: the silence above is no deafness.
    story.judge = lambda now: evaluate([FULL], {"dialer": replace(healthy(now, at("2026-01-01T00:00")), files=())}, now)
    story.evaluate(end)
    assert story.events


@pytest.mark.parametrize("start", ["06:00", "06:07", "06:59"])
def test_a_stream_in_its_first_hours_is_no_alarm(start):
    story = world(lambda now: evaluate([FULL], {"dialer": healthy(now, at(start))}, now))
    for now in range(at(start), at("12:00"), MINUTE):
        story.evaluate(now)
    assert story.events == []


def test_a_lake_that_holds_nothing_yet_is_no_alarm():
    story = world(lambda now: evaluate([FULL], {}, now))
    for now in range(at("06:00"), at("12:00"), MINUTE):
        story.evaluate(now)
    assert story.events == []
