"""csv: quoting, headers, types, times, rejects; the field splitter against a reading character by character."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.csv import header_names, with_header
from nw_platform.parsing.csv_fields import split
from nw_platform.parsing.registry import make_format


def plain_fields(line: str) -> list[str | None] | None:
    """RFC 4180, one character after the other; None: the line is broken."""
    fields: list[str | None] = []
    at = 0
    while True:
        if line.startswith('"', at):
            value, at = "", at + 1
            while True:
                end = line.find('"', at)
                if end < 0:
                    return None
                value += line[at:end]
                at = end + 1
                if not line.startswith('"', at):
                    break
                value, at = value + '"', at + 1
            fields.append(value)
            if at < len(line) and line[at] != ",":
                return None
        else:
            end = line.find(",", at)
            end = len(line) if end < 0 else end
            value, at = line[at:end], end
            if '"' in value:
                return None
            fields.append(value or None)
        if at == len(line):
            return fields
        at += 1


@settings(deadline=None)
@given(st.lists(st.text(alphabet='ab",é\n', max_size=12), min_size=1, max_size=20), st.integers(1, 4))
def test_splitting_is_that_of_a_plain_reading(lines: list[str], fields: int) -> None:
    found = split(pa.array(lines, pa.string()), fields)
    for row, line in enumerate(lines):
        expected = plain_fields(line)
        if expected is not None and len(expected) != fields:
            expected = None
        assert bool(found.good[row]) is (expected is not None)
        assert [column[row].as_py() for column in found.columns] == (expected or [None] * fields)


def test_a_slice_splits_as_the_whole() -> None:
    lines = pa.array(["zz,zz,zz", 'a,"b,c"', "d,", '"",é', "x"])
    whole, part = split(lines, 2), split(lines.slice(1, 3), 2)
    assert part.good.tolist() == whole.good.tolist()[1:4] == [True, True, True]
    assert [column.to_pylist() for column in part.columns] == [["a", "d", ""], ["b,c", None, "é"]]


HEADER = "Time,Host,IP,Status,user,note"


def rows_of(make_rows, options: ParseOptions, lines: list[bytes], header: str | None = HEADER) -> list[dict]:
    return make_format(options).parse(make_rows(lines), header).to_pylist()


def test_fields_find_their_columns_by_name_in_any_case(make_rows) -> None:
    options = ParseOptions("s", "csv", columns={"status": "int32", "User": "string"})
    (row,) = rows_of(make_rows, options, [b'2026-11-22T05:00:01Z,web-01,10.0.0.1,200,"Smith, ""Ann""",'])
    assert row["event_time"] == datetime(2026, 11, 22, 5, 0, 1, tzinfo=UTC)
    assert (row["host"], row["ip"], row["status"], row["User"]) == ("web-01", "10.0.0.1", 200, 'Smith, "Ann"')
    assert json.loads(row["extra"]) == {"Time": "2026-11-22T05:00:01Z", "note": None}
    assert list(make_format(options).columns) == ["status", "User"]


def test_an_empty_field_is_null_unless_it_is_quoted(make_rows) -> None:
    options = ParseOptions("s", "csv", columns={"status": "int32", "user": "string", "note": "string"})
    bare, quoted = rows_of(make_rows, options, [b"1790000000000,,,,,", b'1790000000000,"","","","",""'])
    assert (bare["host"], bare["status"], bare["user"]) == (None, None, None)
    assert (quoted["host"], quoted["status"], quoted["user"]) == ("", None, "")
    assert bare["reject_reason"] is quoted["reject_reason"] is None


@pytest.mark.parametrize(
    ("line", "reason", "time_kept"),
    [
        (b"2026-11-22T05:00:01Z,h,1,200,u", "bad_format", True),
        (b"2026-11-22T05:00:01Z,h,1,200,u,n,more", "bad_format", True),
        (b'2026-11-22T05:00:01Z,h,1,200,"u,n', "bad_format", True),
        (b'2026-11-22T05:00:01Z,h,1,200,u"x,n', "bad_format", True),
        (b'2026-11-22T05:00:01Z,h,1,200,"u"x,n', "bad_format", True),
        (b'"2026-11-22T05:00:01Z",h', "bad_format", True),
        (b"yesterday,h", "bad_format", False),
        (b"", "bad_format", False),
        (b"yesterday,h,1,200,u,n", "bad_time", False),
        (b",h,1,200,u,n", "bad_time", False),
        (b"2026-11-22T05:00:01Z,h,1,2.0,u,n", "bad_type", True),
        (b"2026-11-22T05:00:01Z,h,1,2147483648,u,n", "bad_type", True),
        (b"2026-11-22T05:00:01Z,h,1,-,u,n", "bad_type", True),
        (b"2026-11-22T05:00:01Z,h,1,200,\xff,n", "bad_encoding", True),
        (b"2026-11-22T05:00:01Z,h,1,200,u," + b"n" * 3000, "too_large", True),
    ],
)
def test_rejects_cost_only_themselves(make_rows, line: bytes, reason: str, *, time_kept: bool) -> None:
    options = ParseOptions("s", "csv", columns={"status": "int32", "user": "string"}, max_record=1000)
    good = b'1790000000000,h,1,200,"u ""q""\x00",n'
    before, row, after = rows_of(make_rows, options, [good, line, good])
    for fine in (before, after):
        assert (fine["reject_reason"], fine["status"], fine["user"]) == (None, 200, 'u "q"\x00')
        assert fine["event_time"] == datetime.fromtimestamp(1_790_000_000, UTC)
    assert (row["series"], row["reject_reason"], row["status"], row["user"]) == ("error", reason, None, None)
    assert row["message"] == line.decode("utf-8", "replace")
    kept = datetime(2026, 11, 22, 5, 0, 1, tzinfo=UTC)
    assert row["event_time"] == (kept if time_kept else row["received_time"])


