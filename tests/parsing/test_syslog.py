"""syslog: lines as they are met, of both RFCs, good and bad; the year of times that name none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.registry import make_format
from nw_platform.record.hours import to_us

SHOWN = ("host", "process", "pid", "severity", "facility", "priority", "msgid", "structured_data", "message", "extra")

# Line -> event time and the columns that are not null. Received 2026-11-22T12:00Z. The first ones are the RFCs' own.
LINES: list[tuple[str, str, dict[str, object]]] = [
    (
        "<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \ufeff'su root' failed for lonvick",
        "2003-10-11 22:14:15.003000",
        {
            "host": "mymachine.example.com", "process": "su", "severity": "FATAL", "facility": "auth", "priority": 34,
            "msgid": "ID47", "message": "'su root' failed for lonvick",
        },
    ),
    (
        "<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - - %% It's time to make the do-nuts.",
        "2003-08-24 12:14:15.000003",
        {
            "host": "192.0.2.1", "process": "myproc", "pid": 8710, "severity": "INFO", "facility": "local4",
            "priority": 165, "message": "%% It's time to make the do-nuts.",
        },
    ),
    (
        '<165>1 2003-10-11T22:14:15.003Z h evntslog - ID47 [a@32473 iut="3" x="App\\"l\\]ication"][b@1 class="high"]',
        "2003-10-11 22:14:15.003000",
        {
            "host": "h", "process": "evntslog", "severity": "INFO", "facility": "local4", "priority": 165,
            "msgid": "ID47", "structured_data": '[a@32473 iut="3" x="App\\"l\\]ication"][b@1 class="high"]',
        },
    ),
    (
        "<14>1 2026-11-22T05:00:00Z h app worker-7 - [a@1] [not data] said",
        "2026-11-22 05:00:00",
        {
            "host": "h", "process": "app", "severity": "INFO", "facility": "user", "priority": 14,
            "structured_data": "[a@1]", "message": "[not data] said", "extra": '{"procid":"worker-7"}',
        },
    ),
    ("1 2026-11-22T05:00:00Z - - - - -", "2026-11-22 05:00:00", {}),
    (
        "<34>Oct 11 22:14:15 mymachine su: 'su root' failed for lonvick on /dev/pts/8",
        "2026-10-11 22:14:15",
        {
            "host": "mymachine", "process": "su", "severity": "FATAL", "facility": "auth", "priority": 34,
            "message": "'su root' failed for lonvick on /dev/pts/8",
        },
    ),
    (
        "<13>Feb  5 17:32:18 10.0.0.99 Use the BFG!",
        "2026-02-05 17:32:18",
        {"host": "10.0.0.99", "severity": "INFO", "facility": "user", "priority": 13, "message": "Use the BFG!"},
    ),
    (
        "Nov 22 05:00:01 web-01 sshd[1234]: Accepted publickey for ann from 10.0.0.1 port 22 ssh2",
        "2026-11-22 05:00:01",
        {
            "host": "web-01", "process": "sshd", "pid": 1234,
            "message": "Accepted publickey for ann from 10.0.0.1 port 22 ssh2",
        },
    ),
    (
        "Nov 22 05:00:01 web-01 kernel: [    0.000000] Linux version 6.1.0",
        "2026-11-22 05:00:01",
        {"host": "web-01", "process": "kernel", "message": "[    0.000000] Linux version 6.1.0"},
    ),
    (
        "Nov 22 05:00:01 web-01 CRON[77]: (root) CMD (run-parts /etc/cron.hourly)",
        "2026-11-22 05:00:01",
        {"host": "web-01", "process": "CRON", "pid": 77, "message": "(root) CMD (run-parts /etc/cron.hourly)"},
    ),
    (
        "Nov 22 05:00:01 mail postfix/smtpd[99]: connect from unknown[10.0.0.9]",
        "2026-11-22 05:00:01",
        {"host": "mail", "process": "postfix/smtpd", "pid": 99, "message": "connect from unknown[10.0.0.9]"},
    ),
    (
        "Nov 22 05:00:01 mac com.apple.xpc.launchd[1] (com.apple.x): Service exited",
        "2026-11-22 05:00:01",
        {"host": "mac", "process": "com.apple.xpc.launchd", "pid": 1, "message": "(com.apple.x): Service exited"},
    ),
    (
        "Nov 22 05:00:01 web-01 last message repeated 3 times",
        "2026-11-22 05:00:01",
        {"host": "web-01", "message": "last message repeated 3 times"},
    ),
    ("Nov 22 05:00:01 root: no host", "2026-11-22 05:00:01", {"process": "root", "message": "no host"}),
    (
        "Nov 22 05:00:01 h app[12]:no blank",
        "2026-11-22 05:00:01",
        {"host": "h", "process": "app", "pid": 12, "message": "no blank"},
    ),
    ("Nov 22 05:00:01 h http://a/b", "2026-11-22 05:00:01", {"host": "h", "message": "http://a/b"}),
    ("Nov 22 05:00:01 2000.net a: b", "2026-11-22 05:00:01", {"host": "2000.net", "process": "a", "message": "b"}),
    ("Nov 22 05:00:01 fe80::1 a: b", "2026-11-22 05:00:01", {"host": "fe80::1", "process": "a", "message": "b"}),
    ("Nov 22 05:00:01.25 h a: b", "2026-11-22 05:00:01.250000", {"host": "h", "process": "a", "message": "b"}),
    ("Nov 22 2016 05:00:01 h a: b", "2016-11-22 05:00:01", {"host": "h", "process": "a", "message": "b"}),
    ("Nov 22 05:00:01 2016 h a: b", "2016-11-22 05:00:01", {"host": "h", "process": "a", "message": "b"}),
    (
        "<189>Nov 22 2016 05:00:01: %ASA-6-302013: Built outbound",
        "2016-11-22 05:00:01",
        {
            "process": "%ASA-6-302013", "severity": "INFO", "facility": "local7", "priority": 189,
            "message": "Built outbound",
        },
    ),
    (
        "<189>*Mar  1 18:46:11.123: %SYS-5-CONFIG_I: Configured from console",
        "2026-03-01 18:46:11.123000",
        {
            "process": "%SYS-5-CONFIG_I", "severity": "INFO", "facility": "local7", "priority": 189,
            "message": "Configured from console",
        },
    ),
    (
        "2026-11-22T05:00:01.017123+02:00 web-01 app[x]: from rsyslog",
        "2026-11-22 03:00:01.017123",
        {"host": "web-01", "process": "app", "message": "from rsyslog", "extra": '{"procid":"x"}'},
    ),
    (
        "<0>2026-11-22T05:00:01Z web app: panic",
        "2026-11-22 05:00:01",
        {"host": "web", "process": "app", "severity": "FATAL", "facility": "kern", "priority": 0, "message": "panic"},
    ),
    ("Nov 22 05:00:01 h a: \x00\ttab", "2026-11-22 05:00:01", {"host": "h", "process": "a", "message": "\x00\ttab"}),
]  # fmt: skip

REJECTS: list[tuple[bytes, str, str | None]] = [
    (b"<34>1 - h app 1 ID47 - no time", "bad_time", None),
    (b"<34>1 2003-10-11T22:14:15.003Z h app 1 ID47 no structured data", "bad_format", "2003-10-11 22:14:15.003000"),
    (b'<34>1 2003-10-11T22:14:15.003Z h app 1 ID47 [a b="] cut', "bad_format", "2003-10-11 22:14:15.003000"),
    (b"<34>1 2003-10-41T22:14:15.003Z h app 1 ID47 - x", "bad_time", None),
    (b"<192>Nov 22 05:00:01 h a: b", "bad_format", "2026-11-22 05:00:01"),
    (b"<9999>Nov 22 05:00:01 h a: b", "bad_format", None),
    (b"Nov 22 05:00:01", "bad_format", "2026-11-22 05:00:01"),
    (b"Nov 22 05:00:01 ", "bad_format", "2026-11-22 05:00:01"),
    (b"Nov 32 05:00:01 h a: b", "bad_time", None),
    (b"Feb 30 05:00:01 h a: b", "bad_time", None),
    (b"Nov 22 25:00:01 h a: b", "bad_time", None),
    (b"Nov 22 2400 05:00:01 h a: b", "bad_time", None),
    (b"Foo 22 05:00:01 h a: b", "bad_format", None),
    (b"<34>", "bad_format", None),
    (b"<34>hello", "bad_format", None),
    (b"hello", "bad_format", None),
    (b"", "bad_format", None),
    (b" \t ", "bad_format", None),
    (b"Nov 22 05:00:01 h a: \xff", "bad_encoding", "2026-11-22 05:00:01"),
    (b"Nov 22 05:00:01 h a: " + b"x" * 3000, "too_large", "2026-11-22 05:00:01"),
]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def test_lines_of_both_rfcs_in_one_stream(make_rows) -> None:
    rows = make_format(ParseOptions("s", "syslog")).parse(make_rows([line.encode() for line, _, _ in LINES]))
    for row, (line, time, expected) in zip(rows.to_pylist(), LINES, strict=True):
        assert (row["reject_reason"], row["series"]) == (None, "normal"), line
        assert row["event_time"] == at(time), line
        assert {name: row[name] for name in SHOWN if row[name] is not None} == expected, line


@pytest.mark.parametrize(("line", "time", "expected"), LINES, ids=range(len(LINES)))
def test_each_line_alone_says_the_same(make_rows, line: str, time: str, expected: dict[str, object]) -> None:
    (row,) = make_format(ParseOptions("s", "syslog")).parse(make_rows([line.encode()])).to_pylist()
    assert row["event_time"] == at(time)
    assert {name: row[name] for name in SHOWN if row[name] is not None} == expected


def test_rejects_between_good_lines(make_rows) -> None:
    good = b"Nov 22 05:00:01 h a: fine"
    values = [value for line, _, _ in REJECTS for value in (good, line)]
    rows = make_format(ParseOptions("s", "syslog", max_record=1000)).parse(make_rows(values)).to_pylist()
    assert all((row["message"], row["reject_reason"]) == ("fine", None) for row in rows[::2])
    for row, (line, reason, time) in zip(rows[1::2], REJECTS, strict=True):
        assert (row["series"], row["reject_reason"]) == ("error", reason), line
        assert row["event_time"] == (row["received_time"] if time is None else at(time)), line
        assert row["message"] == line.decode("utf-8", "replace"), line
        assert (row["facility"], row["priority"], row["structured_data"], row["extra"]) == (None,) * 4, line


@pytest.mark.parametrize(
    ("received", "line_time", "expected"),
    [
        ("2026-01-01 00:00:05", "Dec 31 23:59:59", "2025-12-31 23:59:59"),
        ("2026-12-31 23:59:59", "Jan  1 00:00:10", "2027-01-01 00:00:10"),  # a clock that is ahead, over the year's end
        ("2026-06-15 12:00:00", "Jun 16 12:00:00", "2026-06-16 12:00:00"),  # not after it by more than a day
        ("2026-06-15 12:00:00", "Jun 16 12:00:01", "2025-06-16 12:00:01"),
        ("2026-06-15 12:00:00", "Feb 29 00:00:00", "2024-02-29 00:00:00"),
        ("2028-02-28 12:00:00", "Feb 29 00:00:00", "2028-02-29 00:00:00"),
        ("2028-02-27 12:00:00", "Feb 29 00:00:00", "2024-02-29 00:00:00"),
        ("2103-06-15 12:00:00", "Feb 29 00:00:00", "2096-02-29 00:00:00"),  # 2100 is no leap year
    ],
)
def test_the_year_of_a_time_that_names_none(make_rows, received: str, line_time: str, expected: str) -> None:
    rows = make_rows([f"{line_time} h a: b".encode()], received=to_us(at(received)))
    (row,) = make_format(ParseOptions("s", "syslog")).parse(rows).to_pylist()
    assert row["event_time"] == at(expected)


def test_the_year_is_judged_in_the_streams_zone(make_rows) -> None:
    options = ParseOptions("s", "syslog", event_time=EventTime(zone="Asia/Tokyo"))
    rows = make_rows([b"Jan  1 08:00:00 h a: b"], received=to_us(at("2025-12-31 23:30:00")))
    (row,) = make_format(options).parse(rows).to_pylist()
    assert row["event_time"] == at("2025-12-31 23:00:00")


def test_a_declared_year_wins(make_rows) -> None:
    made = make_format(ParseOptions("s", "syslog", options={"year": 2015}))
    march, leap = made.parse(make_rows([b"Mar  1 05:00:01 h a: b", b"Feb 29 05:00:01 h a: b"])).to_pylist()
    assert march["event_time"] == at("2015-03-01 05:00:01")
    assert leap["reject_reason"] == "bad_time"


@pytest.mark.parametrize("year", ["2015", 15, 3000, True])
def test_a_year_that_is_none_is_refused(year: object) -> None:
    with pytest.raises(ConfigError, match="is no year"):
        make_format(ParseOptions("s", "syslog", options={"year": year}))


def test_a_declared_type_holds(make_rows) -> None:
    made = make_format(ParseOptions("s", "syslog", columns={"msgid": "int32", "user": "string"}))
    good, bad = made.parse(
        make_rows([b"<34>1 2003-10-11T22:14:15Z h a 1 47 - x", b"<34>1 2003-10-11T22:14:15Z h a 1 ID47 - x"])
    ).to_pylist()
    assert (good["msgid"], good["user"]) == (47, None)
    assert (bad["msgid"], bad["reject_reason"]) == (None, "bad_type")
