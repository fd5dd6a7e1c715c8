"""The mechanics of the minute tick, on a real Dagster instance (SQLite) and a platform in memory."""

from __future__ import annotations

import itertools
from dataclasses import replace

import dagster as dg
import pytest
from dagster import AssetCheckKey, AssetKey, DagsterRunStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin, RemoteJobOrigin, RemoteRepositoryOrigin

from assets.partitions import arrival_hours, event_hours
from assets.reporting import report, tables, unreported
from nw_platform.record.hours import HOUR_US
from nw_platform.watchdog.findings import Finding
from resources.platform import LastTick
from resources.reported import Reported

RAW, LOGS = AssetKey(["raw", "web"]), AssetKey(["logs", "web"])


@pytest.fixture
def tick(definitions, instance):
    def run(*, fails=False):
        job = definitions.get_job_def("tick")
        done = job.execute_in_process(instance=instance, raise_on_error=not fails)
        assert done.success is not fails
        return done

    return run


@pytest.fixture
def arrivals(definitions, instance):
    sensor = definitions.get_sensor_def("arrivals")

    def evaluate():
        context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="arrivals")
        return sensor.evaluate_tick(context)

    return evaluate


def materializations(instance, key):
    found = instance.fetch_materializations(key, limit=1000).records
    return [(r.partition_key, r.asset_materialization.metadata) for r in reversed(found)]


def evaluations(instance, check, asset=LOGS):
    key = AssetCheckKey(asset, check)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=100)
    return [(r.partition, r.event.dagster_event.event_specific_data.passed) for r in reversed(records)]


def finding(check="volume", partition="2024-03-12T05", *, passed=True, subject="", stream="web", layer="logs"):
    repair = "" if passed else "nw ingest --once"
    return Finding(check, f"{layer}/{stream}", stream, partition, subject, passed, "error", "as said", repair=repair)


def test_every_hour_that_a_tick_touched_is_materialized_late_ones_included(tick, instance, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 3), ("web", "2024-03-12T05", "2024-03-10T01", 1)]
    tick()
    assert instance.get_materialized_partitions(RAW) == {"2024-03-12T05"}
    assert instance.get_materialized_partitions(LOGS) == {"2024-03-12T05", "2024-03-10T01"}


def test_metadata_counts_the_whole_hour(tick, instance, platform):
    for _ in range(2):
        platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 3)]
        tick()
    _, metadata = materializations(instance, RAW)[-1]
    assert {name: value.value for name, value in metadata.items()} == {
        "records": 6,
        "bytes": 60,
        "spans": 2,
        "rejects": 0,
        "seconds": 1.0,
        "dagster/partition_row_count": 6,
        "dagster/row_count": 6,
    }


def test_how_far_a_stream_is_behind_is_said_of_now_and_never_summed(tick, instance, platform):
    platform.put("web", "2024-03-12T04", "2024-03-12T04", 1)  # outside Dagster, an hour ago
    for lag in ({"lag_seconds": 90.5, "lag_records": 7}, {"lag_seconds": 0.0}):
        platform.lags = {"web": lag}
        platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 3)]
        tick()
    told = [
        (hour, {name: value.value for name, value in metadata.items() if name.startswith("lag_")})
        for hour, metadata in materializations(instance, RAW)
    ]
    assert told == [
        ("2024-03-12T04", {}),
        ("2024-03-12T05", {"lag_seconds": 90.5, "lag_records": 7}),
        ("2024-03-12T05", {"lag_seconds": 0.0}),
    ]
    assert not any(name.startswith("lag_") for _, found in materializations(instance, LOGS) for name in found)


def test_a_quiet_minute_launches_nothing_and_a_loud_one_one_run(arrivals, tick, platform):
    assert arrivals().run_requests == []
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 3), ("old", "2024-03-12T05", "2015-05-17T00", 3)]
    (request,) = arrivals().run_requests
    assert request.run_key is None
    assert request.job_name in (None, "tick")
    tick()
    assert arrivals().run_requests == []


def test_what_was_ingested_outside_dagster_is_reported(arrivals, tick, instance, platform):
    platform.put("web", "2024-03-12T05", "2024-03-12T04", 5)
    assert len(arrivals().run_requests) == 1
    tick()
    assert instance.get_materialized_partitions(LOGS) == {"2024-03-12T04"}
    assert arrivals().run_requests == []


def test_closed_arrival_hours_are_reported_also_without_records(arrivals, tick, instance, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 3)]
    tick()
    platform.now += 3 * HOUR_US
    assert len(arrivals().run_requests) == 1
    tick()
    found = [(hour, metadata["records"].value) for hour, metadata in materializations(instance, RAW)]
    assert found == [("2024-03-12T05", 3), ("2024-03-12T06", 0), ("2024-03-12T07", 0)]
    assert arrivals().run_requests == []