def test_without_a_header_the_declared_columns_are_the_fields(make_rows) -> None:
    options = ParseOptions(
        "s",
        "csv",
        event_time=EventTime("when", None, "%d/%m/%Y %H:%M:%S", "Europe/Berlin"),
        columns={"id": "int64", "when": "timestamp", "day": "date", "ok": "bool", "pid": "int32", "x": "float64"},
        options={"header": False, "delimiter": ";", "quote": "'"},
    )
    (row,) = rows_of(make_rows, options, [b"9007199254740993;'22/11/2026 06:00:01';2026-11-22;TRUE;77;1e3"], None)
    moment = datetime(2026, 11, 22, 5, 0, 1, tzinfo=UTC)
    assert (row["event_time"], row["when"], row["id"]) == (moment, moment, 9_007_199_254_740_993)
    assert (row["day"], row["ok"], row["pid"], row["x"]) == (date(2026, 11, 22), True, 77, 1000.0)


def test_without_a_time_column_a_record_happened_when_it_was_received(make_rows) -> None:
    (row,) = rows_of(make_rows, ParseOptions("s", "csv"), [b"1,2"], "a,b")
    assert (row["event_time"], row["reject_reason"]) == (row["received_time"], None)
    (row,) = rows_of(make_rows, ParseOptions("s", "csv", event_time=EventTime("when")), [b"1,2"], "a,b")
    assert row["reject_reason"] == "bad_time"


def test_nobody_knows_the_fields_without_header_and_columns(make_rows) -> None:
    (row,) = rows_of(make_rows, ParseOptions("s", "csv"), [b"1,2"], None)
    assert row["reject_reason"] == "bad_format"


def test_known_names_become_columns_of_strings(make_rows) -> None:
    options = with_header(ParseOptions("s", "csv", options={"delimiter": "\t"}), "time\tHost\tuser\tstream\tuser")
    assert list(make_format(options).columns) == ["time", "user", "user_5"]
    (row,) = rows_of(make_rows, options, [b"1790000000000\th\tann\tx\tbob"], "time\tHost\tuser\tstream\tuser")
    assert (row["host"], row["user"], row["user_5"], row["extra"]) == ("h", "ann", "bob", '{"stream":"x"}')
    assert with_header(options, "other") is options


def test_another_header_is_read_by_its_own_names(make_rows) -> None:
    options = ParseOptions("s", "csv", columns={"a": "string", "b": "string"})
    (row,) = rows_of(make_rows, options, [b"1,2,3"], "b,c,a")
    assert (row["a"], row["b"], row["extra"]) == ("3", "1", '{"c":"2"}')


def test_headers() -> None:
    options = ParseOptions("s", "csv")
    assert header_names('a, b ,"c,d",,A', options) == ["a", "b", "c,d", "column_4", "A_5"]
    assert header_names('a,"b', options) == []
    assert header_names("," * 1_000_000, options) == []


@pytest.mark.parametrize(
    ("options", "columns", "said"),
    [
        ({"delimiter": ";;"}, {}, "delimiter: ';;' is not one ASCII character"),
        ({"delimiter": "\n"}, {}, "is not one ASCII character"),
        ({"quote": "«"}, {}, "quote: '«' is not one ASCII character"),
        ({"delimiter": "'", "quote": "'"}, {}, "is the quote too"),
        ({"header": False}, {}, "columns: declare them"),
        ({}, {"stream": "string"}, "platform's own"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict, columns: dict, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make_format(ParseOptions("s", "csv", columns=columns, options=options))


def test_an_empty_quote_means_none(make_rows) -> None:
    options = ParseOptions("s", "csv", columns={"a": "string", "b": "string"}, options={"quote": ""})
    (row,) = rows_of(make_rows, options, [b'"x,5" disk'], "a,b")
    assert (row["a"], row["b"]) == ('"x', '5" disk')
