"""A power cut at every point of the writes of a run: what was not synced is gone, and the next run ends whole.

The disk is a model: a file keeps what it held when it was last synced, a folder the names that it had then. After each
sync, and after each step of the protocol, the model is written out as a lake of its own (without the names that were
not synced, or with such names and files that are empty; of the whole lake, or of one table), and the next run goes on
from there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from world import World, sent, wire

from nw_platform.ingest import apply, dedupe, lanes, pipeline, raw, recovery
from nw_platform.ingest.verify import verify
from nw_platform.lake import durable


class Disk:
    """What would be left of a folder after a power cut."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contents: dict[int, bytes] = {}  # inode -> what was synced
        self.names: dict[Path, dict[str, int]] = {}  # folder -> names that were synced

    def sync(self, path: Path) -> None:
        """A file or a folder was synced."""
        if path.is_dir():
            self.names[path] = {entry.name: entry.stat().st_ino for entry in path.iterdir()}
        else:
            self.contents[path.stat().st_ino] = path.read_bytes()

    def write(self, target: Path, *, with_names: bool, lost: str = "") -> None:
        """Write out what is left.

        `with_names`: names that were not synced are there, their files empty. `lost`: only what was not synced below
        this folder is lost; the disk had written all else by itself.
        """
        self._write(self.root, target, lost, with_names=with_names)

    def _write(self, folder: Path, target: Path, lost: str, *, with_names: bool) -> None:
        target.mkdir(parents=True, exist_ok=True)
        is_lost = lost in folder.relative_to(self.root).as_posix()
        for entry in folder.iterdir():
            is_named = entry.name in self.names.get(folder, {})
            if not is_named and is_lost and not with_names:
                continue
            if entry.is_dir():
                self._write(entry, target / entry.name, lost, with_names=with_names)
            elif is_lost:
                (target / entry.name).write_bytes(self.contents.get(entry.stat().st_ino, b""))
            else:
                shutil.copy2(entry, target / entry.name)


@pytest.fixture
def cuts(tmp_path, monkeypatch):
    """The lakes that power cuts would leave of one run over a lake with one batch."""
    world = World(tmp_path / "world")
    world.write("app/0.log", sent("s", 0, world.now))
    with world.session() as session:
        world.ingest(session)
    folder = tmp_path / "world" / "lake"
    disk = Disk(folder)
    for path in (folder, *folder.rglob("*")):
        disk.sync(path)  # the run before is long ago
    durable._SYNCED.clear()
    made: list[Path] = []

    def cut(*_: object) -> None:
        for lost in ("", "raw/", "receipts", "logs/"):
            for with_names in (False, True):
                target = tmp_path / f"cut{len(made)}"
                disk.write(target / "lake", with_names=with_names, lost=lost)
                made.append(target)

    def fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        if path == folder or folder in path.parents:
            cut()
            disk.sync(path)
            cut()

    monkeypatch.setattr(durable.os, "fsync", fsync)
    for module in (apply, dedupe, lanes, pipeline, raw, recovery):
        if hasattr(module, "reached"):
            monkeypatch.setattr(module, "reached", cut)
    lines = [sent("s", 1, world.now), sent("s", 0, world.now), wire(world.now, id="x")]
    world.write("app/1.log", b"".join(lines))
    with world.session() as session:
        world.ingest(session)
    monkeypatch.undo()
    cut()
    return world, made


def test_a_power_cut_at_any_point_loses_and_repeats_nothing(cuts):
    world, made = cuts
    assert len(made) > 40
    states = set()
    for cut in made:
        names = {path.relative_to(cut).as_posix(): path.stat().st_size for path in cut.rglob("*") if path.is_file()}
        state = tuple(sorted(names.items()))
        if state in states:
            continue
        states.add(state)
        shutil.copytree(world.landing, cut / "landing", copy_function=shutil.copy2)
        after = World(cut)
        with after.session() as session:
            after.ingest(session)
            assert verify(session).findings == [], names
            assert sorted(after.rows(session, columns="event_id")) == [("s-0",), ("s-1",), ("x",)]
            assert len(after.rows(session, "duplicates")) == 1
    assert len(states) > 5


def test_commits_of_raw_and_receipts_and_their_folders_are_synced_before_the_next_step(tmp_path, monkeypatch):
    synced: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        synced.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(durable.os, "fsync", fsync)
    world = World(tmp_path)
    world.write("app/0.log", wire(world.now, id="x"))
    with world.session() as session:
        world.ingest(session)
    inside = [path.removeprefix(f"{tmp_path}/lake/") for path in synced]
    raw_commit = inside.index("raw/stream=app/_delta_log/00000000000000000002.json")
    receipt_commit = inside.index("receipts/_delta_log/00000000000000000002.json")
    assert inside[raw_commit + 1] == "raw/stream=app/_delta_log"
    assert inside[receipt_commit + 1] == "receipts/_delta_log"
    data = [n for n, path in enumerate(inside) if path.startswith("raw/stream=app/dt=") and path.endswith(".parquet")]
    assert data[-1] < raw_commit < receipt_commit
