"""Assets reports/<table>: the dbt models, by day. One run builds a day's hours, the day, its week, month and all."""

from collections.abc import Iterable, Iterator, Sequence
from graphlib import TopologicalSorter
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.markdown import plain
from assets.partitions import chosen_days
from assets.raw import OWNERS, allow_long
from assets.reporting import materialization_metadata
from nw_platform.record.hours import hours_between
from nw_platform.reports.tables import TABLES
from resources.dbt_graph import Check, DbtGraph, Model
from resources.platform import BuildOutcome, Platform

JOB: Final = "reports"
POOL: Final = "reports"  # of one: two builds would write the files of the same week, month and whole


def build_reports(graph: DbtGraph, streams: Iterable[str], days: dg.DailyPartitionsDefinition) -> dg.AssetsDefinition:
    """All models and tests of the dbt project as one definition: dbt runs them together."""
    names = list(streams)
    # Dagster wants results in the order of their dependencies.
    order = TopologicalSorter({model.key: model.upstream for model in graph.models}).static_order()
    marts = {model.name for model in graph.models if model.layer == "marts"}
    names_by_key = {model.key: model.name for model in graph.models}
    table_of = {dg.AssetKey(key): names_by_key[key] for key in order}

    @dg.multi_asset(
        name="dbt_build",
        description="Builds the reports of the chosen days with dbt, and runs dbt's tests on them.",
        specs=[_spec(model, names, days) for model in graph.models],
        check_specs=[
            dg.AssetCheckSpec(name=check.name, asset=check.key, description=check.description) for check in graph.checks
        ],
        can_subset=True,
        backfill_policy=dg.BackfillPolicy.single_run(),
        pool=POOL,
    )
    def dbt_build(
        context: dg.AssetExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.MaterializeResult[None] | dg.AssetCheckResult]:
        allow_long(context)
        first, last = chosen_days(context)
        chosen = {table_of[key] for key in context.selected_asset_keys}
        wanted = chosen & marts
        # All of them, or only models that lead to all: then the build is remembered as whole.
        tables = None if not wanted or wanted == marts else sorted(wanted)
        outcome = platform.build(first, last, platform.clock(), tables=tables)
        for hour, reason in outcome.refused:
            context.log.warning("no report on %s: %s", hour, reason)
        day_keys = sorted({hour[:10] for hour in hours_between(first, last)})
        for key in (key for key in table_of if key in context.selected_asset_keys):
            for day in day_keys:
                context.add_asset_metadata(_numbers(outcome, table_of[key], day), asset_key=key, partition_key=day)
            yield dg.MaterializeResult(asset_key=key)
        selected = {(tuple(key.asset_key.path), key.name) for key in context.selected_asset_check_keys}
        yield from _results(outcome, [check for check in graph.checks if (check.key, check.name) in selected])
        if outcome.gaps:  # what could be built is published and was told above
            raise dg.Failure("; ".join(outcome.gaps))

    return dbt_build


def build_reports_job(days: dg.DailyPartitionsDefinition) -> UnresolvedAssetJobDefinition:
    """What the sensor `reports` launches."""
    return dg.define_asset_job(
        JOB,
        selection=dg.AssetSelection.groups("reports"),
        partitions_def=days,
        description="Builds the reports of days whose logs changed.",
        tags={"dagster/priority": "5"},
        executor_def=dg.in_process_executor,
    )


def _spec(model: Model, streams: Sequence[str], days: dg.DailyPartitionsDefinition) -> dg.AssetSpec:
    logs = [dg.AssetKey(["logs", stream]) for stream in streams] if model.reads_logs else []
    # Streams have histories of their own: a day of the reports may have no hour in one of them.
    hours = dg.TimeWindowPartitionMapping(allow_nonexistent_upstream_partitions=True)
    return dg.AssetSpec(
        key=model.key,
        deps=[*(dg.AssetDep(key, partition_mapping=hours) for key in logs), *(dg.AssetKey(k) for k in model.upstream)],
        description=model.description,
        group_name="reports",
        owners=list(OWNERS),
        kinds={*model.kinds, *(() if model.layer == "staging" else ("parquet",))},
        partitions_def=days,
        metadata={
            "dbt_model": model.unique_id,
            **({"dagster/column_schema": dg.TableSchema(columns=columns)} if (columns := _columns(model)) else {}),
        },
    )


def _columns(model: Model) -> list[dg.TableColumn]:
    """As dbt declares them, else as the report table does."""
    if model.columns:
        return [dg.TableColumn(name=name, type=kind or "?", description=text) for name, kind, text in model.columns]
    table = TABLES.get(model.name)
    found = () if table is None else table.columns
    return [dg.TableColumn(name=c.name, type=c.kind, description=c.meaning) for c in found if c.stored]


def _numbers(outcome: BuildOutcome, table: str, day: str) -> dict[str, object]:
    rows = outcome.rows.get((table, day))
    refused = [hour for hour, _ in outcome.refused if hour.startswith(day)]
    periods = sum(
        1 for name, grain, period in outcome.built if name == table and grain in {"hour", "day"} and period[:10] == day
    )
    numbers = {"periods": periods, "seconds": outcome.seconds, **({} if rows is None else {"records": rows})}
    return {**materialization_metadata(numbers), **({"refused_hours": ", ".join(refused)} if refused else {})}


def _results(outcome: BuildOutcome, checks: Sequence[Check]) -> Iterator[dg.AssetCheckResult]:
    """Of the tests that dbt ran; one that it did not run says nothing."""
    for check in checks:
        if check.unique_id in outcome.tests:
            passed, message = outcome.tests[check.unique_id]
            yield dg.AssetCheckResult(
                passed=passed, asset_key=check.key, check_name=check.name, description=plain(message) or None
            )
