from __future__ import annotations

import shutil
import socket
import subprocess

import pytest

from nw_platform.alerts.channels import snmp
from nw_platform.errors import DeliveryError
from tests.alerts.channels.receivers import MIB, event, free_port, message, missing, storm, trap_receiver, wait_until

NAME = "NEVERWINTER-MIB::"
ENGINE = f"0x{snmp.ENGINE_ID.hex()}"
PHRASES = {"AUTH": "hunter2-authentication", "PRIV": "hunter2-privacy"}
VERSION_3 = {"kind": "snmp", "host": "127.0.0.1", "user": "nw", "auth": "env:AUTH", "privacy": "env:PRIV"}
VERSION_2 = {"kind": "snmp", "host": "127.0.0.1", "version": 2, "community": "env:COMMUNITY"}


def user(auth: str = "SHA", privacy: str = "AES", engine: str | None = ENGINE) -> str:
    """The receiver's configuration. A trap is of its sender's engine, an inform of the receiver's own."""
    name = "nw" if engine is None else f"-e {engine} nw"
    return f"createUser {name} {auth} {PHRASES['AUTH']} {privacy} {PHRASES['PRIV']}\nauthUser log nw priv\n"


def values(shown: str) -> str:
    """What snmptrapd printed, a value a line."""
    return shown.replace(f"|{NAME}", f"\n{NAME}") + "\n"


