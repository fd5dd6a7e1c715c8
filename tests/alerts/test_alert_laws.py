"""What holds of alerts whatever happens: random days of failures, pauses, acknowledgements and clocks set back."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import replace

from hypothesis import event as observe
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.alerts import machine, routing
from nw_platform.alerts.alert import Event, Scope
from nw_platform.watchdog.findings import Finding
from tests.alerts.story import HOUR, MINUTE, World, at, policy_of

STREAMS = ("web", "app", "pay")
POLICIES = [
    policy_of(alerts)
    for alerts in (
        "routes: [{to: [ops]}]",
        "routes: [{to: [ops], escalate: {after: 30m, to: [boss]}}, {streams: [app], to: [sms]}], digest_over: 2",
        "routes: [{severity: error, hours: '08:00-18:00', zone: Asia/Kolkata, to: [ops, boss]}], reminder: 7m",
        "routes: [{to: [ops]}], reminder: never, maintenance: [{checks: [silence], hours: '07:00-07:40'}]",
        "routes: [{checks: [vol*], to: [boss], escalate: {after: 1h, to: [sms]}}], digest_over: 1",
        "routes: [{to: [boss]}], digest_over: 1, maintenance: [{until: 2026-11-22T08:00, subjects: ['?']}]",
    )
]
FINDINGS = st.builds(
    lambda check, stream, subject, state: Finding(
        check=check,
        asset=f"logs/{stream}",
        stream=stream,
        partition="2026-11-22T05" if check == "completeness" else None,
        subject=subject,
        passed=state == "passes",
        severity="warn" if state == "warns" else "error",
        message=f"{check} of {subject} {state}",
    ),
    st.sampled_from(["volume", "silence", "completeness"]),
    st.sampled_from(STREAMS),
    st.sampled_from(["", "a", "b", "host-1"]),
    st.sampled_from(["passes", "warns", "fails", "fails"]),
)
STEPS = st.tuples(
    st.lists(FINDINGS, max_size=12),  # what is found, the same thing perhaps more than once
    st.sets(st.sampled_from(STREAMS)),  # streams that are judged
    st.sets(st.sampled_from(STREAMS), max_size=1),  # streams that are paused
    st.sampled_from([1, 1, 1, MINUTE, MINUTE, 13 * MINUTE, HOUR, 5 * HOUR, -HOUR, -20 * MINUTE, 0]),  # the clock moves
    st.integers(0, 3),  # of so many open alerts one is acknowledged
)
DAYS = st.lists(STEPS, min_size=1, max_size=25)
ALL = frozenset(STREAMS)


def live(steps, policy) -> World:
    """The world after all these steps."""
    world, clock = World(policy), at("06:00")
    for found, judged, paused, moves, acknowledged in steps:
        clock = max(clock + moves, (world.newest or 0) - machine.SET_BACK_US + MINUTE)
        if acknowledged and world.open:
            key = sorted(world.open)[acknowledged % len(world.open)]
            if world.open[key].acknowledged is None:
                world.acknowledge(key, clock)
        world.scope = Scope(ALL, frozenset(judged), frozenset(paused))
        shown = [f for f in found if f.stream in judged and (f.stream not in paused or f.check == "completeness")]
        world.judge = lambda _, shown=shown: shown
        world.evaluate(clock)
    return world


def by_key(events) -> dict[str, list[Event]]:
    found = defaultdict(list)
    for one in events:
        found[one.key].append(one)
    return found


@given(DAYS, st.sampled_from(POLICIES))
@settings(max_examples=80, deadline=None)
def test_opened_and_resolved_alternate_and_all_between_belongs_to_an_alert(steps, policy):
    for events in by_key(live(steps, policy).events).values():
        is_open, opened = False, 0
        for one in events:
            if one.transition == "opened":
                assert not is_open
                assert one.opened == one.time
                is_open, opened = True, one.opened
            else:
                assert is_open
                assert one.opened == opened
                is_open = one.transition != "resolved"
        times = [one.time for one in events]
        assert times == sorted(set(times))


@given(DAYS, st.sampled_from(POLICIES))
@settings(max_examples=80, deadline=None)
def test_no_message_repeats_and_each_delivery_is_in_exactly_one(steps, policy):
    world = live(steps, policy)
    observe(f"messages: {min(len(world.told), 20)}")
    assert all(count == 1 for count in Counter((one.channel, one.message.id) for one in world.told).values())
    told = Counter((one.channel, e.key, e.transition, e.time) for one in world.told for e in one.message.events)
    assert all(count == 1 for count in told.values())
    due = {(d.channel, e.key, e.transition, e.time) for e in world.events for d in e.deliveries}
    assert set(told) == due
    for one in world.told:
        assert len({e.transition for e in one.message.events}) == 1
        assert not one.message.is_digest or len(one.message.events) > policy.digest_over


@given(DAYS, st.sampled_from(POLICIES), st.lists(FINDINGS, max_size=12))
@settings(max_examples=80, deadline=None)
def test_the_last_state_is_the_truth(steps, policy, truth):
    """Once all is judged and no window is in effect, what is open is what fails; a second look changes nothing."""
    policy = replace(policy, maintenance=())
    world = live(steps, policy)
    world.scope, world.judge = Scope(ALL, ALL), lambda _: truth
    clock = (world.newest or at("06:00")) + MINUTE
    world.evaluate(clock)
    failing = {f.key for f in truth if not f.passed}
    assert set(world.open) == failing
    assert machine.step(world.open, truth, world.scope, clock, policy) == []
    for key, alert in world.open.items():
        worst = {f.severity for f in truth if f.key == key and not f.passed}
        assert alert.last.severity == "error" or "error" not in worst


@given(DAYS, st.sampled_from(POLICIES), st.randoms(use_true_random=False))
@settings(max_examples=80, deadline=None)
def test_the_table_alone_says_what_is_open(steps, policy, random):
    """The fold of all events at once, in any order, is the fold one by one."""
    world = live(steps, policy)
    shuffled = list(world.events)
    random.shuffle(shuffled)
    assert _known(machine.fold({}, shuffled)) == _known(world.open)


def _known(alerts):
    """Without how deliveries ended: that is known later."""
    return {key: replace(alert, last=replace(alert.last, deliveries=())) for key, alert in alerts.items()}


@given(DAYS, st.sampled_from(POLICIES))
@settings(max_examples=80, deadline=None)
def test_the_end_is_told_to_those_who_heard_of_it_and_to_nobody_else(steps, policy):
    for events in by_key(live(steps, policy).events).values():
        heard: set[str] = set()
        for one in events:
            channels = [d.channel for d in one.deliveries]
            assert len(channels) == len(set(channels))
            if one.transition == "opened":
                heard = set(channels)
            elif one.transition == "reminded":
                heard |= set(channels)
            else:
                assert set(channels) == heard


@given(DAYS, st.sampled_from(POLICIES))
@settings(max_examples=80, deadline=None)
def test_nobody_is_bothered_too_often(steps, policy):
    """Between two reminders of one alert lies half a period; none follows an acknowledgement, but of what got worse."""
    for events in by_key(live(steps, policy).events).values():
        is_acknowledged, told, escalated = False, 0, Counter()
        for one in events:
            if one.transition == "reminded":
                causes = one.note.split("; ")
                escalated.update(machine.escalations_of(one))
                assert not is_acknowledged or "was a warning" in causes
                if "still failing" in causes:
                    assert policy.reminder_us is not None
                    assert 2 * (one.time - told) >= policy.reminder_us
                assert all(count == 1 for count in escalated.values())
            if one.transition == "opened" or (one.transition == "reminded" and machine.is_repeated(one)):
                told = one.time
            if one.transition in {"opened", "resolved"}:
                escalated.clear()
            is_acknowledged = one.transition == "acknowledged"


@given(DAYS, st.sampled_from(POLICIES))
@settings(max_examples=80, deadline=None)
def test_within_a_window_nothing_opens_and_nothing_is_repeated(steps, policy):
    for one in live(steps, policy).events:
        if one.transition in {"opened", "reminded"}:
            assert not any(
                window.covers(stream=one.stream, check=one.check, subject=one.subject)
                for window in policy.windows_at(one.time)
            )


@given(DAYS, st.sampled_from(POLICIES), st.integers(0, 24), st.data())
@settings(max_examples=80, deadline=None)
def test_a_step_that_is_made_twice_says_the_same(steps, policy, cut, data):
    """Two daemons, or one that was killed before it could write: the same transitions, the same ids of messages."""
    world = live(steps[: cut + 1], policy)
    found = data.draw(st.lists(FINDINGS, max_size=12))
    now = machine.evaluation_time(at("09:00"), world.newest)

    def once():
        events = machine.step(world.open, found, world.scope, now, policy)
        routed = routing.route(events, world.open, policy, now)
        return [(channel, message.id, message.thread) for channel, message in routing.messages(routed, policy)]

    assert once() == once()
