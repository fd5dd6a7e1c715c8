"""Two processes at once, where neither dies: what one has begun, the other leaves alone and does not pass over."""

from __future__ import annotations

import json
import weakref

import pytest
from deltalake.exceptions import CommitFailedError
from world import HOUR, MINUTE, sent, wire

from nw_platform.errors import CommitConflictError, LakeError
from nw_platform.ingest import pipeline as pipelines
from nw_platform.ingest import rebuilding
from nw_platform.ingest import replay as replaying
from nw_platform.ingest.compact import compact
from nw_platform.ingest.rawrows import batch_rows
from nw_platform.ingest.rebuild import hours_of, rebuild
from nw_platform.ingest.rebuilding import rebuild_hours
from nw_platform.ingest.recovery import opened
from nw_platform.ingest.replay import replay
from nw_platform.ingest.tick import run_tick
from nw_platform.ingest.verify import verify
from nw_platform.lake.tables import Snapshot

ALL = ("1970-01-01T00", "2100-01-01T00")


@pytest.fixture
def between(monkeypatch):
    """Runs something once, when a batch is in `raw` with its receipt and not in `logs` yet."""

    def use(action):
        apply_batch, waiting = pipelines.apply_batch, [action]

        def apply(*args, **options):
            if waiting:
                waiting.pop()()
            return apply_batch(*args, **options)

        monkeypatch.setattr(pipelines, "apply_batch", apply)

    return use


def test_a_rebuild_leaves_a_batch_alone_that_is_just_being_applied(world, between):
    world.write("app/a.log", b"a\n" * 3)
    with world.session(format="lines") as session, world.session(format="lines") as other:
        world.ingest(session)
        world.now += MINUTE
        world.write("app/b.log", b"b\n" * 2)
        pipeline = opened(other, "app", world.now)
        between(lambda: rebuild_hours(pipeline, hours_of(pipeline, *ALL), world.now))
        world.ingest(session)
        assert len(world.rows(session)) == 5
        assert verify(session).findings == []


