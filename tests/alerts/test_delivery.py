"""Messages leave once, in order, again after a failure until they are given up, and never twice for two processes."""

from __future__ import annotations

import os
import threading

import pytest
from alerts.alert_bench import HOUR, MINUTE, NOW, SCOPE, Bench, finding

from nw_platform.alerts.claims import CLAIM_US, Claimant
from nw_platform.alerts.delivery import GIVE_UP_US, backoff
from nw_platform.errors import ConfigError, DeliveryError

PASSED = True


def test_what_fails_is_told_once_and_what_is_over_once(tmp_path):
    bench = Bench(tmp_path)
    first = bench.evaluate(finding("a"))
    assert first.told() == "1 opened; 1 open; 1 sent"
    version = bench.version()
    for _ in range(5):
        assert bench.evaluate(finding("a"), after=MINUTE).told() == "no change; 1 open"
    assert bench.version() == version
    assert bench.evaluate(finding("a", passed=PASSED), after=MINUTE).told() == "1 resolved; 0 open; 1 sent"
    assert bench.told() == ["mail opened", "mail resolved"]
    opened, resolved = bench.sent()
    assert opened["thread"] == opened["id"] == resolved["thread"] != resolved["id"]


def test_the_table_says_how_each_delivery_went(tmp_path):
    bench = Bench(tmp_path, ("mail", "sms"))
    bench.channels["sms"].is_down = True
    bench.evaluate(finding("a"))
    mail, sms = bench.evaluator("new").state().open[finding("a").key].last.deliveries
    assert (mail.state, mail.attempts, mail.at, mail.error) == ("sent", 1, NOW, "")
    assert (sms.state, sms.attempts, sms.at, sms.error) == ("pending", 1, None, "sms does not answer")
    assert sms.next_try == NOW + MINUTE


def test_a_failed_message_is_tried_again_at_growing_distances_with_its_id(tmp_path):
    bench = Bench(tmp_path)
    bench.channels["mail"].failures = [DeliveryError(f"busy {n}") for n in range(7)]
    bench.evaluate(finding("a"))
    tries = []
    for minute in range(1, 100):
        left = len(bench.channels["mail"].failures)
        outcome = bench.evaluate(finding("a"), after=MINUTE)
        if outcome.sent or len(bench.channels["mail"].failures) < left:
            tries.append(minute)
        if outcome.sent:
            break
    assert tries == [1, 3, 7, 12, 17, 22, 27]
    only = bench.sent()[0]
    assert only["id"] == bench.alerting.state().open[finding("a").key].threads["mail"]
    assert [backoff(n) // MINUTE for n in range(1, 9)] == [1, 2, 4, 5, 5, 5, 5, 5]


def test_a_message_is_given_up_after_a_day(tmp_path):
    bench = Bench(tmp_path)
    bench.channels["mail"].is_down = True
    bench.evaluate(finding("a"))
    bench.evaluate(finding("a"), after=GIVE_UP_US - MINUTE)
    assert bench.alerting.state().pending
    bench.evaluate(finding("a"), after=HOUR)
    assert bench.alerting.state().channels["mail"].given_up == bench.now
    assert all(filed.event.time > NOW for filed in bench.alerting.state().pending.values())


def test_a_refusal_for_good_is_given_up_at_once(tmp_path):
    bench = Bench(tmp_path)
    bench.channels["mail"].failures = [DeliveryError("the token is wrong", is_final=True)]
    assert bench.evaluate(finding("a")).told() == "1 opened; 1 open; 1 failed"
    (delivery,) = bench.alerting.state().open[finding("a").key].last.deliveries
    assert (delivery.state, delivery.attempts, delivery.error) == ("given_up", 1, "the token is wrong")
    assert not bench.alerting.state().pending


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("the environment variable HOOK is not set"), "the environment variable HOOK is not set"),
        (RuntimeError("https://hooks.example/s3cret"), "the channel failed (RuntimeError)"),
        (OSError("p4ssword"), "the channel failed (OSError)"),
    ],
)
def test_errors_of_any_kind_are_failures_and_those_of_others_are_not_quoted(tmp_path, error, told):
    bench = Bench(tmp_path)
    bench.channels["mail"].failures = [error]
    bench.evaluate(finding("a"))
    (delivery,) = bench.alerting.state().open[finding("a").key].last.deliveries
    assert (delivery.state, delivery.error) == ("pending", told)


def test_a_channel_that_cannot_be_opened_is_a_failure_too(tmp_path):
    bench = Bench(tmp_path)
    del bench.channels["mail"]
    assert bench.evaluate(finding("a")).told() == "1 opened; 1 open; 1 failed; 1 waiting"


