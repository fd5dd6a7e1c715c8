"""The job `maintain` and its schedule: once an hour, closed hours are merged and what has expired is deleted.

It runs beside ticks, in a process of its own; commits that cross are settled by the protocol. Merging changes no row,
but files: the next tick reports the merged hours once more, and the next build finds their reports equal.
"""

from collections.abc import Mapping
from typing import Final

import dagster as dg

from assets.raw import LONG_SECONDS
from resources.platform import Platform

MAINTAIN: Final = "maintain"
_PRIORITY: Final = "2"  # after ticks (10) and reports (5), before backfills (0), which may fill their slots for long
_UNDER_WAY: Final = (
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def build_upkeep() -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """The job, and its schedule at minute 20."""

    @dg.op(
        name="compact_and_expire",
        description="Merges the files of closed hours of all streams; deletes what their retention has expired.",
        pool=MAINTAIN,  # of one: two would only get into each other's way
    )
    def compact_and_expire(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
        outcome = platform.maintain()
        totals: dict[str, int] = {}
        for stream, counts in outcome.counts.items():
            for name, count in counts.items():
                totals[name] = totals.get(name, 0) + count
            if any(counts.values()):
                context.log.info("%s: %s", stream, _told(counts))
        context.log.info("all streams: %s", _told(totals))
        if outcome.failures:
            raise dg.Failure(  # the other streams are done
                description="; ".join(f"{stream}: {reason}" for stream, reason in outcome.failures.items()),
                metadata=dict(totals),
                allow_retries=False,
            )
        context.add_output_metadata(totals)

    @dg.job(
        name=MAINTAIN,
        description="Merges the files of closed hours and deletes what has expired, in all streams.",
        tags={"dagster/priority": _PRIORITY, "dagster/max_runtime": str(LONG_SECONDS)},
        executor_def=dg.in_process_executor,
    )
    def maintain() -> None:
        compact_and_expire()

    @dg.schedule(
        name="maintain_hourly",
        job=maintain,
        cron_schedule="20 * * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Closed hours are merged and what has expired is deleted; not while the run before still goes on.",
    )
    def maintain_hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        running = dg.RunsFilter(job_name=MAINTAIN, statuses=list(_UNDER_WAY))
        if context.instance.get_run_records(running, limit=1):
            return dg.SkipReason("the run before still waits or runs")
        return dg.RunRequest()

    return maintain, maintain_hourly


def _told(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "nothing to do"
