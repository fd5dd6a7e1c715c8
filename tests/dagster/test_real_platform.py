"""Tick, run, partitions, checks and backfill on real files, a real lake and a Dagster instance on SQLite."""

from __future__ import annotations

import gzip
import time

import dagster as dg
import pytest
from dagster import AssetCheckKey, AssetKey
from fakes import GRAPH

from definitions import build_definitions
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.record.hours import hour_of, hour_start
from nw_platform.settings import parse
from resources.lake_platform import LakePlatform

RAW, LOGS = AssetKey(["raw", "web"]), AssetKey(["logs", "web"])
CONFIGURATION = """
lake: ./lake
streams:
  web:
    path: "in/web*.log*"
    format: json
    late_after: never
    growing: true
    history: {from: 2024-03-10, until: 2024-03-14}
    event_time: {field: t, layout: "%Y-%m-%dT%H:%M:%SZ"}
    expect: [{kind: error_rate, max_pct: 10}]
"""
GOOD = '{"t": "2024-03-12T%02d:00:00Z", "message": "hello", "host": "a"}\n'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "in").mkdir()
    return tmp_path


@pytest.fixture
def real(site):
    made = LakePlatform(parse(CONFIGURATION, base=str(site), origin=str(site / "neverwinter.yaml")))
    yield made
    made.close()


@pytest.fixture
def defs(real):
    return build_definitions(real.settings, {"platform": real, "dbt": GRAPH})


def arrivals(defs, instance):
    context = dg.build_sensor_context(instance=instance, definitions=defs, sensor_name="arrivals")
    return defs.get_sensor_def("arrivals").evaluate_tick(context)


def tick(defs, instance):
    assert defs.get_job_def("tick").execute_in_process(instance=instance).success


def metadata(instance, key, hour):
    filters = dg.AssetRecordsFilter(key, asset_partitions=[hour])
    found = instance.fetch_materializations(filters, limit=1).records[0].asset_materialization.metadata
    return {name: value.value for name, value in found.items()}


def backfill(defs, instance, key, first, last):
    tags = {"dagster/asset_partition_range_start": first, "dagster/asset_partition_range_end": last}
    return dg.materialize([defs.resolve_assets_def(key)], instance=instance, tags=tags)


def test_the_whole_way(site, real, defs, instance):
    assert arrivals(defs, instance).run_requests == []
    (site / "in" / "web1.log").write_text(GOOD % 3 * 4 + "no json\n" + GOOD % 5 * 2, encoding="utf-8")
    assert len(arrivals(defs, instance).run_requests) == 1
    arrived = hour_of(real.clock())
    tick(defs, instance)
    assert {"2024-03-12T03", "2024-03-12T05"} <= instance.get_materialized_partitions(LOGS)
    (raw_hour,) = instance.get_materialized_partitions(RAW) - {arrived} or {arrived}
    numbers = metadata(instance, RAW, raw_hour)
    assert (numbers["records"], numbers["spans"], numbers["rejects"]) == (7, 1, 1)
    assert numbers["lag_seconds"] == 0
    assert numbers["bytes"] == (site / "in" / "web1.log").stat().st_size
    assert metadata(instance, LOGS, "2024-03-12T03")["records"] == 4
    done = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(LOGS, "completeness"), limit=50)
    assert {"2024-03-12T03", "2024-03-12T05"} <= {r.partition for r in done if r.status.value == "SUCCEEDED"}
    assert arrivals(defs, instance).run_requests == []

    # what was ingested outside of Dagster is reported by the next tick
    (site / "in" / "web2.log").write_text(GOOD % 7, encoding="utf-8")
    with Session(real.settings) as session:
        run_tick(session, real.clock, until_caught_up=True)
    assert len(arrivals(defs, instance).run_requests) == 1
    tick(defs, instance)
    assert metadata(instance, LOGS, "2024-03-12T07")["records"] == 1
    assert arrivals(defs, instance).run_requests == []

    # backfills: a replay and a rebuild that find nothing to do change no table
    versions = [real.version("raw", "web"), real.version("logs", "web")]
    assert backfill(defs, instance, RAW, raw_hour, raw_hour).success
    assert backfill(defs, instance, LOGS, "2024-03-12T03", "2024-03-12T07").success
    assert [real.version("raw", "web"), real.version("logs", "web")] == versions
    assert metadata(instance, LOGS, "2024-03-12T05")["changed"] == 0
    assert metadata(instance, LOGS, "2024-03-12T05")["records"] == 2


def test_a_damaged_file_is_named_and_stays_named_until_it_is_whole(site, defs, instance):
    (site / "in" / "web1.log").write_text(GOOD % 3, encoding="utf-8")
    (site / "in" / "web2.log.gz").write_bytes(gzip.compress((GOOD % 4 * 500).encode())[:-20])
    tick(defs, instance)
    tick(defs, instance)
    found = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(RAW, "continuity"), limit=5)
    assert found[0].status.value == "FAILED"
    assert "web2.log.gz" in found[0].event.dagster_event.event_specific_data.description
    assert instance.get_materialized_partitions(LOGS) >= {"2024-03-12T03"}


