"""Guessing a format: real files, the usual kinds, and what is none of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.layouts import candidate_layouts
from nw_platform.parsing.log4j_layout import compile_layout
from nw_platform.parsing.registry import FORMATS, make_format
from nw_platform.parsing.sniff import ENOUGH, recognise, sniff
from nw_platform.parsing.trial import try_parse

ROOT = Path(__file__).parents[2]
BROKER_LOGS = sorted((ROOT / "tests" / "data" / "broker_logs").glob("kafka*"))
APACHE = ROOT / "nw_platform" / "generator" / "samples" / "apache_logs.gz"


@pytest.mark.parametrize("path", BROKER_LOGS, ids=lambda path: path.name)
def test_broker_logs_are_log4j(path: Path) -> None:
    assert sniff(path.read_bytes()) == ("log4j", {})


def test_access_logs_are_combined() -> None:
    assert sniff(gzip.decompress(APACHE.read_bytes())[: 1 << 16]) == ("combined", {})


@pytest.mark.parametrize(
    ("sample", "name", "options"),
    [
        (b'{"ts":1,"a":2}\n{"ts":2}\n{"ts":3', "json", {}),
        (b'\xef\xbb\xbf{"ts":1}\r\n', "json", {}),
        (b"<34>1 2003-10-11T22:14:15.003Z h su - ID47 - x\n", "syslog", {}),
        (b"Dec 19 15:59:28 h sshd[1]: x\nDec 19 15:59:28 h kernel: [ 0.0] y\n", "syslog", {}),
        (b"2016-12-19T15:59:28.017123+02:00 h app[x]: y\n", "syslog", {}),
        (
            b"2016-12-19 15:59:28.017 [main] WARN  a.B - x\njava.X: y\n\tat z\n",
            "log4j",
            {"layout": "%d{ISO8601} [%t] %-5p %c - %m%n"},
        ),
        (
            b"2015-10-18 18:01:47,978 INFO [main] o.a.MRAppMaster: Created\n",
            "log4j",
            {"layout": "%d{ISO8601} %-5p [%t] %c: %m%n"},
        ),
        (
            b"16/12/19 15:59:28 INFO executor.Executor: Finished\n",
            "log4j",
            {"layout": "%d{yy/MM/dd HH:mm:ss} %-5p %c: %m%n"},
        ),
        (b'time,Host,"Ip"\n1,"a,b",c\n2,,\n', "csv", {"names": ["time", "Host", "Ip"]}),
        (b"Host,n,time\nweb-01,1,2026-11-20T10:00:01Z\n", "csv", {"names": ["Host", "n", "time"]}),
        (b"a;b\n1;2\n", "csv", {"delimiter": ";", "names": ["a", "b"]}),
        (b"a\tb\n1\t2\n", "csv", {"delimiter": "\t", "names": ["a", "b"]}),
        (b"2026-11-20T10:00:01Z E billing: refused\n", "lines", {}),
        (b"2026-11-20T10:00:01Z 1234 billing: refused\n", "lines", {}),
        (
            b"2026-11-20T10:00:01Z INF billing: refused\n",
            "log4j",
            {"layout": "%d{yyyy-MM-dd'T'HH:mm:ssXXX} %-5p %c: %m%n"},
        ),
        (b"1,2\n3,4\n", "lines", {}),
        (b"a,b\n", "lines", {}),
        (b"Dear Sir, Madam\nthank you for the fish\n", "lines", {}),
        (b"[1, 2]\n[3]\n", "lines", {}),
        (b"time,host\nten o'clock,web-01\n", "lines", {}),  # a table whose times cannot be read
        (b"", "lines", {}),
        (b"\n \n", "lines", {}),
        (bytes(range(256)) * 9, "lines", {}),
        (b"\x1f\x8b\x08\x00" * 99, "lines", {}),
    ],
)
def test_kinds(sample: bytes, name: str, options: dict) -> None:
    assert sniff(sample) == (name, options)


WHOLE = b'{"ts":1795168800000}\n'


@pytest.mark.parametrize(("good", "broken", "name"), [(8, 2, "json"), (7, 3, "lines"), (4, 1, "json"), (2, 1, "lines")])
def test_four_of_five_lines_have_to_be_read_whole(good: int, broken: int, name: str) -> None:
    assert sniff(WHOLE * good + b"broken\n" * broken)[0] == name
    assert sniff(b"a banner\n" * broken + WHOLE * good)[0] == name


def test_a_line_without_a_readable_time_is_not_read_whole() -> None:
    assert sniff(b'{"ts":"never"}\n' * 5) == ("lines", {})
    assert sniff(b"time,host\nnever,a\n1795168800000,b\n") == ("lines", {})


MESSAGES = ("card refused", "it took 5 ms", "done")


@pytest.mark.parametrize(
    ("line", "layout", "level"),
    [
        ("2026-11-20T10:00:01.123456Z ERROR billing: {}", "%d{yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX} %-5p %c: %m%n", "ERROR"),
        ("2026-11-20T10:00:01Z WARN {}", "%d{yyyy-MM-dd'T'HH:mm:ssXXX} %-5p %m%n", "WARN"),
        ("2026-11-20T10:00:01.123+0100 INFO a.B - {}", "%d{yyyy-MM-dd'T'HH:mm:ss.SSSZ} %-5p %c - %m%n", "INFO"),
        ("2026-11-20 10:00:01.123456 +01:00 INFO {}", "%d{yyyy-MM-dd HH:mm:ss.SSSSSS XXX} %-5p %m%n", "INFO"),
        ("2026-11-20 10:00:01,123 - a.b - WARNING - {}", "%d{ISO8601} - %c - %p - %m%n", "WARN"),
        ("2026/11/20 10:00:01 [error] 12#34: {}", "%d{yyyy/MM/dd HH:mm:ss} [%p] %pid#%tid: %m%n", "ERROR"),
        (
            "[Fri Nov 20 10:00:01.123456 2026] [core:error] [pid 12] {}",
            "[%d{EEE MMM dd HH:mm:ss.SSSSSS yyyy}] [%c:%p] [pid %pid] %m%n",
            "ERROR",
        ),
        ("20-Nov-2026 10:00:01.123 SEVERE [main] {}", "%d{dd-MMM-yyyy HH:mm:ss.SSS} %-5p [%t] %m%n", "ERROR"),
        ("INFO  [2026-11-20 10:00:01,123] a.b: {}", "%-5p [%d{ISO8601}] %c: %m%n", "INFO"),
        ("[INFO] 2026-11-20 10:00:01,123 {}", "[%-5p] %d{ISO8601} %m%n", "INFO"),
        ("2026-11-20 10:00:01.123 UTC [12] LOG:  {}", "%d{ISO8601} UTC [%pid] %p:  %m%n", "INFO"),
        ("2026-11-20 10:00:01.123 | DEBUG | {}", "%d{ISO8601} | %-5p | %m%n", "DEBUG"),
    ],
)
def test_a_time_and_a_level_are_a_layout(line: str, layout: str, level: str) -> None:
    sample = "".join(f"{line.format(message)}\n" for message in MESSAGES).encode()
    assert sniff(sample) == ("log4j", {"layout": layout})
    trial = try_parse(ParseOptions("s", "log4j", options={"layout": layout}), sample)
    assert trial is not None
    assert trial.parsed["severity"].to_pylist() == [level] * 3
    assert trial.parsed["message"].to_pylist() == list(MESSAGES)
    assert {str(time)[:10] for time in trial.parsed["event_time"].to_pylist()} == {"2026-11-20"}


def test_a_severity_is_no_host() -> None:
    assert sniff(b"2026-11-20T10:00:01.123456Z ERROR billing: card refused\n")[0] == "log4j"
    assert sniff(b"Nov 20 10:00:01 ERROR billing: card refused\n") == ("lines", {})


LOG4J = b"2026-11-20 10:00:01,123 INFO a.B - done\n"
TRACE = b"java.io.IOException: no\n\tat a.B.c(B.java:1)\nCaused by: java.x.Y: z\n"


def test_stack_traces_belong_to_records_and_may_come_first() -> None:
    layout = {"layout": "%d{ISO8601} %-5p %c - %m%n"}
    assert sniff((LOG4J + TRACE) * 3) == ("log4j", layout)
    assert sniff(TRACE + LOG4J * 6) == ("log4j", layout)


@pytest.mark.parametrize(
    "other",
    [
        b'{"ts":1795168800000,"a":1}\n',
        b"<34>1 2003-10-11T22:14:15.003Z h su - ID47 - x\n",
        b'1.1.1.1 - - [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 5\n',
        b"2026-11-20 10:00:01 no level here\n",
    ],
)
def test_a_mix_is_lines_and_no_stack_trace(other: bytes) -> None:
    assert sniff((LOG4J + other) * 10) == ("lines", {})
    assert sniff(LOG4J * 9 + other)[0] == "log4j"


def test_declared_keys_hold_while_formats_are_tried() -> None:
    sample = b'{"when":1795168800,"n":1}\n' * 3
    when = ParseOptions("s", "auto", event_time=EventTime("when", "s"))
    assert sniff(sample, when) == ("json", {})
    assert sniff(sample, ParseOptions("s", "auto", event_time=EventTime("other", "s")))[0] == "lines"
    assert sniff(sample, ParseOptions("s", "auto", event_time=when.event_time, columns={"n": "bool"}))[0] == "lines"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_the_declared_encoding_is_that_of_the_sample(encoding: str) -> None:
    sample = '{"ts":1795168800000,"name":"Zoë"}\n'.encode(encoding) + '{"ts":1}\n'.encode(
        encoding.replace("16", "16-le").replace("32", "32-le").replace("-le-le", "-le")
    )
    assert sniff(sample, ParseOptions("s", "auto", encoding=encoding)) == ("json", {})


def test_why_it_is_lines_is_said() -> None:
    assert recognise(WHOLE * 3 + b"broken\n" * 3).reason() == (
        "no format reads four of five of its first lines; json reads 3 of 6 (most others: bad_format)"
    )
    assert recognise(b'{"ts":"never"}\n').reason() == (
        "no format reads four of five of its first lines; json reads 0 of 1 (most others: bad_time)"
    )
    assert recognise(b"Dear Sir,\n").reason() == "no format reads four of five of its first lines"
    assert recognise(WHOLE).reason() == ""


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([WHOLE, LOG4J, TRACE, b"text\n", b"a,b\n", b"1,2\n", b"\n"]), max_size=12))
def test_what_is_taken_reads_four_of_five_records(pieces: list[bytes]) -> None:
    sample = b"".join(pieces)
    name, options = sniff(sample)
    trial = try_parse(ParseOptions("s", name, options=options), sample)
    assert trial is None or name == "lines" or trial.good >= ENOUGH * trial.records


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="[] 2026-11/0T:.,Z+aINFOERR", max_size=40), max_size=5))
def test_every_candidate_layout_can_be_compiled(lines: list[str]) -> None:
    for layout in candidate_layouts([*lines, "2026-11-20 10:00:01 x", "INFO [20 Nov 2026 10:00:01.1234567 +01] y"]):
        assert compile_layout(layout).start


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='ab,;\n{}":<>1', max_size=80).map(str.encode))
def test_any_sample_gives_a_format_that_can_be_made(sample: bytes) -> None:
    name, options = sniff(sample)
    assert name in FORMATS
    assert name == "json" or make_format(ParseOptions("s", name, options=options)).columns is not None
