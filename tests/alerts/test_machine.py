"""The state machine: what a transition carries, what a fold knows, and what ten thousand alerts cost."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from nw_platform.alerts import machine, routing
from nw_platform.alerts.alert import PLATFORM, Delivery, Event, Scope
from nw_platform.alerts.policy import Policy
from nw_platform.watchdog.findings import Finding
from tests.alerts.story import HOUR, MINUTE, at, findings_of, policy_of

NOW = at("06:31")
SCOPE = Scope(frozenset({"web", "app"}), frozenset({"web", "app"}))
POLICY = policy_of()
MISSING = Finding(
    check="expected_files",
    asset="raw/web",
    stream="web",
    partition="2026-11-22T06",
    subject="dialer-2026-11-22.csv",
    passed=False,
    severity="error",
    message="raw/web: dialer-2026-11-22.csv has not arrived",
    repair="nw ingest --stream web --once",
    since=at("06:00"),
    numbers={"deadline": "2026-11-22T06:00:00Z"},
)
ARRIVED = replace(MISSING, passed=True, message="raw/web: dialer-2026-11-22.csv arrived", repair="", since=None)


def opened(finding: Finding = MISSING, now: int = NOW) -> Event:
    (event,) = machine.step({}, [finding], SCOPE, now, POLICY)
    return event


def test_an_opened_alert_carries_what_the_finding_said():
    assert opened() == Event(
        time=NOW,
        key="expected_files|raw/web|2026-11-22T06|dialer-2026-11-22.csv",
        check="expected_files",
        asset="raw/web",
        stream="web",
        partition="2026-11-22T06",
        subject="dialer-2026-11-22.csv",
        severity="error",
        transition="opened",
        message="raw/web: dialer-2026-11-22.csv has not arrived",
        opened=NOW,
        repair="nw ingest --stream web --once",
        since=at("06:00"),
    )


def test_a_reminder_says_what_is_known_now_and_the_end_says_what_became_of_it():
    alerts = machine.fold({}, [opened()])
    later = replace(MISSING, message="raw/web: it has still not arrived", since=at("06:01"))
    (reminder,) = machine.step(alerts, [later], SCOPE, NOW + HOUR, POLICY)
    assert (reminder.transition, reminder.message, reminder.since, reminder.opened) == (
        "reminded",
        later.message,
        later.since,
        NOW,
    )
    (end,) = machine.step(machine.fold(alerts, [reminder]), [ARRIVED], SCOPE, NOW + HOUR + MINUTE, POLICY)
    assert (end.transition, end.message, end.note, end.severity, end.opened) == (
        "resolved",
        ARRIVED.message,
        "",
        "error",
        NOW,
    )


def test_a_host_of_a_data_centre_is_grouped_by_it():
    (host,) = findings_of("silence/web-1", passed=False, datacenter="east")
    assert opened(host).group == "east"
    assert opened().group == ""
    assert opened(replace(MISSING, numbers={"datacenter": 7})).group == ""  # no name: no group


def test_of_two_findings_about_one_thing_the_worse_counts():
    warning = replace(MISSING, severity="warn")
    for found in ([ARRIVED, MISSING], [MISSING, ARRIVED], [warning, MISSING, ARRIVED], [MISSING, warning]):
        (event,) = machine.step({}, found, SCOPE, NOW, POLICY)
        assert (event.transition, event.severity) == ("opened", "error")
        assert machine.step(machine.fold({}, [event]), found, SCOPE, NOW + MINUTE, POLICY) == []


def test_an_acknowledgement_says_who_and_why_on_one_line():
    alert = machine.fold({}, [opened()])[MISSING.key]
    event = machine.acknowledge(alert, NOW + MINUTE, "ann\n", " I ask\r\n\tthe  partner ")
    assert (event.transition, event.note, event.time) == ("acknowledged", "ann: I ask the partner", NOW + MINUTE)
    assert machine.acknowledge(alert, NOW + MINUTE, "ann").note == "ann"


def test_times_of_a_key_grow_whatever_the_clock_says():
    alerts = machine.fold({}, [opened()])
    event = machine.acknowledge(alerts[MISSING.key], NOW - 5 * MINUTE, "ann")
    assert event.time == NOW + 1
    (end,) = machine.step(machine.fold(alerts, [event]), [ARRIVED], SCOPE, NOW - 5 * HOUR, POLICY)
    assert end.time == NOW + 2


@pytest.mark.parametrize(
    ("clock", "latest", "now"),
    [
        (NOW, None, NOW),
        (NOW, NOW - MINUTE, NOW),
        (NOW, NOW, NOW + 1),
        (NOW, NOW + HOUR, NOW + HOUR + 1),
        (NOW, NOW + machine.SET_BACK_US, NOW + machine.SET_BACK_US + 1),
        (NOW, NOW + machine.SET_BACK_US + 1, NOW),  # the clock was wrong before: it is believed now
    ],
)
def test_time_stands_still_while_the_clock_is_a_little_behind(clock, latest, now):
    assert machine.evaluation_time(clock, latest) == now


def test_findings_of_before_an_alert_say_nothing_about_it():
    """Should anybody step with a clock that was set back: nothing is taken back because it was not yet due then."""
    alerts = machine.fold({}, [opened()])
    for found in ([], [ARRIVED], [MISSING]):
        assert machine.step(alerts, found, SCOPE, NOW - HOUR, POLICY) == []


@pytest.mark.parametrize(
    ("scope", "note"),
    [
        (Scope(frozenset({"web"}), frozenset({"web"})), "withdrawn: no longer expected"),
        (Scope(frozenset({"web"}), frozenset()), None),
        (Scope(None, frozenset(), platform_checks=frozenset({"daemon"})), None),
        (Scope(frozenset({"app"}), frozenset({"app"})), "withdrawn: the stream web is no longer declared"),
        (Scope(frozenset({"web"}), frozenset({"web"}), paused=frozenset({"web"})), "paused"),
        (Scope(frozenset({"web"}), frozenset(), paused=frozenset({"web"})), "paused"),
    ],
)
def test_the_absence_of_a_finding_means_what_the_scope_says(scope, note):
    events = machine.step(machine.fold({}, [opened()]), [], scope, NOW + MINUTE, POLICY)
    assert [event.note for event in events] == ([] if note is None else [note])
    assert all(event.transition == "resolved" and event.message == MISSING.message for event in events)


def test_what_a_paused_stream_holds_is_judged_like_any_other():
    hole = replace(MISSING, check="continuity")
    alerts = machine.fold({}, [opened(hole)])
    unread = Scope(frozenset({"web"}), frozenset(), paused=frozenset({"web"}))
    assert machine.step(alerts, [], unread, NOW + MINUTE, POLICY) == []
    (end,) = machine.step(alerts, [], replace(unread, streams=frozenset({"web"})), NOW + MINUTE, POLICY)
    assert end.note == "withdrawn: no longer expected"


def test_what_cannot_be_judged_opens_nothing_and_ends_nothing():
    unknown = replace(ARRIVED, is_known=False)
    assert machine.step({}, [unknown], SCOPE, NOW, POLICY) == []
    alerts = machine.fold({}, [opened()])
    assert machine.step(alerts, [unknown], SCOPE, NOW + MINUTE, POLICY) == []
    (end,) = machine.step(alerts, [ARRIVED], SCOPE, NOW + 2 * MINUTE, POLICY)
    assert end.transition == "resolved"


def test_of_the_platform_what_was_looked_at_counts():
    failed = Finding("runs", PLATFORM, "", None, "build", passed=False, severity="error", message="build failed")
    alerts = machine.fold({}, [opened(failed)])
    assert machine.step(alerts, [], replace(SCOPE, platform_checks=frozenset({"ticks"})), NOW + MINUTE, POLICY) == []
    scope = replace(SCOPE, platform_checks=frozenset({"runs"}))
    (end,) = machine.step(alerts, [], scope, NOW + MINUTE, POLICY)
    assert (end.transition, end.note) == ("resolved", "withdrawn: no longer found")


def test_a_fold_ignores_what_belongs_to_no_open_alert():
    first = opened()
    end = replace(first, time=NOW + 1, transition="resolved")
    again = replace(first, time=NOW + 2, opened=NOW + 2)
    for event in (
        end,
        replace(end, transition="reminded", note="still failing"),
        replace(end, transition="acknowledged"),
    ):
        assert machine.fold({}, [event]) == {}
    assert machine.fold({}, [first, end]) == {}
    late = replace(end, time=NOW + 3)  # of the first alert, whose end was known already
    assert set(machine.fold({}, [first, end, again, late])) == {first.key}


def test_the_thread_of_a_channel_is_that_of_the_first_message_there():
    first = replace(opened(), deliveries=(Delivery("ops", "a", "a"),))
    second = replace(
        first,
        time=NOW + 1,
        transition="reminded",
        note="still failing",
        deliveries=(Delivery("ops", "b", "a"), Delivery("boss", "c", "c", state="given_up")),
    )
    assert machine.fold({}, [first, second])[first.key].threads == {"ops": "a", "boss": "c"}


def test_ten_thousand_alerts_are_one_step_of_well_below_a_second():
    """Seconds of processor time, generously: what is quadratic takes minutes."""
    policy = policy_of(
        "routes: [{to: [ops]}, {streams: [web], to: [boss], escalate: {after: 30m, to: [sms]}}],"
        " maintenance: [{streams: [app], hours: '06:00-08:00'}, {subjects: ['db-*'], hours: '06:00-08:00'}]"
    )
    failing = findings_of("silence/host-{1..10000}", passed=False, datacenter="east")
    passing = [replace(finding, passed=True) for finding in failing]
    begin = time.process_time()
    alerts = _after(policy, {}, failing, NOW, 10_000)
    assert len(alerts) == 10_000
    for found, now, events in (
        (failing, NOW + MINUTE, 0),
        (failing, NOW + HOUR, 10_000),
        (failing, NOW + HOUR + MINUTE, 0),
        (passing, NOW + HOUR + 2 * MINUTE, 10_000),
    ):
        alerts = _after(policy, alerts, found, now, events)
    assert alerts == {}
    assert time.process_time() - begin < 10


def _after(policy: Policy, alerts, findings, now, count):
    """One evaluation of `count` transitions, with its messages."""
    events = machine.step(alerts, findings, SCOPE, now, policy)
    assert len(events) == count
    routed = routing.route(events, alerts, policy, now)
    assert len(routing.messages(routed, policy)) <= len(policy.channels)
    return machine.fold(alerts, routed)
