"""syslog: zones, years, Cisco, hosts that are none. Received 2026-11-22T12:00Z."""

from __future__ import annotations

import pytest

from nw_platform.parsing.contract import EventTime, ParseOptions
from tests.parsing.golden import Golden, check_golden

AUTH = {"severity": "FATAL", "facility": "auth", "priority": 34}
LOCAL7 = {"severity": "INFO", "facility": "local7", "priority": 189}
LOCAL4 = {"severity": "INFO", "facility": "local4", "priority": 166}
SU = {**AUTH, "host": "web1", "process": "su", "message": "hi"}
PLAIN_SU = {"host": "web1", "process": "su", "message": "hi"}
LINK = {**LOCAL7, "process": "%LINK-3-UPDOWN", "message": "Interface Gi0/1, changed state to up"}

LINES: list[Golden] = [
    # Zones.
    ("<34>Nov 20 10:00:00 EST web1 su: hi", "2026-11-20 15:00:00", SU),
    ("<34>Nov 20 10:00:00 CEST web1 su: hi", "2026-11-20 08:00:00", SU),
    ("<34>Nov 20 10:00:00 PDT web1 su[12]: hi", "2026-11-20 17:00:00", {**SU, "pid": 12}),
    ("Nov 20 10:00:00 JST web1 su: hi", "2026-11-20 01:00:00", PLAIN_SU),
    ("<34>Nov 20 10:00:00 +0100 web1 su: hi", "2026-11-20 09:00:00", SU),
    ("<34>Nov 20 10:00:00-05:00 web1 su: hi", "2026-11-20 15:00:00", SU),
    ("<34>Nov 20 10:00:00Z web1 su: hi", "2026-11-20 10:00:00", SU),
    ("<34>Nov 20 10:00:00 GMT+1 web1 su: hi", "2026-11-20 09:00:00", SU),
    ("<34>Nov 20 10:00:00 UTC+05:30 web1 su: hi", "2026-11-20 04:30:00", SU),
    ("<34>Nov 20 10:00:00 UTC web1 hi", "2026-11-20 10:00:00", {**AUTH, "host": "web1", "message": "hi"}),
    ("<34>Nov 20 10:00:00 EST 2026 web1 su: hi", "2026-11-20 15:00:00", SU),
    ("2026-11-20 10:00:00 +0100 web1 su: hi", "2026-11-20 09:00:00", PLAIN_SU),
    ("2026-11-20 10:00:00 EST web1 su: hi", "2026-11-20 15:00:00", PLAIN_SU),
    (
        "Fri 2026-11-20 10:00:00 CET web1 su[1]: hi",
        "2026-11-20 09:00:00",
        {"host": "web1", "process": "su", "pid": 1, "message": "hi"},
    ),
    ("<34>Jan  1 00:30:00 CET web1 su: hi", "2025-12-31 23:30:00", SU),
    # A zone that nobody knows, or that may be a host.
    ("<34>Nov 20 10:00:00 XYZ web1 su: hi", None, "bad_time"),
    ("<34>Nov 20 10:00:00 IST web1 su: hi", None, "bad_time"),
    ("<34>Nov 20 10:00:00 Europe/Berlin web1 su: hi", None, "bad_time"),
    ("<34>Nov 20 10:00:00 +9900 web1 su: hi", None, "bad_time"),
    ("<189>45: *Nov 20 10:00:00.483 XYZ: %LINK-3-UPDOWN: x", None, "bad_time"),
    ("<34>Nov 20 10:00:00 EST su: hi", "2026-11-20 15:00:00", "bad_format"),
    ("<34>Nov 20 10:00:00 EST web1 hi", "2026-11-20 15:00:00", "bad_format"),
    ("<34>Nov 20 10:00:00 EST", "2026-11-20 15:00:00", "bad_format"),
    ("<34>Nov 20 10:00:00 Z su: hi", "2026-11-20 10:00:00", "bad_format"),
    ("<34>Nov 20 10:00:00 Z web1 su: hi", "2026-11-20 10:00:00", SU),
    # Hosts in capitals are hosts.
    ("<34>Nov 20 10:00:00 z link down", "2026-11-20 10:00:00", {**AUTH, "host": "z", "message": "link down"}),
    ("<34>Nov 20 10:00:00 A su: hi", "2026-11-20 10:00:00", {**SU, "host": "a"}),
    ("<34>Nov 20 10:00:00 NAS su: hi", "2026-11-20 10:00:00", {**SU, "host": "nas"}),
    ("<34>Nov 20 10:00:00 FW disk full", "2026-11-20 10:00:00", {**AUTH, "host": "fw", "message": "disk full"}),
    ("Nov 20 10:00:00 CRON: hi", "2026-11-20 10:00:00", {"process": "CRON", "message": "hi"}),
    # Years and fractions.
    ("<34>Nov 20 2026 10:00:00 web1 su: hi", "2026-11-20 10:00:00", SU),
    ("<34>Nov 20 10:00:00 2026 web1 su: hi", "2026-11-20 10:00:00", SU),
    ("<34>Feb 29 2024 10:00:00.5 web1 su: hi", "2024-02-29 10:00:00.500000", SU),
    ("<34>Nov 20 10:00:00.123456789 web1 su: hi", "2026-11-20 10:00:00.123456", SU),
    (  # Juniper
        "<28>Nov 20 10:00:00.123 2026  r1 rpd[1234]: RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 10.0.0.1",
        "2026-11-20 10:00:00.123000",
        {
            "severity": "WARN", "facility": "daemon", "priority": 28, "host": "r1", "process": "rpd", "pid": 1234,
            "message": "RPD_BGP_NEIGHBOR_STATE_CHANGED: BGP peer 10.0.0.1",
        },
    ),
    (
        '<165>1 2026-11-20T10:00:00.719Z r1 mgd 3046 UI_LOGOUT [junos@2636.1 username="a \\"b\\" [c\\]"] User out',
        "2026-11-20 10:00:00.719000",
        {
            "severity": "INFO", "facility": "local4", "priority": 165, "host": "r1", "process": "mgd", "pid": 3046,
            "msgid": "UI_LOGOUT", "structured_data": '[junos@2636.1 username="a \\"b\\" [c\\]"]', "message": "User out",
        },
    ),
    # Second 60 is the second after second 59.
    ("<34>Dec 31 2016 23:59:60 web1 su: hi", "2017-01-01 00:00:00", SU),
    ("<34>Dec 31 2016 18:59:60 EST web1 su: hi", "2017-01-01 00:00:00", SU),
    ("<34>Dec 31 23:59:60 web1 su: hi", "2026-01-01 00:00:00", SU),
    ("<34>2016-12-31T23:59:60Z web1 su: hi", "2017-01-01 00:00:00", SU),
    ("<34>2016-12-31T23:59:60.5+00:00 web1 su: hi", "2017-01-01 00:00:00.500000", SU),
    ("<34>1 2016-12-31T23:59:60Z web1 su - - - hi", "2017-01-01 00:00:00", SU),
    ("<34>Dec 31 2016 23:59:61 web1 su: hi", None, "bad_time"),
    ("<34>Dec 31 2016 23:60:00 web1 su: hi", None, "bad_time"),
    # Addresses.
    ("<34>Nov 20 10:00:00 2001:db8:5:: su: hi", "2026-11-20 10:00:00", {**SU, "host": "2001:db8:5::"}),
    ("<34>Nov 20 10:00:00 2001:db8:5:: hi", "2026-11-20 10:00:00", {**AUTH, "host": "2001:db8:5::", "message": "hi"}),
    ("<34>Nov 20 10:00:00 [2001:db8::1] su: hi", "2026-11-20 10:00:00", {**SU, "host": "2001:db8::1"}),
    ("<34>Nov 20 10:00:00 [12] hi", "2026-11-20 10:00:00", {**AUTH, "message": "[12] hi"}),
    ("<34>Nov 20 10:00:00 ::ffff:192.0.2.1 su: hi", "2026-11-20 10:00:00", {**SU, "host": "::ffff:192.0.2.1"}),
    # Cisco IOS, NX-OS and ASA.
    (
        "<189>45: *Nov 20 10:00:00.483: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up",
        "2026-11-20 10:00:00.483000",
        {**LINK, "extra": '{"sequence_number":"45"}'},
    ),
    (
        "<189>000045: .Nov 20 10:00:00.483 UTC: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up",
        "2026-11-20 10:00:00.483000",
        {**LINK, "extra": '{"sequence_number":"000045"}'},
    ),
    (
        "<189>45: Nov 20 10:00:00 EST: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up",
        "2026-11-20 15:00:00",
        {**LINK, "extra": '{"sequence_number":"45"}'},
    ),
    (
        "<189>45: r1: *Nov 20 2026 10:00:00.483 CET: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up",
        "2026-11-20 09:00:00.483000",
        {**LINK, "host": "r1", "extra": '{"sequence_number":"45"}'},
    ),
    (
        "000045: *Nov 20 10:00:00.483: %LINK-3-UPDOWN: up",
        "2026-11-20 10:00:00.483000",
        {"process": "%LINK-3-UPDOWN", "message": "up", "extra": '{"sequence_number":"000045"}'},
    ),
    (
        "<189>: 2026 Nov 20 10:00:00 UTC: %LINK-3-UPDOWN: Interface Gi0/1, changed state to up",
        "2026-11-20 10:00:00",
        LINK,
    ),
    (
        "<166>:Nov 20 2026 10:00:00 EST: %ASA-session-6-302015: Built",
        "2026-11-20 15:00:00",
        {**LOCAL4, "process": "%ASA-session-6-302015", "message": "Built"},
    ),
    (
        "<166>Nov 20 2026 10:00:00 asa1 : %ASA-6-302013: Built",
        "2026-11-20 10:00:00",
        {**LOCAL4, "host": "asa1", "process": "%ASA-6-302013", "message": "Built"},
    ),
    (
        "<189>45: Nov 20 10:00:00: Interface up",
        "2026-11-20 10:00:00",
        {**LOCAL7, "message": "Interface up", "extra": '{"sequence_number":"45"}'},
    ),
    (
        "Nov 20 10:00:00 192.0.2.1 45: *Nov 20 10:00:01.483: %LINK-3-UPDOWN: up",
        "2026-11-20 10:00:00",
        {"host": "192.0.2.1", "message": "45: *Nov 20 10:00:01.483: %LINK-3-UPDOWN: up"},
    ),
    ("<189>45: 3d04h: %SYS-5-CONFIG_I: x", None, "bad_format"),
    # rsyslog, and what only looks like it.
    ("<34>2026-11-20T10:00:00+01:00 web1 su: hi", "2026-11-20 09:00:00", SU),
    ("2026-11-20T10:00:00+01:00 web1 -- MARK --", "2026-11-20 09:00:00", {"host": "web1", "message": "-- MARK --"}),
    (
        "2026-11-20T10:00:00Z web1 last message repeated 3 times",
        "2026-11-20 10:00:00",
        {"host": "web1", "message": "last message repeated 3 times"},
    ),
    ("<34>2026-11-20T10:00:00Z web1 hi", "2026-11-20 10:00:00", {**AUTH, "host": "web1", "message": "hi"}),
    ("2026-11-20T10:00:00Z Starting on port 80", "2026-11-20 10:00:00", {"message": "Starting on port 80"}),
    ("2026-11-20T10:00:00Z level=info msg=x", "2026-11-20 10:00:00", {"message": "level=info msg=x"}),
    ("2026-11-20T10:00:00Z up", "2026-11-20 10:00:00", {"message": "up"}),
    ("2026-11-20T10:00:01.123456Z ERROR billing: card refused", "2026-11-20 10:00:01.123456", "bad_format"),
    ("2026-11-20T10:00:01Z warning billing[1]: card refused", "2026-11-20 10:00:01", "bad_format"),
    ("2026-11-20T10:00:01Z INFO started", "2026-11-20 10:00:01", "bad_format"),
    ("2026-11-20T10:00:01Z ERROR: refused", "2026-11-20 10:00:01", {"message": "ERROR: refused"}),
    ("2026-11-20 10:00:01,123 web1 x: y", "2026-11-20 10:00:01.123000", "bad_format"),
    ("2026-11-20T10:00:01.123Z stdout F hello", "2026-11-20 10:00:01.123000", "bad_format"),
    ("Nov 20 10:00:00 WARN web1: disk", "2026-11-20 10:00:00", "bad_format"),
    ("Nov 20 10:00:00 web1 ERROR: disk", "2026-11-20 10:00:00", {"host": "web1", "message": "ERROR: disk"}),
    ("<34>Nov 20 10:00:00 ERROR su: hi", "2026-11-20 10:00:00", {**SU, "host": "error"}),
    # Levels of three letters or one, and numbers, are no hosts of what may be any program.
    ("2026-11-20T10:00:01Z INF billing: card refused", "2026-11-20 10:00:01", "bad_format"),
    ("2026-11-20T10:00:01Z dbg billing: card refused", "2026-11-20 10:00:01", "bad_format"),
    ("2026-11-20T10:00:01Z E billing: card refused", "2026-11-20 10:00:01", "bad_format"),
    ("2026-11-20T10:00:01Z w billing[3]: card refused", "2026-11-20 10:00:01", "bad_format"),
    ("2026-11-20T10:00:01Z 1234 billing: card refused", "2026-11-20 10:00:01", "bad_format"),
    ("<34>2026-11-20T10:00:01Z 1234 su: hi", "2026-11-20 10:00:01", {**SU, "host": "1234"}),
    ("Nov 20 10:00:00 w su: hi", "2026-11-20 10:00:00", {**PLAIN_SU, "host": "w"}),
    # Halves of the day and zones in another spelling are no hosts.
    ("<34>Nov 20 01:00:00 PM web1 su: hi", None, "bad_format"),
    ("Nov 20 01:00:00 pm su: hi", "2026-11-20 01:00:00", "bad_format"),
    ("<34>Nov 20 10:00:00 cet web1 su: hi", None, "bad_time"),
    ("<34>Nov 20 10:00:00 EST5EDT web1 su: hi", None, "bad_time"),
    # An address is no tag.
    ("<34>Nov 20 10:00:00 192.0.2.1: su: hi", "2026-11-20 10:00:00", {**SU, "host": "192.0.2.1"}),
    ("<34>Nov 20 10:00:00 192.0.2.1: hi", "2026-11-20 10:00:00", {**AUTH, "host": "192.0.2.1", "message": "hi"}),
    ("<34>Nov 20 10:00:00 2001:db8:5::1: su: hi", "2026-11-20 10:00:00", {**SU, "host": "2001:db8:5::1"}),
    (
        "<34>Nov 20 10:00:00 00:1a:2b:3c:4d:5e: up",
        "2026-11-20 10:00:00",
        {**AUTH, "message": "00:1a:2b:3c:4d:5e: up"},
    ),
    # What daemons write without a tag has no host in it.
    ("Nov 20 10:00:00 last message repeated 3 x", "2026-11-20 10:00:00", {"message": "last message repeated 3 x"}),
    ("Nov 20 10:00:00 message repeated 2: [ x]", "2026-11-20 10:00:00", {"message": "message repeated 2: [ x]"}),
    (
        "Nov 20 10:00:00 --- last message repeated 1 time ---",
        "2026-11-20 10:00:00",
        {"message": "--- last message repeated 1 time ---"},
    ),
    ("<34>Nov 20 10:00:00 -- MARK --", "2026-11-20 10:00:00", {**AUTH, "message": "-- MARK --"}),
]  # fmt: skip


