"""The dbt project by itself: it parses and its unit tests pass without a lake."""

from __future__ import annotations

import json

import pytest
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from nw_platform.reports.build import PLAN_VARIABLE, dbt_arguments
from nw_platform.reports.tables import REPORT_TABLES


@pytest.fixture
def invoke(work, monkeypatch):
    monkeypatch.delenv(PLAN_VARIABLE, raising=False)

    def run(command, *more):
        DuckDBConnectionManager.close_all_connections()
        result = dbtRunner().invoke([*dbt_arguments(command, work / "reports"), *more])
        DuckDBConnectionManager.close_all_connections()
        return result

    return run


def test_unit_tests_need_no_lake(invoke):
    result = invoke("test", "--select", "test_type:unit")
    assert result.success
    assert len(result.result.results) >= 5
    assert {str(r.status) for r in result.result.results} == {"pass"}


def test_a_build_without_a_plan_computes_nothing_and_writes_nothing(invoke, work):
    assert invoke("build", "--exclude-resource-type", "unit_test").success
    assert not list((work / "reports").rglob("*.parquet"))


def test_every_mart_has_a_model_with_a_data_test(invoke, work):
    assert invoke("parse").success
    manifest = json.loads((work / "reports" / "target" / "manifest.json").read_text(encoding="utf-8"))
    models = {node["name"] for node in manifest["nodes"].values() if node["resource_type"] == "model"}
    tested = {
        manifest["nodes"][node["attached_node"]]["name"]
        for node in manifest["nodes"].values()
        if node["resource_type"] == "test" and node.get("attached_node")
    }
    assert set(REPORT_TABLES) <= models & tested