def test_new_parsing_rules_do_not_pass_over_a_batch_that_is_just_being_applied(world, between):
    def record(own: int, other: int) -> bytes:
        times = {"ts": (world.now - own * HOUR) // 1000, "other": (world.now - other * HOUR) // 1000}
        return json.dumps(times).encode() + b"\n"

    changed = {"event_time": {"field": "other", "unit": "ms"}}
    world.write("app/a.log", record(1, 2))
    with world.session() as session, world.session(**changed) as other:
        world.ingest(session)
        world.now += MINUTE
        world.write("app/b.log", record(50, 60))
        pipeline = opened(other, "app", world.now)
        between(lambda: rebuild_hours(pipeline, ["2026-11-22T04"], world.now))
        world.ingest(session)
        assert len(world.rows(session, "raw")) == len(world.rows(session)) == 2
    with world.session(**changed) as session:
        world.ingest(session)
        assert verify(session).findings == []
        versions = world.versions(session)
        world.ingest(session)
        assert world.versions(session) == versions


@pytest.mark.parametrize("meanwhile", ["nothing", "a batch"])
def test_a_rebuild_that_died_between_its_commits_is_finished(world, monkeypatch, meanwhile):
    world.write("app/a.log", sent("s", 1, world.now) * 2 + wire(world.now))
    with world.session() as session:
        world.ingest(session)
        world.now += MINUTE
        lost = [session.lake.logs("app").snapshot(), session.lake.duplicates().snapshot()]
        for snapshot in lost:
            snapshot.commit(remove=snapshot.files(), transactions={}, metadata={}, now=world.now)

        def die(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(rebuilding, "reached", die)
            with pytest.raises(KeyboardInterrupt):
                rebuild(session, "app", *ALL, world.now)
        if meanwhile == "a batch":
            world.write("app/b.log", wire(world.now))
            world.ingest(session)
    with world.session() as session:
        world.ingest(session)
        assert verify(session).findings == []
        versions = world.versions(session)
        world.ingest(session)
    with world.session() as session:
        world.ingest(session)
        assert world.versions(session) == versions


def test_duplicates_of_a_batch_that_is_just_being_applied_keep_their_files(world, monkeypatch):
    """Compaction and rebuild of the same day must not merge them: a run that redoes the batch finds them by name."""
    at = world.now - 48 * HOUR
    world.write("app/a.log", sent("s", 1, at) * 2 + sent("s", 2, at) * 2)
    with world.session() as session, world.session() as other:
        world.ingest(session)
        world.now += MINUTE
        world.write("app/b.log", sent("s", 1, at) * 2)
        logs = session.lake.logs("app")
        commit, died = type(logs.snapshot()).commit, []

        def lose(snapshot, **options):
            if "apply" in options["transactions"] and not died:
                died.append(True)
                compact(other, world.now)
                raise KeyboardInterrupt
            return commit(snapshot, **options)

        monkeypatch.setattr(type(logs.snapshot()), "commit", lose)
        with pytest.raises(KeyboardInterrupt):
            world.ingest(session)
        monkeypatch.undo()
        compact(other, world.now)
    with world.session() as session:
        world.ingest(session)
        assert len(world.rows(session, "duplicates")) == 4
        assert verify(session).findings == []


def test_a_commit_that_the_storage_failed_is_no_lost_race(world):
    """Whether it was made is not known: what it names must not be removed, and trying again at once helps nobody."""
    with world.session() as session:
        snapshot = session.lake.receipts().ensure()

        class Failing:
            def __getattr__(self, name):
                return getattr(snapshot._handle, name)

            def create_write_transaction(self, *_, **__):
                raise CommitFailedError("Log storage error: Generic S3 error: timed out")

        failing = Snapshot(session.lake.receipts(), Failing())
        with pytest.raises(LakeError) as caught:
            failing.commit(transactions={"a": 1}, metadata={}, now=world.now)
        assert not isinstance(caught.value, CommitConflictError)


def test_a_clock_that_was_ahead_once_does_not_stop_a_stream(world):
    world.write("app/a.log", b"a\n")
    world.now += 10_000 * HOUR
    with world.session(format="lines", every="10m") as session:
        world.ingest(session)
    world.now -= 10_000 * HOUR
    world.write("app/b.log", b"b\n")
    with world.session(format="lines", every="10m") as session:
        assert len(run_tick(session, lambda: world.now).batches) == 1


def test_a_batch_with_a_file_that_held_nothing_whole_is_replayed(world):
    world.write("app/a.log", b"a\n" * 5)
    world.write("app/b.log.gz", b"no archive")
    with world.session(format="lines") as session:
        world.ingest(session)
    for file in (world.root / "lake" / "raw").rglob("*.parquet"):
        file.unlink()
    with world.session(format="lines") as session:
        (change,) = replay(session, "app", *ALL, world.now)
        assert (change.kept, change.changed) == (0, 5)
        assert verify(session).findings == []


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and no more"])
def test_a_damaged_hint_of_known_ids_is_built_anew(world, content):
    world.write("app/a.log", sent("s", 1, world.now))
    with world.session() as session:
        world.ingest(session)
    for file in (world.root).rglob("intervals.npz"):
        file.write_bytes(content)
    world.write("app/b.log", sent("s", 1, world.now))
    with world.session() as session:
        world.ingest(session)
        assert len(world.rows(session)) == len(world.rows(session, "duplicates")) == 1


def test_a_replay_keeps_no_batch_in_memory_that_is_as_it_should_be(world, monkeypatch):
    """An hour of a backlog is many batches: those that are whole are read again, and only where a file is shared."""
    with world.session(format="lines") as session:
        for name in "abcd":
            world.write(f"app/{name}.log", name.encode() * 9 + b"\n")
            world.ingest(session)
            world.now += 1
        kept, alive = [], []

        def rows(*args):
            alive.append(sum(reference() is not None for reference in kept))
            found = batch_rows(*args)
            kept.append(weakref.ref(found))
            return found

        monkeypatch.setattr(replaying, "batch_rows", rows)
        replay(session, "app", *ALL, world.now)
        assert len(alive) == 4
        assert max(alive) <= 1
