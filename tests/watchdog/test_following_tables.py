"""A table that is followed by its commits is the table that one opens."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow as pa
import pytest

from nw_platform.ingest.compact import compact
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.logtail import FollowedLogs, follow_all, read_tail
from nw_platform.watchdog.observe import Watch
from tests.watchdog.simulated import DAY, HOUR, MINUTE, at, minutes

FIRST = f"{DAY}T03"


def states(logs: FollowedLogs) -> dict[str, tuple[int, int, int, str]]:
    found = logs.states([f"{DAY}T{hour:02}" for hour in range(3, 9)])
    return {hour: (s.records, s.size, s.files, s.token) for hour, s in found.items()}


@pytest.fixture
def site(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never", "columns": {"status": "int32"}}})
    platform.land("0.log", minutes("05:00", 40))
    platform.tick(at("05:40"))
    platform.logs = FollowedLogs(platform.session.lake.logs("web"))
    return platform


def follow(platform) -> set[str] | None:
    """Follow, and compare with a table that is opened."""
    lake = platform.session.lake
    assert follow_all(lake, [platform.logs], FIRST) == {}
    fresh = FollowedLogs(lake.logs("web"))
    assert follow_all(lake, [fresh], FIRST) == {}
    assert platform.logs.version == fresh.version
    assert states(platform.logs) == states(fresh)
    hours = list(states(fresh))
    assert [f.url for f in platform.logs.hour_files(hours)] == [f.url for f in fresh.hour_files(hours)]
    assert all(Path(f.url).is_file() for f in fresh.hour_files(hours))
    return platform.logs.touched


def test_commits_are_followed_through_batches_and_compaction(site):
    assert follow(site) is None
    assert follow(site) == set()
    for n in range(1, 12):
        site.land(f"{n}.log", minutes("05:40", 5, step=10 * MINUTE))
        site.tick(at("05:40") + n * MINUTE)
    assert follow(site) == {f"{DAY}T05", f"{DAY}T06"}
    assert compact(site.session, at("05:40") + 30 * HOUR)
    assert follow(site) == {f"{DAY}T05", f"{DAY}T06"}
    assert follow(site) == set()


def test_an_old_hour_and_another_schema_open_the_table(site):
    follow(site)
    site.land("old.log", minutes("01:00", 5))
    site.tick(at("05:50"))
    assert follow(site) is None
    table = site.session.lake.logs("web")
    before = table.snapshot().version
    table.ensure(pa.schema([pa.field("colour", pa.string())]))
    assert read_tail(site.session.lake, table, before) is None
    assert follow(site) is None
    assert "colour" in site.logs.schema().names


def test_a_table_that_was_made_anew_is_opened(site):
    follow(site)
    shutil.rmtree(site.root / "lake")
    site.session.close()
    site.session = type(site.session)(site.settings)
    site.session.lake.renew()  # what `nw init --new-lake` says
    site.land("9.log", minutes("06:00", 3))
    site.tick(at("07:00"))
    assert follow(site) is None
    assert states(site.logs)[f"{DAY}T06"][0] == 3


def test_a_look_that_follows_finds_what_one_that_opens_finds(site):
    """Batch by batch, late data among it: two watches, one of which is always new."""
    now = at("05:41")
    for n, begin in enumerate(("05:40", "05:50", "02:10", "06:00", "05:59", "06:10")):
        site.land(f"b{n}.log", minutes(begin, 7), host=f"web-{n % 2}")
        now += 7 * MINUTE
        site.tick(now)
        found = {f.key: f for f in site.look(now)}
        opened = Watch(site.session.lake).findings(rules_of_all(site.settings), now, site.tick_state, from_scratch=True)
        scratch = {f.key: f for f in opened}
        assert found.keys() <= scratch.keys()
        assert all(scratch[key] == finding for key, finding in found.items())
        site.watch = site.new_watch() if n == 3 else site.watch
