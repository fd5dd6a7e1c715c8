from __future__ import annotations

import base64
import json
from urllib.parse import parse_qs

import pytest

from nw_platform.errors import DeliveryError
from tests.alerts.channels.receivers import event, message, storm

TOKEN = "hunter2token"  # noqa: S105  (of a test)
TAKEN = json.dumps({"sid": "SM1", "status": "queued"}).encode()
SMS = {"kind": "sms", "provider": "twilio", "account": "AC123", "token": "env:TOKEN", "from": "+15550001"}


@pytest.fixture
def twilio(https):
    https.status, https.answer = 201, TAKEN
    return https


def channel(opened, twilio, authority, *to):
    return opened(
        url=twilio.address, ca_file=str(authority.file), to=to or ["+15550002"], environ={"TOKEN": TOKEN}, **SMS
    )


def test_each_number_gets_a_short_text_that_ends_with_the_id(twilio, authority, opened):
    channel(opened, twilio, authority, "+15550002", "+15550003").send(message())
    assert [request.path for request in twilio.received] == ["/2010-04-01/Accounts/AC123/Messages.json"] * 2
    forms = [parse_qs(request.body.decode()) for request in twilio.received]
    assert [form["To"] for form in forms] == [["+15550002"], ["+15550003"]]
    assert forms[0]["From"] == ["+15550001"]
    [body] = forms[0]["Body"]
    assert body.startswith("[opened, error] silence: app, web-07: web-07 is down: silent for 37 min")
    assert body.endswith(" id 0123456789abcdef0123456789abcdef")
    assert len(body) <= 320
    login = base64.b64decode(twilio.received[0].headers["authorization"].removeprefix("Basic ")).decode()
    assert login == f"AC123:{TOKEN}"


@pytest.mark.parametrize("long", [message(event(message="x" * 5000)), storm(message="y" * 5000)], ids=["one", "digest"])
def test_a_long_text_is_cut_and_keeps_its_id(twilio, authority, opened, long):
    channel(opened, twilio, authority).send(long)
    [body] = parse_qs(twilio.received[0].body.decode())["Body"]
    assert len(body) <= 320
    assert body.endswith(f" id {long.id}")


@pytest.mark.parametrize(("status", "is_final"), [(400, True), (401, True), (429, False), (500, False)])
def test_what_twilio_refuses_is_said_without_the_token(twilio, authority, opened, status, is_final, caplog):
    caplog.set_level("DEBUG")
    twilio.status = status
    twilio.answer = json.dumps({"code": 21211, "message": f"not good: {TOKEN}", "status": status}).encode()
    with pytest.raises(DeliveryError, match=rf"1 of 1 numbers are refused: \+15550002: HTTP {status}") as refused:
        channel(opened, twilio, authority).send(message())
    assert refused.value.is_final is is_final
    assert "21211" in str(refused.value)
    assert TOKEN not in f"{refused.value}{refused.value!r}{caplog.text}"
    assert refused.value.__context__ is None


def test_a_certificate_of_an_unknown_authority_is_refused(twilio, opened):
    unknown = opened(url=twilio.address, to=["+15550002"], environ={"TOKEN": TOKEN}, **SMS)
    with pytest.raises(DeliveryError, match="certificate is refused"):
        unknown.send(message())
    assert not twilio.received
