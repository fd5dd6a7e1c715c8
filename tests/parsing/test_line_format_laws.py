"""What holds for every format, whatever the bytes: no raise, a row for a row, and no trace of how rows were cut."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nw_platform.parsing import finish
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.registry import make_format
from nw_platform.record.envelope import REJECT_REASONS, logs_schema

HEADER = "time,Host,status,note"
FORMATS = {
    "log4j": ParseOptions("s", "log4j", max_record=200),
    "log4j with a layout": ParseOptions(
        "s",
        "log4j",
        columns={"line": "int32"},
        options={"layout": "%d{dd MMM yyyy HH:mm:ss,SSS} %-5p [%t] %X{k} (%F:%L) %m"},
    ),
    "syslog": ParseOptions("s", "syslog", event_time=EventTime(zone="Europe/Berlin")),
    "csv": ParseOptions("s", "csv", columns={"status": "int32"}, max_record=200),
    "regex": ParseOptions(
        "s",
        "regex",
        columns={"status": "float64"},
        event_time=EventTime("time", None, "%b %d %H:%M:%S"),
        options={"pattern": r"^(?P<time>\w+ +\d+ \S+) (?P<host>\S+) (?P<status>\S*)"},
    ),
    "lines": ParseOptions("s", "lines"),
    "syslog in json": ParseOptions("s", "json", message_format="syslog"),
}
SAMPLES = (
    b"[2016-12-19 15:59:28,017] INFO a message (a.B)\njava.X: y\n\tat z (Native Method)",
    b"19 Dec 2016 15:59:28,017 WARN  [main] v (A.java:12) said",
    b'<34>1 2003-10-11T22:14:15.003Z host su 12 ID47 [a@1 b="c"] said',
    b"Feb 29 05:00:01 web-01 sshd[1234]: Accepted",
    b'2026-11-22T05:00:01Z,web-01,200,"a ""b"", c"',
    b"1790000000000,,,",
    b'{"ts":1790000000000,"host":"h","message":"Nov 22 05:00:01 h a[1]: b"}',
    b"",
)  # fmt: skip
NOISE = st.sampled_from(
    [b"\x00", b"\xff", b'"', b",", b" ", b"\n", b"\r", b"[", b"(", b"-", b"9" * 25, "é\ufeff".encode()]
)


@st.composite
def records(draw: st.DrawFn) -> bytes:
    """A line of some format, cut, doubled or with something put into it."""
    line = draw(st.sampled_from(SAMPLES))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(line)))
        upto = draw(st.integers(at, min(len(line), at + 8)))
        line = line[:at] + draw(NOISE | st.just(b"") | st.binary(max_size=4)) + line[upto:]
    return line


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=st.lists(records(), min_size=1, max_size=25), chunk=st.integers(1, 7))
def test_any_bytes_give_a_row_each_however_they_are_cut(
    make_rows, monkeypatch: pytest.MonkeyPatch, name: str, lines: list[bytes], chunk: int
) -> None:
    made = make_format(FORMATS[name])
    whole = made.parse(make_rows(lines), HEADER)
    schema = logs_schema(made.columns)
    assert whole.schema == schema.remove(schema.get_field_index("ingest_time"))
    assert whole.num_rows == len(lines)
    assert whole.equals(make_format(FORMATS[name]).parse(make_rows(lines, chunk=chunk), HEADER))
    with monkeypatch.context() as patch:
        patch.setattr(finish, "BLOCK_ROWS", chunk)
        assert whole.equals(made.parse(make_rows(lines), HEADER))
    for row, line in zip(whole.to_pylist(), lines, strict=True):
        assert row["event_time"] is not None
        assert row["size_bytes"] == len(line) + 1
        assert (row["reject_reason"] in REJECT_REASONS) is (
            row["series"] == "error" and row["reject_reason"] is not None
        )
        if row["reject_reason"] is not None:
            assert row["series"] == "error"
            assert all(row[column] is None for column in made.columns)


@pytest.mark.parametrize("name", FORMATS)
def test_no_rows_give_no_rows(make_rows, name: str) -> None:
    made = make_format(FORMATS[name])
    assert made.parse(make_rows([]), HEADER).num_rows == 0
