"""The commands that read and repair the lake, on real files: what they print, and how they end."""

import gzip
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nw_platform.cli.main import main

ROOT = str(Path(__file__).resolve().parents[2])
LINE = '{{"ts": {}, "message": "m", "id": "s-{}"}}\n'
START_MS = 1_447_777_800_000  # 2015-11-17T16:30Z


def lines(first, last):
    return "".join(LINE.format(START_MS + n * 60_000, n) for n in range(first, last))


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("NW_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "landing").mkdir()
    (tmp_path / "landing" / "a.log").write_text(lines(0, 60) + "not json\n" + LINE.format(START_MS, 0))
    (tmp_path / "neverwinter.yaml").write_text(
        "sources: {l: {kind: landing, url: ./landing}}\n"
        "streams:\n"
        "  app: {source: l, path: '*.log*', format: json, history: {from: 2015-01-01, until: 2016-01-01}}\n"
        "  quiet: {source: l, path: 'q/*.log', format: lines}\n"
    )
    return tmp_path


@pytest.fixture
def nw(home, capsys):  # noqa: ARG001  (the folder it runs in)
    def run(*argv):
        code = main(list(argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_ingest_prints_a_line_for_each_stream(nw):
    code, out, err = nw("ingest", "--once")
    assert (code, err) == (0, "")
    first, second = out.splitlines()
    assert first.startswith("app: 62 records, 1 reject, 1 duplicate, ")
    assert " event hours (2015-11-17T16 to " in first
    assert second == "quiet: nothing new"
    assert nw("ingest", "--once")[1].splitlines() == ["app: nothing new", "quiet: nothing new"]


def test_ingest_for_machines_balances(nw):
    code, out, _ = nw("ingest", "--once", "--json", "--stream", "app")
    assert code == 0
    result = json.loads(out)
    (app,) = result["streams"]
    assert app["records"] == app["normal"] + app["error"] + app["watchdog"] + app["duplicates"] == 62
    assert (result["problems"], result["failures"]) == ([], {})


def test_a_damaged_file_is_named_and_the_exit_code_is_1(nw, home):
    packed = gzip.compress(lines(100, 5000).encode())
    (home / "landing" / "b.log.gz").write_bytes(packed[: len(packed) // 2])
    code, out, err = nw("ingest", "--once")
    assert code == 1
    assert "app: " in out
    [said] = err.splitlines()  # once, however many batches met it
    assert said.startswith("app: damaged: b.log.gz")
    assert "before byte " in said
    code, out, _ = nw("ingest", "--once", "--json")
    assert {p["kind"] for p in json.loads(out)["problems"]} <= {"damaged"}


def test_an_unknown_stream_is_2_with_the_nearest(nw):
    code, out, err = nw("ingest", "--once", "--stream", "ap")
    assert (code, out) == (2, "")
    assert "did you mean 'app'?" in err


def test_verify_after_ingest_and_after_somebody_took_raw_away(nw, home):
    assert nw("ingest", "--once")[0] == 0
    code, out, _ = nw("verify")
    assert (code, out) == (0, "62 records in 1 batches: all there, once, as they were read\n")
    for file in (home / "lake" / "raw").rglob("*.parquet"):
        file.unlink()
    code, out, _ = nw("verify", "app", "--json")
    assert code == 1
    assert json.loads(out)["findings"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["2026-11-22"], "needs a TO"),
        (["app", "2026-11-22", "2026-11-23", "x"], "too many arguments"),
        (["2026-11-23", "2026-11-22"], "is empty"),
        (["app", "2026-11-22T25", "2026-11-24"], "is no UTC hour or day"),
        (["nope"], "there is no stream 'nope'"),
    ],
)
def test_verify_used_wrongly(nw, words, said):
    code, out, err = nw("verify", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_replay_and_rebuild_of_what_is_unchanged_change_nothing(nw):
    assert nw("ingest", "--once")[0] == 0
    code, out, _ = nw("replay", "app", "2020-01-01", "2100-01-01", "--json")
    assert code == 0
    assert [(row["rows_before"], row["rows_after"], row["changed"]) for row in json.loads(out)] == [(62, 62, 0)]
    code, out, err = nw("rebuild", "app", "2015-11-17", "2015-11-18")
    assert (code, err) == (0, "")
    assert out.splitlines()[0].split() == ["hour", "rows_before", "rows_after", "changed", "kept", "note"]
    assert out.splitlines()[2].split()[:4] == ["2015-11-17T16", "30", "30", "0"]


def test_a_dry_run_says_so(nw):
    assert nw("ingest", "--once")[0] == 0
    assert "nothing was changed" in nw("replay", "app", "2020-01-01", "2100-01-01", "--dry-run")[2]
    assert nw("retention", "--dry-run")[1:] == ("nothing has expired\n", "dry run: nothing was deleted\n")


def test_retention_deletes_what_has_expired(nw, home):
    config = home / "neverwinter.yaml"
    config.write_text(config.read_text().replace("format: json,", "format: json, retention: {logs: 1d},"))
    assert nw("ingest", "--once")[0] == 0
    code, out, _ = nw("retention", "--json")
    assert code == 0
    (gone,) = json.loads(out)
    assert (gone["stream"], gone["logs_hours"]) == ("app", ["2015-11-17T16", "2015-11-17T17"])
    assert nw("retention")[1] == "nothing has expired\n"


def test_compact_with_nothing_to_merge(nw):
    assert nw("ingest", "--once")[0] == 0
    assert nw("compact")[:2] == (0, "nothing to merge\n")
    assert nw("compact", "--json")[:2] == (0, "[]\n")


def test_without_once_it_goes_on_until_it_is_told_to_end(home):
    environ = {**os.environ, "PYTHONPATH": ROOT}
    command = [sys.executable, "-m", "nw_platform.cli.main", "ingest", "--json"]
    with subprocess.Popen(command, cwd=home, env=environ, stdout=subprocess.PIPE, text=True) as process:
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        code = process.wait(30)
    assert first["streams"][0]["records"] == 62
    assert (code, rest) == (0, "")


@pytest.mark.parametrize(
    ("grain", "period", "words"),
    [
        ("day", "2015-13-45", "'2015-13-45' is no UTC hour or day"),
        ("day", "2015-05-18T01", "--period 2015-05-18?"),
        ("week", "2015-05-20", "--period 2015-05-18?"),
        ("hour", "2015-05-18", "--period 2015-05-18T00?"),
        ("all", "2015-05-18", "--period all?"),
    ],
)
def test_a_period_that_the_grain_cannot_have_is_2(nw, grain, period, words):
    code, out, err = nw("report", "log_type", "--grain", grain, "--period", period)
    assert (code, out) == (2, "")
    assert words in err
