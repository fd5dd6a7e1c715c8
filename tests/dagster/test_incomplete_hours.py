"""No report is built on an hour that is not whole, whoever starts it; and each says so."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import AssetKey

from definitions import build_definitions
from nw_platform.cli.main import main
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.record.hours import hour_start
from nw_platform.settings import parse
from resources.lake_platform import LakePlatform

CONFIGURATION = """
lake: ./lake
streams:
  web:
    path: "in/web*.log"
    format: json
    late_after: never
    history: {from: 2024-03-10, until: 2024-03-14}
    event_time: {field: t, layout: "%Y-%m-%dT%H:%M:%SZ"}
"""
DAY = "2024-03-12"
BROKEN, WHOLE = f"{DAY}T05", f"{DAY}T06"
TABLE = AssetKey(["reports", "log_type_report"])


@pytest.fixture
def site(tmp_path):
    """Two hours of logs; of one of them a record is gone."""
    (tmp_path / "in").mkdir()
    line = '{"t": "%s:00:00Z", "message": "hello", "host": "a"}\n'
    (tmp_path / "neverwinter.yaml").write_text(CONFIGURATION)
    settings = parse(CONFIGURATION, base=str(tmp_path), origin=str(tmp_path / "neverwinter.yaml"))
    now = hour_start(f"{DAY}T10")
    with Session(settings) as session:
        for name in ("web1.log", "web2.log"):
            (tmp_path / "in" / name).write_text(line % BROKEN + line % WHOLE)
            run_tick(session, lambda: now, until_caught_up=True)
        logs = session.lake.logs("web").snapshot()
        logs.commit(remove=logs.hour_files([BROKEN])[:1], transactions={}, metadata={}, now=now)
    return tmp_path


@pytest.fixture
def platform(site):
    made = LakePlatform(parse(CONFIGURATION, base=str(site), origin=str(site / "neverwinter.yaml")))
    yield made
    made.close()


def built_hours(site) -> set[str]:
    root = site / "lake" / "reports" / "log_type_report" / "grain=hour"
    return {path.stem for path in root.rglob("*.parquet")}


def refused(instance) -> str:
    filters = dg.AssetRecordsFilter(TABLE, asset_partitions=[DAY])
    (record,) = instance.fetch_materializations(filters, limit=1).records
    return record.asset_materialization.metadata["refused_hours"].value


def test_from_the_command_line(site, capsys):
    assert main(["-c", str(site / "neverwinter.yaml"), "build"]) == 1
    assert f"{BROKEN} refused: " in (told := capsys.readouterr().err)
    assert f"nw rebuild web {BROKEN} {WHOLE}" in told
    assert built_hours(site) == {WHOLE}
    assert main(["-c", str(site / "neverwinter.yaml"), "build", DAY, "2024-03-13"]) == 1
    assert f"{BROKEN} refused: " in capsys.readouterr().err
    assert BROKEN not in built_hours(site)


def test_from_the_sensor_of_the_reports(site, platform, instance):
    defs = build_definitions(platform.settings, {"platform": platform})
    context = dg.build_sensor_context(instance=instance, definitions=defs, sensor_name="reports")
    (request,) = defs.get_sensor_def("reports").evaluate_tick(context).run_requests
    assert defs.resolve_job_def("reports").execute_in_process(instance=instance, tags=dict(request.tags)).success
    assert refused(instance) == BROKEN
    assert built_hours(site) == {WHOLE}


def test_from_a_backfill(site, platform, instance):
    defs = build_definitions(platform.settings, {"platform": platform})
    tags = {"dagster/asset_partition_range_start": DAY, "dagster/asset_partition_range_end": "2024-03-13"}
    assert dg.materialize([defs.resolve_assets_def(TABLE)], instance=instance, tags=tags).success
    assert refused(instance) == BROKEN
    assert BROKEN not in built_hours(site)
    assert WHOLE in built_hours(site)


def test_an_hour_whose_logs_are_gone_altogether_keeps_its_report(site, capsys):
    settings = parse(CONFIGURATION, base=str(site), origin=str(site / "neverwinter.yaml"))
    with Session(settings) as session:
        assert main(["-c", settings.path, "build"]) == 1
        logs = session.lake.logs("web").snapshot()
        logs.commit(remove=logs.hour_files([WHOLE]), transactions={}, metadata={}, now=hour_start(f"{DAY}T10"))
        before = {path: path.read_bytes() for path in (site / "lake" / "reports").rglob("*.parquet")}
    capsys.readouterr()
    assert main(["-c", settings.path, "build"]) == 1
    assert f"{WHOLE} refused: " in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (site / "lake" / "reports").rglob("*.parquet")} == before
