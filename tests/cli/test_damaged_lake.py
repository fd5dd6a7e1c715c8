"""Whatever is in the place of a lake's file: one line with the repair, where it is needed, and never a traceback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from world import START, sent, wire

from nw_platform.cli.main import main


def foreign(path: Path) -> None:
    pq.write_table(pa.table({"a": [1, 2, 3], "lane": [1, 2, 3]}), path)


def fewer_rows(path: Path) -> None:
    table = pq.ParquetFile(path).read()
    pq.write_table(table.slice(0, table.num_rows - 1), path)


def no_parquet(path: Path) -> None:
    path.write_bytes(b"PAR1 no more")


def empty(path: Path) -> None:
    path.write_bytes(b"")


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def gone(path: Path) -> None:
    path.unlink()


KINDS = (foreign, fewer_rows, no_parquet, empty, a_folder, gone)
TABLES = ("raw", "logs", "receipts", "duplicates", "alerts")
COMMANDS = (
    ("verify",), ("ingest", "--once"), ("check", "--no-deliver"), ("build",), ("report", "summary"),
    ("sql", "SELECT count(*) FROM logs"), ("sql", "SELECT count(*) FROM alerts"), ("alerts", "list"),
    ("sql", "SELECT count(*) FROM duplicates"), ("sql", "SELECT count(*) FROM receipts"),
    ("replay", "web", "2026-11-01", "2026-12-31"), ("rebuild", "web", "2026-11-22", "2026-11-23"),
)  # fmt: skip


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Two streams; `web` has a repeat, and an alert is open."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    stream = {"format": "json", "late_after": "never"}
    web = {**stream, "path": "web*.log", "expect": [{"kind": "rate", "where": "nonsense", "max_pct": 1, "name": "x"}]}
    streams = {"web": web, "app": {**stream, "path": "app*.log"}}
    path = tmp_path / "neverwinter.yaml"
    path.write_text(json.dumps({"lake": "./lake", "streams": streams}))
    first = sent("s", 0, START)
    (tmp_path / "web.log").write_bytes(first + sent("s", 1, START) + first + wire(START, id="x"))
    (tmp_path / "app.log").write_bytes(wire(START, id="y"))
    assert nw(path, "ingest", "--once") == 0
    nw(path, "check")
    return path


def nw(config: Path, *words: str) -> int:
    return main(["-c", str(config), *words])


def a_file(config: Path, table: str) -> Path:
    folder = config.parent / "lake" / table
    found = [path for path in sorted(folder.rglob("*.parquet")) if "_delta_log" not in path.parts]
    mine = [path for path in found if "stream=web" in path.parts] or found
    return mine[-1]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("table", TABLES)
def test_a_file_that_is_not_what_was_written_is_named_and_mended(config, table, kind, capsys):
    path = a_file(config, table)
    kind(path)
    capsys.readouterr()
    assert nw(config, "verify") == 1
    told = capsys.readouterr()
    assert path.name in told.out
    assert "run: nw " in told.out
    for command in COMMANDS[1:]:
        nw(config, *command)
        err = capsys.readouterr().err
        assert "Traceback" not in err, command
        for line in err.splitlines():
            assert len(line) < 1000, command
            assert "TypeError" not in line, command
            assert "KeyError" not in line, command
    nw(config, "repair")
    told = capsys.readouterr()
    assert nw(config, "verify") == 0, (told.out, capsys.readouterr().out)
    assert nw(config, "sql", "SELECT count(*) AS n FROM web", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == [{"n": 3}]


@pytest.mark.parametrize("kind", ["file", "commit"])
@pytest.mark.parametrize("table", ["alerts", "receipts", "duplicates", "logs/stream=web"])
def test_a_damaged_table_breaks_only_what_needs_it(config, table, kind, capsys):
    if kind == "file":
        no_parquet(a_file(config, table))
    else:
        max((config.parent / "lake" / table / "_delta_log").glob("*.json")).write_bytes(b"garbage")
    capsys.readouterr()
    assert nw(config, "sql", "SELECT count(*) AS n FROM app", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 1}]
    assert nw(config, "report", "log_type") == 0
    if table != "logs/stream=web":
        assert nw(config, "report", "summary") == 0
    capsys.readouterr()
    needed = "web" if "=" in table else table
    assert nw(config, "sql", f"SELECT count(*) FROM {needed}") == 1
    err = capsys.readouterr().err
    assert "run: nw re" in err
    assert err.count("\n") == 1
    assert nw(config, "sql", "SHOW TABLES") == 0


def test_open_alerts_are_not_known_where_their_table_is_damaged(config, capsys):
    assert nw(config, "build") == 0
    no_parquet(a_file(config, "alerts"))
    capsys.readouterr()
    assert nw(config, "sql", "SELECT max(open_alerts) AS n FROM summary_report", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == [{"n": None}]


def test_a_lake_that_can_only_be_read_answers(config):
    """Commands that only read make nothing in the lake."""
    lake = config.parent / "lake"
    shutil.rmtree(config.parent / ".neverwinter")
    before = sorted(path.relative_to(lake).as_posix() for path in lake.rglob("*"))
    assert nw(config, "verify") == 0
    assert nw(config, "check", "--no-deliver") in {0, 1}
    assert nw(config, "sql", "SELECT count(*) FROM logs") == 0
    assert nw(config, "report", "receipts") == 0
    assert sorted(path.relative_to(lake).as_posix() for path in lake.rglob("*")) == before


def test_a_file_that_a_repair_may_need_is_not_said_to_be_useless(config, capsys):
    log = config.parent / "lake" / "raw" / "stream=web" / "_delta_log"
    max(log.glob("*.json")).write_bytes(b"")
    assert nw(config, "verify", "web") == 1
    told = capsys.readouterr().err
    assert "keep it until the findings are mended" in told
    assert "it may be deleted" not in told
    assert nw(config, "repair", "web") == 0
    assert nw(config, "verify", "web") == 0