def test_a_quiet_minute_takes_well_below_a_second(site, defs, instance):
    (site / "in" / "web1.log").write_text("".join(GOOD % hour for hour in range(24)), encoding="utf-8")
    tick(defs, instance)
    arrivals(defs, instance)
    times = []
    for _ in range(5):
        started = time.process_time()  # the machine may be busy with other tests
        assert arrivals(defs, instance).run_requests == []
        times.append(time.process_time() - started)
    assert min(times) < 0.5


def test_late_and_future_hours(site, real, defs, instance):
    (site / "in" / "web1.log").write_text(GOOD % 3, encoding="utf-8")
    tick(defs, instance)
    (site / "in" / "web2.log").write_text(
        GOOD.replace("2024-03-12", "2024-03-10") % 1 + GOOD.replace("2024-03-12", "2024-03-20") % 1, encoding="utf-8"
    )
    tick(defs, instance)
    assert instance.get_materialized_partitions(LOGS) == {"2024-03-10T01", "2024-03-12T03"}
    assert arrivals(defs, instance).run_requests == []
    assert hour_start("2024-03-20T01") < real.clock()


def test_merged_hours_are_told_once_more_and_then_never_again(site, real, defs, instance):
    for number in range(3):
        (site / "in" / f"web{number}.log").write_text(GOOD % 3 * 4 + GOOD % 5 * 2, encoding="utf-8")
        tick(defs, instance)
    assert defs.get_job_def("maintain").execute_in_process(instance=instance).success
    state = real.state("logs", "web")
    assert {hour: of.records for hour, of in state.hours.items()} == {"2024-03-12T03": 12, "2024-03-12T05": 6}
    assert len(arrivals(defs, instance).run_requests) == 1
    tick(defs, instance)
    assert arrivals(defs, instance).run_requests == []
    assert metadata(instance, LOGS, "2024-03-12T03")["records"] == 12
    assert defs.get_job_def("maintain").execute_in_process(instance=instance).success
    assert real.state("logs", "web") == state
    assert arrivals(defs, instance).run_requests == []


def test_upkeep_of_one_stream_does_not_wait_for_another(site, real):
    (site / "in" / "web1.log").write_text(GOOD % 3, encoding="utf-8")
    real.tick()
    (site / "lake" / "raw" / "stream=other" / "_delta_log").mkdir(parents=True)
    (site / "lake" / "raw" / "stream=other" / "_delta_log" / "00000000000000000000.json").write_text("no delta")
    config = CONFIGURATION + "  other: {path: 'in/other*.log', format: lines}\n"
    both = LakePlatform(parse(config, base=str(site), origin=str(site / "neverwinter.yaml")))
    outcome = both.maintain()
    assert list(outcome.counts) == ["web"]
    assert list(outcome.failures) == ["other"]
    both.close()


@pytest.mark.slow
def test_reports_are_built_with_dbt_and_its_tests_become_checks(site, real, instance):
    defs = build_definitions(real.settings, {"platform": real})  # with the real dbt project
    (site / "in" / "web1.log").write_text(GOOD % 3 * 4 + GOOD % 5 * 2, encoding="utf-8")
    tick(defs, instance)
    context = dg.build_sensor_context(instance=instance, definitions=defs, sensor_name="reports")
    (request,) = defs.get_sensor_def("reports").evaluate_tick(context).run_requests
    assert request.tags["dagster/asset_partition_range_start"] == "2024-03-12"
    assert defs.resolve_job_def("reports").execute_in_process(instance=instance, tags=dict(request.tags)).success
    table = AssetKey(["reports", "log_type_report"])
    numbers = metadata(instance, table, "2024-03-12")
    assert numbers["records"] == 1
    key = next(key for key in defs.resolve_asset_graph().asset_check_keys if key.asset_key == table)
    (newest, *_) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert newest.status.value == "SUCCEEDED"
    again = defs.get_sensor_def("reports").evaluate_tick(context)
    assert "no logs changed" in again.skip_message

    # Merging changes files and no row: the reports are looked at once more, and keep their files.
    (site / "in" / "web2.log").write_text(GOOD % 3 * 3, encoding="utf-8")
    tick(defs, instance)
    build_what_changed(defs, instance)
    before = report_files(site)
    assert defs.get_job_def("maintain").execute_in_process(instance=instance).success
    build_what_changed(defs, instance)
    assert report_files(site) == before
    again = defs.get_sensor_def("reports").evaluate_tick(context)
    assert "no logs changed" in again.skip_message


def build_what_changed(defs, instance):
    context = dg.build_sensor_context(instance=instance, definitions=defs, sensor_name="reports")
    (request,) = defs.get_sensor_def("reports").evaluate_tick(context).run_requests
    assert defs.resolve_job_def("reports").execute_in_process(instance=instance, tags=dict(request.tags)).success


def report_files(site):
    """Which file each report is: another one has another inode or time."""
    found = {path: path.stat() for path in (site / "lake" / "reports").rglob("*.parquet")}
    assert found
    return {path: (stat.st_ino, stat.st_mtime_ns) for path, stat in found.items()}
