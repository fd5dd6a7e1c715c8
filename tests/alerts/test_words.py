"""The words of alerts that are over, and what the time in them is called."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from nw_platform.alerts import text
from nw_platform.alerts.channels import mail, pagerduty, slack, snmp, webhook
from tests.alerts.channels.receivers import event, message, storm

SINCE = "2025-11-22T07:49:40Z"


def shown(told) -> str:
    """Everything that any channel says of a message."""
    sent = mail.compose(message=told, sender="nw@example.com", recipients=["ops@example.com"])
    parts = [part.get_content() for part in sent.walk() if isinstance(part, EmailMessage) and not part.is_multipart()]
    objects = [bytes(value).decode() if hasattr(value, "asOctets") else str(value) for value in snmp.objects(told)]
    made = [text.long_text(told), text.short_text(told, 5000), *parts, *objects]
    made += [repr(slack.payload(told)), repr(webhook.document(told))]
    return "\n".join([*made, *(repr(pagerduty.document(one, told)) for one in told.events[:2])])


@pytest.mark.parametrize("told", [message(event(repair="nw repair-it")), storm(repair="nw repair-it")])
def test_what_is_over_has_no_repair_and_no_beginning(told):
    over = message(*(event(subject=one.subject, repair=one.repair, transition="resolved") for one in told.events))
    assert "nw repair-it" in shown(told)
    assert "nw repair-it" not in shown(over)
    assert SINCE in shown(told)
    assert SINCE not in shown(over)
    assert "Repair" not in shown(over)


@pytest.mark.parametrize(("check", "label"), [("silence", "Last seen"), ("expected_files", "Since"), ("run", "Since")])
def test_the_time_is_called_what_it_is(check, label):
    found = dict(text.facts(event(check=check)))
    assert found[label] == SINCE
    assert "Last good" not in found


def test_the_json_of_what_is_over_keeps_its_keys():
    over = webhook.document(message(event(transition="resolved")))
    assert (over["repair"], over["since"]) == ("", None)
    assert over.keys() == webhook.document(message()).keys()
