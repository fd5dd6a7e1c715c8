"""An evaluation as a whole: a channel that fails is told to others, stale looks change nothing, errors lose nothing."""

from __future__ import annotations

import http.server
import threading
from dataclasses import replace

import pytest
from alerts.alert_bench import HOUR, MINUTE, NOW, SCOPE, Bench, finding

from nw_platform.alerts.alert import CHANNEL, PLATFORM, Scope
from nw_platform.alerts.dead_man import ping
from nw_platform.alerts.evaluation import Alerting, channel_findings, open_hours, scope_of
from nw_platform.alerts.state import AlertState, ChannelRecord
from nw_platform.alerts.table import AlertTable
from nw_platform.errors import CommitConflictError, DeliveryError, LakeError
from nw_platform.lake.store import Lake
from nw_platform.settings import parse
from nw_platform.streams.secrets import SecretUrl

PASSED = True


def channel_messages(bench: Bench, name: str) -> list[dict]:
    return [one for one in bench.sent() if one["keys"] == [f"channel|platform||{name}"]]


def test_a_channel_that_keeps_failing_is_told_to_all_others_and_so_is_its_end(tmp_path):
    bench = Bench(tmp_path, ("mail", "sms", "hook"))
    bench.channels["mail"].is_down = True
    for _ in range(9):
        bench.evaluate(finding("a"), after=MINUTE)
    told = channel_messages(bench, "mail")
    assert sorted((one["channel"], one["transition"]) for one in told) == [("hook", "opened"), ("sms", "opened")]
    assert told[0]["time"] == NOW + 5 * MINUTE  # tried at 1, 2, 4 min; the look after that finds it
    bench.channels["mail"].is_down = False
    for _ in range(16):
        bench.evaluate(finding("a"), after=MINUTE)
    told = channel_messages(bench, "mail")
    assert sorted((one["channel"], one["transition"]) for one in told) == [
        ("hook", "opened"), ("hook", "resolved"), ("sms", "opened"), ("sms", "resolved"),
    ]  # fmt: skip
    assert set(bench.alerting.state().open) == {finding("a").key}


def test_the_only_channel_that_fails_has_nobody_to_tell_but_the_table(tmp_path):
    bench = Bench(tmp_path)
    bench.channels["mail"].failures = [DeliveryError("gone", is_final=True)]
    bench.evaluate(finding("a"))
    assert bench.evaluate(finding("a"), after=MINUTE).told() == "1 opened; 2 open"
    alert = bench.evaluator("new").state().open["channel|platform||mail"]
    assert (alert.last.asset, alert.last.check, alert.last.subject) == (PLATFORM, CHANNEL, "mail")
    assert alert.last.message.startswith("channel mail does not take messages: gone; given up at 2026-11-24T")
    assert alert.last.repair == "nw alerts test mail"
    assert bench.evaluate(finding("a"), finding("b"), after=MINUTE).sent == 1
    assert bench.evaluate(finding("a"), finding("b"), after=MINUTE).told() == "1 resolved; 2 open"


def test_a_channel_that_is_no_more_is_withdrawn_and_what_waited_for_it_is_given_up(tmp_path):
    bench = Bench(tmp_path, ("mail", "sms"))
    bench.channels["mail"].is_down = True
    for _ in range(6):
        bench.evaluate(finding("a"), after=MINUTE)
    assert "channel|platform||mail" in bench.alerting.state().open
    settings = parse("streams: {web: {path: x}}", base=str(tmp_path), origin="test")
    fresh = Alerting.of(settings, bench.lake("fresh"))
    bench.evaluate(finding("a"), by=fresh, after=HOUR)
    state = fresh.state()
    assert not state.pending
    assert set(state.open) == {finding("a").key}
    assert "no channel 'mail'" in state.channels["mail"].error