def test_an_hour_beyond_the_partitions_is_held_back_until_it_exists(arrivals, tick, instance, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T06", 3)]  # a producer's clock is ahead
    tick()
    assert instance.get_materialized_partitions(LOGS) == set()
    assert arrivals().run_requests == []
    platform.now += HOUR_US
    assert len(arrivals().run_requests) == 1
    tick()
    assert instance.get_materialized_partitions(LOGS) == {"2024-03-12T06"}


def test_hours_outside_history_do_not_keep_the_ticks_running(arrivals, tick, instance, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-09T23", 3), ("old", "2024-03-12T05", "2015-05-21T00", 1)]
    tick()
    assert instance.get_materialized_partitions(LOGS) == set()
    assert arrivals().run_requests == []


def test_hours_that_retention_removed_are_reported_as_empty(tick, instance, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-10T01", 3)]
    tick()
    platform.drop("logs/web", "2024-03-10T01")
    tick()
    assert [metadata["records"].value for _, metadata in materializations(instance, LOGS)] == [3, 0]


def test_a_report_that_was_cut_short_goes_on(instance, platform):
    for hour in range(5):
        platform.put("web", "2024-03-12T05", f"2024-03-12T0{hour}", 1)
    seen = []
    reported = Reported(instance.daemon_cursor_storage, platform.settings.lake)

    def parts(platform):
        web = platform.settings.streams["web"]
        return tables({"raw/web": arrival_hours(web), "logs/web": event_hours(web)}, ["web"])

    told = [report(platform, reported, parts(platform), seen.append, platform.now, most=2) for _ in range(4)]
    assert [len(hours) for hours in told] == [2, 2, 2, 0]
    assert {(e.asset_key.path[0], e.partition) for e in seen} == {
        ("raw", "2024-03-12T05"),
        *(("logs", f"2024-03-12T0{hour}") for hour in range(5)),
    }
    assert unreported(platform, reported, parts(platform), platform.now) == []


def test_a_crash_between_event_and_state_repeats_and_loses_nothing(instance, platform):
    platform.put("web", "2024-03-12T05", "2024-03-12T04", 1)
    platform.put("web", "2024-03-12T05", "2024-03-12T05", 1)
    parts = tables({"logs/web": event_hours(platform.settings.streams["web"])}, ["web"])
    reported = Reported(instance.daemon_cursor_storage, platform.settings.lake)
    seen = []

    def dies_at_the_second(event):
        if len(seen) == 1:
            raise KeyboardInterrupt
        seen.append(event)

    with pytest.raises(KeyboardInterrupt):
        report(platform, reported, parts, dies_at_the_second, platform.now)
    report(platform, reported, parts, seen.append, platform.now)
    assert [e.partition for e in seen] == ["2024-03-12T04", "2024-03-12T04", "2024-03-12T05"]


def test_a_new_home_hears_everything_again(tick, definitions, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T04", 5)]
    tick()
    with dg.instance_for_test() as other:
        assert definitions.get_job_def("tick").execute_in_process(instance=other).success
        assert other.get_materialized_partitions(LOGS) == {"2024-03-12T04"}


def test_no_second_tick_while_one_waits_or_lives(arrivals, definitions, instance, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T04", 5)]
    run = instance.create_run_for_job(definitions.get_job_def("tick"), status=DagsterRunStatus.STARTED)
    alive = int(instance.get_run_record_by_id(run.run_id).update_timestamp.timestamp() * 1_000_000)
    platform.now = alive + 60_000_000
    assert "running" in arrivals().skip_message
    platform.now = alive + 121_000_000  # killed: nothing has been heard of it for two minutes
    assert len(arrivals().run_requests) == 1
    platform.now = alive - 10_800_000_000  # the clock was set back by three hours: nobody waits until it has caught up
    assert len(arrivals().run_requests) == 1
    platform.now = alive + 121_000_000
    Reported(instance.daemon_cursor_storage, platform.settings.lake).beat(alive + 60_000_000)
    assert "running" in arrivals().skip_message
    place = GrpcServerCodeLocationOrigin(host="localhost", socket="/nowhere", location_name="neverwinter")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(place, "__repository__"), "tick")
    job = definitions.get_job_def("tick")
    instance.create_run_for_job(job, status=DagsterRunStatus.QUEUED, remote_job_origin=origin)
    platform.now = alive + 3600_000_000
    assert "queue" in arrivals().skip_message


def test_one_stream_that_fails_fails_the_run_after_the_others_are_reported(tick, instance, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T04", 5)]
    platform.failures = {"old": "cannot read in/: permission denied"}
    done = tick(fails=True)
    assert instance.get_materialized_partitions(LOGS) == {"2024-03-12T04"}
    assert "permission denied" in str(done.get_step_failure_events())


def test_checks_are_written_on_a_change_and_at_the_close(tick, instance, platform):
    platform.found = [finding()]
    tick()
    tick()
    assert evaluations(instance, "volume") == [("2024-03-12T05", True)]
    platform.found = [finding(passed=False), finding(subject="b")]
    tick()
    tick()
    assert evaluations(instance, "volume") == [("2024-03-12T05", True), ("2024-03-12T05", False)]
    platform.now += HOUR_US
    tick()
    tick()
    assert evaluations(instance, "volume")[2:] == [("2024-03-12T05", False)]


def test_a_failing_check_says_what_where_and_how_to_repair(tick, instance, platform):
    platform.found = [finding("continuity", passed=False, layer="raw")]
    tick()
    (record,) = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(RAW, "continuity"), limit=1)
    stored = record.event.dagster_event.event_specific_data
    assert stored.severity == dg.AssetCheckSeverity.ERROR
    assert stored.description.startswith("as said")
    assert stored.metadata["repair"].value == "nw ingest --once"


def test_only_checks_and_partitions_that_exist_are_written(tick, instance, platform):
    platform.found = [
        finding("volume", stream="old", partition="2015-05-17T00"),  # not declared for it
        finding("late", partition="2024-03-12T07"),
        finding("late", stream="gone"),
    ]
    tick()
    assert evaluations(instance, "volume", AssetKey(["logs", "old"])) == []
    assert evaluations(instance, "late") == []


def test_a_standing_condition_counts_for_the_open_hour_or_the_last(tick, instance, platform):
    platform.found = [finding("late", None), finding("late", None, stream="old")]
    tick()
    assert evaluations(instance, "late") == [("2024-03-12T05", True)]
    assert evaluations(instance, "late", AssetKey(["logs", "old"])) == [("2015-05-20T23", True)]


def test_the_watchdog_writes_without_any_run(definitions, instance, platform):
    platform.problems = [{"stream": "web", "kind": "damaged"}]
    definitions.get_job_def("tick").execute_in_process(instance=instance)
    platform.found = [finding(passed=False)]
    context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="watchdog")
    assert "1 evaluations" in definitions.get_sensor_def("watchdog").evaluate_tick(context).skip_message
    assert "no change" in definitions.get_sensor_def("watchdog").evaluate_tick(context).skip_message
    assert evaluations(instance, "volume") == [("2024-03-12T05", False)]
    assert platform.calls[-2] == ("findings", LastTick(tuple(platform.problems), {}, platform.now, {}, platform.now))


def test_the_watchdog_says_whatever_changes_while_nothing_runs(definitions, instance, platform):
    watchdog = definitions.get_sensor_def("watchdog")

    def look():
        context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="watchdog")
        return watchdog.evaluate_tick(context).skip_message

    for passed in (True, False, True, False):
        platform.found = [
            finding(passed=passed),
            finding("late", passed=passed, stream="old", partition="2015-05-17T00"),
        ]
        assert "2 evaluations" in look()
    platform.now += HOUR_US  # and once more when the hour is over
    look()
    assert evaluations(instance, "volume") == [
        ("2024-03-12T05", passed) for passed in (True, False, True, False, False)
    ]
    key = AssetCheckKey(LOGS, "volume")
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key([key], partition_filter=None)[key]
    assert latest.status.value == "FAILED"


def test_what_an_hour_fails_is_said_again_when_the_hour_is_materialized_anew(tick, instance, platform):
    # To Dagster a check that was evaluated before the newest materialization is "not evaluated".
    platform.found = [finding(passed=False), finding("late")]
    for _ in range(3):
        platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 1)]
        tick()
    assert [passed for _, passed in evaluations(instance, "volume")] == [False, False, False]
    assert [passed for _, passed in evaluations(instance, "late")] == [True]


