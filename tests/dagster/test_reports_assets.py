"""Report assets and their sensor, with a small dbt graph and a platform in memory."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import AssetCheckKey, AssetKey

from nw_platform.record.hours import HOUR_US
from sensors.reports import ranges_of

TABLE = AssetKey(["reports", "log_type_report"])


@pytest.fixture
def reports(definitions, instance):
    def evaluate(cursor=None):
        context = dg.build_sensor_context(instance=instance, definitions=definitions, cursor=cursor)
        return definitions.get_sensor_def("reports").evaluate_tick(context)

    return evaluate


def test_lineage_reaches_from_raw_to_reports(definitions):
    graph = definitions.resolve_asset_graph()
    assert graph.get(AssetKey(["logs", "web"])).parent_keys == {AssetKey(["raw", "web"])}
    staging = AssetKey(["reports", "staging", "stg_logs"])
    assert graph.get(staging).parent_keys == {AssetKey(["logs", "web"]), AssetKey(["logs", "old"])}
    assert graph.get(TABLE).parent_keys == {staging}
    assert {graph.get(key).group_name for key in graph.get_all_asset_keys()} == {"raw", "logs", "reports"}


def test_every_asset_says_what_it_is(definitions):
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.kinds, spec.key
        assert spec.owners, spec.key
        if spec.key.path[0] != "reports":
            assert spec.metadata["dagster/column_schema"].columns, spec.key


def test_quiet_logs_build_nothing(reports):
    assert reports().run_requests == []


def test_changed_days_are_built_in_runs_of_consecutive_days_newest_first(reports, platform):
    platform.days = dict.fromkeys(["2015-05-17", "2015-05-18", "2015-05-20", "2024-03-11"], "a")
    done = reports()
    assert [
        (r.tags["dagster/asset_partition_range_start"], r.tags["dagster/asset_partition_range_end"])
        for r in done.run_requests
    ] == [
        ("2024-03-11", "2024-03-11"),
        ("2015-05-20", "2015-05-20"),
        ("2015-05-17", "2015-05-18"),
    ]
    assert reports(done.cursor).run_requests == []  # launched, or refused: not again at once
    platform.days["2024-03-11"] = "b"
    assert len(reports(done.cursor).run_requests) == 1
    platform.now += HOUR_US
    assert len(reports(done.cursor).run_requests) == 3  # a run can fail after the cursor moved


def test_what_was_built_outside_dagster_is_reported_once(reports, instance, platform):
    platform.built = {day: {"log_type_report": 5} for day in ("2015-05-17", "2024-03-11", "1999-01-01")}
    assert "4 reports" in reports().skip_message  # two models, two days; the third is no partition
    assert instance.get_materialized_partitions(TABLE) == {"2015-05-17", "2024-03-11"}
    newest = instance.fetch_materializations(TABLE, limit=1).records[0].asset_materialization
    assert newest.metadata["records"].value == 5
    assert reports().skip_message == "no logs changed"


def test_ranges():
    assert list(ranges_of([])) == []
    assert list(ranges_of(["2024-02-29", "2024-03-01", "2024-03-03"])) == [
        ("2024-02-29", "2024-03-01"),
        ("2024-03-03", "2024-03-03"),
    ]


def test_a_build_reports_each_day_with_rows_and_tests(definitions, instance, platform):
    job = definitions.resolve_job_def("reports")
    done = job.execute_in_process(
        instance=instance,
        tags={"dagster/asset_partition_range_start": "2024-03-10", "dagster/asset_partition_range_end": "2024-03-11"},
    )
    assert done.success
    assert ("build", "2024-03-10T00", "2024-03-12T00", ()) in platform.calls
    assert instance.get_materialized_partitions(TABLE) == {"2024-03-10", "2024-03-11"}
    records = instance.fetch_materializations(TABLE, limit=10).records
    by_day = {r.partition_key: r.asset_materialization.metadata for r in records}
    assert by_day["2024-03-10"]["records"].value == 7
    assert by_day["2024-03-11"]["refused_hours"].value == "2024-03-11T05"
    checks = instance.event_log_storage.get_asset_check_execution_history(AssetCheckKey(TABLE, "unique_lines"), limit=5)
    assert (checks[0].status.value, checks[0].partition) == ("SUCCEEDED", None)  # dbt tests carry no partition


@pytest.mark.parametrize(("layer", "call"), [("raw", "replay"), ("logs", "rebuild")])
def test_a_backfill_of_several_hours_is_one_run(definitions, instance, platform, layer, call):
    key = AssetKey([layer, "web"])
    result = dg.materialize(
        [definitions.resolve_assets_def(key)],
        instance=instance,
        tags={
            "dagster/asset_partition_range_start": "2024-03-10T03",
            "dagster/asset_partition_range_end": "2024-03-10T05",
        },
    )
    assert result.success
    assert platform.calls == [(call, "web", "2024-03-10T03", "2024-03-10T06")]
    assert instance.get_materialized_partitions(key) == {"2024-03-10T03", "2024-03-10T04", "2024-03-10T05"}
    metadata = instance.fetch_materializations(key, limit=1).records[0].asset_materialization.metadata
    assert metadata["dagster/partition_row_count"].value == 7


def test_the_open_hour_is_ingested_before_it_is_replayed(definitions, instance, platform):
    dg.materialize(
        [definitions.resolve_assets_def(AssetKey(["raw", "web"]))],
        instance=instance,
        partition_key="2024-03-12T05",
    )
    assert platform.calls == [("tick", ("web",), None), ("replay", "web", "2024-03-12T05", "2024-03-12T06")]


def test_checks_can_be_run_by_hand(definitions, instance, platform):
    from nw_platform.watchdog.findings import Finding  # noqa: PLC0415  (only here)

    platform.found = [
        Finding("late", "logs/web", "web", "2024-03-12T05", "", passed=False, severity="warn", message="too late")
    ]
    key = AssetCheckKey(AssetKey(["logs", "web"]), "late")
    selection = dg.AssetSelection.checks(key)
    job = dg.define_asset_job("by_hand", selection=selection)
    made = dg.Definitions.merge(definitions, dg.Definitions(jobs=[job])).resolve_job_def("by_hand")
    assert made.execute_in_process(instance=instance, tags={"dagster/partition": "2024-03-12T05"}).success
    (record,) = instance.event_log_storage.get_asset_check_execution_history(key, limit=5)
    assert record.partition == "2024-03-12T05"
    assert not record.event.dagster_event.event_specific_data.passed
