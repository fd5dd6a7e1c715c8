"""Guessing a format: real files, the usual kinds, and what is none of them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.registry import FORMATS, make_format
from nw_platform.parsing.sniff import LAYOUTS, sniff

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
        (b'\xef\xbb\xbf{"a":1}\r\n', "json", {}),
        (b"<34>1 2003-10-11T22:14:15.003Z h su - ID47 - x\n", "syslog", {}),
        (b"Dec 19 15:59:28 h sshd[1]: x\nDec 19 15:59:28 h kernel: [ 0.0] y\n", "syslog", {}),
        (b"2016-12-19T15:59:28.017123+02:00 h app[x]: y\n", "syslog", {}),
        (b"2016-12-19 15:59:28.017 [main] WARN  a.B - x\njava.X: y\n\tat z\n", "log4j", {"layout": LAYOUTS[5]}),
        (b"2015-10-18 18:01:47,978 INFO [main] o.a.MRAppMaster: Created\n", "log4j", {"layout": LAYOUTS[8]}),
        (b"16/12/19 15:59:28 INFO executor.Executor: Finished\n", "log4j", {"layout": LAYOUTS[14]}),
        (b'time,Host,"Ip"\n1,"a,b",c\n2,,\n', "csv", {"names": ["time", "Host", "Ip"]}),
        (b"a;b\n1;2\n", "csv", {"delimiter": ";", "names": ["a", "b"]}),
        (b"a\tb\n1\t2\n", "csv", {"delimiter": "\t", "names": ["a", "b"]}),
        (b"1,2\n3,4\n", "lines", {}),
        (b"a,b\n", "lines", {}),
        (b"Dear Sir, Madam\nthank you for the fish\n", "lines", {}),
        (b"[1, 2]\n[3]\n", "lines", {}),
        (b"", "lines", {}),
        (b"\n \n", "lines", {}),
        (bytes(range(256)) * 9, "lines", {}),
        (b"\x1f\x8b\x08\x00" * 99, "lines", {}),
    ],
)
def test_kinds(sample: bytes, name: str, options: dict) -> None:
    assert sniff(sample) == (name, options)


def test_a_few_broken_lines_do_not_matter() -> None:
    assert sniff(b'{"a":1}\n' * 9 + b"broken\n") == ("json", {})
    assert sniff(b"a,b\n1,2\n3,4\nbroken\n") == ("csv", {"names": ["a", "b"]})
    assert sniff(b'{"a":1}\n' * 3 + b"broken\n" * 3) == ("lines", {})


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200) | st.text(alphabet='ab,;\n{}":<>1', max_size=80).map(str.encode))
def test_any_sample_gives_a_format_that_can_be_made(sample: bytes) -> None:
    name, options = sniff(sample)
    assert name in FORMATS
    assert name == "json" or make_format(ParseOptions("s", name, options=options)).columns is not None
