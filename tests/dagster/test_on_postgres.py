"""The same ticks on PostgreSQL storage: a server of our own, on a socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import dagster as dg
import pytest
from dagster import AssetKey

from nw_platform.cli.dagster_home import POSTGRES_VARIABLE, postgres_url
from resources.pruning import DAY_US, prune

RAW, LOGS = AssetKey(["raw", "web"]), AssetKey(["logs", "web"])


def program(name):
    """A PostgreSQL program, on the path or where Debian puts it."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((str(place / name) for place in places if (place / name).exists()), shutil.which(name))


@pytest.fixture(scope="module")
def server():
    initdb, postgres = program("initdb"), program("pg_ctl")
    if not initdb or not postgres:
        if os.environ.get("NW_REQUIRE_SERVICES") == "1":
            pytest.fail("NW_REQUIRE_SERVICES=1, but there is no PostgreSQL here: apt-get install postgresql")
        pytest.skip("no PostgreSQL on this machine")
    folder = Path(tempfile.mkdtemp(prefix="nw-pg-"))
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(folder, **user)
    data = folder / "data"

    def run(*command):
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120, **user)

    run(initdb, "-D", str(data), "-U", "nw", "-A", "trust", "--no-sync", "-E", "UTF8")
    run(
        postgres,
        "-D",
        str(data),
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        f"-c listen_addresses='' -k {folder} -F",
        "start",
    )
    try:
        yield f"postgresql://nw@/postgres?host={folder}"
    finally:
        run(postgres, "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


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
