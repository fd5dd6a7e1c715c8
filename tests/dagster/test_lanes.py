"""Lanes as parallel runs: who is started when, and that what each did and met is told, whoever is faster."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import AssetKey, DagsterRunStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin
from fakes import GRAPH, FakePlatform

from definitions import build_definitions
from nw_platform.settings import parse
from resources.lanes import lanes_of, merged
from resources.platform import LastTick
from resources.reported import Reported

RAW = AssetKey(["raw", "app"])
HOUR = "2024-03-12T05"
CONFIGURATION = """
lake: ./lake
sources: {broker: {kind: kafka, bootstrap: "127.0.0.1:1"}}
streams:
  app: {source: broker, topic: a, format: json, lanes: 3, history: {from: 2024-03-10}}
  web: {path: "in/web*.log", format: lines, history: {from: 2024-03-10}}
"""


@pytest.fixture
def platform(tmp_path):
    return FakePlatform(parse(CONFIGURATION, base=str(tmp_path), origin=str(tmp_path / "neverwinter.yaml")))


@pytest.fixture
def definitions(platform):
    return build_definitions(platform.settings, {"platform": platform, "dbt": GRAPH})


@pytest.fixture
def reported(instance, platform):
    return Reported(instance.daemon_cursor_storage, platform.settings.lake)


@pytest.fixture
def run(definitions, instance):
    def start(lane=0, *, fails=False):
        job = definitions.get_job_def("ingest_lane" if lane else "tick")
        config = {"ops": {"ingest_one_lane": {"config": {"lane": lane}}}} if lane else {}
        tags = {"neverwinter/lane": str(lane)} if lane else {}
        done = job.execute_in_process(instance=instance, run_config=config, tags=tags, raise_on_error=not fails)
        assert done.success is not fails
        return done

    return start


@pytest.fixture
def asked(definitions, instance):
    """What one look of the sensor asks for: (job, lane)."""

    def look():
        context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="arrivals")
        requests = definitions.get_sensor_def("arrivals").evaluate_tick(context).run_requests
        assert all(request.run_key is None for request in requests)
        return [(request.job_name, request.tags.get("neverwinter/lane")) for request in requests]

    return look


def told(instance):
    """The metadata of what raw/app was last told."""
    (record,) = instance.fetch_materializations(RAW, limit=1).records
    return {name: value.value for name, value in record.asset_materialization.metadata.items()}


def test_there_is_no_job_for_lanes_where_no_stream_has_several(tmp_path):
    text = CONFIGURATION.replace("lanes: 3", "lanes: 1")
    platform = FakePlatform(parse(text, base=str(tmp_path), origin=str(tmp_path / "neverwinter.yaml")))
    made = build_definitions(platform.settings, {"platform": platform, "dbt": GRAPH})
    assert not made.resolve_all_job_defs() or not any(j.name == "ingest_lane" for j in made.resolve_all_job_defs())


def test_dagster_loads_what_there_is(definitions):
    dg.Definitions.validate_loadable(definitions)


def test_each_lane_with_news_gets_one_run_and_the_others_none(asked, platform):
    assert asked() == []
    platform.waiting_in[2] = [("app", HOUR, HOUR, 1)]
    assert asked() == [("ingest_lane", "2")]
    platform.waiting = [("web", HOUR, HOUR, 1)]
    platform.waiting_in[1] = [("app", HOUR, HOUR, 1)]
    assert asked() == [("tick", None), ("ingest_lane", "1"), ("ingest_lane", "2")]


def test_what_is_asked_for_can_be_run(definitions, instance, platform):
    platform.waiting_in = {1: [("app", HOUR, HOUR, 1)], 2: [("app", HOUR, HOUR, 2)]}
    context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="arrivals")
    for request in definitions.get_sensor_def("arrivals").evaluate_tick(context).run_requests:
        job = definitions.get_job_def(request.job_name)
        assert job.execute_in_process(instance=instance, run_config=request.run_config, tags=request.tags).success
    assert [call for call in platform.calls if call[0] == "tick"] == [("tick", (), 1), ("tick", (), 2)]
    assert platform.state("raw", "app").hours[HOUR].records == 3


def test_a_lane_that_waits_or_lives_is_not_started_again_and_keeps_no_other_from_starting(
    asked, definitions, instance, platform, reported
):
    platform.waiting = [("web", HOUR, HOUR, 1)]
    platform.waiting_in = {lane: [("app", HOUR, HOUR, 1)] for lane in (1, 2)}
    job = definitions.get_job_def("ingest_lane")
    given = {"run_config": {"ops": {"ingest_one_lane": {"config": {"lane": 1}}}}, "tags": {"neverwinter/lane": "1"}}
    run = instance.create_run_for_job(job, status=DagsterRunStatus.STARTED, **given)
    alive = int(instance.get_run_record_by_id(run.run_id).update_timestamp.timestamp() * 1_000_000)
    platform.now = alive + 60_000_000
    assert asked() == [("tick", None), ("ingest_lane", "2")]
    platform.now = alive + 121_000_000  # killed: nothing has been heard of it for two minutes
    assert ("ingest_lane", "1") in asked()
    reported.beat(alive + 60_000_000, 2)  # another's sign of life
    assert ("ingest_lane", "1") in asked()
    reported.beat(alive + 60_000_000, 1)
    assert ("ingest_lane", "1") not in asked()
    place = GrpcServerCodeLocationOrigin(host="localhost", socket="/nowhere", location_name="neverwinter")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(place, "__repository__"), "ingest_lane")
    waits = {"run_config": given["run_config"], "tags": {"neverwinter/lane": "2"}, "remote_job_origin": origin}
    instance.create_run_for_job(job, status=DagsterRunStatus.QUEUED, **waits)
    platform.now = alive + 3600_000_000
    assert asked() == [("tick", None), ("ingest_lane", "1")]


def test_lanes_that_could_not_be_asked_in_time_are_run_to_find_out(asked, platform, monkeypatch):
    start = platform.now
    news = platform.news

    def slow(now, lane=None):
        platform.now += 11_000_000
        return news(now, lane)

    monkeypatch.setattr(platform, "news", slow)
    assert asked() == [("ingest_lane", "2")]  # lanes 0 and 1 took 22 s
    assert platform.now == start + 22_000_000


def test_an_hour_counts_what_all_lanes_brought(run, asked, instance, platform):
    platform.waiting = [("app", HOUR, HOUR, 1)]
    platform.waiting_in = {1: [("app", HOUR, HOUR, 2)], 2: [("app", HOUR, HOUR, 4)]}
    for lane in (1, 0, 2):  # one is done before the tick reports, one after it
        run(lane)
    assert (told(instance)["records"], told(instance)["bytes"]) == (3, 30)
    assert asked() == [("tick", None)]
    run()
    assert (told(instance)["records"], told(instance)["bytes"], told(instance)["spans"]) == (7, 70, 3)
    assert asked() == []
    run()
    assert told(instance)["bytes"] == 70


def test_numbers_that_come_after_their_hour_was_told_are_added_to_it(run, asked, instance, platform, reported):
    """A lane's run has committed, the tick has told the table as it is, and only then the run says what it did."""
    platform.put("app", HOUR, HOUR, 5)
    run()
    assert "bytes" not in told(instance)
    reported.bring(1, {"app": {HOUR: {"bytes": 50}}}, platform.now)
    assert asked() == [("tick", None)]
    run()
    assert (told(instance)["records"], told(instance)["bytes"]) == (5, 50)
    assert asked() == []


