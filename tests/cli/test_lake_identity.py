"""A lake that is known and is not there, or another one in its place, stops every command until that is cleared."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path

import pytest

from nw_platform.cli.main import main
from nw_platform.lake.identity import LakeMemory
from nw_platform.lake.store import Lake

COMMANDS = (
    ("ingest", "--once"), ("verify",), ("check", "--no-deliver"), ("build",), ("sql", "SELECT count(*) FROM logs"),
    ("report", "summary"), ("replay", "web", "2026-01-01", "2026-01-02"),
    ("rebuild", "web", "2026-01-01", "2026-01-02"),
    ("compact",), ("retention",), ("repair",), ("alerts", "list"), ("up",),
)  # fmt: skip


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A configuration with one stream of one line, ingested."""
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / "a.log").write_text("one\n")
    path = tmp_path / "neverwinter.yaml"
    path.write_text(json.dumps({"lake": "./lake", "streams": {"web": {"path": "*.log", "format": "lines"}}}))
    assert nw(path, "ingest", "--once") == 0
    return path


def nw(config: Path, *words: str) -> int:
    return main(["-c", str(config), *words])


def assert_refused(config: Path, capsys, command: tuple[str, ...], what: str) -> None:
    capsys.readouterr()
    assert nw(config, *command) == 1, command
    told = capsys.readouterr()
    assert told.err.count("\n") == 1, told.err
    assert what in told.err
    assert "nw init --new-lake" in told.err
    assert "Traceback" not in told.err


def test_a_lake_that_is_gone_stops_every_command_and_none_is_begun(config, capsys):
    lake = config.parent / "lake"
    away = config.parent / "away"
    lake.rename(away)
    for command in COMMANDS:
        assert_refused(config, capsys, command, "is gone")
        assert not lake.exists(), command
    lake.mkdir()  # a mount point without its disk
    for command in COMMANDS:
        assert_refused(config, capsys, command, "is gone")
        assert list(lake.iterdir()) == [], command
    lake.rmdir()
    away.rename(lake)
    assert nw(config, "ingest", "--once") == 0
    assert nw(config, "verify") == 0


def test_a_wrong_path_is_refused_and_a_lake_that_moved_is_not(config, capsys):
    text = config.read_text()
    config.write_text(text.replace("./lake", "./lakke"))
    assert_refused(config, capsys, ("verify",), "is gone")
    assert not (config.parent / "lakke").exists()
    (config.parent / "lake").rename(config.parent / "lakke")
    assert nw(config, "verify") == 0


def test_another_lake_in_its_place_is_refused(config, tmp_path, capsys):
    other = tmp_path / "other.yaml"
    other.write_text(config.read_text().replace("./lake", "./other"))
    assert nw(other, "ingest", "--once") == 0
    shutil.rmtree(tmp_path / "lake")
    (tmp_path / "other").rename(tmp_path / "lake")
    for command in COMMANDS:
        assert_refused(config, capsys, command, "is another one")


def test_a_new_lake_is_begun_when_that_is_said(config, capsys):
    shutil.rmtree(config.parent / "lake")
    assert nw(config, "init", "--new-lake") == 0
    assert nw(config, "verify") == 0
    assert nw(config, "ingest", "--once") == 0
    capsys.readouterr()
    assert nw(config, "sql", "SELECT count(*) AS n FROM web", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out) == [{"n": 1}]


def test_a_lake_that_never_was_is_not_all_there(tmp_path, capsys):
    path = tmp_path / "neverwinter.yaml"
    path.write_text(json.dumps({"lake": "./lake", "streams": {"web": {"path": "*.log", "format": "lines"}}}))
    assert nw(path, "verify") == 1
    assert "there is no lake at" in capsys.readouterr().err
    assert not (tmp_path / "lake").exists()


def test_a_lake_of_the_version_before_is_adopted(config):
    shutil.rmtree(config.parent / "lake" / "_identity")
    (config.parent / ".neverwinter" / "known-lakes.json").unlink()
    assert nw(config, "verify") == 0
    assert (config.parent / "lake" / "_identity").is_dir()
    (config.parent / "lake").rename(config.parent / "away")
    assert nw(config, "ingest", "--once") == 1


def test_dagsters_home_remembers_what_the_work_folder_forgot(config, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    assert nw(config, "ingest", "--once") == 0
    shutil.rmtree(config.parent / ".neverwinter")
    shutil.rmtree(config.parent / "lake")
    assert_refused(config, capsys, ("ingest", "--once"), "is gone")


def test_a_stream_whose_tables_are_all_gone_is_not_begun_again_in_silence(config, capsys):
    for table in ("raw", "logs", "receipts"):
        shutil.rmtree(config.parent / "lake" / table)
    assert_refused(config, capsys, ("ingest", "--once"), "all tables of stream web are gone")


def test_many_that_begin_a_lake_at_once_agree_on_its_id(tmp_path):
    def memory(number: int) -> LakeMemory:
        return LakeMemory([tmp_path / f"work{number}"], "c", ["web"])

    ready = threading.Barrier(8)
    problems: list[Exception] = []

    def begin(number: int) -> None:
        lake = Lake(str(tmp_path / "lake"), work=tmp_path / f"work{number}", memory=memory(number))
        ready.wait()
        try:
            lake.receipts().ensure()
        except Exception as error:  # noqa: BLE001  (said by the test)
            problems.append(error)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert len({memory(number).known()[0].id for number in range(8)}) == 1


def test_a_work_folder_that_cannot_be_written_only_forgets(config):
    work = config.parent / ".neverwinter"
    shutil.rmtree(work)
    work.write_text("a file")
    assert nw(config, "verify") == 0