@pytest.mark.parametrize(
    ("record", "passed"),
    [
        (None, True),
        (ChannelRecord(sent=5), True),
        (ChannelRecord(given_up=5, error="gone"), False),
        (ChannelRecord(sent=5, given_up=6, error="gone"), False),
        (ChannelRecord(sent=6, given_up=5, error="gone"), True),
    ],
)
def test_what_was_given_up_counts_until_something_arrives(record, passed):
    state = AlertState(channels={} if record is None else {"mail": record})
    (found,) = channel_findings(state, ["mail"])
    assert found.passed is passed


def test_a_look_that_is_older_than_what_another_process_resolved_opens_nothing(tmp_path):
    bench = Bench(tmp_path)
    slow = bench.evaluator("b")
    bench.evaluate(finding("a"))
    at, _ = slow.begin(bench.now + MINUTE)
    bench.evaluate(finding("a", passed=PASSED), after=2 * MINUTE)
    stale = slow.evaluate([finding("a"), finding("b")], SCOPE, at, lambda: at)
    assert [event.key for event in stale.events] == [finding("b").key]
    assert bench.told() == ["mail opened", "mail resolved", "mail opened"]
    assert bench.evaluate(finding("a"), finding("b"), by=slow, after=MINUTE).told() == "1 opened; 2 open; 1 sent"


def test_an_alert_that_opens_again_after_a_clock_was_days_ahead_comes_later_in_the_table(tmp_path):
    bench = Bench(tmp_path)
    ahead = 10 * 24 * HOUR
    bench.evaluate(finding("a"), after=ahead)
    bench.evaluate(finding("a", passed=PASSED), after=MINUTE)
    bench.now = NOW
    assert bench.evaluate(finding("a")).told() == "1 opened; 1 open; 1 sent"
    assert bench.evaluator("new").state() == bench.alerting.state()
    assert bench.evaluate(finding("a"), after=MINUTE).told() == "no change; 1 open"
    assert bench.evaluate(finding("a", passed=PASSED), after=MINUTE).told() == "1 resolved; 0 open; 1 sent"
    times = [one["time"] for one in bench.sent()]
    assert times == sorted(set(times))


def test_a_clock_that_is_set_back_by_an_hour_repeats_nothing(tmp_path):
    bench = Bench(tmp_path)
    bench.evaluate(finding("a"), after=2 * HOUR)
    bench.now -= HOUR
    for _ in range(59):
        assert bench.evaluate(finding("a"), after=MINUTE).told() == "no change; 1 open"
    assert bench.told() == ["mail opened"]


def test_others_that_commit_in_between_are_read_and_nothing_is_said_twice(tmp_path, monkeypatch):
    bench = Bench(tmp_path)
    other = bench.evaluator("b")
    table = bench.alerting._table
    append = table.append

    def overtaken(reading, new, changed, now):
        monkeypatch.setattr(table, "append", append)
        bench.evaluate(finding("a"), by=other)
        append(reading, new, changed, now)

    monkeypatch.setattr(table, "append", overtaken)
    assert bench.evaluate(finding("a")).told() == "no change; 1 open"
    assert bench.told() == ["mail opened"]


def test_a_digest_of_which_another_claimed_a_part_is_sent_once(tmp_path):
    bench = Bench(tmp_path)
    found = [finding(name) for name in "abcdefgh"]
    bench.channels["mail"].is_down = True
    bench.evaluate(*found)
    table = AlertTable(bench.lake("other"))
    reading = table.read()
    first = next(iter(reading.state.pending.values()))
    table.append(reading, (), [replace(first, claimed_by="other", claimed_until=NOW + 3 * MINUTE)], NOW)
    bench.channels["mail"].is_down = False
    for _ in range(6):
        bench.evaluate(*found, after=MINUTE)
    (digest,) = bench.sent()
    assert digest["keys"] == [one.key for one in found]


def test_a_table_that_others_change_all_the_time_is_an_error_of_one_line(tmp_path, monkeypatch):
    bench = Bench(tmp_path)

    def never(*_):
        raise CommitConflictError("another was first")

    monkeypatch.setattr(bench.alerting._table, "append", never)
    with pytest.raises(LakeError, match="changed by others all the time"):
        bench.evaluate(finding("a"))


