"""What alerts need of a look: the hours of open alerts are judged again, and it is known what was judged at all."""

from __future__ import annotations

from nw_platform.alerts.evaluation import Alerting, scope_of
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.observe import TickState, Watch
from tests.watchdog.simulated import DAY, MINUTE, at, minutes


def test_an_hour_that_nobody_remembers_is_judged_when_it_is_asked_for(make):
    platform = make({"web": {"path": "in/*.log", "expect": [{"kind": "volume", "min_lines": 10}]}})
    platform.land("a.log", minutes("05:00", 180))
    platform.tick(at("08:30"))
    hour = f"{DAY}T05"
    assert hour in {f.partition for f in platform.look(at("08:31"))}
    quiet = platform.look(at("2026-11-22 12:31"))
    assert hour not in {f.partition for f in quiet}
    asked = [f for f in platform.look(at("2026-11-22 12:32"), also={"web": {hour}}) if f.partition == hour]
    checks = {(f.asset, f.check, f.passed) for f in asked}
    assert {("logs/web", check, True) for check in ("completeness", "volume", "error_rate")} <= checks
    arrival = [f for f in platform.look(at("2026-11-22 12:33"), also={"web": {f"{DAY}T08"}}) if f.check == "continuity"]
    assert f"{DAY}T08" in {f.partition for f in arrival}


def test_a_look_says_which_streams_it_judged_in_full(make):
    platform = make({"web": {"path": "in/a*.log"}, "app": {"path": "in/b*.log"}})
    platform.land("a.log", minutes("05:00", 20))
    platform.land("b.log", minutes("05:00", 20))
    assert platform.watch.judged() == frozenset()
    platform.tick(at("05:30"))
    platform.look(at("05:31"))
    assert platform.watch.judged() == {"web", "app"}
    for commit in (platform.root / "lake" / "logs" / "stream=web" / "_delta_log").iterdir():
        commit.write_bytes(b"{broken")
    platform.look(at("05:32"))
    assert platform.watch.judged() == {"app"}


def test_a_stream_with_hours_that_were_put_off_was_not_judged_in_full(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never"}})
    platform.land("a.log", minutes("02:00", 180))
    platform.tick(at("05:30"))
    platform.watch = Watch(platform.session.lake, folder=platform.root / "other", limit=2)
    platform.look(at("05:31"))
    assert platform.watch.judged() == frozenset()
    platform.look(at("05:32"))
    assert platform.watch.judged() == {"web"}


def test_nothing_is_expected_of_a_paused_stream_but_it_is_still_whole(make):
    expect = [{"kind": "volume", "min_lines": 10, "every": "15m"}, {"kind": "heartbeat"}]
    platform = make({"web": {"path": "in/*.log", "expect": expect, "paused": True, "late_after": "never"}})
    platform.land("a.log", minutes("04:00", 61), host="web-01")
    platform.tick(at("05:05"))
    platform.tick_state = TickState(ingested_until=at("08:00"))
    assert platform.failing(at("08:00")) == set()
    logs = platform.session.lake.logs("web").snapshot()
    logs.commit(remove=logs.hour_files([f"{DAY}T04"]), transactions={}, metadata={}, now=at("08:01"))
    assert platform.failing(at("08:01") + 10 * MINUTE) == {("completeness", f"{DAY}T04", "")}


def test_of_a_stream_whose_tables_cannot_be_read_that_alone_is_said(make):
    beat = [{"kind": "heartbeat"}]
    streams = {"web": {"path": "in/a*.log", "expect": beat}, "app": {"path": "in/b*.log", "expect": beat}}
    platform = make(streams, hosts=["h1", "h2"])
    platform.land("a.log", minutes("05:00", 60), host="h1")
    platform.land("b.log", minutes("05:00", 60), host="h2")
    platform.land("b2.log", [at("2026-10-01 05:00")], host="h2")
    platform.tick(at("06:00"))
    platform.look(at("06:00"))
    platform.land("a3.log", minutes("06:00", 90), host="h1")
    platform.land("b3.log", minutes("06:00", 90), host="h2")
    platform.tick(at("07:30"))
    assert ("history", None, "") in platform.failing(at("07:31"))
    for commit in (platform.root / "lake" / "logs" / "stream=app" / "_delta_log").iterdir():
        commit.write_bytes(b"{broken")
    found = platform.look(at("07:32"))
    assert [(f.check, f.passed) for f in found if f.stream == "app"] == [("continuity", False)]
    assert {(f.subject, f.passed) for f in found if f.stream == "web" and f.check == "silence"} == {("h1", True)}


def test_what_is_missed_stays_missed_for_a_look_that_has_forgotten_since_when_it_watches(make):
    expect = [{"kind": "file", "name": "dialer-{date}.csv", "by": "06:00", "grace": "30m"}, {"kind": "heartbeat"}]
    platform = make({"web": {"path": "in/*.log", "expect": expect}}, hosts=["h1"])
    alerting = Alerting.of(platform.settings, platform.session.lake)

    def transitions(folder, now):
        moment, also = alerting.begin(now)
        watch = Watch(platform.session.lake, folder=platform.root / folder)
        rules, watched = rules_of_all(platform.settings), alerting.watched()
        found = watch.findings(rules, moment, TickState(), also=also, watched=watched)
        outcome = alerting.evaluate(found, scope_of(platform.settings, watch.judged()), moment, lambda: now)
        watch.commit()
        return [(event.transition, event.check) for event in outcome.events]

    assert transitions("memory", at("05:00")) == []
    assert transitions("memory", at("06:30")) == [("opened", "expected_files"), ("opened", "silence")]
    assert transitions("none", at("06:31")) == []
    assert transitions("none yet", at("07:30")) == [("reminded", "expected_files"), ("reminded", "silence")]
    platform.land("a.log", [at("07:31")], host="h1")
    platform.tick(at("07:32"))
    assert ("resolved", "silence") in transitions("another", at("07:33"))
