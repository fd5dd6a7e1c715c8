"""Commits that a table lost or cannot read any more: found by the checks, named by ingest, mended by one command."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from world import MINUTE, sent, wire

from nw_platform.errors import LakeError
from nw_platform.ingest.repair import repair
from nw_platform.ingest.replay import replay
from nw_platform.ingest.tick import run_tick
from nw_platform.ingest.verify import verify
from nw_platform.lake.receipts import load_receipts
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.observe import Watch

BATCHES = 3
PER_BATCH = 4


@pytest.fixture
def filled(world):
    """Three batches of four lines, one of them a repeat."""
    for part in range(BATCHES):
        lines = [sent("s", part * 10 + i, world.now + i) for i in range(2)]
        world.write(f"app/{part}.log", b"".join([*lines, lines[0], wire(world.now, id=f"x{part}")]))
        with world.session() as session:
            world.ingest(session)
        world.now += MINUTE
    return world


def log(world, table: str) -> Path:
    return world.root / "lake" / table / "_delta_log"


def commits(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.json"))


def unlink_last(folder):
    commits(folder)[-1].unlink()


def unlink_two(folder):
    for commit in commits(folder)[-2:]:
        commit.unlink()


def empty_last(folder):
    commits(folder)[-1].write_bytes(b"")


def cut_last(folder):
    last = commits(folder)[-1]
    last.write_bytes(last.read_bytes()[:200])


def cut_last_after_its_remarks(folder):
    last = commits(folder)[-1]
    last.write_bytes(last.read_bytes().split(b"\n")[0] + b"\n")


def nul_last(folder):
    commits(folder)[-1].write_bytes(b"\0" * 300)


def empty_middle(folder):
    commits(folder)[2].write_bytes(b"")


def garbage_middle(folder):
    commits(folder)[2].write_bytes(b"garbage")


def unlink_middle(folder):
    commits(folder)[2].unlink()


def remove_log(folder):
    shutil.rmtree(folder)


def remove_table(folder):
    shutil.rmtree(folder.parent)


DAMAGES = (
    unlink_last, unlink_two, empty_last, cut_last, cut_last_after_its_remarks, nul_last, empty_middle, garbage_middle,
    unlink_middle, remove_log, remove_table,
)  # fmt: skip
RAW = "raw/stream=app"


def failing(world, session) -> set[tuple[str, str]]:
    """(check, repair) of what the checks say now."""
    settings = world.settings()
    watch = Watch(session.lake)
    return {(f.check, f.repair) for f in watch.findings(rules_of_all(settings), world.now) if not f.passed}


def assert_whole(world, batches: int) -> None:
    with world.session() as session:
        world.ingest(session)
        found = verify(session)
        assert (found.findings, found.batches) == ([], batches)
        kept, dropped = len(world.rows(session)), len(world.rows(session, "duplicates"))
        assert (kept, dropped) == (BATCHES * 3 + batches - BATCHES, BATCHES)
        assert failing(world, session) == set()


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
@pytest.mark.parametrize("table", ["raw/stream=app", "logs/stream=app", "receipts", "duplicates"])
def test_one_command_mends_a_damaged_table_and_the_next_run_goes_on(filled, table, damage):
    damage(log(filled, table))
    filled.write("app/new.log", wire(filled.now, id="new"))
    with filled.session() as session:
        done = repair(session, ["app"], filled.now)
        assert all(one.is_done for one in done)
        versions = filled.versions(session)
        assert repair(session, ["app"], filled.now) == []
        assert filled.versions(session) == versions
    assert_whole(filled, BATCHES + 1)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_damaged_raw_fails_continuity_and_completeness(filled, damage):
    damage(log(filled, RAW))
    with filled.session() as session:
        found = failing(filled, session)
        assert ("continuity", "nw repair app") in found
        if damage not in {cut_last, nul_last, garbage_middle, unlink_middle}:  # of a table that cannot be read at all
            assert ("completeness", "nw repair app") in found  # nothing is known but that
        assert verify(session).findings


def live_names(world):
    """The files of the lake, without the newest commit of raw where it was cut, and without what was set aside."""
    lake = world.root / "lake"
    files = [path for path in lake.rglob("*") if path.is_file() and "_damaged" not in path.parts]
    names = {path.relative_to(lake).as_posix() for path in files}
    return names - {f"{RAW}/_delta_log/{4:020}.json"}


@pytest.mark.parametrize("damage", [unlink_last, empty_last, cut_last, nul_last, remove_log, remove_table])
def test_ingest_and_replay_say_what_is_wrong_and_name_the_repair(filled, damage):
    damage(log(filled, RAW))
    before = live_names(filled)
    filled.write("app/new.log", wire(filled.now, id="new"))
    with filled.session() as session:
        failures = run_tick(session, lambda: filled.now, until_caught_up=True).failures
        assert "run: nw repair app" in failures["app"]
        assert "\n" not in failures["app"]
        assert len(failures["app"]) < 400
        with pytest.raises(LakeError, match="nw repair app"):
            replay(session, "app", "2026-11-22T00", "2026-11-23T00", filled.now)
    assert live_names(filled) == before
    torn = damage in {empty_last, cut_last, nul_last}  # a torn newest commit is set aside, and nothing is deleted
    assert len(list((filled.root / "lake" / RAW).rglob("_damaged/**/*.json"))) == int(torn)


def test_a_run_that_stands_where_the_lake_was_notices_that_raw_lost_a_commit(filled):
    with filled.session() as session:
        filled.ingest(session)
        unlink_last(log(filled, RAW))
        filled.write("app/new.log", wire(filled.now, id="new"))
        failures = run_tick(session, lambda: filled.now, until_caught_up=True).failures
        assert "nw repair app" in failures["app"]


def test_raw_and_receipts_that_lost_the_same_commit_are_found_by_logs_and_mended(filled):
    unlink_last(log(filled, RAW))
    unlink_last(log(filled, "receipts"))
    filled.write("app/new.log", wire(filled.now, id="new"))
    with filled.session() as session:
        failures = run_tick(session, lambda: filled.now, until_caught_up=True).failures
        assert "nw repair app" in failures["app"]
        assert all(one.is_done for one in repair(session, ["app"], filled.now))
    assert_whole(filled, BATCHES + 1)


def test_logs_are_made_anew_where_nothing_else_knows_their_last_batch(filled):
    for table in (RAW, "receipts"):
        unlink_last(log(filled, table))
    for file in (filled.root / "lake" / "receipts").rglob("0.0-000000000003-*.parquet"):
        file.unlink()
    filled.write("app/new.log", wire(filled.now, id="new"))
    with filled.session() as session:
        assert all(one.is_done for one in repair(session, ["app"], filled.now))
        filled.ingest(session)
        assert verify(session).findings == []
        assert len(filled.rows(session)) == BATCHES * 3 + 1


def test_records_that_nobody_has_any_more_are_named_and_reading_goes_on(filled):
    remove_table(log(filled, RAW))
    (filled.landing / "app" / "1.log").unlink()
    filled.write("app/new.log", wire(filled.now, id="new"))
    with filled.session() as session:
        (lost,) = [one for one in repair(session, ["app"], filled.now) if not one.is_done]
        assert "batch 0.0/2" in lost.what
        assert f"{PER_BATCH} records of app/1.log/0 [0, " in lost.what
        filled.ingest(session)
        assert [f.where for f in verify(session).findings if f.what == "raw" and "is not what" in f.detail] == [
            "batch 0.0/2 (2026-11-22T05)"
        ]
        assert {check for check, _ in failing(filled, session)} == {"continuity", "completeness"}


def test_a_batch_that_is_on_disk_is_not_asked_of_the_source(filled):
    unlink_two(log(filled, RAW))
    for file in (filled.landing / "app").iterdir():
        file.unlink()
    with filled.session() as session:
        done = repair(session, ["app"], filled.now)
        assert any("2 batches were found in files" in one.what for one in done)
        assert verify(session).findings == []


def test_receipts_that_are_nowhere_are_named(filled):
    remove_table(log(filled, "receipts"))
    for commit in commits(log(filled, RAW))[:-1]:  # raw's history goes back for two days only
        lines = [line for line in commit.read_bytes().splitlines() if b"neverwinter.receipt" not in line]
        commit.write_bytes(b"\n".join([*lines, b""]))
    with filled.session() as session:
        lost = [one for one in repair(session, ["app"], filled.now) if not one.is_done]
        assert [one.table for one in lost] == ["receipts"]
        assert "receipts 0 to 2 of lane 0.0" in lost[0].what
        assert len(load_receipts(session.lake, "app")) == 1


def test_a_damaged_checkpoint_is_done_without(world):
    for part in range(52):  # one checkpoint in fifty commits
        world.write(f"app/{part}.log", wire(world.now, id=f"x{part}"))
        with world.session() as session:
            world.ingest(session)
        world.now += MINUTE
    folder = log(world, RAW)
    (checkpoint,) = folder.glob("*.checkpoint*.parquet")
    checkpoint.write_bytes(b"PAR1 no more")
    with world.session() as session:
        assert all(one.is_done for one in repair(session, ["app"], world.now))
        assert verify(session).findings == []
        assert len(world.rows(session)) == 52
    for name in ("_last_checkpoint",):
        (folder / name).write_bytes(b"garbage")
    with world.session() as session:
        repair(session, ["app"], world.now)
        assert verify(session).findings == []


def test_a_whole_lake_is_left_alone(filled):
    with filled.session() as session:
        versions = filled.versions(session)
        assert repair(session, ["app"], filled.now) == []
        assert filled.versions(session) == versions
