"""Builds reports with dbt: one invocation for all periods of a step, since dbt takes seconds to start."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from nw_platform.errors import LakeError, UsageError
from nw_platform.ingest.completeness import hour_balances
from nw_platform.lake.scratch import scratch
from nw_platform.lake.store import Lake
from nw_platform.reports.counting import counts_folder, emptied_folder
from nw_platform.reports.gaps import KEY_TABLES, Gap
from nw_platform.reports.isolation import count_streams, culprits, disk_full, gaps_of, is_disk_full, without
from nw_platform.reports.plan import Incomplete, plan_build, write_manifest
from nw_platform.reports.relations import StepPlan
from nw_platform.reports.tables import REPORT_TABLES, TABLES
from nw_platform.settings import Settings

PLAN_VARIABLE: Final = "NW_REPORTS_PLAN"

_ONE_AT_A_TIME: Final = threading.Lock()  # dbt keeps its state in the process

Progress = Callable[[int, int, str], None]  # steps done, steps, what is done now


@dataclass(slots=True)
class BuildReport:
    """What a build did. `built`: the periods that were computed; their files changed only if their rows did."""

    built: list[tuple[str, str, str]] = field(default_factory=list)  # table, grain, period
    refused: list[tuple[str, str]] = field(default_factory=list)  # hour, reason
    gaps: list[Gap] = field(default_factory=list)  # streams that are missing from what was built
    records: int = 0


def build(
    lake: Lake,
    settings: Settings,
    *,
    tables: Collection[str] | None = None,
    first: str | None = None,
    last: str | None = None,
    now: int,
    incomplete: Incomplete | None = None,
    progress: Progress | None = None,
) -> BuildReport:
    """Build the reports of the hours whose logs changed, and of the longer periods that hold them.

    A stream whose part cannot be built is left out, named in `gaps` of the result and tried again by the next build.

    Args:
        lake: where logs are read and report files written.
        settings: the declared streams.
        tables: only these report tables (then nothing is remembered as built); None: all.
        first: first hour of a range that is built whether it changed or not.
        last: the hour after that range.
        now: microseconds since the epoch; decides what retention has expired.
        incomplete: stream -> hours whose logs are not whole; these are refused and named in the result. None: judged
            by receipts (ingest/completeness.py).
        progress: called before each step.

    Raises:
        UsageError: there is no such table.
        LakeError: the lake is not the one that is known; or dbt failed: what was published stays, and the next build
            does the rest again.
    """
    for table in tables or ():
        if table not in REPORT_TABLES:
            raise UsageError(f"there is no report table {table!r}; the tables are {', '.join(REPORT_TABLES)}")
    lake.require()
    plan = plan_build(
        lake,
        settings,
        now=now,
        first=first,
        last=last,
        incomplete=incomplete or (lambda stream: incomplete_hours(lake, stream)),
        everything=bool(tables) and first is None,
    )
    report = BuildReport(refused=list(plan.refused))
    for index, step in enumerate(plan.steps):
        if progress is not None:
            progress(index, len(plan.steps), step.hours[-1] if step.hours else "")
        report.gaps += _build_step(lake, step, tables)
        report.records += plan.records[index]
        for table in tables or REPORT_TABLES:
            for grain, periods in step.periods.items():
                if grain in TABLES[table].grains:
                    report.built += [(table, grain, period) for period in periods]
    if tables is None:
        write_manifest(lake.reports_root, {**plan.tokens, **_forgotten(report.gaps)}, report.gaps)
    return report


def _build_step(lake: Lake, step: StepPlan, tables: Collection[str] | None) -> list[Gap]:
    """Build a step, without the streams that make it fail. Returns what is missing, which is remembered before."""
    work = scratch(lake.work, "reports")

    def run(some: StepPlan) -> None:
        run_dbt(some, work, tables=tables)

    with emptied_folder(counts_folder(work)) as folder:
        gaps: list[Gap] = []
        if tables is None or not {*KEY_TABLES}.isdisjoint(tables):
            step, gaps = count_streams(step, folder)
        _remember(lake, gaps)
        try:
            run(step)
        except LakeError as error:
            if is_disk_full(str(error)):
                raise disk_full(lake.reports_root, str(lake.work), str(error)) from error
            failing = culprits(step, run)
            if not failing:
                raise
            for stream, reason in failing:
                gaps += gaps_of(stream, "all", reason)
            _remember(lake, gaps)
            run(without(step, [stream for stream, _ in failing]))
    return gaps


def _remember(lake: Lake, gaps: Sequence[Gap]) -> None:
    """Write down what will be missing, before files are published without it: a crash must not hide it."""
    if gaps:
        write_manifest(lake.reports_root, _forgotten(gaps), gaps)


def _forgotten(gaps: Sequence[Gap]) -> dict[str, str | None]:
    """Changes of the manifest by which the hours count as changed, so that the next build tries again."""
    return {gap.hour: "" for gap in gaps}


def incomplete_hours(lake: Lake, stream: str) -> set[str]:
    """The hours of a stream for which raw = logs + duplicates does not hold."""
    return {hour for hour, balance in hour_balances(lake, stream).items() if not balance.whole}


def project_dir() -> Path:
    """The dbt project: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_dbt_project"
    return installed if installed.is_dir() else package.parent / "dbt_project"


