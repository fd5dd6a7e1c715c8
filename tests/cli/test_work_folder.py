"""A work folder that cannot be written costs time: what commands do and say of records stays the same."""

from __future__ import annotations

import errno
import json
import logging
import shutil
from pathlib import Path

import pytest
from world import START, sent

from nw_platform.cli.main import main
from nw_platform.ingest.idset import IdSet
from nw_platform.lake import scratch


def a_file(work: Path) -> None:
    work.write_text("no folder")


def a_folder_that_nobody_writes_to(work: Path) -> None:
    work.symlink_to("/proc")  # not even root does


def a_file_in_the_way_of_each_folder(work: Path) -> None:
    work.mkdir()
    for name in ("dedupe", "rebuild", "reports", "spill", "landing", "watch", "alerts", "known-lakes.json"):
        (work / name).write_text("no folder")


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.setattr(scratch, "_SAID", set())
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    path = tmp_path / "neverwinter.yaml"
    stream = {"path": "*.log", "format": "json", "late_after": "never"}
    path.write_text(json.dumps({"lake": "./lake", "streams": {"web": stream}}))
    return path


def nw(config: Path, *words: str) -> int:
    return main(["-c", str(config), *words])


def write(config: Path, name: str, *seqs: int) -> None:
    (config.parent / name).write_bytes(b"".join(sent("s", n, START) for n in seqs))


@pytest.mark.parametrize("broken", [a_file, a_folder_that_nobody_writes_to, a_file_in_the_way_of_each_folder])
def test_every_command_does_its_work_without_a_work_folder(config, broken, capsys, caplog):
    broken(config.parent / ".neverwinter")
    write(config, "a.log", 0, 1)
    with caplog.at_level(logging.WARNING):
        assert nw(config, "ingest", "--once") == 0
        write(config, "b.log", 1, 2)
        assert nw(config, "ingest", "--once") == 0
        assert nw(config, "verify") == 0
        assert nw(config, "rebuild", "web", "2026-11-22", "2026-11-23") == 0
        assert nw(config, "build") == 0
        assert nw(config, "check", "--no-deliver") == 0
        assert nw(config, "repair") == 0
    told = [record.getMessage() for record in caplog.records if "work folder" in record.getMessage()]
    assert len(told) == 1
    assert str(config.parent / ".neverwinter") in told[0]
    capsys.readouterr()
    counts = "SELECT (SELECT count(*) FROM logs) AS kept, (SELECT count(*) FROM duplicates) AS dropped"
    assert nw(config, "sql", counts, "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == [{"kept": 3, "dropped": 1}]


def test_a_full_work_folder_loses_the_hint_and_nothing_else(config, monkeypatch, capsys):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write(config, "a.log", 0, 1)
    monkeypatch.setattr(IdSet, "save", full)
    assert nw(config, "ingest", "--once") == 0
    monkeypatch.undo()
    write(config, "b.log", 1, 2)
    assert nw(config, "ingest", "--once") == 0
    assert nw(config, "verify") == 0
    capsys.readouterr()
    assert nw(config, "sql", "SELECT count(*) AS n FROM duplicates", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 1}]


def test_where_nothing_can_be_written_the_folder_is_named(config, monkeypatch, capsys):
    write(config, "a.log", 0, 1)
    assert nw(config, "ingest", "--once") == 0
    for file in (config.parent / "lake" / "logs").rglob("*.parquet"):
        file.unlink()
    shutil.rmtree(config.parent / ".neverwinter")
    a_file(config.parent / ".neverwinter")
    monkeypatch.setattr("tempfile.tempdir", "/proc")
    capsys.readouterr()
    assert nw(config, "rebuild", "web", "2026-11-22", "2026-11-23") == 1
    told = capsys.readouterr().err.strip().splitlines()[-1]
    assert "cannot be written" in told
    assert "/proc/neverwinter-" in told