def test_what_fails_is_written_once_while_nothing_arrives_whatever_its_words(definitions, tick, instance, platform):
    def fails():
        message = f"has not arrived; {platform.now // 60_000_000} min"  # other words and numbers are no change
        found = replace(finding("continuity", passed=False, layer="raw"), numbers={"minutes": platform.now})
        platform.found = [replace(found, message=message)]

    fails()
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 1)]
    tick()
    for _ in range(3):
        platform.now += 60_000_000
        fails()
        tick()
        context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="watchdog")
        assert "no change" in definitions.get_sensor_def("watchdog").evaluate_tick(context).skip_message
    assert evaluations(instance, "continuity", RAW) == [("2024-03-12T05", False)]


def test_an_hour_materialized_for_the_first_time_is_judged_after_that(definitions, tick, instance, platform):
    platform.found = [finding()]
    context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="watchdog")
    definitions.get_sensor_def("watchdog").evaluate_tick(context)
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 1)]
    tick()
    assert evaluations(instance, "volume") == [("2024-03-12T05", True)] * 2


def test_a_look_that_takes_too_long_leaves_the_rest_to_the_next_one(definitions, instance, platform, monkeypatch):
    platform.found = [finding(partition=f"2024-03-12T0{hour}") for hour in range(6)]
    watchdog = definitions.get_sensor_def("watchdog")
    start = platform.now
    for _ in range(4):
        context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="watchdog")
        looks = itertools.count()
        monkeypatch.setattr(platform, "clock", lambda looks=looks: start + next(looks) * 10_000_000)  # ten seconds each
        said = watchdog.evaluate_tick(context).skip_message
        assert "2 evaluations" in said or "no change" in said
    assert {hour for hour, _ in evaluations(instance, "volume")} == {f"2024-03-12T0{hour}" for hour in range(6)}
    assert [name for name, *_ in platform.calls].count("seen") == 2  # the third look was the first to say it all
