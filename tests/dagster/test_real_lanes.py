"""Lanes on a real lake and the shipped fake of a broker: what runs of lanes brought, and how far behind they are."""

from __future__ import annotations

import json
import uuid

import dagster as dg
import pytest
from dagster import AssetCheckKey, AssetKey
from fakes import GRAPH

from definitions import build_definitions
from nw_platform.ingest.look import look
from nw_platform.ingest.session import Session
from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.settings import parse
from nw_platform.sources.memory import memory_log
from resources.lake_platform import LakePlatform
from resources.platform import LastTick

RAW = AssetKey(["raw", "app"])
MINUTE = 60_000_000


class Site:
    """A topic in memory with four partitions, a lake, and a platform with a clock that tests set."""

    def __init__(self, root) -> None:
        self.root, self.url = root, f"memory://{uuid.uuid4().hex}"
        self.log = memory_log(self.url)
        self.now = LakePlatform.clock(None)
        self.opened: list[LakePlatform] = []

    def put(self, partition: int, count: int, *, ago: int = 0) -> None:
        at = self.now - ago
        line = json.dumps({"ts": at // 1000, "message": "m"}).encode()
        self.log.append("t", [line] * count, partition=partition, time=at)

    def open(self, lanes: int = 2) -> LakePlatform:
        text = json.dumps({
            "lake": str(self.root / "lake"),
            "sources": {"broker": {"kind": "memory", "url": self.url}},
            "streams": {"app": {"source": "broker", "topic": "t", "format": "json", "lanes": lanes}},
        })  # fmt: skip
        platform = LakePlatform(parse(text, base=str(self.root), origin=str(self.root / "neverwinter.yaml")))
        platform.clock = lambda: self.now
        self.opened.append(platform)
        return platform


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    for platform in made.opened:
        platform.close()


def lag_of(platform, now, tick=None):
    (finding,) = [f for f in platform.findings(None, now, tick or LastTick()) if f.check == "lag"]
    return finding


def test_runs_of_lanes_fill_one_hour_which_the_tick_tells(site, instance):
    platform = site.open()
    defs = build_definitions(platform.settings, {"platform": platform, "dbt": GRAPH})
    for partition in range(4):
        site.put(partition, partition + 1)
    context = dg.build_sensor_context(instance=instance, definitions=defs, sensor_name="arrivals")
    requests = defs.get_sensor_def("arrivals").evaluate_tick(context).run_requests
    assert [request.job_name for request in requests] == ["tick", "ingest_lane"]
    for request in reversed(requests):  # the tick last: it tells what both brought
        job = defs.get_job_def(request.job_name)
        assert job.execute_in_process(instance=instance, run_config=request.run_config, tags=request.tags).success
    (record,) = instance.fetch_materializations(RAW, limit=1).records
    told = {name: value.value for name, value in record.asset_materialization.metadata.items()}
    names = ("records", "spans", "duplicates", "rejects", "lag_records", "lag_seconds")
    assert {name: told[name] for name in names} == {
        "records": 10, "spans": 4, "duplicates": 0, "rejects": 0, "lag_records": 0, "lag_seconds": 0,
    }  # fmt: skip
    assert told["bytes"] == sum(r.size for p in site.log.partitions("t")[1].values() for r in p.records)
    for check in ("continuity", "lag"):
        (result,) = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(RAW, check), limit=1)
        assert result.status.value == "SUCCEEDED"
    assert defs.get_sensor_def("arrivals").evaluate_tick(context).run_requests == []


def test_an_hour_counts_the_receipts_of_every_lane_however_far_others_are(site):
    site.now += 12 * HOUR_US - site.now % (24 * HOUR_US)  # both hours are of one day
    platform = site.open(lanes=1)
    for _ in range(70):
        site.put(0, 1)
        platform.tick()
    site.now += HOUR_US
    platform = site.open(lanes=2)
    site.put(0, 1), site.put(1, 2)
    platform.tick()
    hour = hour_of(site.now)
    assert platform.hour_numbers("raw", "app", [hour], site.now)[hour]["spans"] == 2


def test_epochs_follow_one_another_in_their_number_also_beyond_nine(site):
    for epoch in range(12):
        platform = site.open(lanes=1 + epoch % 2)
        site.put(0, 1), site.put(1, 1)
        platform.tick()
    found = [f for f in platform.findings(None, site.now, LastTick()) if f.check == "continuity"]
    assert [f.message for f in found if not f.passed] == []
    assert sum(f.numbers.get("receipts", 0) for f in found) == 18 + 18  # a genesis and a batch of each lane


def test_a_look_of_its_own_finds_what_no_run_takes(site):
    platform = site.open()
    site.put(0, 1), site.put(1, 1)
    platform.tick()
    assert lag_of(platform, site.now).numbers["lag_records"] == 0
    site.put(1, 5, ago=0)
    site.now += 6 * MINUTE
    platform.tick(lane=0)
    finding = lag_of(platform, site.now)
    assert (finding.passed, finding.numbers["lag_records"], finding.numbers["lag_seconds"]) == (False, 5, 360.0)
    assert finding.repair == "nw ingest --stream app --once"
    fresh = LastTick(lags={"app": {"lag_seconds": 1.0, "lag_records": 9}}, looked_at=site.now - MINUTE)
    assert lag_of(platform, site.now, fresh).numbers["lag_records"] == 9  # the last tick said it just now
    platform.tick(lane=1)
    assert lag_of(platform, site.now).passed


def test_what_only_counts_has_waited_since_it_was_first_seen_where_it_is(site):
    platform = site.open()
    site.put(0, 1), site.put(1, 1)
    platform.tick()
    site.log.append("t", [b"{}"] * 3, partition=1, time=site.now + 60 * MINUTE)
    said = []
    for _ in range(5):
        said.append(lag_of(platform, site.now))
        site.now += 2 * MINUTE
    assert [finding.passed for finding in said] == [True, True, True, False, False]
    assert "since when is not known" in said[0].message
    assert said[3].numbers["lag_seconds"] == 360.0
    platform.tick()
    assert lag_of(platform, site.now).passed


def test_a_look_writes_nothing_and_leaves_what_is_pending_to_the_tick(site, monkeypatch):
    site.put(0, 2), site.put(1, 3)
    with Session(site.open().settings) as session:
        assert look(session, ["app"], site.now).lanes == {}  # nothing was ever read: where a lane begins is not known
    platform = site.open()
    platform.tick()
    site.put(1, 4)
    with Session(platform.settings) as session:
        monkeypatch.setattr("nw_platform.ingest.pipeline.Pipeline.pending", lambda _: True)
        lanes = look(session, ["app"], site.now).lanes["app"]
        assert [(lane.lane, lane.lag.records) for lane in lanes] == [("0.0", 0), ("0.1", 4)]
        assert session.pipelines("app")[1].stale()
    with Session(site.open(3).settings) as session:
        assert look(session, ["app"], site.now).lanes == {}  # the lanes of another number of lanes do not stand yet
    site.log.reachable = False
    with Session(platform.settings) as session:
        assert "not reachable" in look(session, ["app"], site.now).failures["app"]
