"""How far a stream is behind its source, as a tick says it: age of the oldest ready data that is not ingested."""

from __future__ import annotations

import os

from world import MINUTE, wire

from nw_platform.ingest.outcome import Lag
from nw_platform.ingest.tick import run_tick
from nw_platform.sources.contract import Budget
from nw_platform.sources.memory import MemoryLog, MemorySource


def put(world, name, minutes_ago):
    path = world.write(name, wire(world.now, message=name))
    time = (world.now - minutes_ago * MINUTE) / 1_000_000
    os.utime(path, (time, time))


def test_caught_up_is_zero(world):
    with world.session() as session:
        assert run_tick(session, lambda: world.now).lags == {"app": Lag(0.0)}
        put(world, "app/a.log", 30)
        assert run_tick(session, lambda: world.now).lags == {"app": Lag(0.0)}


def test_what_time_was_too_short_for_is_as_old_as_its_oldest_file(world):
    world.budget = Budget(spans=1)
    for minutes in (50, 40, 30):
        put(world, f"app/{minutes}.log", minutes)
    times = iter([*[world.now] * 3, *[world.now + 2] * 9])  # time is up after the first batch
    with world.session() as session:
        report = run_tick(session, lambda: next(times), deadline=world.now + 1)
        assert len(report.batches) == 1
        assert report.more
        assert round(report.lags["app"].seconds) == 40 * 60
        assert world.ingest(session).lags == {"app": Lag(0.0)}


def test_a_stream_that_waits_for_a_larger_batch_says_for_how_long(world):
    with world.session(every="10m") as session:
        put(world, "app/a.log", 1)
        world.ingest(session)
        world.now += 3 * MINUTE
        put(world, "app/b.log", 2)
        report = run_tick(session, lambda: world.now)
        assert report.batches == []
        assert report.lags == {"app": Lag(120.0)}


def test_a_stream_that_fails_has_none(world):
    with world.session() as session:
        put(world, "app/a.log", 1)
        world.ingest(session)
        world.landing.rename(world.root / "away")
        report = run_tick(session, lambda: world.now)
        assert (list(report.failures), report.lags) == (["app"], {})


def test_a_source_with_offsets_counts_what_waits_beyond_the_batch():
    log = MemoryLog()
    log.append("t", [b"1"] * 5, partition=0, time=7)
    log.append("t", [b"2"] * 4, partition=1, time=5)
    plan = MemorySource(log, "t").plan(10, Budget(records=2))
    assert (plan.more, plan.waiting, plan.oldest) == (True, 9, 5)