def test_the_mib_passes_snmptranslate():
    program = shutil.which("snmptranslate") or missing("snmptranslate")
    found = subprocess.run(
        [
            program,
            "-Pew",
            "-M",
            f"{MIB}:{MIB / 'base'}",
            "-m",
            "NEVERWINTER-MIB",
            "-On",
            "NEVERWINTER-MIB::nwAlertOpened",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert (found.stdout.strip(), found.stderr.strip()) == (".1.3.6.1.4.1.32473.78.0.1", "")


@pytest.mark.parametrize(
    ("auth", "privacy", "declared"),
    [
        ("SHA", "AES", {}),
        ("SHA-256", "AES", {"auth_protocol": "sha256"}),
        ("SHA-512", "AES", {"auth_protocol": "sha512"}),
        ("SHA", "AES-256", {"privacy_protocol": "aes256"}),
    ],
)
def test_traps_of_version_3_show_decoded(tmp_path, opened, auth, privacy, declared):
    with trap_receiver(tmp_path / "trapd", user(auth, privacy)) as receiver:
        channel = opened(port=receiver.port, environ=PHRASES, link="http://dagster:3000", **VERSION_3, **declared)
        channel.send(message())
        shown = wait_until(lambda: receiver.text() if "nwMessageId" in receiver.text() else "")
    assert "NEVERWINTER-MIB::nwAlertOpened" in shown
    for name, value in {
        "nwAlertKey": event().key,
        "nwCheck": "silence",
        "nwStream": "app",
        "nwSubject": "web-07",
        "nwSeverity": "error",
        "nwTransition": "opened",
        "nwMessage": event().message,
        "nwRepair": event().repair,
        "nwSince": "2025-11-22T07:49:40Z",
        "nwLink": "http://dagster:3000/assets/logs/app?view=checks&checkDetail=silence",
        "nwCount": "1",
        "nwMessageId": message().id,
    }.items():
        assert f"{NAME}{name}.0 = {value}\n" in values(shown), name


@pytest.mark.parametrize(
    ("transition", "name"),
    [("reminded", "nwAlertReminded"), ("acknowledged", "nwAlertAcknowledged"), ("resolved", "nwAlertResolved")],
)
def test_traps_of_version_2c_show_decoded(tmp_path, opened, transition, name):
    with trap_receiver(tmp_path / "trapd", "authCommunity log hunter2\n") as receiver:
        opened(port=receiver.port, environ={"COMMUNITY": "hunter2"}, **VERSION_2).send(
            message(event(transition=transition))
        )
        shown = wait_until(lambda: receiver.text() if "nwMessageId" in receiver.text() else "")
    assert f"NEVERWINTER-MIB::{name}" in shown
    assert f"NEVERWINTER-MIB::nwTransition.0 = {transition}" in shown
    for of_open in (event().repair, "2025-11-22T07:49:40Z"):
        assert (of_open in shown) is (transition != "resolved")


def test_a_digest_counts(tmp_path, opened):
    with trap_receiver(tmp_path / "trapd", "authCommunity log hunter2\n") as receiver:
        opened(port=receiver.port, environ={"COMMUNITY": "hunter2"}, **VERSION_2).send(storm())
        shown = wait_until(lambda: receiver.text() if "nwMessageId" in receiver.text() else "")
    assert "NEVERWINTER-MIB::nwAlertDigest" in shown
    assert "NEVERWINTER-MIB::nwCount.0 = 500" in shown
    assert "silence of app in fra1: 480 (web-000" in shown
    assert shown.count("nwMessageId") == 1


def test_a_new_sender_is_heard_after_an_old_one(tmp_path, opened, monkeypatch):
    """Receivers of version 3 drop in silence what does not fit the boots and the time they heard of an engine."""
    now, steady = 1_795_376_000.0, 0.0  # twenty seconds before the engine "boots"
    with trap_receiver(tmp_path / "trapd", user()) as receiver:
        # A restart, another process at the same time, the next boot, a clock that was an hour late, and a day later.
        for at in (now, now, now + 30, now + 3600, now + 86_400):
            told = snmp.engine_time(at, steady)
            monkeypatch.setattr(snmp, "engine_time", lambda *_, told=told: told)
            heard = receiver.text().count("nwMessageId")
            opened(port=receiver.port, environ=PHRASES, **VERSION_3).send(message())
            wait_until(lambda heard=heard: receiver.text().count("nwMessageId") == heard + 1)
            monkeypatch.undo()


def test_the_time_of_an_engine_goes_on(monkeypatch):
    monkeypatch.setattr(snmp, "_STARTED", (1_795_376_000.0, 50.0))
    times = [snmp.engine_time(wall, steady) for wall, steady in ((1_795_376_000, 50), (1_795_376_100, 150))]
    assert times == sorted(times)
    assert snmp.engine_time(1_795_372_400, 160) > times[1], "the clock was set back by an hour"
    assert snmp.engine_time(0, 50) == times[0]


def test_informs_are_confirmed(tmp_path, opened):
    with trap_receiver(tmp_path / "trapd", user(engine=None)) as receiver:
        opened(port=receiver.port, environ=PHRASES, inform=True, **VERSION_3).send(message())
        wait_until(lambda: "nwMessageId" in receiver.text())


def test_an_inform_with_a_wrong_passphrase_is_final(tmp_path, opened):
    with trap_receiver(tmp_path / "trapd", user(engine=None)) as receiver:
        wrong = PHRASES | {"AUTH": "hunter3-something"}
        with pytest.raises(DeliveryError, match="the host does not confirm") as refused:
            opened(port=receiver.port, environ=wrong, inform=True, **VERSION_3).send(message())
    assert refused.value.is_final
    assert "hunter" not in str(refused.value)


def test_an_inform_that_nobody_confirms_is_tried_again(opened, monkeypatch):
    monkeypatch.setattr(snmp, "_INFORM_S", 0.2)
    port = free_port(socket.SOCK_DGRAM)
    with pytest.raises(DeliveryError, match="the host does not confirm") as refused:
        opened(port=port, environ={"COMMUNITY": "hunter2"}, inform=True, **VERSION_2).send(message())
    assert not refused.value.is_final


def test_a_short_passphrase_is_named_and_not_shown(opened):
    with pytest.raises(DeliveryError, match="the passphrase of auth is shorter than 8 characters") as refused:
        opened(port=9, environ=PHRASES | {"AUTH": "hunter2"}, **VERSION_3).send(message())
    assert refused.value.is_final
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("declared", [VERSION_2, VERSION_3], ids=["2c", "3"])
def test_the_longest_trap_stays_below_1400_bytes(opened, declared):
    long = "\U0001f9ca" * 2000
    longest = event(
        **dict.fromkeys(("check", "stream", "partition", "subject", "message", "repair", "note", "group", "key"), long)
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.settimeout(10)
        channel = opened(
            port=listener.getsockname()[1],
            environ=PHRASES | {"COMMUNITY": "hunter2"},
            link="http://dagster.a.long.name.of.a.host.example.com:3000",
            **declared,
        )
        for sent in (message(longest), storm(stream=long, check=long), message(id="f" * 128)):
            channel.send(sent)
            assert len(listener.recv(65535)) < 1400
