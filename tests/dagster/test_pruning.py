"""The pruner: what runs logged goes, what assets were told stays."""

from __future__ import annotations

from dagster import AssetKey

from resources.pruning import DAY_US, prune

RAW = AssetKey(["raw", "web"])


def run_a_tick(definitions, instance, platform):
    platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 3)]
    done = definitions.get_job_def("tick").execute_in_process(instance=instance)
    finished = instance.get_run_record_by_id(done.run_id).update_timestamp
    return done.run_id, int(finished.timestamp() * 1_000_000)


def test_old_runs_go_and_their_materializations_stay(definitions, instance, platform):
    run, finished = run_a_tick(definitions, instance, platform)
    assert prune(instance, finished + DAY_US).runs == 0
    done = prune(instance, finished + 3 * DAY_US)
    assert done.runs == 1
    assert done.events > 5
    assert instance.get_run_by_id(run) is None
    assert instance.get_materialized_partitions(RAW) == {"2024-03-12T05"}
    record = instance.get_latest_materialization_event(RAW)
    assert record.asset_materialization.metadata["records"].value == 3
    assert prune(instance, finished + 3 * DAY_US).runs == 0


def test_pruned_storage_goes_on_working(definitions, instance, platform):
    _, finished = run_a_tick(definitions, instance, platform)
    prune(instance, finished + 3 * DAY_US)
    run_a_tick(definitions, instance, platform)
    assert instance.get_materialized_partitions(RAW) == {"2024-03-12T05"}
    assert len(instance.fetch_materializations(RAW, limit=10).records) == 2
