"""Access logs: the real sample against an independent reading in plain Python, and every odd line we know of."""

from __future__ import annotations

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

import nw_platform.generator
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.registry import make_format

SAMPLE = Path(nw_platform.generator.__file__).parent / "samples" / "apache_logs.gz"
LINE = re.compile(
    r'(?P<remote_host>\S+) (?P<ident>\S+) (?P<remote_user>.+?) \[(?P<time>[^\]]+)\] "(?P<request>[^"]*)"'
    r' (?P<status>\S+) (?P<bytes_sent>\S+) "(?P<referrer>[^"]*)" "(?P<user_agent>[^"]*)"'
)
WHEN = "[17/May/2015:10:05:03 +0000]"
AT = datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC)
OWN = (
    *("remote_host", "ident", "remote_user", "method", "path", "protocol"),
    *("status", "bytes_sent", "referrer", "user_agent"),
)


@pytest.fixture
def parse(make_rows):
    def run(*lines, **options):
        made = make_format(ParseOptions("access", "combined", **options))
        return made.parse(make_rows([one if isinstance(one, bytes) else one.encode() for one in lines])).to_pylist()

    return run


def read_plainly(line: str) -> dict | None:
    match = LINE.fullmatch(line)
    if match is None:
        return None
    found = {key: None if value == "-" else value for key, value in match.groupdict().items()}
    method, path, protocol = match["request"].split(" ")
    return {
        **{key: found[key] for key in ("remote_host", "ident", "remote_user", "referrer", "user_agent")},
        "method": method,
        "path": path,
        "protocol": protocol,
        **{key: None if found[key] is None else int(found[key]) for key in ("status", "bytes_sent")},
        "event_time": datetime.strptime(found["time"], "%d/%b/%Y:%H:%M:%S %z"),
    }


def test_the_whole_sample_agrees_with_plain_python_in_every_column(make_rows):
    lines = gzip.decompress(SAMPLE.read_bytes()).splitlines()
    assert len(lines) == 10_000
    out = make_format(ParseOptions("access", "combined", late_after_us=None)).parse(make_rows(lines)).to_pylist()
    rejects = []
    for line, row in zip(lines, out, strict=True):
        wanted = read_plainly(line.decode())
        if wanted is None:
            rejects.append(row)
            continue
        assert {key: row[key] for key in wanted} == wanted
        assert (row["series"], row["reject_reason"], row["extra"], row["message"]) == ("normal", None, None, None)
    assert len(rejects) == 1
    (cut,) = rejects
    assert cut["reject_reason"] == "bad_format"
    assert cut["series"] == "error"
    assert cut["event_time"] == datetime(2015, 5, 20, 12, 5, 17, tzinfo=UTC)
    assert cut["message"].startswith("46.118.127.106 - - [20/May/2015:12:05:17 +0000]")
    assert all(cut[name] is None for name in OWN)


