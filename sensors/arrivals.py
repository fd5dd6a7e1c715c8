"""Sensor `arrivals`: every minute, is there something to ingest or to report? If so, one run of the job `tick`."""

from dataclasses import replace

import dagster as dg

from assets.jobs import TICK
from assets.reporting import Partitions, tables, unreported
from resources.platform import Platform
from resources.reported import Reported

SILENCE_US = 120_000_000  # a tick run without a heartbeat for so long does not keep the next from starting
_UNDER_WAY = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def build_arrivals(platform: Platform, partitions: Partitions, tick: dg.JobDefinition) -> dg.SensorDefinition:
    """The sensor. It has no run key: a key is remembered for ever, also that of a run that failed."""

    @dg.sensor(
        name="arrivals",
        job=tick,
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a tick when a source has something new or an hour is not reported yet.",
    )
    def arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = platform.clock()
        reported = Reported(context.instance.daemon_cursor_storage, platform.settings.lake)
        if reason := _under_way(context.instance, reported, now):
            return dg.SensorResult(skip_reason=reason)
        found = tables(partitions, platform.settings.streams)
        reasons = [f"new: {stream}" for stream in platform.news(now)]
        reasons = reasons or [f"not reported yet: {asset}" for asset in unreported(platform, reported, found, now)]
        if not reasons:
            # There is nothing that is not in: so what is silent from here on is silent at the source.
            reported.save_tick(replace(reported.last_tick(), ingested_until=now))
            return dg.SensorResult(skip_reason="nothing new")
        tags = {"neverwinter/because": "; ".join(reasons)[:250]}
        return dg.SensorResult(run_requests=[dg.RunRequest(tags=tags)])

    return arrivals


def _under_way(instance: dg.DagsterInstance, reported: Reported, now: int) -> str | None:
    """Why no tick may start: one waits in the queue, or runs and was alive within two minutes."""
    queued = dg.RunsFilter(job_name=TICK, statuses=[dg.DagsterRunStatus.QUEUED])
    if instance.get_run_records(queued, limit=1):
        return "a tick waits in the queue"
    running = instance.get_run_records(dg.RunsFilter(job_name=TICK, statuses=list(_UNDER_WAY)), limit=1)
    if not running:
        return None
    alive = max(int(running[0].update_timestamp.timestamp() * 1_000_000), reported.heartbeat())
    return "a tick is running" if now - alive < SILENCE_US else None
