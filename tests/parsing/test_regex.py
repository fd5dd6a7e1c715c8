"""regex: groups as columns, types, times, what RE2 refuses."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.regex_pattern import compile_pattern
from nw_platform.parsing.registry import make_format

PATTERN = r"^(?<time>\S+) (?P<level>[A-Z]+) (GET|POST) (?P<Host>\S+) (?P<status>\S+)(?: (?P<ms>[\d.]+))?$"


def made(pattern: object = PATTERN, **options: object) -> object:
    return make_format(ParseOptions("s", "regex", options={"pattern": pattern}, **options))


def test_groups_are_columns(make_rows) -> None:
    form = made(columns={"status": "int32", "ms": "float64"})
    assert form.columns == {
        "time": pa.string(), "level": pa.string(), "status": pa.int32(), "ms": pa.float64(),
    }  # fmt: skip
    full, short = form.parse(
        make_rows([b"2026-11-22T05:00:01Z INFO GET web-01 200 1.5", b"2026-11-22T05:00:01Z INFO POST web-01 -"])
    ).to_pylist()
    assert (full["host"], full["level"], full["status"], full["ms"]) == ("web-01", "INFO", 200, 1.5)
    assert (short["status"], short["ms"], short["reject_reason"]) == (None, None, None)
    assert full["event_time"] == short["event_time"] == datetime(2026, 11, 22, 5, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "reason", "time_kept"),
    [
        (b"2026-11-22T05:00:01Z INFO", "bad_format", True),
        (b"noise", "bad_format", False),
        (b"", "bad_format", False),
        (b"yesterday INFO GET h 200", "bad_time", False),
        (b"2026-11-22T05:00:01Z INFO GET h 2x0", "bad_type", True),
        (b"2026-11-22T05:00:01Z INFO GET \xff 200", "bad_encoding", True),
        (b"2026-11-22T05:00:01Z INFO GET " + b"h" * 3000 + b" 200", "too_large", True),
    ],
)
def test_rejects(make_rows, line: bytes, reason: str, *, time_kept: bool) -> None:
    form = made(columns={"status": "int32"}, max_record=1000)
    good = b"2026-11-22T05:00:01Z INFO GET h\x00 200"
    before, row, after = form.parse(make_rows([good, line, good])).to_pylist()
    assert (before["host"], after["status"]) == ("h\x00", 200)
    assert (row["series"], row["reject_reason"], row["level"]) == ("error", reason, None)
    kept = datetime(2026, 11, 22, 5, 0, 1, tzinfo=UTC)
    assert row["event_time"] == (kept if time_kept else row["received_time"])


def test_the_pattern_is_searched_for(make_rows) -> None:
    (row,) = made(r"user=(?P<user>\w+)").parse(make_rows([b"at noon user=ann came"])).to_pylist()
    assert (row["user"], row["event_time"]) == ("ann", row["received_time"])


def test_a_time_without_a_year(make_rows) -> None:
    declared = EventTime("when", None, "%b %d %H:%M:%S")
    form = made(r"^(?P<when>\w+ +\d+ [\d:]+) (?P<event_time>.*)$", event_time=declared, columns={"when": "timestamp"})
    (row,) = form.parse(make_rows([b"Dec  1 05:00:01 x"])).to_pylist()
    assert row["event_time"] == row["when"] == datetime(2025, 12, 1, 5, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(?=a)(?P<x>.)", "cannot be run by RE2 (invalid perl operator: (?=)"),
        (r"(?P<x>a)(?P=x)", "cannot be run by RE2"),
        (r"(?P<x>a)\1", "no look-around and no back-references"),
        (r"(?P<x>a", "cannot be run by RE2 (missing )"),
        (r"(?P<x>a){1,5000}", "invalid repetition size"),
        (r"[(?P<x>a)", "missing ]"),
        ("abc", "has no named group"),
        (r"\Q(?P<x>a)\E", "has no named group"),
        (r"\(?P<x>a[(?P<y>)]", "has no named group"),
        (r"(?P<stream>a)", "'stream' is the platform's own"),
        (r"(?P<x>a)(?P<X>b)", "'X' comes twice"),
        (r"(?P<1x>a)", "'1x' is no name"),
        (None, "pattern: missing"),
    ],
)
def test_patterns_that_cannot_be_are_refused(pattern: object, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        made(pattern)


def test_a_time_group_has_to_exist() -> None:
    with pytest.raises(ConfigError, match="no group 'when'; its groups are x"):
        made(r"(?P<x>a)", event_time=EventTime("when"))


@pytest.mark.parametrize(
    ("pattern", "regex", "beginnings"),
    [
        (r"(a)(?<x>b)(?i:c)(?P<y>d)e", r"(?:a)(?P<x>b)(?i:c)(?P<y>d)e", ["x", "y"]),
        (r"((?P<x>b))\(([(])", r"(?:(?P<x>b))\((?:[(])", []),
        (r"[]()](?i)(?P<x>b)", r"[]()](?i)(?P<x>b)", ["x"]),
        (r"[[:alpha:](]\Q((\E(?P<x>b)", r"[[:alpha:](]\Q((\E(?P<x>b)", ["x"]),
        (r"(?P<x>b)|(?P<y>c)", r"(?P<x>b)|(?P<y>c)", []),
    ],
)
def test_other_groups_lose_their_capture(pattern: str, regex: str, beginnings: list[str]) -> None:
    compiled = compile_pattern(pattern)
    assert compiled.regex == regex
    assert list(compiled.beginnings) == beginnings