def test_an_error_of_the_storage_loses_nothing(tmp_path, monkeypatch):
    bench = Bench(tmp_path)
    append = bench.alerting._table.append

    def broken(*_):
        raise LakeError("no storage")

    monkeypatch.setattr(bench.alerting._table, "append", broken)
    with pytest.raises(LakeError):
        bench.evaluate(finding("a"))
    assert bench.sent() == []
    monkeypatch.setattr(bench.alerting._table, "append", append)
    assert bench.evaluate(finding("a"), after=MINUTE).told() == "1 opened; 1 open; 1 sent"


def test_names_that_are_no_text_are_told_as_far_as_they_are(tmp_path):
    bench = Bench(tmp_path)
    assert bench.evaluate(finding("bad\udcff.csv")).told() == "1 opened; 1 open; 1 sent"
    assert bench.evaluate(finding("bad\udcff.csv")).told() == "no change; 1 open"
    assert list(bench.evaluator("new").state().open) == ["volume|logs/web||bad?.csv"]


def test_acknowledged_is_told_to_who_heard_and_ends_reminders(tmp_path):
    bench = Bench(tmp_path)
    bench.evaluate(finding("a"), finding("b"))
    outcome = bench.alerting.acknowledge(
        lambda alert: alert.last.subject == "a", "anna", "on it", bench.now + MINUTE, lambda: bench.now
    )
    assert outcome.told() == "1 acknowledged; 2 open; 1 sent"
    assert outcome.events[0].note == "anna: on it"
    again = bench.alerting.acknowledge(lambda alert: alert.last.subject == "a", "bob", "", bench.now, lambda: bench.now)
    assert again.told() == "no change; 2 open"
    bench.evaluate(finding("a"), finding("b"), after=HOUR)
    last = bench.sent()[-1]
    assert (last["transition"], last["keys"]) == ("reminded", [finding("b").key])


def test_the_hours_of_open_alerts_are_asked_for(tmp_path):
    bench = Bench(tmp_path)
    bench.evaluate(finding(partition="2026-11-24T03"), finding("x"), finding(check="late", partition="2026-11-23T03"))
    _, also = bench.alerting.begin(bench.now)
    assert also == {"web": {"2026-11-24T03", "2026-11-23T03"}} == open_hours(bench.alerting.state().open.values())


def test_the_scope_is_that_of_the_configuration(tmp_path):
    text = "streams: {web: {path: x}, old: {path: y, paused: true}}"
    settings = parse(text, base=str(tmp_path), origin="test")
    scope = scope_of(settings, {"web"}, {"run"})
    assert scope == Scope(frozenset({"web", "old"}), frozenset({"web"}), frozenset({"old"}), frozenset({"run"}))


def test_a_lake_without_alerts_has_no_table_of_them(tmp_path):
    bench = Bench(tmp_path)
    assert bench.evaluate(finding("a", passed=PASSED)).told() == "no change; 0 open"
    assert not Lake(str(tmp_path / "lake"), work=tmp_path).alerts().exists()


@pytest.fixture
def answering():
    calls: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            calls.append(self.path)
            self.send_response(200 if self.path == "/ok-s3cret" else 404)
            self.end_headers()

        def log_message(self, *_) -> None:
            """Nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}", calls
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_dead_mans_address_is_called_once_and_never_shown(answering):
    root, calls = answering
    assert ping(None) == ""
    assert ping(SecretUrl(f"{root}/ok-s3cret")) == ""
    assert calls == ["/ok-s3cret"]
    problems = [
        ping(SecretUrl(f"{root}/gone-s3cret")),
        ping(SecretUrl("http://127.0.0.1:9/s3cret")),
        ping(SecretUrl("env:NO_SUCH_VARIABLE_AT_ALL")),
    ]
    assert all(problem and "\n" not in problem and "s3cret" not in problem for problem in problems)