def test_what_a_lane_brought_is_not_kept_for_ever(platform, reported):
    reported.bring(1, {"app": {"2024-03-01T00": {"bytes": 1}, HOUR: {"bytes": 2}}}, platform.now)
    reported.bring(1, {"app": {HOUR: {"bytes": 3}}}, platform.now)
    assert reported.brought(3) == {"1": {"app": {HOUR: {"bytes": 5}}}}


def test_a_lane_that_fails_fails_its_run_and_the_watchdog_hears_of_it(run, definitions, instance, platform):
    platform.problems = [{"stream": "app", "kind": "lost"}]
    platform.failures = {"app": "partition 1 has no leader"}
    assert "no leader" in str(run(1, fails=True).get_step_failure_events())
    platform.problems, platform.failures = [{"stream": "web", "kind": "damaged"}], {}
    run()
    platform.problems = []
    run(2)
    context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="watchdog")
    definitions.get_sensor_def("watchdog").evaluate_tick(context)
    (_, tick) = [call for call in platform.calls if call[0] == "findings"][-1]
    assert [(p["stream"], p["kind"]) for p in tick.problems] == [("web", "damaged"), ("app", "lost")]
    assert tick.failures == {"app": "partition 1 has no leader"}


def test_a_lane_that_has_nothing_new_does_not_fail_any_more(run, asked, platform, reported):
    platform.failures = {"app": "partition 1 has no leader"}
    run(1, fails=True)
    lanes = lanes_of(platform.settings)
    assert reported.last_tick(lanes).failures
    assert asked() == []
    after = reported.last_tick(lanes)
    assert (after.failures, after.looked_at, after.ingested_until) == ({}, platform.now, platform.now)
    assert after.lags == {"app": {"lag_seconds": 0.0}, "web": {"lag_seconds": 0.0}}