def dbt_arguments(command: str, work: Path) -> list[str]:
    """Arguments of a dbt command that writes only below `work` and prints nothing."""
    project = str(project_dir())
    return [
        "--quiet", "--no-use-colors", "--log-level", "none", "--log-level-file", "none", command,
        "--project-dir", project, "--profiles-dir", project,
        "--target-path", str(work / "target"), "--log-path", str(work / "logs"),
    ]  # fmt: skip


def write_plan(step: StepPlan, work: Path) -> Path:
    """Hand a step to the plugin: the file that NW_REPORTS_PLAN is to name."""
    work.mkdir(parents=True, exist_ok=True)
    path = work / f"plan.{os.getpid()}.json"
    path.write_text(step.as_text(), encoding="utf-8")
    return path


def run_dbt(step: StepPlan, work: Path, *, tables: Collection[str] | None = None) -> None:
    """Run the models of a step and their data tests in this process.

    Raises:
        LakeError: a model failed or a test found something; names it.
    """
    # Two seconds to import: only where something is to be built.
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    path = write_plan(step, work)
    # A test that also looks at a model that is not selected is left out.
    selection = ["--indirect-selection", "cautious", "--select", *(f"+{table}" for table in tables)] if tables else []
    arguments = [*dbt_arguments("build", work), "--exclude-resource-type", "unit_test"]
    with _ONE_AT_A_TIME, _environment(PLAN_VARIABLE, str(path)), _stdout_to_stderr():
        # The adapter keeps its database for the whole process; each step needs a new one, with its own plan.
        DuckDBConnectionManager.close_all_connections()
        result = dbtRunner().invoke([*arguments, *selection])
        DuckDBConnectionManager.close_all_connections()
    path.unlink(missing_ok=True)
    if not result.success:
        raise LakeError(f"reports were not built: {_reason(result)}")


def _reason(result: Any) -> str:  # noqa: ANN401  (dbt ships no type information)
    """One line that says what failed."""
    if result.exception is not None:
        return " ".join(str(result.exception).split())
    failed: Sequence[Any] = [r for r in getattr(result.result, "results", ()) if str(r.status) in {"error", "fail"}]
    lines = [f"{r.node.name}: {' '.join(str(r.message).split())}" for r in failed]
    return "; ".join(lines) or "dbt says no more"


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


@contextmanager
def _stdout_to_stderr() -> Iterator[None]:
    """Standard output holds only a command's result; what dbt prints goes to the other stream."""
    before, sys.stdout = sys.stdout, sys.stderr
    try:
        yield
    finally:
        sys.stdout = before
