from __future__ import annotations

import socket

import pytest

from nw_platform.errors import DeliveryError
from tests.alerts.channels.receivers import event, message, smtp_receiver, storm

LOGIN = ("nw@example.com", "hunter2 hunter2")
FIELDS = {"kind": "email", "from": "Neverwinter <nw@example.com>", "to": ["ops@example.com", "night@example.com"]}


@pytest.fixture
def context(authority):
    return authority.server_context("127.0.0.1", "localhost")


def by_login(authority):
    return {"user": LOGIN[0], "password": "env:SMTP_PASSWORD", "ca_file": str(authority.file)}


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")  # the receiver does not see TLS from the start
@pytest.mark.parametrize("tls", ["starttls", "smtps"])
def test_a_mail_arrives_encrypted_and_after_a_login(context, authority, opened, tls):
    scheme = "smtps" if tls == "smtps" else "smtp"
    with smtp_receiver(context, tls=tls, login=LOGIN) as server:
        channel = opened(
            smtp=f"{scheme}://127.0.0.1:{server.port}",
            environ={"SMTP_PASSWORD": LOGIN[1]},
            link="http://dagster:3000",
            **FIELDS,
            **by_login(authority),
        )
        channel.send(message())
    assert server.envelopes == [("nw@example.com", ["ops@example.com", "night@example.com"])]
    [mail] = server.mails
    assert mail["Subject"] == "[opened, error] silence: app, web-07"
    assert mail["Message-ID"] == "<0123456789abcdef0123456789abcdef@example.com>"
    assert mail["In-Reply-To"] is None
    assert mail["Auto-Submitted"] == "auto-generated"
    plain = mail.get_body(("plain",)).get_content()
    assert "web-07 is down: silent for 37 min, expected every 1 min" in plain
    assert "Host: web-07" in plain
    assert "Last seen: 2025-11-22T07:49:40Z" in plain
    assert f"Repair: {event().repair}" in plain
    html = mail.get_body(("html",)).get_content()
    assert (
        '<a href="http://dagster:3000/assets/logs/app?view=checks&amp;checkDetail=silence">Open in Dagster</a>' in html
    )
    assert "SELECT * FROM host_status WHERE host = &#x27;web-07&#x27;" in html


def test_all_mails_of_an_alert_are_one_thread(context, authority, opened):
    with smtp_receiver(context) as server:
        channel = opened(smtp=f"smtp://127.0.0.1:{server.port}", ca_file=str(authority.file), **FIELDS)
        channel.send(message(id="first"))
        channel.send(message(event(transition="reminded"), id="second", thread="first"))
        channel.send(message(event(transition="resolved"), id="third", thread="first"))
        channel.send(message(event(transition="resolved"), id="third", thread="first"))
    ids = [mail["Message-ID"] for mail in server.mails]
    assert ids == [f"<{name}@example.com>" for name in ("first", "second", "third", "third")]
    assert [mail["References"] for mail in server.mails] == [None, *["<first@example.com>"] * 3]
    assert [mail["In-Reply-To"] for mail in server.mails] == [None, *["<first@example.com>"] * 3]
    subjects = [mail["Subject"] for mail in server.mails]
    assert subjects[0] == "[opened, error] silence: app, web-07"
    assert subjects[2] == "[resolved] silence: app, web-07"
    assert len({subject.partition("] ")[2] for subject in subjects}) == 1
    assert server.mails[2].as_bytes() == server.mails[3].as_bytes(), "what is sent again is the same to the last byte"


def test_five_hundred_hosts_are_one_mail(context, authority, opened):
    with smtp_receiver(context) as server:
        opened(smtp=f"smtp://127.0.0.1:{server.port}", ca_file=str(authority.file), **FIELDS).send(storm())
    [mail] = server.mails
    assert mail["Subject"] == "[opened, error] 500 alerts: 480 silence of app in fra1, 20 silence of app in ams2"
    plain = mail.get_body(("plain",)).get_content()
    assert "silence of app in ams2: 20 (web-480, web-481, web-482, web-483, web-484 and 15 more)" in plain
    assert len(mail.as_bytes()) < 6000


