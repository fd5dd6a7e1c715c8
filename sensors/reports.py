"""Sensor `reports`: every five minutes, builds the reports of days whose logs changed."""

import json
from collections.abc import Iterable
from datetime import date, timedelta
from typing import Final

import dagster as dg
from dagster._core.definitions.unresolved_asset_job_definition import UnresolvedAssetJobDefinition

from assets.reporting import materialization_metadata
from assets.reports import JOB
from resources.dbt_graph import DbtGraph
from resources.platform import Platform

MOST_TOLD: Final = 200  # materializations an evaluation; the rest follows
MOST_RUNS: Final = 5  # an evaluation; the rest follows, newest days first
AGAIN_US: Final = 1_800_000_000  # a run that failed, or hours that were refused, are tried again after half an hour
_UNFINISHED: Final = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)
_FIRST, _LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def build_reports_sensor(
    platform: Platform, days: dg.DailyPartitionsDefinition, job: UnresolvedAssetJobDefinition, graph: DbtGraph
) -> dg.SensorDefinition:
    """The sensor. Its cursor only keeps it from launching the same work again at once: what is built says the lake."""

    @dg.sensor(
        name="reports",
        job=job,
        minimum_interval_seconds=300,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Builds the reports of days whose logs changed since they were built.",
    )
    def reports(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        if context.instance.get_run_records(dg.RunsFilter(job_name=JOB, statuses=list(_UNFINISHED)), limit=1):
            return dg.SensorResult(skip_reason="a build is waiting or running", cursor=context.cursor)
        now = platform.clock()
        changed = platform.changed_days(now)
        tried: dict[str, list[str | int]] = json.loads(context.cursor) if context.cursor else {}
        due = [day for day, token in changed.items() if _is_due(tried.get(day), token, now) and _exists(days, day)]
        ranges = list(ranges_of(due))[-MOST_RUNS:]
        launched = {day for first, last in ranges for day in due if first <= day <= last}
        kept = {day: entry for day, entry in tried.items() if day in changed and day not in launched}
        cursor = json.dumps(kept | {day: [changed[day], now] for day in sorted(launched)})
        if not ranges:
            told = _tell_built(context.instance, platform, graph, days, set(changed))
            reason = f"no logs changed; {told} reports made elsewhere were reported" if told else "no logs changed"
            return dg.SensorResult(skip_reason=reason, cursor=cursor)
        requests = [dg.RunRequest(tags={_FIRST: first, _LAST: last}) for first, last in reversed(ranges)]
        return dg.SensorResult(run_requests=requests, cursor=cursor)

    return reports


def _tell_built(
    instance: dg.DagsterInstance,
    platform: Platform,
    graph: DbtGraph,
    days: dg.DailyPartitionsDefinition,
    changed: set[str],
) -> int:
    """Report days that were built outside Dagster (`nw build`, another home) and that it knows nothing of."""
    built = {day: counts for day, counts in platform.built_days().items() if _exists(days, day)}
    told = 0
    for model in graph.models:
        missing = built.keys() - instance.get_materialized_partitions(dg.AssetKey(model.key)) - changed
        for day in sorted(missing)[: MOST_TOLD - told]:
            rows = built[day].get(model.name)
            metadata = materialization_metadata({} if rows is None else {"records": rows})
            instance.report_runless_asset_event(
                dg.AssetMaterialization(model.key, partition=day, description="built elsewhere", metadata=metadata)
            )
            told += 1
    return told


def ranges_of(days: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Runs of consecutive days, as (first, last)."""
    first = last = ""
    for day in sorted(days):
        if last and date.fromisoformat(day) - date.fromisoformat(last) > timedelta(days=1):
            yield first, last
            first = day
        first, last = first or day, day
    if last:
        yield first, last


def _is_due(tried: list[str | int] | None, token: str, now: int) -> bool:
    return tried is None or tried[0] != token or now - int(tried[1]) >= AGAIN_US


def _exists(days: dg.DailyPartitionsDefinition, day: str) -> bool:
    return days.has_partition_key(day)
