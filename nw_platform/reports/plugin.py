"""What dbt-duckdb loads (profiles.yml): the lake's snapshot as sources, and the publishing of report files.

The file named by NW_REPORTS_PLAN says which log files to read and which periods to write (reports/plan.py). Without it
the sources are there, typed and empty, and nothing is published: so `dbt parse`, `dbt compile` and the unit tests
need no lake.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin

from nw_platform.lake.engine import literal
from nw_platform.lake.remote import register
from nw_platform.record.hours import period_directory
from nw_platform.reports.counting import created_views
from nw_platform.reports.publish import publish, report_files, report_path
from nw_platform.reports.relations import StepPlan, create_sources

PLAN_VARIABLE: Final = "NW_REPORTS_PLAN"


class Plugin(BasePlugin):  # type: ignore[misc]  # dbt-duckdb ships no type information
    """One per dbt invocation."""

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Read the plan, if there is one."""
        del plugin_config
        path = os.environ.get(PLAN_VARIABLE)
        self.plan = StepPlan.parse(Path(path).read_text(encoding="utf-8")) if path else StepPlan()
        self.work = Path(self.plan.work or tempfile.gettempdir())

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Bound the engine, register the sources and the two functions of the materialization."""
        self.work.mkdir(parents=True, exist_ok=True)
        conn.execute("SET GLOBAL TimeZone = 'UTC'")
        conn.execute("SET GLOBAL autoinstall_known_extensions = false")
        conn.execute(f"SET GLOBAL memory_limit = {literal(self.plan.memory)}")
        conn.execute(f"SET GLOBAL temp_directory = {literal(str(self.work / 'spill'))}")
        register(conn)
        create_sources(conn, self.plan)
        for statement in created_views(self.plan.keys, self.plan.values):
            conn.execute(statement)
        conn.create_function("nw_staging", self.staging, ["VARCHAR"], "VARCHAR", side_effects=True)
        conn.create_function("nw_publish", self.publish, ["VARCHAR", "VARCHAR"], "BIGINT", side_effects=True)
        conn.create_function("nw_files", self.files, ["VARCHAR", "VARCHAR"], "VARCHAR", side_effects=True)

    def staging(self, model: str) -> str:
        """An empty folder for the files of a model, before they are published."""
        folder = self.work / "staging" / f"{os.getpid()}" / model
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return str(folder)

    def publish(self, table: str, model: str) -> int:
        """Publish the staged files of a model: every period of the plan, empty ones too. Returns how many changed."""
        folder = self.work / "staging" / f"{os.getpid()}" / model
        grains = json.loads((folder / "_grains.json").read_text(encoding="utf-8"))["grains"]
        staged: list[tuple[Path, str]] = []
        for grain in self.plan.periods if self.plan.root else ():
            if grain not in grains:
                continue
            for period in self.plan.periods[grain]:
                place = folder / f"grain={grain}" / f"dt={period_directory(grain, period)}" / f"file={period}"
                parts = sorted(place.glob("*.parquet"))
                if len(parts) > 1:  # never seen: rows arrive sorted by period
                    message = f"{place} has {len(parts)} parts; nothing of {table} was published"
                    raise RuntimeError(message)
                source = parts[0] if parts else folder / "_empty.parquet"
                staged.append((source, report_path(table, grain, period)))
        changed = publish(report_files(self.plan.root), staged) if staged else 0
        shutil.rmtree(folder)
        return changed

    def files(self, table: str, grain: str) -> str:
        """The files of a table that longer periods are merged from, one a line."""
        periods = sorted({*self.plan.inputs.get(grain, ()), *self.plan.periods.get(grain, ())})
        if not self.plan.root:
            return ""
        files = report_files(self.plan.root)
        return "\n".join(map(files.url, files.there(report_path(table, grain, period) for period in periods)))
