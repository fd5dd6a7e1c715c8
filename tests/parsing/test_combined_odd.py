"""Access logs: what stands in front of the client, quotes that nobody escaped, and fields behind the usual ones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.registry import make_format
from tests.parsing.golden import Golden, check_golden

AT = "2026-11-20 10:00:00"
WHEN = "[20/Nov/2026:10:00:00 +0000]"
REST = f'{WHEN} "GET /a HTTP/1.1" 200 738 "-" "curl/8"'
GET = {"method": "GET", "path": "/a", "protocol": "HTTP/1.1", "status": 200, "bytes_sent": 738, "user_agent": "curl/8"}
C = "192.0.2.7"

# What stands before the time, and what is read of it.
FRONTS: list[tuple[str, dict[str, object] | None]] = [
    (f"shop.example:443 {C} - -", {"remote_host": C, "extra": '{"vhost":"shop.example:443"}'}),
    (f"shop.example {C} - ann", {"remote_host": C, "remote_user": "ann", "extra": '{"vhost":"shop.example"}'}),
    (f"shop {C} - bob smith", {"remote_host": C, "remote_user": "bob smith", "extra": '{"vhost":"shop"}'}),
    ("shop:443 2001:db8::1 - -", {"remote_host": "2001:db8::1", "extra": '{"vhost":"shop:443"}'}),
    ("shop:443 [2001:db8::1] - -", {"remote_host": "[2001:db8::1]", "extra": '{"vhost":"shop:443"}'}),
    ("shop.example:443 c.example.org - -", {"remote_host": "c.example.org", "extra": '{"vhost":"shop.example:443"}'}),
    (f"203.0.113.5:443 {C} - -", {"remote_host": C, "extra": '{"vhost":"203.0.113.5:443"}'}),
    (f"{C} shop.example - -", {"remote_host": C, "extra": '{"vhost":"shop.example"}'}),
    (f"- {C} - -", {"remote_host": C}),
    (f"{C}, 10.0.0.1 - -", {"remote_host": C, "extra": '{"via":"10.0.0.1"}'}),
    (f"{C},10.0.0.1 - ann", {"remote_host": C, "remote_user": "ann", "extra": '{"via":"10.0.0.1"}'}),
    (f"-, {C} - -", {"remote_host": C}),
    (f"_ {C} - -", {"remote_host": C, "extra": '{"vhost":"_"}'}),
    (f"{C}, 10.0.0.1, unknown - -", {"remote_host": C, "extra": '{"via":"10.0.0.1, unknown"}'}),
    (f'"203.0.113.9, 10.0.0.1" {C} - -', {"remote_host": C, "extra": '{"forwarded_for":"203.0.113.9, 10.0.0.1"}'}),
    (f'"-" {C} - -', {"remote_host": C}),
    ("[2001:db8::1] - -", {"remote_host": "[2001:db8::1]"}),
    ("2001:db8::1 - bob smith", {"remote_host": "2001:db8::1", "remote_user": "bob smith"}),
    ("h.example - CN=Bob Smith,O=x", {"remote_host": "h.example", "remote_user": "CN=Bob Smith,O=x"}),
    ("h.example ann -", {"remote_host": "h.example", "ident": "ann"}),
    ('h.example - ""', {"remote_host": "h.example", "remote_user": ""}),
    ("- - -", {}),
    # Nobody can tell which is the client, or what the words are.
    ("a.example b.example - -", None),
    (f"{C} 10.0.0.1 - -", None),
    (f"{C} 10.0.0.1 -", None),
    (f"shop.example {C} -", None),
    (f"{C}, 10.0.0.1 172.16.0.1 - -", None),
    ('"-" - -', None),
    (f"{C} - - -", None),
    (f"{C} - bob -", None),
    (f"{C} - bob 0.005", None),
    (f"{C} - -  bob", None),
    (f'{C} - "bob"', None),
    (f"{C} -", None),
    (f"[x] {C} - -", None),
    (f"<134>Nov 20 10:00:00 web nginx: {C} - -", None),
    (f"2026-11-20T10:00:00Z {C} - -", None),
]  # fmt: skip

# What stands behind the time.
TAILS: list[tuple[str, dict[str, object] | None]] = [
    ('"GET /a HTTP/1.1" 200 738 "-" "say "hi" now"', {**GET, "user_agent": 'say "hi" now'}),
    ('"GET /a HTTP/1.1" 200 738 "-" "a "b""', {**GET, "user_agent": 'a "b"'}),
    ('"GET /a HTTP/1.1" 200 738 "-" ""Mozilla""', {**GET, "user_agent": '"Mozilla"'}),
    ('"GET /?q="a b" HTTP/1.1" 200 738 "-" "curl/8"', {**GET, "path": '/?q="a b"'}),
    (
        '"GET /a HTTP/1.1" 200 738 "http://x/?q="a"" "x "y"" "1.2.3.4"',
        {**GET, "referrer": 'http://x/?q="a"', "user_agent": 'x "y"', "extra": '{"forwarded_for":"1.2.3.4"}'},
    ),
    (r'"GET /a HTTP/1.1" 200 738 "-" "a \"b\""', {**GET, "user_agent": r"a \"b\""}),
    (r'"GET /a HTTP/1.1" 200 738 "-" "C:\\"', {**GET, "user_agent": r"C:\\"}),
    ('"GET /a HTTP/1.1" 200 738 "-" "curl/8" 0.005 0.004 .', {**GET, "extra": '{"further":"0.005 0.004 ."}'}),
    (
        '"GET /a HTTP/1.1" 200 738 "-" "curl/8" "1.2.3.4" rt=0.1 urt="0.1, 0.2"',
        {**GET, "extra": r'{"forwarded_for":"1.2.3.4","further":"rt=0.1 urt=\"0.1, 0.2\""}'},
    ),
    (
        '"GET /a HTTP/1.1" 200 738 "-" "curl/8" 412 0.003 [ns-svc-80] [] 10.0.0.1:80, 10.0.0.2:80 5 0.003 200 3fa9',
        {**GET, "extra": '{"further":"412 0.003 [ns-svc-80] [] 10.0.0.1:80, 10.0.0.2:80 5 0.003 200 3fa9"}'},
    ),
    (
        '"GET /a HTTP/1.1" 200 738 1234',
        {"method": "GET", "path": "/a", "protocol": "HTTP/1.1", "status": 200, "bytes_sent": 738,
         "extra": '{"further":"1234"}'},
    ),
    ('"-" 408 - "-" "-"', {"status": 408}),
    ('"" 400 0', {"status": 400, "bytes_sent": 0}),
    (r'"\x16\x03\x01" 400 226 "-" "-"', {"path": r"\x16\x03\x01", "status": 400, "bytes_sent": 226}),
    ('"\x16\x03\x01" 400 226 "-" "-"', {"path": "\x16\x03\x01", "status": 400, "bytes_sent": 226}),
    # More than one way to read it, or cut short.
    ('"GET /" 200 5 "-" "x" HTTP/1.1" 200 7 "-" "y"', None),
    ('"GET /a HTTP/1.1" 200 738 "-" "x" "y" z"', None),
    ('"GET /a HTTP/1.1" 200 738 "-" "x" y" "e"', None),
    ('"GET /a HTTP/1.1" 200 738 "-" "x "y', None),
    (r'"GET /a HTTP/1.1" 200 738 "-" "x\"', None),
    ('"GET /a HTTP/1.1" 200 738 "curl/8"', None),
    ('"GET /a HTTP/1.1" 200 0.005 738 "-" "curl/8"', None),
    ("- 408 0", None),
]  # fmt: skip


def test_what_stands_in_front_of_the_client(make_rows) -> None:
    table: list[Golden] = [
        (f"{front} {REST}", AT, "bad_format" if said is None else {**GET, **said}) for front, said in FRONTS
    ]
    check_golden(make_rows, ParseOptions("s", "combined"), table)


def test_what_stands_behind_the_time(make_rows) -> None:
    table: list[Golden] = [
        (f"{C} - - {WHEN} {tail}", AT, "bad_format" if said is None else {"remote_host": C, **said})
        for tail, said in TAILS
    ]
    check_golden(make_rows, ParseOptions("s", "combined"), table)


@pytest.mark.parametrize(
    ("time", "micros"),
    [
        ("20/Nov/2026:09:59:60 +0000", 0),
        ("2026-11-20T09:59:60Z", 0),
        ("2026-11-20T11:00:00+01:00", 0),
        ("20/Nov/2026:10:00:00.123 +0000", 123_000),
        ("2026-11-20T10:00:00Z", 0),
    ],
)
def test_the_times_of_other_settings_are_read_too(make_rows, time: str, micros: int) -> None:
    lines = [f"{C} - - {REST}", f'{C} - - [{time}] "GET /a HTTP/1.1" 200 738', f'{C} - - [{time}] "cut']
    usual, other, cut = (
        make_format(ParseOptions("s", "combined")).parse(make_rows([line.encode() for line in lines])).to_pylist()
    )
    at = datetime(2026, 11, 20, 10, tzinfo=UTC)
    assert (usual["reject_reason"], other["reject_reason"], cut["reject_reason"]) == (None, None, "bad_format")
    assert usual["event_time"] == at
    assert other["event_time"] == cut["event_time"] == at.replace(microsecond=micros)


@pytest.mark.parametrize(
    "line",
    [
        f"{C} - - {REST} 192.0.2.8 - - {REST}",
        f'{C} - - {WHEN} "GET /a HTTP/1.1" 200 738 192.0.2.8 - - {WHEN} ',
        f'{C} - - {REST} 192.0.2.8 - - [2026-11-20T10:00:00+00:00] "GET /b HTTP/1.1" 200 5',
        f'{C} - - {WHEN} "shop.example" "GET /a HTTP/1.1" 200 738 "-" "curl/8"',
        f'{C} - - {WHEN} "-" "GET /a HTTP/1.1" 200 738 "-" "curl/8"',
    ],
)
def test_two_records_in_a_line_or_a_field_before_the_request_are_not_read(make_rows, line: str) -> None:
    check_golden(make_rows, ParseOptions("s", "combined"), [(line, AT, "bad_format")])
