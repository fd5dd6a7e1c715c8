import argparse
import csv
import io
import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from nw_platform.cli.output import Output, choose_format, clock
from nw_platform.errors import UsageError


class Terminal(io.StringIO):
    def isatty(self):
        return True


def printed(result, fmt=None, *, as_json=False, **options):
    stdout = io.StringIO()
    Output(as_json=as_json, stdout=stdout, stderr=io.StringIO()).result(result, fmt, **options)
    return stdout.getvalue()


ROWS = [
    {"hour": "2026-11-22T05", "lines": 12, "pct": 56.45, "at": datetime(2026, 11, 22, 5, tzinfo=UTC), "note": None},
    {"hour": "2026-11-22T06", "lines": 3_000, "pct": None, "at": None, "note": "a,b"},
]


def test_a_table_has_numbers_to_the_right_and_dashes_for_null():
    assert printed(ROWS).splitlines() == [
        "hour           lines    pct  at                    note",
        "-------------  -----  -----  --------------------  ----",
        "2026-11-22T05     12  56.45  2026-11-22T05:00:00Z  -",
        "2026-11-22T06   3000      -  -                     a,b",
    ]


def test_json_is_an_array_of_objects_with_iso_times():
    rows = json.loads(printed(ROWS, as_json=True))
    assert rows[0] == {"hour": "2026-11-22T05", "lines": 12, "pct": 56.45, "at": "2026-11-22T05:00:00Z", "note": None}
    assert json.loads(printed([], "json")) == []


def test_csv_reads_back_and_null_is_empty():
    rows = list(csv.reader(io.StringIO(printed(ROWS, "csv"))))
    assert rows[0] == ["hour", "lines", "pct", "at", "note"]
    assert rows[2] == ["2026-11-22T06", "3000", "", "", "a,b"]


def test_safe_csv_holds_no_formula_and_numbers_stay_numbers():
    out = Output(stdout=io.StringIO(), stderr=io.StringIO())
    texts = ['=HYPERLINK("x")', "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "a=1", "", "'x", "\n=1"]
    numbers = [-1, -1.5, Decimal("-2.50"), True, None]
    row = {f"c{i}": value for i, value in enumerate([*texts, *numbers])} | {"=1+1": [-1]}
    args = argparse.Namespace(format=None, safe_csv=True)
    out.result([row], choose_format(args, out))
    names, cells = csv.reader(io.StringIO(out.stdout.getvalue(), newline=""))
    assert names[-1] == "'=1+1"
    assert cells[: len(texts)] == [f"'{text}" for text in texts[:6]] + texts[6:]
    assert cells[len(texts) :] == ["-1", "-1.5", "-2.50", "true", "", "[-1]"]


def test_csv_is_as_it_was_logged_unless_safe_is_asked_for():
    assert printed([{"a": "=1", "b": "-x"}], "csv") == "a,b\n=1,-x\n"
    with pytest.raises(UsageError, match="leave --format json out"):
        choose_format(argparse.Namespace(format="json", safe_csv=True), Output())


def test_html_is_escaped():
    text = printed([{"message": "<script>"}], "html")
    assert "<td>&lt;script&gt;</td>" in text
    assert "<script>" not in text


def test_a_record_cannot_write_to_the_terminal():
    text = printed([{"message": "\x1b[2J\r\nbad\u202e\x00", "täxt": "über 日本"}])
    assert "\x1b" not in text
    assert "\\x1b[2J\\r\\nbad\\u202e\\x00" in text
    assert "über 日本" in text
    assert len(text.splitlines()) == 3


def test_no_rows_still_have_columns():
    assert printed([], columns=("hour", "lines")).splitlines()[0].split() == ["hour", "lines"]
    assert printed([], "csv", columns=("hour", "lines")) == "hour,lines\n"


@pytest.mark.parametrize("fmt", ["csv", "json", "html"])
def test_every_format_takes_every_type(fmt):
    values = {"a": b"\xff", "b": date(2026, 11, 22), "c": {"k": [1, None]}, "d": True, "e": float("nan"), "f": 2**70}
    text = printed([values], fmt)
    assert "2026-11-22" in text
    assert str(2**70) in text


def test_json_has_no_nan():
    assert json.loads(printed({"a": float("nan"), "b": float("inf"), "c": 0.5}, "json")) == {
        "a": None,
        "b": None,
        "c": 0.5,
    }


def test_one_mapping_is_an_object_or_lines():
    assert printed({"batches": 3, "whole": True}) == "batches  3\nwhole    true\n"
    assert json.loads(printed({"batches": 3}, as_json=True)) == {"batches": 3}


def test_text_is_printed_as_it_is_and_a_string_in_json():
    assert printed("done") == "done\n"
    assert json.loads(printed("done", as_json=True)) == {"result": "done"}


def test_notes_go_to_standard_error():
    stdout, stderr = io.StringIO(), io.StringIO()
    out = Output(stdout=stdout, stderr=stderr)
    out.note("by the way")
    out.error("it failed")
    assert (stdout.getvalue(), stderr.getvalue()) == ("", "by the way\nnw: it failed\n")


@pytest.mark.parametrize("stderr", [io.StringIO(), Terminal()])
def test_progress_is_drawn_on_a_terminal_only(stderr):
    stdout = io.StringIO()
    with Output(stdout=stdout, stderr=stderr).progress(10, "reading [x]") as bar:
        bar.advance(3)
        bar.total(20)
        bar.report(5, 0, "hour [1]")
    assert stdout.getvalue() == ""
    assert bool(stderr.getvalue()) == stderr.isatty()


def test_with_json_there_is_no_progress_even_on_a_terminal():
    stderr = Terminal()
    with Output(as_json=True, stderr=stderr).progress(None, "reading") as bar:
        bar.advance()
    assert stderr.getvalue() == ""


def test_the_clock_is_in_microseconds():
    assert 1_700_000_000_000_000 < clock() < 9_000_000_000_000_000
