"""Who hears of what: the messages, their ids and threads, links, and which routes are in effect when."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nw_platform.alerts import machine, routing
from nw_platform.alerts.alert import Delivery, Event, Scope
from nw_platform.alerts.matching import Names, Timetable
from nw_platform.alerts.policy import Policy
from nw_platform.streams.channels import Route
from nw_platform.streams.names import CHECK_NAMES, PLATFORM_CHECK_NAMES
from nw_platform.watchdog.declared import CHECKS
from nw_platform.watchdog.findings import Finding
from tests.alerts.story import HOUR, MINUTE, at, findings_of, policy_of

NOW = at("06:31")
SCOPE = Scope(frozenset({"web", "app"}), frozenset({"web", "app"}))


def events_of(text: str, policy: Policy, now: int = NOW, severity: str = "error") -> list[Event]:
    events = machine.step({}, findings_of(text, passed=False, severity=severity), SCOPE, now, policy)
    return routing.route(events, {}, policy, now)


def channels(text: str, alerts: str, now: str = "06:31", severity: str = "error") -> list[str]:
    """Who hears that it opened."""
    policy = policy_of(alerts)
    return [name for event in events_of(text, policy, at(now), severity) for name in _names(event)]


def _names(event: Event) -> list[str]:
    return [delivery.channel for delivery in event.deliveries]


ROUTES = [
    ("all that a route does not name fits", "routes: [{to: [ops]}]", "volume", ["ops"]),
    ("no route", "routes: []", "volume", []),
    ("a severity is that one", "routes: [{severity: warn, to: [ops]}]", "volume", []),
    ("a stream by its name", "routes: [{streams: [web], to: [ops]}]", "volume", ["ops"]),
    ("a stream by another name", "routes: [{streams: [app], to: [ops]}]", "volume", []),
    ("a name is whole", "routes: [{checks: ['vol?'], to: [ops]}]", "volume", []),
    ("a pattern", "routes: [{streams: ['*e*'], checks: ['v?lume'], to: [ops]}]", "volume", ["ops"]),
    ("one of several names", "routes: [{checks: [lag, volume], to: [ops]}]", "volume", ["ops"]),
    ("every key must fit", "routes: [{streams: [web], checks: [lag], to: [ops]}]", "volume", []),
    ("a dot is a dot", "routes: [{checks: ['v.*'], to: [ops]}]", "volume", []),
    ("capitals count", "routes: [{checks: ['Vol*'], to: [ops]}]", "volume", []),
    ("the platform", "routes: [{streams: [platform], to: [ops]}]", "platform:runs/x", ["ops"]),
    ("any stream is the platform, too", "routes: [{streams: ['*'], to: [ops]}]", "platform:runs/x", ["ops"]),
    ("a stream is not the platform", "routes: [{streams: [platform], to: [ops]}]", "volume", []),
    (
        "channels of all routes that fit, in order, each once",
        "routes: [{to: [boss, ops]}, {streams: [web], to: [sms, ops]}]",
        "volume",
        ["boss", "ops", "sms"],
    ),
]


@pytest.mark.parametrize(("name", "alerts", "text", "expected"), ROUTES, ids=[route[0] for route in ROUTES])
def test_a_route_takes(name, alerts, text, expected):
    assert channels(text, alerts) == expected, name


def test_a_warning_is_no_error():
    routes = "routes: [{severity: warn, to: [ops]}, {severity: error, to: [boss]}]"
    assert channels("volume", routes, severity="warn") == ["ops"]
    assert channels("volume", routes) == ["boss"]


# (days and hours, time, in effect); 2026-11-22 is a Sunday, clocks in Berlin change on 2026-10-25 and 2026-03-29.
TIMES = [
    ("{}", "22T12:00", True),
    ("{hours: '08:00-18:00'}", "22T07:59:59", False),
    ("{hours: '08:00-18:00'}", "22T08:00", True),
    ("{hours: '08:00-18:00'}", "22T17:59:59", True),
    ("{hours: '08:00-18:00'}", "22T18:00", False),
    ("{hours: '08:00-24:00'}", "22T23:59", True),
    ("{hours: '00:00-24:00'}", "22T00:00", True),
    ("{hours: '22:00-06:00'}", "22T21:59", False),
    ("{hours: '22:00-06:00'}", "22T22:00", True),
    ("{hours: '22:00-06:00'}", "22T05:59", True),
    ("{hours: '22:00-06:00'}", "22T06:00", False),
    ("{days: [sun]}", "22T00:00", True),
    ("{days: [sun]}", "22T23:59:59", True),
    ("{days: [sun]}", "23T00:00", False),
    ("{days: [sun], hours: '22:00-06:00'}", "22T05:00", False),  # that is Saturday's night
    ("{days: [sun], hours: '22:00-06:00'}", "23T05:00", True),  # this is Sunday's
    ("{days: [sun], hours: '22:00-06:00'}", "23T22:00", False),
    ("{days: [mon], zone: Asia/Tokyo}", "22T15:00", True),  # Monday in Tokyo
    ("{days: [mon], zone: Asia/Tokyo}", "22T14:59", False),
    ("{hours: '08:00-18:00', zone: Europe/Berlin}", "22T07:00", True),
    ("{hours: '08:00-18:00', zone: Europe/Berlin}", "2026-07-22T06:00", True),
    ("{hours: '08:00-18:00', zone: Europe/Berlin}", "2026-07-22T05:59", False),
    ("{hours: '02:00-03:00', zone: Europe/Berlin}", "2026-03-29T01:00", False),  # skipped: it is 03:00
    ("{hours: '01:00-04:00', zone: Europe/Berlin}", "2026-03-29T01:00", True),
    ("{hours: '02:00-03:00', zone: Europe/Berlin}", "2026-10-25T00:30", True),  # there twice
    ("{hours: '02:00-03:00', zone: Europe/Berlin}", "2026-10-25T01:30", True),
    ("{hours: '02:00-03:00', zone: Europe/Berlin}", "2026-10-25T02:00", False),
    ("{hours: '23:00-01:00', days: [tue]}", "2028-03-01T00:30", True),  # from a leap day, a Tuesday
]


@pytest.mark.parametrize(("times", "now", "expected"), TIMES)
def test_times_of_the_week(times, now, expected):
    inner = times.strip("{}")
    (route,) = policy_of(f"routes: [{{to: [ops]{', ' * bool(inner)}{inner}}}]").routes
    assert route.times.covers(at(now)) is expected


def test_a_timetable_of_the_clock_is_asked_each_minute_of_the_day_that_has_25_hours():
    times = Timetable.of(Route.model_validate({"to": ["x"], "hours": "02:00-03:00", "zone": "Europe/Berlin"}))
    begin = at("2026-10-24T22:00")  # midnight in Berlin
    assert sum(times.covers(begin + minute * MINUTE) for minute in range(25 * 60)) == 120
    assert sum(times.covers(at("2026-03-28T23:00") + minute * MINUTE) for minute in range(23 * 60)) == 0


def test_names_may_hold_anything():
    assert Names.of(["a|b"]).hold("a|b")
    assert not Names.of(["a|b"]).hold("a")
    assert Names.of(["*"]).hold("two\nlines")
    assert not Names.of(["[ab]"]).hold("a")
    assert Names.of(None).hold("")


def test_a_message_has_one_id_for_ever_and_another_for_each_channel_and_transition():
    policy = policy_of("routes: [{to: [ops, boss]}]")
    (event,) = events_of("volume", policy)
    assert [d.message_id for d in event.deliveries] == [
        "e979d90c089ade5c25c0cef0467c2ac0",
        "b5f88d630ea19eba9165b4d6d159c396",
    ]


def test_what_is_sent_is_what_is_pending():
    policy = policy_of("routes: [{to: [ops, boss]}]")
    (event,) = events_of("volume", policy)
    sent = replace(event.deliveries[0], state="sent")
    ((channel, message),) = routing.messages([replace(event, deliveries=(sent, event.deliveries[1]))], policy)
    assert (channel, message.id, message.events[0].key) == ("boss", event.deliveries[1].message_id, event.key)
    assert message.thread == message.id
    assert not message.is_digest


def test_a_digest_holds_the_most_severe_first_and_is_one_message_a_channel():
    policy = policy_of("routes: [{to: [ops]}, {checks: [lag], to: [boss]}]")
    warnings = findings_of("silence/web-{1..5}", passed=False, severity="warn")
    errors = findings_of("lag", passed=False)
    events = routing.route(machine.step({}, [*warnings, *errors], SCOPE, NOW, policy), {}, policy, NOW)
    found = dict(routing.messages(events, policy))
    assert [e.severity for e in found["ops"].events] == ["error"] + ["warn"] * 5
    assert [e.check for e in found["boss"].events] == ["lag"]
    assert found["ops"].is_digest
    assert not found["boss"].is_digest
    assert {d.message_id for e in events for d in e.deliveries if d.channel == "ops"} == {found["ops"].id}


def test_the_end_of_a_storm_is_told_in_the_thread_of_its_begin():
    policy = policy_of("routes: [{to: [ops]}]")
    opened = events_of("silence/web-{1..6}", policy)
    others = events_of("silence/db-{1..6}", policy, NOW + MINUTE)
    alerts = machine.fold({}, [*opened, *others])
    ((_, first),) = routing.messages(opened, policy)

    def end(findings: list[Finding]):
        events = machine.step(alerts, findings, SCOPE, NOW + HOUR // 2, policy)
        return [m for _, m in routing.messages(routing.route(events, alerts, policy, NOW + HOUR // 2), policy)]

    web, db = (findings_of(f"silence/{name}-{{1..6}}", passed=True) for name in ("web", "db"))
    still = findings_of("silence/db-{1..6}", passed=False)
    (message,) = end([*web, *still])
    assert (message.thread, len(message.events)) == (first.id, 6)
    (both,) = end([*web, *db])
    assert (both.thread, len(both.events)) == (both.id, 12)  # of two threads: one of its own
    single = end([web[0], *findings_of("silence/web-{2..6}", passed=False), *still])
    assert [one.thread for one in single] == [first.id]


def test_a_channel_that_is_no_longer_declared_gets_nothing():
    before, after = policy_of("routes: [{to: [ops, boss]}]"), policy_of("routes: [{to: [ops]}]")
    alerts = machine.fold({}, events_of("volume", before))
    (end,) = machine.step(alerts, findings_of("volume", passed=True), SCOPE, NOW + MINUTE, after)
    (routed,) = routing.route([end], alerts, replace(after, channels=("ops",)), NOW + MINUTE)
    assert _names(routed) == ["ops"]
    (routed,) = routing.route([end], alerts, after, NOW + MINUTE)
    assert _names(routed) == ["ops", "boss"]  # no route, but it is declared, and it heard


def test_a_channel_that_fails_is_told_to_all_others_whatever_the_routes_say():
    assert channels("platform:channel/ops", "routes: [{to: [ops]}]") == ["boss", "sms"]
    assert channels("channel/ops", "routes: [{to: [ops]}]") == ["ops"]  # a check of that name is no channel


def test_routes_may_speak_of_every_check_there_is():
    """The names that a configuration may use are those of the watchdog, and those of the page on alerts."""
    assert set(CHECK_NAMES) == set(CHECKS)
    page = (Path(__file__).resolve().parents[2] / "docs" / "alerts.md").read_text(encoding="utf-8")
    about_itself = page.partition("## The platform itself")[2]
    assert set(PLATFORM_CHECK_NAMES) == set(re.findall(r"^\| `(\w+)` \|", about_itself, re.MULTILINE))


LINKS = [
    ("volume@05", "https://ui/x/assets/logs/web?view=partitions&partition=2026-11-22T05"),
    ("silence/web-1", "https://ui/x/assets/logs/web?view=checks&checkDetail=silence"),
    ("platform:run/build", "https://ui/x/runs"),
    ("platform:daemon/SENSOR", "https://ui/x/deployment/daemons"),
    ("platform:anything", "https://ui/x"),
]


@pytest.mark.parametrize(("text", "link"), LINKS)
def test_a_message_links_to_what_it_is_about(text, link):
    policy = policy_of("routes: [{to: [ops]}], link: 'https://ui/x/'")
    ((_, message),) = routing.messages(events_of(text, policy), policy)
    assert list(message.links.values()) == [link]
    assert list(message.links) == [message.events[0].key]


def test_without_an_address_there_are_no_links():
    policy = policy_of("routes: [{to: [ops]}]")
    ((_, message),) = routing.messages(events_of("volume", policy), policy)
    assert message.links == {}


def test_events_without_deliveries_are_no_messages():
    policy = policy_of("routes: []")
    events = events_of("volume", policy)
    assert [event.deliveries for event in events] == [()]
    assert routing.messages(events, policy) == []


def test_a_delivery_begins_pending_and_due_at_once():
    (event,) = events_of("volume", policy_of("routes: [{to: [ops]}]"))
    identity = event.deliveries[0].message_id
    assert event.deliveries == (Delivery("ops", identity, identity),)
    assert event.channels == "ops"
