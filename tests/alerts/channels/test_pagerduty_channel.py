from __future__ import annotations

import json

import pytest

from nw_platform.alerts.channels.pagerduty import idempotency_key
from nw_platform.errors import DeliveryError
from tests.alerts.channels.receivers import event, message, storm

ROUTING_KEY = "0123456789hunter20123456789abcdef"


@pytest.fixture
def pagerduty(https):
    https.status, https.answer = 202, b'{"status":"success"}'
    return https


@pytest.fixture
def channel(pagerduty, authority, opened):
    return opened(
        kind="webhook",
        style="pagerduty",
        url=f"{pagerduty.address}/v2/enqueue",
        routing_key="env:KEY",
        environ={"KEY": ROUTING_KEY},
        ca_file=str(authority.file),
        link="http://dagster:3000",
    )


@pytest.mark.parametrize(
    ("transition", "action"),
    [("opened", "trigger"), ("reminded", "trigger"), ("acknowledged", "acknowledge"), ("resolved", "resolve")],
)
def test_an_event_has_the_alerts_key_and_its_action(pagerduty, channel, transition, action):
    channel.send(message(event(transition=transition)))
    [request] = pagerduty.received
    sent = json.loads(request.body)
    assert (sent["dedup_key"], sent["event_action"], sent["routing_key"]) == (event().key, action, ROUTING_KEY)
    assert sent["payload"]["severity"] == "error"
    assert sent["payload"]["source"] == "web-07"
    assert "web-07 is down: silent for 37 min" in sent["payload"]["summary"]
    assert sent["payload"]["custom_details"]["repair"] == ("" if action == "resolve" else event().repair)
    assert sent["payload"]["custom_details"]["idempotency_key"] == message().id
    assert request.headers["idempotency-key"] == message().id
    assert sent["links"][0]["href"].startswith("http://dagster:3000/assets/logs/app")


def test_each_alert_of_a_digest_can_be_resolved_later(pagerduty, channel):
    channel.send(message(*storm(60).events, id="one storm"))
    keys = {json.loads(request.body)["dedup_key"] for request in pagerduty.received}
    assert keys == {one.key for one in storm(60).events}
    assert len(pagerduty.received) == 60


def test_no_two_members_of_a_digest_share_an_idempotency_key(pagerduty, channel):
    """A receiver that honours the header takes one of those with the same."""
    sent = message(*storm(60).events, id="a storm to be repeated")
    channel.send(sent)
    named = {json.loads(one.body)["dedup_key"]: one.headers["idempotency-key"] for one in pagerduty.received}
    assert len(set(named.values())) == 60
    for one in pagerduty.received:
        assert json.loads(one.body)["payload"]["custom_details"]["idempotency_key"] == one.headers["idempotency-key"]
    assert named == {one.key: idempotency_key(one, sent) for one in sent.events}, "a repeat has the same"


def test_a_digest_goes_on_where_it_was_refused(pagerduty, channel):
    pagerduty.status = 429
    sent = message(*storm(60).events, id="another storm")
    with pytest.raises(DeliveryError, match="HTTP 429") as refused:
        channel.send(sent)
    assert not refused.value.is_final
    assert len(pagerduty.received) <= 8, "whoever says that it is too much is not asked on"
    pagerduty.status = 202
    pagerduty.received.clear()
    channel.send(sent)
    channel.send(sent)
    assert len(pagerduty.received) == 60


def test_a_wrong_key_is_final_and_not_shown(pagerduty, channel):
    pagerduty.status, pagerduty.answer = 400, f'{{"errors": ["routing_key {ROUTING_KEY} is wrong"]}}'.encode()
    with pytest.raises(DeliveryError, match="is wrong") as refused:
        channel.send(message())
    assert refused.value.is_final
    assert "hunter2" not in str(refused.value)


def test_long_keys_stay_different(pagerduty, channel):
    for end in "ab":
        channel.send(message(event(subject="h" * 400 + end)))
    keys = [json.loads(request.body)["dedup_key"] for request in pagerduty.received]
    assert all(len(key) <= 255 for key in keys)
    assert len(set(keys)) == 2
