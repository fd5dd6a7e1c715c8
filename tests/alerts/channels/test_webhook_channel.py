from __future__ import annotations

import json

import pytest

from nw_platform.alerts.channels import webhook
from nw_platform.alerts.dead_man import ping
from nw_platform.errors import DeliveryError
from nw_platform.streams.secrets import SecretUrl
from tests.alerts.channels.receivers import event, http_receiver, message, storm

KEYS = ["key", "transition", "severity", "check", "stream", "partition", "subject", "message", "repair"]


def test_the_json_has_the_keys_of_the_contract(https, authority, opened):
    opened(
        kind="webhook",
        url="env:HOOK",
        headers={"Authorization": "env:AUTH", "X-Site": "fra", "Idempotency-Key": "mine"},
        ca_file=str(authority.file),
        environ={"HOOK": f"{https.address}/in?token=hunter2", "AUTH": "Bearer abc"},
    ).send(message())
    [request] = https.received
    sent = json.loads(request.body)
    assert {key: sent[key] for key in KEYS} == {key: getattr(event(), key) for key in KEYS}
    assert sent["idempotency_key"] == "0123456789abcdef0123456789abcdef" == request.headers["idempotency-key"]
    assert request.headers["authorization"] == "Bearer abc"
    assert request.headers["x-site"] == "fra"
    assert request.path == "/in?token=hunter2"


def test_a_digest_has_the_same_keys_and_lists_its_members(https, authority, opened):
    opened(kind="webhook", url=f"{https.address}/in", ca_file=str(authority.file)).send(storm())
    [request] = https.received
    sent = json.loads(request.body)
    assert set(KEYS) <= set(sent)
    assert (sent["check"], sent["stream"], sent["subject"], sent["count"]) == ("silence", "app", "", 500)
    assert sent["groups"][0] == {"check": "silence", "stream": "app", "group": "fra1", "count": 480}
    assert len({alert["key"] for alert in sent["alerts"]}) == 500
    assert set(KEYS) <= set(sent["alerts"][0])


@pytest.mark.parametrize(("status", "is_final"), [(401, True), (404, True), (301, True), (429, False), (503, False)])
def test_what_is_refused_is_said_without_the_address(https, authority, opened, status, is_final):
    https.status = status
    url = f"{https.address}/hunter2?token=hunter3"
    with pytest.raises(DeliveryError, match=f"HTTP {status}") as refused:
        opened(kind="webhook", url=url, ca_file=str(authority.file)).send(message())
    assert refused.value.is_final is is_final
    assert "hunter" not in f"{refused.value}{refused.value!r}"
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    ("hook", "is_final"),
    [
        ("http://127.0.0.1:1/hunter2", False),
        ("http://hunter2.invalid/", False),
        ("https://[hunter2/", True),
        ("https://h:hunter2/x", True),
    ],
)
def test_no_failure_shows_the_address(opened, hook, is_final, caplog):
    caplog.set_level("DEBUG")
    channel = opened(kind="webhook", url="env:HOOK", environ={"HOOK": hook})
    with pytest.raises(DeliveryError) as refused:
        channel.send(message())
    assert refused.value.is_final is is_final
    assert "hunter2" not in f"{refused.value}{refused.value!r}{channel!r}{caplog.text}"
    assert refused.value.__context__ is None


@pytest.mark.parametrize(
    "hook", ["", "  ", "hunter2", "//hunter2/x", "ftp://hunter2/x", "http://", "https://a hunter2"]
)
@pytest.mark.parametrize(
    "declared",
    [
        {"kind": "webhook"},
        {"kind": "slack"},
        {"kind": "webhook", "style": "pagerduty", "routing_key": "env:KEY"},
    ],
)
def test_a_secret_that_is_no_address_is_named(opened, declared, hook):
    channel = opened(url="env:HOOK", environ={"HOOK": hook, "KEY": "0123456789"}, **declared)
    with pytest.raises(DeliveryError) as refused:
        channel.send(message())
    assert str(refused.value) == "channel ops: the address in env:HOOK is no http(s) URL"
    assert refused.value.is_final
    assert refused.value.__context__ is None


def test_a_line_break_at_the_end_of_a_secret_is_no_part_of_the_address(https, authority, opened):
    opened(kind="webhook", url="env:HOOK", environ={"HOOK": f"{https.address}/x\n"}, ca_file=str(authority.file)).send(
        message()
    )
    assert [request.path for request in https.received] == ["/x"]


def test_the_dead_mans_address_that_is_none_is_named(monkeypatch):
    monkeypatch.setenv("ALIVE", "hunter2")
    assert ping(SecretUrl("env:ALIVE")) == "alerts.dead_man: the address in env:ALIVE is no http(s) URL"


def test_data_stays_as_it_is_and_words_are_one_line():
    made = webhook.document(message(event(subject="a\nb\x1b[2J.log", message="a\nb\x1b[2J.log is missing")))
    assert (made["subject"], made["key"]) == ("a\nb\x1b[2J.log", "silence|logs/app||a\nb\x1b[2J.log")
    assert made["message"] == "a b [2J.log is missing"


def test_a_header_that_cannot_be_one_is_named_and_not_shown(https, authority, opened):
    channel = opened(
        kind="webhook",
        url=https.address + "/x",
        headers={"X-Token": "env:TOKEN"},
        environ={"TOKEN": "hunter2\r\nX-Other: 1"},
        ca_file=str(authority.file),
    )
    with pytest.raises(DeliveryError, match="the header X-Token holds a character") as refused:
        channel.send(message())
    assert refused.value.is_final
    assert "hunter2" not in str(refused.value)
    assert not https.received


def test_nothing_of_an_address_reaches_the_log(https, authority, opened, caplog):
    caplog.set_level("DEBUG")
    opened(kind="webhook", url=f"{https.address}/hunter2", ca_file=str(authority.file)).send(message())
    assert "hunter2" not in caplog.text


def test_a_wrong_certificate_is_refused(authority, opened):
    with http_receiver(authority.server_context("elsewhere.example.com")) as server:
        for trust in ({"ca_file": str(authority.file)}, {}):  # another name; an authority nobody knows
            with pytest.raises(DeliveryError, match="certificate is refused") as refused:
                opened(kind="webhook", url=f"{server.address}/x", **trust).send(message())
            assert not refused.value.is_final
        assert not server.received


def test_the_authorities_of_the_environment_are_trusted(https, authority, opened, monkeypatch):
    with pytest.raises(DeliveryError, match="certificate is refused"):
        opened(kind="webhook", url=f"{https.address}/x").send(message())
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    opened(kind="webhook", url=f"{https.address}/x").send(message())
    assert len(https.received) == 1


def test_a_ca_file_that_is_none_is_named(https, opened, tmp_path):
    (tmp_path / "ca.pem").write_text("no certificate")
    for path, said in ((tmp_path / "ca.pem", "no certificate is in it"), (tmp_path / "not", "cannot be read")):
        with pytest.raises(DeliveryError, match=said):
            opened(kind="webhook", url=f"{https.address}/x", ca_file=str(path)).send(message())


def test_a_server_that_says_nothing_is_left(https, authority, opened, monkeypatch):
    monkeypatch.setattr("nw_platform.alerts.channels.attempt.TIMEOUT_S", 0.3)
    https.silent.set()
    with pytest.raises(DeliveryError, match="no answer within") as refused:
        opened(kind="webhook", url=f"{https.address}/x", ca_file=str(authority.file)).send(message())
    assert not refused.value.is_final
