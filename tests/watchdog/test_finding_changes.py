"""What is written of findings: the first, each change, and once more when the hour is over."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from nw_platform.record.hours import HOUR_US, hour_of, hour_start
from nw_platform.watchdog.findings import Finding, changes, remember, rollup

HOUR = "2026-11-22T05"
START = hour_start(HOUR)
MINUTE = 60_000_000


def finding(*, passed: bool = True, partition: str | None = HOUR, subject: str = "", check: str = "volume") -> Finding:
    return Finding(check, "logs/web", "web", partition, subject, passed, "error", f"{subject} told", repair="nw x")


class Writer:
    """Writes as a sensor does: its state goes through JSON."""

    def __init__(self) -> None:
        self.state: dict[str, bool] = {}

    def tick(self, now: int, *findings: Finding) -> list[bool]:
        written = changes(self.state, findings, now)
        self.state = json.loads(json.dumps(remember(self.state, findings, now)))
        return [f.passed for f in written]


def test_first_then_changes_then_the_close():
    writer = Writer()
    assert writer.tick(START + MINUTE, finding()) == [True]
    assert writer.tick(START + 2 * MINUTE, finding()) == []
    assert writer.tick(START + 3 * MINUTE, finding(passed=False)) == [False]
    assert writer.tick(START + 4 * MINUTE, finding(passed=False)) == []
    assert writer.tick(START + 59 * MINUTE, finding()) == [True]
    assert writer.tick(START + 60 * MINUTE, finding()) == [True]
    assert writer.tick(START + 61 * MINUTE, finding()) == []
    assert writer.tick(START + 62 * MINUTE, finding(passed=False)) == [False]


def test_a_standing_condition_is_written_once_an_hour_and_on_a_change():
    writer = Writer()
    standing = finding(partition=None, subject="web-01")
    assert writer.tick(START, standing) == [True]
    assert writer.tick(START + 59 * MINUTE, standing) == []
    assert writer.tick(START + 60 * MINUTE, standing) == [True]
    assert writer.tick(START + 61 * MINUTE, replace(standing, passed=False)) == [False]


def test_an_hour_that_is_left_out_of_a_look_is_not_written_again():
    writer = Writer()
    writer.tick(START + HOUR_US, finding())
    assert writer.tick(START + HOUR_US + MINUTE) == []
    assert writer.tick(START + HOUR_US + 2 * MINUTE, finding()) == []


def test_the_state_does_not_grow_with_history():
    writer = Writer()
    for hour in range(500):
        now = START + hour * HOUR_US
        around = [finding(partition=hour_of(now - back * HOUR_US)) for back in (0, 1)]
        writer.tick(now, *around, finding(partition=None))
    assert len(writer.state) < 200


@given(st.lists(st.tuples(st.integers(0, 45), st.booleans()), min_size=1, max_size=40))
def test_what_is_written_says_at_any_time_what_is_true(steps):
    writer = Writer()
    now, shown, closed = START, None, False
    for minutes, passed in steps:
        now += minutes * MINUTE
        written = writer.tick(now, finding(passed=passed))
        over = now >= START + HOUR_US
        assert bool(written) == (shown is not passed or (over and not closed))
        shown, closed = (written or [shown])[-1], closed or over
        assert shown is passed


def test_one_evaluation_a_partition_fails_if_one_subject_does():
    now = START + MINUTE
    [merged] = rollup([finding(subject="a"), finding(subject="b", passed=False), finding(subject="c")], now)
    assert (merged.passed, merged.partition, merged.message) == (False, HOUR, "b told")
    assert merged.numbers == {"subjects": 3, "failing": 1}
    rolled = rollup([finding(partition=None, subject="host"), finding(check="late")], now)
    assert [(f.check, f.partition) for f in rolled] == [("volume", HOUR), ("late", HOUR)]


def test_many_subjects_are_told_in_few_words():
    [merged] = rollup([finding(subject=f"h{n}", passed=False) for n in range(500)], START)
    assert merged.message.endswith("and 495 more")
    assert merged.numbers["failing"] == 500