def test_a_wrong_password_is_final_and_not_shown(context, authority, opened):
    with smtp_receiver(context, login=("nw@example.com", "another")) as server:
        channel = opened(
            smtp=f"smtp://127.0.0.1:{server.port}",
            environ={"SMTP_PASSWORD": LOGIN[1]},
            **FIELDS,
            **by_login(authority),
        )
        with pytest.raises(DeliveryError, match="channel ops: the mail server refuses the login: 535") as refused:
            channel.send(message())
    assert refused.value.is_final
    assert "hunter2" not in f"{refused.value}{refused.value!r}{channel!r}"
    assert refused.value.__context__ is None
    assert not server.mails


@pytest.mark.parametrize(
    ("to", "is_final", "said"),
    [
        (["no-one@example.com"], True, "refuses 1 of 1 recipients: no-one@example.com: 550"),
        (["later-on@example.com"], False, "refuses 1 of 1 recipients: later-on@example.com: 450"),
        (["ops@example.com", "no-one@example.com"], True, "refuses 1 of 2 recipients: no-one@example.com: 550"),
        (["no-one@example.com", "later-on@example.com"], False, "refuses 2 of 2 recipients"),
    ],
)
def test_refused_recipients_are_named(context, authority, opened, to, is_final, said):
    with smtp_receiver(context) as server:
        channel = opened(smtp=f"smtp://127.0.0.1:{server.port}", ca_file=str(authority.file), **FIELDS | {"to": to})
        with pytest.raises(DeliveryError, match=said) as refused:
            channel.send(message())
    assert refused.value.is_final is is_final
    assert len(server.mails) == to.count("ops@example.com")


def test_without_starttls_nothing_is_sent_unless_declared(opened):
    with smtp_receiver(tls="none") as server:
        address = f"smtp://127.0.0.1:{server.port}"
        with pytest.raises(DeliveryError, match="offers no STARTTLS") as refused:
            opened(smtp=address, **FIELDS).send(message())
        assert not refused.value.is_final
        assert not server.mails
        opened(smtp=address, starttls=False, **FIELDS).send(message())
        assert len(server.mails) == 1


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")  # the receiver does not see TLS from the start
@pytest.mark.parametrize("tls", ["starttls", "smtps"])
def test_a_server_with_a_wrong_certificate_gets_neither_login_nor_mail(authority, opened, tls):
    scheme = "smtps" if tls == "smtps" else "smtp"
    with smtp_receiver(authority.server_context("mail.example.com"), tls=tls, login=LOGIN) as server:
        for trust in ({"ca_file": str(authority.file)}, {}):
            channel = opened(
                smtp=f"{scheme}://127.0.0.1:{server.port}",
                environ={"SMTP_PASSWORD": LOGIN[1]},
                **FIELDS,
                **by_login(authority) | trust,
            )
            with pytest.raises(DeliveryError, match="certificate is refused") as refused:
                channel.send(message())
            assert not refused.value.is_final
    assert not server.mails


def test_a_server_that_is_not_there_or_does_not_speak_is_tried_again(opened):
    with pytest.raises(DeliveryError, match="no connection to the server") as refused:
        opened(smtp="smtp://127.0.0.1:1", **FIELDS).send(message())
    assert not refused.value.is_final
    login = {"user": "x", "password": "env:SMTP_PASSWORD"}
    with pytest.raises(DeliveryError, match="the environment variable SMTP_PASSWORD is not set"):
        opened(smtp="smtp://127.0.0.1:1", environ={}, **login, **FIELDS).send(message())


def test_a_server_that_says_nothing_is_left(opened, monkeypatch):
    monkeypatch.setattr("nw_platform.alerts.channels.attempt.TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channel = opened(smtp=f"smtp://127.0.0.1:{silent.getsockname()[1]}", **FIELDS)
        with pytest.raises(DeliveryError, match="no answer within") as refused:
            channel.send(message())
    assert not refused.value.is_final


@pytest.mark.filterwarnings("ignore:Requiring AUTH:UserWarning")
def test_a_password_is_not_sent_in_the_clear_but_to_this_machine(opened, monkeypatch):
    declaration = {"user": LOGIN[0], "password": "env:SMTP_PASSWORD", "starttls": False, **FIELDS}
    with smtp_receiver(tls="none", login=LOGIN) as server:
        channel = opened(smtp=f"smtp://127.0.0.1:{server.port}", environ={"SMTP_PASSWORD": LOGIN[1]}, **declaration)
        channel.send(message())
        monkeypatch.setattr("nw_platform.alerts.channels.mail._is_here", lambda _: False)
        with pytest.raises(DeliveryError, match="no password is sent in the clear") as refused:
            channel.send(message())
    assert refused.value.is_final
    assert len(server.mails) == 1