def test_every_line_is_read_rightly_or_rejected(make_rows) -> None:
    check_golden(make_rows, ParseOptions("s", "syslog"), LINES)


@pytest.mark.parametrize(
    ("zone", "name", "time"),
    [
        ("Asia/Kolkata", "IST", "2026-11-20 04:30:00"),
        ("Asia/Shanghai", "CST", "2026-11-20 02:00:00"),
        ("Europe/London", "BST", "2026-11-20 09:00:00"),
        ("Europe/Berlin", "EST", "2026-11-20 15:00:00"),
    ],
)
def test_a_zones_name_is_that_of_the_streams_own_zone(make_rows, zone: str, name: str, time: str) -> None:
    options = ParseOptions("s", "syslog", event_time=EventTime(zone=zone))
    check_golden(make_rows, options, [(f"<34>Nov 20 10:00:00 {name} web1 su: hi", time, SU)])


def test_a_time_without_a_zone_keeps_the_streams(make_rows) -> None:
    options = ParseOptions("s", "syslog", event_time=EventTime(zone="Europe/Berlin"))
    lines: list[Golden] = [
        ("<34>Nov 20 10:00:00 web1 su: hi", "2026-11-20 09:00:00", SU),
        ("<34>Nov 20 10:00:00 UTC web1 su: hi", "2026-11-20 10:00:00", SU),
        ("<34>2026-11-20 10:00:00 web1 su: hi", "2026-11-20 09:00:00", SU),
    ]
    check_golden(make_rows, options, lines)