# What is expected of the columns of a line; those not named are null.
ODD = {
    "common": (f'1.2.3.4 - - {WHEN} "GET / HTTP/1.0" 200 5', {"status": 200, "bytes_sent": 5, "path": "/"}),
    "ipv6": (f'2001:db8::1 - - {WHEN} "GET / HTTP/2.0" 200 5 "-" "-"', {"remote_host": "2001:db8::1"}),
    "no bytes": (
        f'h - - {WHEN} "GET / HTTP/1.1" 304 - "-" "x"',
        {"status": 304, "bytes_sent": None, "user_agent": "x"},
    ),
    "user with blanks": (f'h - bob smith {WHEN} "GET / HTTP/1.1" 200 5', {"remote_user": "bob smith"}),
    "user with a bracket": (f'h - a [b {WHEN} "GET / HTTP/1.1" 200 5', {"remote_user": "a [b"}),
    "no request": (f'h - - {WHEN} "-" 408 0 "-" "-"', {"method": None, "path": None, "protocol": None, "status": 408}),
    "empty request": (f'h - - {WHEN} "" 400 0 "-" "-"', {"method": None, "path": None, "status": 400}),
    "binary request": (rf'h - - {WHEN} "\x16\x03\x01" 400 226 "-" "-"', {"method": None, "path": r"\x16\x03\x01"}),
    "three odd words": (f'h - - {WHEN} "a b c" 400 226', {"method": None, "path": "a b c", "protocol": None}),
    "http 0.9": (f'h - - {WHEN} "GET /x" 200 5', {"method": "GET", "path": "/x", "protocol": None}),
    "blanks in path": (f'h - - {WHEN} "GET /a b HTTP/1.1" 200 5', {"path": "/a b", "protocol": "HTTP/1.1"}),
    "escaped quotes": (
        rf'h - - {WHEN} "GET /?q=\"a\" HTTP/1.1" 200 5 "http://x/?\"" "say \"hi\""',
        {"path": r"/?q=\"a\"", "referrer": r"http://x/?\"", "user_agent": r"say \"hi\""},
    ),
    "escaped backslash": (rf'h - - {WHEN} "GET / HTTP/1.1" 200 5 "-" "ends in \\"', {"user_agent": r"ends in \\"}),
    "escapes in a common line": (rf'h - - {WHEN} "GET /\"\" HTTP/1.1" 200 5', {"path": r"/\"\"", "referrer": None}),
    "empty referrer": (f'h - - {WHEN} "GET / HTTP/1.1" 200 5 "" "x"', {"referrer": "", "user_agent": "x"}),
    "forwarded": (
        f'h - - {WHEN} "GET / HTTP/1.1" 200 5 "-" "x" "9.9.9.9, 8.8.8.8"',
        {"user_agent": "x", "extra": '{"forwarded_for":"9.9.9.9, 8.8.8.8"}'},
    ),
    "forwarded nobody": (f'h - - {WHEN} "GET / HTTP/1.1" 200 5 "-" "x" "-"', {"user_agent": "x", "extra": None}),
    "unicode": (f'h - - {WHEN} "GET /ü HTTP/1.1" 200 5 "-" "日本"', {"path": "/ü", "user_agent": "日本"}),
    "nul": (f'h - - {WHEN} "GET /\0 HTTP/1.1" 200 5', {"path": "/\0"}),
    "large": (f'h - - {WHEN} "GET / HTTP/1.1" 200 9007199254740993', {"bytes_sent": 9007199254740993}),
    "blanks at the end": (f'h - - {WHEN} "GET / HTTP/1.1" 200 5 "-" "x"  ', {"user_agent": "x"}),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_line_is_read_alone_and_among_others(parse, name):
    line, wanted = ODD[name]
    plain = ODD["common"][0]
    for row in (parse(line)[0], parse(plain, line, plain, "junk")[1]):
        assert row["reject_reason"] is None
        assert row["event_time"] == AT
        assert {key: row[key] for key in wanted} == wanted


@pytest.mark.parametrize(
    ("line", "reason", "time_kept"),
    [
        ("", "bad_format", False),
        ("   ", "bad_format", False),
        ("hello", "bad_format", False),
        ('"""""" """"', "bad_format", False),
        (f'h - - {WHEN} "GET / HTTP/1.1" 200', "bad_format", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 200 5 "-"', "bad_format", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 200 5 "-" "x', "bad_format", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 200 5 "-" "x" more', "bad_format", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 200 5 junk "-" "x"', "bad_format", True),
        (f'h - - {WHEN} "GET / HTTP/1.1"  200 5', "bad_format", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 2x0 5', "bad_type", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 200.0 5', "bad_type", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 0xFF 5', "bad_type", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 2147483648 5', "bad_type", True),
        (f'h - - {WHEN} "GET / HTTP/1.1" 200 9223372036854775808', "bad_type", True),
        ('h - - [31/Feb/2015:10:05:03 +0000] "GET / HTTP/1.1" 200 5', "bad_time", False),
        ('h - - [17/May/9999:10:05:03 +0000] "GET / HTTP/1.1" 200 5', "bad_time", False),
        ('h - - [17/May/1915:10:05:03 +0000] "GET / HTTP/1.1" 2x0 5', "bad_time", False),
        ('h - - [yesterday] "GET / HTTP/1.1" 200 5', "bad_time", False),
        (f'h - - {WHEN} "GET /'.encode() + b'\xff HTTP/1.1" 200 5', "bad_encoding", True),
        (f'h - - {WHEN} "GET /'.encode() + b"x" * 2000 + b' HTTP/1.1" 200 5', "too_large", True),
    ],
)
def test_a_broken_line_is_one_reject_with_its_text_and_its_time_where_that_can_be_read(parse, line, reason, time_kept):
    good = ODD["common"][0]
    before, row, after = parse(good, line, good, max_record=1024)
    assert before["reject_reason"] is after["reject_reason"] is None
    assert (row["reject_reason"], row["series"]) == (reason, "error")
    assert row["event_time"] == (AT if time_kept else row["received_time"])
    raw = line if isinstance(line, bytes) else line.encode()
    assert row["message"] == raw.decode("utf-8", "replace")
    assert all(row[name] is None for name in (*OWN, "extra"))


def test_a_column_can_be_retyped_and_the_time_can_have_another_layout_and_zone(parse):
    line = 'h - - [2015-07-17 10:05:03] "GET / HTTP/1.1" 200 5'
    time = EventTime("time", None, "%Y-%m-%d %H:%M:%S", "Europe/Berlin")
    (row,) = parse(line, event_time=time, columns={"status": "string", "note": "string"})
    assert (row["status"], row["note"]) == ("200", None)
    assert row["event_time"] == datetime(2015, 7, 17, 8, 5, 3, tzinfo=UTC)


def test_offsets_are_honoured(parse):
    (row,) = parse('h - - [17/May/2015:10:05:03 -0730] "GET / HTTP/1.1" 200 5')
    assert row["event_time"] == datetime(2015, 5, 17, 17, 35, 3, tzinfo=UTC)
