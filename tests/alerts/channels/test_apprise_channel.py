from __future__ import annotations

import json

import pytest

from nw_platform.errors import DeliveryError
from tests.alerts.channels.receivers import event, http_receiver, message, storm


def test_a_service_gets_the_message_over_a_verified_connection(https, authority, opened):
    opened(
        kind="apprise",
        url="env:SERVICE",
        environ={"SERVICE": f"jsons://127.0.0.1:{https.port}/hunter2"},
        ca_file=str(authority.file),
        link="http://dagster:3000",
    ).send(message())
    [request] = https.received
    sent = json.loads(request.body)
    assert sent["title"] == "[opened, error] silence: app, web-07"
    assert sent["message"].startswith("web-07 is down: silent for 37 min")
    assert "http://dagster:3000/assets/logs/app?view=checks&checkDetail=silence" in sent["message"]
    assert sent["message"].rstrip().endswith("id 0123456789abcdef0123456789abcdef")
    assert sent["type"] == "failure"


def test_five_hundred_hosts_are_one_message(https, authority, opened):
    opened(kind="apprise", url=f"jsons://127.0.0.1:{https.port}/", ca_file=str(authority.file)).send(
        storm(transition="resolved")
    )
    [request] = https.received
    sent = json.loads(request.body)
    assert sent["type"] == "success"
    assert "silence of app in fra1: 480 (web-000" in sent["message"]


def test_certificates_are_verified(https, authority, opened, monkeypatch):
    address = f"jsons://127.0.0.1:{https.port}/hunter2"
    with pytest.raises(DeliveryError):
        opened(kind="apprise", url=address).send(message())
    with http_receiver(authority.server_context("elsewhere.example.com")) as server, pytest.raises(DeliveryError):
        opened(kind="apprise", url=f"jsons://127.0.0.1:{server.port}", ca_file=str(authority.file)).send(message())
    assert not https.received
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    opened(kind="apprise", url=address).send(message())
    assert len(https.received) == 1


def test_a_refusal_shows_nothing_of_the_address(https, authority, opened, caplog):
    caplog.set_level("DEBUG")
    https.status = 500
    url = f"jsons://u:hunter2@127.0.0.1:{https.port}/hunter3"
    channel = opened(kind="apprise", url=url, ca_file=str(authority.file))
    with pytest.raises(DeliveryError, match="the service did not take it") as refused:
        channel.send(message())
    assert not refused.value.is_final
    assert "hunter" not in f"{refused.value}{refused.value!r}{channel!r}{caplog.text}"


def test_an_address_that_apprise_does_not_know_is_final(opened):
    with pytest.raises(DeliveryError, match="Apprise does not know such an address") as refused:
        opened(kind="apprise", url="nosuchservice://hunter2").send(message())
    assert refused.value.is_final
    assert "hunter2" not in str(refused.value)


def test_mentions_and_tags_are_parted(https, authority, opened):
    opened(kind="apprise", url=f"jsons://127.0.0.1:{https.port}/", ca_file=str(authority.file)).send(
        message(event(message="<!channel> @everyone <b>x</b> <@U123> [a](http://b) ![c](d)", subject="@here"))
    )
    sent = json.loads(https.received[0].body)
    for mark in ("<!channel>", "@everyone", "<b>", "</b>", "<@U", "](", "@here"):
        assert mark not in sent["message"] + sent["title"]


@pytest.mark.parametrize(
    ("style", "said"), [("markdown", r"\*b\* \[a\]"), ("html", "&lt;\u200bb&gt;*b*"), ("text", "<\u200bb>*b* [a]")]
)
def test_a_service_that_reads_markup_gets_none(https, authority, opened, style, said):
    url = f"jsons://127.0.0.1:{https.port}/?format={style}"
    opened(kind="apprise", url=url, ca_file=str(authority.file)).send(message(event(message="<b>*b* [a](http://b)")))
    sent = json.loads(https.received[0].body)["message"].replace("&nbsp;", " ")
    assert said in sent
    assert "](" not in sent
