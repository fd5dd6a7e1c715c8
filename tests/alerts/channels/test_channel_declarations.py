from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from nw_platform.alerts.channels import open_channel
from nw_platform.errors import ConfigError
from nw_platform.settings import load
from nw_platform.streams import channels as declared

DECLARED = {
    "slack": {"url": "env:HOOK"},
    "email": {"smtp": "smtp://mail:25", "from": "a@example.com", "to": ["b@example.com"]},
    "sms": {"provider": "twilio", "account": "AC1", "token": "env:TOKEN", "from": "+1", "to": ["+2"]},
    "snmp": {"host": "nms", "user": "nw", "auth": "env:AUTH", "privacy": "env:PRIVACY"},
    "webhook": {"url": "env:HOOK"},
    "apprise": {"url": "env:SERVICE"},
}


def parsed(kind: str, **changes: object) -> declared.Channel:
    return TypeAdapter(declared.Channel).validate_python({"kind": kind, **DECLARED[kind], **changes})


@pytest.mark.parametrize("kind", DECLARED)
def test_opening_reads_no_secret_and_shows_none(kind):
    channel = open_channel("ops", parsed(kind), environ={})
    assert repr(channel).endswith("(ops)")
    channel.close()
    channel.close()


def test_traps_are_authenticated_and_encrypted_unless_declared_otherwise():
    found = parsed("snmp")
    assert isinstance(found, declared.Snmp)
    assert (found.version, found.auth_protocol, found.privacy_protocol, found.inform) == (3, "sha", "aes", False)


HEADERS = (
    "lake: ./lake\nstreams: {{w: {{path: '*.log', format: lines}}}}\n"
    "alerts: {{channels: {{hook: {{kind: webhook, url: 'env:H', headers: {{{}}}}}}}}}\n"
)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "proxy-authorization",
        "Cookie",
        "X-Auth-Token",
        "x-client-secret",
        "X-Password",
        "X-API-Key",
        "apikey",
    ],
)
def test_a_credential_that_is_written_out_in_a_header_is_refused_and_not_shown(tmp_path, name):
    path = tmp_path / "neverwinter.yaml"
    path.write_text(HEADERS.format(f'{name}: "Bearer hunter2"'))
    with pytest.raises(ConfigError) as refused:
        load(str(path))
    said = str(refused.value)
    assert f"alerts.channels.hook.headers.{name}: found a secret written out (not shown); allowed: a reference" in said
    assert "hunter2" not in said
    assert len(said.splitlines()) == 1
    path.write_text(HEADERS.format(f'{name}: "env:HUNTER"'))
    assert load(str(path)).alerts.channels["hook"].headers.keys() == {name}


@pytest.mark.parametrize(
    "written",
    [
        '"X Site": fra',
        '"X-Site\\r\\nX-Other": fra',
        '"Authorization: Bearer hunter2": x',
        '"": fra',
        'X-Site: "a\\r\\nb"',
    ],
)
def test_a_header_that_can_never_be_sent_is_refused(tmp_path, written):
    path = tmp_path / "neverwinter.yaml"
    path.write_text(HEADERS.format(written))
    with pytest.raises(ConfigError) as refused:
        load(str(path))
    assert len(str(refused.value).splitlines()) == 1
    assert "alerts.channels.hook.headers" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_other_headers_may_be_written_out():
    named = {"X-Site": "fra", "Idempotency-Key": "mine", "X-Monkey": "1"}
    assert parsed("webhook", headers=named).headers == named


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("email", {"user": "nw"}, "user and password, or neither"),
        ("email", {"password": "env:SMTP"}, "user and password, or neither"),
        ("email", {"starttls": "maybe"}, "valid boolean"),
        ("snmp", {"version": 2}, "version 2 with a community"),
        ("snmp", {"user": None}, "version 3 with a user"),
        ("snmp", {"auth": None}, "privacy together with auth"),
        ("snmp", {"auth_protocol": "sha1"}, "'sha', 'sha224'"),
        ("webhook", {"style": "pagerduty"}, "together with a routing_key"),
        ("webhook", {"routing_key": "env:KEY"}, "together with a routing_key"),
        ("sms", {"url": "ftp://gateway"}, "match pattern"),
    ],
)
def test_half_a_declaration_is_refused(kind, changes, said):
    with pytest.raises(ValidationError, match=said):
        parsed(kind, **changes)