def test_a_lane_that_is_behind_keeps_the_stream_from_being_up_to_date(run, platform, reported, monkeypatch):
    run(0), run(1), run(2)
    first = platform.now
    assert reported.last_tick(lanes_of(platform.settings)).ingested_until == first
    platform.now += 60_000_000
    run(0), run(1)
    tick = platform.tick

    def cut_short(**asked):
        outcome = tick(**asked)
        return type(outcome)(outcome.numbers, more=True)

    monkeypatch.setattr(platform, "tick", cut_short)
    run(2)
    assert reported.last_tick(lanes_of(platform.settings)).ingested_until == first


def test_the_lag_of_a_stream_is_that_of_all_its_lanes(run, instance, platform):
    lags = (
        {"lag_seconds": 5.0, "lag_records": 1, "lag_headroom_hours": 30.0},
        {"lag_seconds": 90.5, "lag_records": 7, "lag_headroom_hours": 20.0},
        {"lag_seconds": 0.0, "lag_records": 0},
    )
    platform.waiting = [("app", HOUR, HOUR, 3)]
    for lane in (2, 1, 0):
        platform.lags = {"app": lags[lane]}
        run(lane)
    shown = {name: value for name, value in told(instance).items() if name.startswith("lag_")}
    assert shown == {"lag_seconds": 90.5, "lag_records": 8, "lag_headroom_hours": 20.0}


def test_a_lag_that_one_lane_does_not_know_is_not_known():
    known, unknown = LastTick(lags={"app": {"lag_seconds": 1.0}}), LastTick()
    assert merged([known, unknown, known], {"app": 3}).lags == {}
    assert merged([known, LastTick(lags={"app": {"lag_records": 3}})], {"app": 2}).lags == {"app": {}}
    assert merged([known], {"app": 1}).lags == {"app": {"lag_seconds": 1.0}}


def test_what_lanes_and_streams_met_that_are_no_more_is_forgotten():
    gone = LastTick(problems=[{"stream": "app"}, {"stream": "old"}], failures={"app": "no", "old": "no"})
    assert merged([LastTick(), gone], {"app": 1, "web": 2}) == LastTick()
    assert merged([gone, gone], {"app": 2}) == LastTick(({"stream": "app"},), {"app": "no"})
