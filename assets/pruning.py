"""The job `prune` and its schedule: once a day, what old runs logged is deleted; what assets were told stays."""

import dagster as dg

from resources.platform import Platform
from resources.pruning import prune


def build_pruning() -> tuple[dg.JobDefinition, dg.ScheduleDefinition]:
    """The job, and its schedule at 03:17 UTC."""

    @dg.op(name="delete_old_events", description="Deletes events of old runs; keeps materializations and evaluations.")
    def delete_old_events(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
        done = prune(context.instance, platform.clock())
        context.log.info("%d runs, %d events deleted", done.runs, done.events)

    @dg.job(name="prune", description="Deletes what old runs logged.", executor_def=dg.in_process_executor)
    def prune_job() -> None:
        delete_old_events()

    schedule = dg.ScheduleDefinition(
        name="prune_daily",
        job=prune_job,
        cron_schedule="17 3 * * *",
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
    )
    return prune_job, schedule
