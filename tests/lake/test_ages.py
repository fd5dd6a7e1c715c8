"""An age handed to a library never reaches back less far than the instant that was meant."""

from __future__ import annotations

import time

from nw_platform.lake.ages import hours_since
from nw_platform.record.hours import HOUR_US


def test_an_age_is_rounded_up_to_whole_hours(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 10 * HOUR_US * 1000)
    assert hours_since(7 * HOUR_US) == 3
    assert hours_since(7 * HOUR_US + 1) == 3
    assert hours_since(7 * HOUR_US - 1) == 4


def test_an_instant_that_the_clock_has_not_reached_has_no_age(monkeypatch):
    monkeypatch.setattr(time, "time_ns", lambda: 10 * HOUR_US * 1000)
    assert hours_since(10 * HOUR_US) == 0
    assert hours_since(30 * HOUR_US) == 0
