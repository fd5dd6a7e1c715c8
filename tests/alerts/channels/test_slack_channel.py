from __future__ import annotations

import json

import pytest

from nw_platform.errors import DeliveryError
from tests.alerts.channels.receivers import event, message, storm

LINK = "http://dagster:3000"


def test_a_message_is_blocks_with_a_link_to_the_partition(https, authority, opened):
    late = event(
        check="expected_files", asset="raw/calls", stream="calls", partition="2026-11-22T06", subject="calls.csv"
    )
    opened(kind="slack", url=f"{https.address}/services/T0/B0/XYZ", ca_file=str(authority.file), link=LINK).send(
        message(late)
    )
    [request] = https.received
    assert request.path == "/services/T0/B0/XYZ"
    sent = json.loads(request.body)
    kinds = [block["type"] for block in sent["blocks"]]
    assert kinds == ["header", "section", "section", "section", "section", "context"]
    assert sent["blocks"][0]["text"]["text"] == "[opened, error] expected_files: calls, 2026-11-22T06, calls.csv"
    facts = [field["text"] for field in sent["blocks"][2]["fields"]]
    assert "Hour\n2026-11-22T06" in facts
    assert "Since\n2025-11-22T07:49:40Z" in facts
    assert sent["blocks"][3]["text"]["text"] == f"Repair: {late.repair}"
    assert sent["blocks"][4]["text"]["text"] == (
        f"<{LINK}/assets/raw/calls?view=partitions&amp;partition=2026-11-22T06|Open in Dagster>"
    )
    assert "0123456789abcdef" in sent["blocks"][-1]["elements"][0]["text"]
    assert sent["text"].endswith("0123456789abcdef0123456789abcdef")


def test_five_hundred_hosts_are_one_message(https, authority, opened):
    opened(kind="slack", url=f"{https.address}/x", ca_file=str(authority.file)).send(storm())
    [request] = https.received
    sent = json.loads(request.body)
    assert sent["blocks"][0]["text"]["text"] == (
        "[opened, error] 500 alerts: 480 silence of app in fra1, 20 silence of app in ams2"
    )
    assert sent["blocks"][1]["text"]["text"].splitlines() == [
        "silence of app in fra1: 480 (web-000, web-001, web-002, web-003, web-004 and 475 more)",
        "silence of app in ams2: 20 (web-480, web-481, web-482, web-483, web-484 and 15 more)",
    ]
    assert len(request.body) < 4000


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(404, True), (403, True), (400, True), (302, True), (429, False), (408, False), (500, False)],
)
def test_what_slack_refuses_is_said_without_the_address(https, authority, opened, status, is_final):
    https.status, https.answer = status, b"no_service /services/T0/B0/hunter2"
    https.headers = {"Location": "/elsewhere"}
    channel = opened(kind="slack", url=f"{https.address}/services/T0/B0/hunter2", ca_file=str(authority.file))
    with pytest.raises(DeliveryError) as refused:
        channel.send(message())
    assert refused.value.is_final is is_final
    assert f"HTTP {status}" in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None
    assert len(https.received) == 1, "a redirect was followed, or it was sent twice"