def test_resolved_waits_for_opened(tmp_path):
    bench = Bench(tmp_path)
    bench.channels["mail"].failures = [DeliveryError("busy")]
    bench.evaluate(finding("a"))
    bench.evaluate(finding("a", passed=PASSED), finding("b"), after=MINUTE // 2)
    assert [one["keys"] for one in bench.sent()] == [[finding("b").key]]  # another alert does not wait
    bench.evaluate(finding("b"), after=MINUTE)
    assert bench.told() == ["mail opened", "mail opened", "mail resolved"]


def test_after_two_failures_in_a_row_a_channel_is_left_alone_until_the_next_time(tmp_path):
    bench = Bench(tmp_path, digest_over=100)
    names = "abcdefgh"
    bench.channels["mail"].failures = [DeliveryError("busy") for _ in range(4)]
    assert bench.evaluate(*map(finding, names)).told() == "8 opened; 8 open; 2 failed; 8 waiting"
    assert bench.evaluate(*map(finding, names), after=MINUTE // 2).told() == "no change; 8 open; 2 failed; 8 waiting"
    assert bench.evaluate(*map(finding, names), after=5 * MINUTE).told() == "no change; 8 open; 8 sent"
    assert len({one["id"] for one in bench.sent()}) == 8


def test_a_channel_that_hangs_keeps_no_other_waiting(tmp_path):
    bench = Bench(tmp_path, ("mail", "sms"))
    bench.channels["mail"].held = threading.Event()
    thread = threading.Thread(target=bench.evaluate, args=(finding("a"),))
    thread.start()
    assert bench.channels["mail"].entered.wait(30)
    assert bench.channels["sms"].entered.wait(30)
    bench.channels["mail"].held.set()
    thread.join(30)
    assert sorted(bench.told()) == ["mail opened", "sms opened"]


def test_when_time_is_up_the_rest_waits_for_the_next_time(tmp_path):
    bench = Bench(tmp_path, digest_over=100)
    ticks = iter(range(0, 10**9, 15_000_000))  # 15 s a message
    now, _ = bench.alerting.begin(bench.now)
    outcome = bench.alerting.evaluate([finding(n) for n in "abcd"], SCOPE, now, lambda: next(ticks))
    assert outcome.told() == "4 opened; 4 open; 1 sent; 3 waiting"
    assert bench.evaluate(*map(finding, "abcd")).told() == "no change; 4 open; 3 sent"
    assert len({one["id"] for one in bench.sent()}) == 4


def test_of_two_processes_one_sends_while_the_other_is_at_it(tmp_path):
    bench = Bench(tmp_path)
    other = bench.evaluator("other machine")
    bench.channels["mail"].held = threading.Event()
    thread = threading.Thread(target=bench.evaluate, args=(finding("a"),))
    thread.start()
    assert bench.channels["mail"].entered.wait(30)
    # It has committed and is sending: the other one sees it, and sends nothing of that alert before it.
    assert bench.evaluate(finding("a"), by=other).told() == "no change; 1 open; 1 waiting"
    assert bench.evaluate(finding("a", passed=PASSED), by=other, after=MINUTE).told() == "1 resolved; 0 open; 2 waiting"
    bench.channels["mail"].held.set()
    thread.join(30)
    assert bench.evaluate(finding("a", passed=PASSED), by=other, after=MINUTE).told() == "no change; 0 open; 1 sent"
    assert bench.told() == ["mail opened", "mail resolved"]


def test_a_claim_is_free_when_it_ends_and_at_once_when_its_process_of_this_machine_is_dead(tmp_path):
    living, other = Claimant(tmp_path), Claimant(tmp_path)
    living.hold()
    other.hold()
    assert not other.may_take(living.name, NOW + CLAIM_US, NOW)
    assert other.may_take(living.name, NOW, NOW)
    assert other.may_take("", 0, NOW)
    assert other.may_take(other.name, NOW + CLAIM_US, NOW)
    assert not other.may_take("of another machine", NOW + CLAIM_US, NOW)
    os.close(living._handle)  # as the kernel does when it dies
    living._handle = None
    assert other.may_take(living.name, NOW + CLAIM_US, NOW)
    other.close()
    other.close()
    assert list(tmp_path.iterdir()) == []


def test_what_a_clock_of_the_far_future_put_off_or_claimed_waits_no_longer(tmp_path):
    bench = Bench(tmp_path)
    bench.channels["mail"].is_down = True
    bench.evaluate(finding("a"), after=10 * 24 * HOUR)
    bench.now, bench.channels["mail"].is_down = NOW, False
    assert bench.evaluate(finding("a")).told() == "no change; 1 open; 1 sent"
    assert Claimant(tmp_path).may_take("of another machine", NOW + 24 * HOUR, NOW)


def test_a_storm_is_one_message_that_is_recorded_for_each_alert(tmp_path):
    bench = Bench(tmp_path)
    hosts = [finding(f"host-{n:03}") for n in range(500)]
    assert bench.evaluate(*hosts).told() == "500 opened; 500 open; 1 sent"
    assert bench.evaluate(*hosts, after=MINUTE).told() == "no change; 500 open"
    (message,) = bench.sent()
    assert len(message["keys"]) == 500
    states = {d.state for alert in bench.evaluator("n").state().open.values() for d in alert.last.deliveries}
    assert states == {"sent"}
    over = [finding(f"host-{n:03}", passed=PASSED) for n in range(500)]
    assert bench.evaluate(*over, after=MINUTE).told() == "500 resolved; 0 open; 1 sent"


def test_what_could_not_be_written_after_sending_is_written_the_next_time(tmp_path, monkeypatch):
    bench = Bench(tmp_path)
    table = bench.alerting._table
    append, calls = table.append, []

    def failing(reading, new, changed, now):
        calls.append(1)
        if len(calls) == 2:
            raise DeliveryError("the storage went away")  # any error of ours
        append(reading, new, changed, now)

    monkeypatch.setattr(table, "append", failing)
    with pytest.raises(DeliveryError):
        bench.evaluate(finding("a"))
    assert bench.evaluate(finding("a"), after=MINUTE).told() == "no change; 1 open"
    assert bench.told() == ["mail opened"]
    assert not bench.evaluator("new").state().pending
