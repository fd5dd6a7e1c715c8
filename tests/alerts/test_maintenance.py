"""Maintenance windows: when they are in effect, and what they cover. What follows from them is in the timelines."""

from __future__ import annotations

import pytest

from tests.alerts.story import MINUTE, at, policy_of

# (a window, a time, in effect); 2026-11-22 is a Sunday.
WINDOWS = [
    ("{from: 2026-11-22T06:00, until: 2026-11-22T07:00}", "05:59:59", False),
    ("{from: 2026-11-22T06:00, until: 2026-11-22T07:00}", "06:00", True),
    ("{from: 2026-11-22T06:00, until: 2026-11-22T07:00}", "06:59:59", True),
    ("{from: 2026-11-22T06:00, until: 2026-11-22T07:00}", "07:00", False),
    ("{from: 2026-11-22T07:00, until: 2026-11-22T08:00, zone: Europe/Berlin}", "06:00", True),
    ("{from: 2026-11-22T07:00, until: 2026-11-22T08:00, zone: Europe/Berlin}", "07:00", False),
    ("{from: '2026-11-22T06:00:30Z', until: 2026-11-22T08:00+01:00, zone: Asia/Tokyo}", "06:00:29", False),
    ("{from: '2026-11-22T06:00:30Z', until: 2026-11-22T08:00+01:00, zone: Asia/Tokyo}", "06:00:30", True),
    ("{from: '2026-11-22T06:00:30Z', until: 2026-11-22T08:00+01:00, zone: Asia/Tokyo}", "07:00", False),
    ("{from: 2026-11-22, until: 2026-11-23}", "23:59", True),  # days are their midnights
    ("{from: 2026-11-22, until: 2026-11-23}", "23T00:00", False),
    ("{until: 2026-11-22T07:00}", "06:00", True),  # from now on
    ("{until: 2026-11-22T07:00}", "07:00", False),
    ("{days: [sun], hours: '22:00-02:00'}", "22:00", True),
    ("{days: [sun], hours: '22:00-02:00'}", "23T01:59", True),
    ("{days: [sun], hours: '22:00-02:00'}", "01:59", False),
    ("{days: [sun], from: 2026-11-23, until: 2026-12-01}", "12:00", False),  # both hold
    ("{days: [sun], from: 2026-11-23, until: 2026-12-01}", "29T12:00", True),
    ("{days: [sun], from: 2026-11-23, until: 2026-12-01}", "28T12:00", False),
]


@pytest.mark.parametrize(("window", "now", "expected"), WINDOWS)
def test_a_window_is_in_effect(window, now, expected):
    policy = policy_of(f"maintenance: [{window}]")
    assert bool(policy.windows_at(at(now))) is expected


# (what a window names, stream, check, subject, covered)
COVERED = [
    ("", "web", "volume", "", True),
    ("", "", "daemon", "SENSOR", True),
    ("streams: [web]", "web", "volume", "x", True),
    ("streams: [web]", "app", "volume", "x", False),
    ("streams: [web]", "", "daemon", "SENSOR", False),
    ("streams: [platform]", "", "daemon", "SENSOR", True),
    ("checks: [sil*, lag]", "web", "silence", "x", True),
    ("checks: [sil*, lag]", "web", "volume", "x", False),
    ("subjects: ['web-??.east']", "web", "silence", "web-01.east", True),
    ("subjects: ['web-??.east']", "web", "silence", "web-01.west", False),
    ("subjects: ['web-??.east']", "web", "silence", "", False),
    ("subjects: ['WEB-??.East']", "web", "silence", "web-01.east", True),
    ("subjects: ['Calls.csv']", "web", "expected_files", "calls.csv", False),
    ("streams: [web], checks: [silence], subjects: ['*.east']", "web", "silence", "a.east", True),
    ("streams: [web], checks: [silence], subjects: ['*.east']", "app", "silence", "a.east", False),
]


@pytest.mark.parametrize(("names", "stream", "check", "subject", "expected"), COVERED)
def test_a_window_covers(names, stream, check, subject, expected):
    policy = policy_of(f"maintenance: [{{until: 2026-11-23{', ' * bool(names)}{names}}}]")
    (window,) = policy.windows_at(at("06:00"))
    assert window.covers(stream=stream, check=check, subject=subject) is expected


def test_a_window_that_repeats_is_as_long_as_clocks_are_set_that_night():
    """22:00 to 04:00 in Berlin: six hours, but five when clocks go ahead and seven when they go back."""
    policy = policy_of("maintenance: [{days: [sat], hours: '22:00-04:00', zone: Europe/Berlin}]")
    for day, hours in (("2026-03-28T12:00", 5), ("2026-10-24T12:00", 7), ("2026-11-21T12:00", 6)):
        minutes = range(at(day), at(day) + 24 * 60 * MINUTE, MINUTE)
        assert sum(bool(policy.windows_at(now)) for now in minutes) == hours * 60
