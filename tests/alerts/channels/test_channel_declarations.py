from __future__ import annotations

import pytest
from pydantic import TypeAdapter, ValidationError

from nw_platform.alerts.channels import open_channel
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
