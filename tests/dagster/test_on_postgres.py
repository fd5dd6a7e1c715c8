"""The same ticks on PostgreSQL storage: a server of our own, on a socket in a temporary folder."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import AssetKey
from postgres_server import server

from nw_platform.cli.dagster_home import POSTGRES_VARIABLE, postgres_url
from resources.pruning import DAY_US, prune

__all__ = ["server"]  # a fixture
RAW, LOGS = AssetKey(["raw", "web"]), AssetKey(["logs", "web"])


@pytest.fixture
def instance(server, tmp_path, monkeypatch):
    monkeypatch.setenv(POSTGRES_VARIABLE, postgres_url(server))
    storage = {"storage": {"postgres": {"postgres_url": {"env": POSTGRES_VARIABLE}}}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=storage) as made:
        yield made


def test_tick_reconciliation_and_pruning(definitions, instance, platform):
    job = definitions.get_job_def("tick")
    for _ in range(2):  # the second one meets keys that are there already
        platform.waiting = [("web", "2024-03-12T05", "2024-03-12T05", 3)]
        done = job.execute_in_process(instance=instance)
    assert instance.get_materialized_partitions(RAW) == {"2024-03-12T05"}
    record = instance.get_latest_materialization_event(LOGS)
    assert record.asset_materialization.metadata["records"].value == 6
    context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name="arrivals")
    assert definitions.get_sensor_def("arrivals").evaluate_tick(context).run_requests == []

    finished = instance.get_run_record_by_id(done.run_id).update_timestamp
    pruned = prune(instance, int(finished.timestamp() * 1_000_000) + 3 * DAY_US)
    assert (pruned.runs, pruned.events > 10) == (2, True)
    assert instance.get_materialized_partitions(LOGS) == {"2024-03-12T05"}
    assert len(instance.fetch_materializations(LOGS, limit=10).records) == 2
