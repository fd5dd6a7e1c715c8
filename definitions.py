"""The composition root: everything that Dagster shows and runs, built from one configuration."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import dagster as dg
from dagster import BetaWarning, PreviewWarning

from assets.checks import build_checks
from assets.console import quiet_console
from assets.jobs import build_lane_job, build_tick_job
from assets.logs import build_logs
from assets.partitions import arrival_hours, event_hours, report_days
from assets.pruning import build_pruning
from assets.raw import build_raw
from assets.reports import build_reports, build_reports_job
from assets.upkeep import build_upkeep
from nw_platform.settings import Settings, load
from resources.dbt_graph import load_graph
from resources.lake_platform import LakePlatform
from resources.lanes import most_lanes
from sensors.alerts import build_alerts
from sensors.arrivals import build_arrivals
from sensors.reports import build_reports_sensor
from sensors.watchdog import build_watchdog


def build_definitions(settings: Settings, overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """All definitions for one configuration. Reads no lake, no source and no clock.

    Args:
        settings: the configuration.
        overrides: what to use instead of the real thing: `platform` (a resources.platform.Platform), `dbt` (a
            resources.dbt_graph.DbtGraph), `arrivals_from` (the first arrival hour that is shown, a datetime).
    """
    given = dict(overrides or {})
    # Backfill policies are beta and partitioned checks a preview: Dagster is pinned exactly, and the tests cover both.
    warnings.filterwarnings("ignore", category=BetaWarning)
    warnings.filterwarnings("ignore", category=PreviewWarning)
    platform = given.get("platform") or LakePlatform(settings)
    graph = given.get("dbt") or load_graph(settings.work)
    streams = list(settings.streams.values())
    partitions = {f"raw/{s.name}": arrival_hours(s, given.get("arrivals_from")) for s in streams}
    partitions |= {f"logs/{s.name}": event_hours(s) for s in streams}
    days = report_days(streams)
    tick = build_tick_job(partitions)
    ingest_jobs = [tick, build_lane_job()] if most_lanes(settings) > 1 else [tick]
    reports_job = build_reports_job(days)
    prune_job, prune_daily = build_pruning()
    maintain_job, maintain_hourly = build_upkeep()
    return dg.Definitions(
        assets=[
            *(build_raw(s, partitions[f"raw/{s.name}"]) for s in streams),
            *(build_logs(s, partitions[f"logs/{s.name}"]) for s in streams),
            build_reports(graph, settings.streams, days),
        ],
        asset_checks=[check for s in streams for check in build_checks(s, partitions)],
        jobs=[*ingest_jobs, reports_job, maintain_job, prune_job],
        schedules=[maintain_hourly, prune_daily],
        sensors=[
            build_arrivals(platform, partitions, ingest_jobs),
            build_watchdog(platform, partitions),
            build_reports_sensor(platform, days, reports_job, graph),
            build_alerts(platform),
        ],
        resources={"platform": platform},
        loggers={"console": quiet_console},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads: the configuration named by NW_CONFIG. NW_ARRIVALS_FROM is set by `nw up`."""
    since = os.environ.get("NW_ARRIVALS_FROM")
    return build_definitions(
        load(), {"arrivals_from": datetime.fromisoformat(since).replace(tzinfo=UTC)} if since else None
    )
