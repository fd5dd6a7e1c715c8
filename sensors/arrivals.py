"""Sensor `arrivals`: every minute, is there something to ingest or to report?

If so, it asks for one run of the job `tick`, and for one run of `ingest_lane` for each further lane with news.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import dagster as dg

from assets.jobs import LANE, LANE_TAG, TICK, lane_request
from assets.reporting import Partitions, tables, unreported
from nw_platform.settings import Settings
from resources.lanes import most_lanes
from resources.platform import LagNumbers, LastTick, Platform
from resources.reported import Reported

SILENCE_US: Final = 120_000_000  # a run without a heartbeat for so long does not keep the next from starting
# A source that cannot be reached costs its timeout in every lane, and Dagster ends a sensor's look at 60 s. Lanes that
# were not asked by then are taken to have news: their runs find out.
ASKING_US: Final = 20_000_000
_MINUTE_US: Final = 60_000_000
_UNDER_WAY: Final = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def build_arrivals(platform: Platform, partitions: Partitions, jobs: Sequence[dg.JobDefinition]) -> dg.SensorDefinition:
    """The sensor. It has no run key: a key is remembered for ever, also that of a run that failed."""

    @dg.sensor(
        name="arrivals",
        jobs=list(jobs),
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts a tick when a source has something new or an hour is not reported yet, and runs of lanes.",
    )
    def arrivals(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        now = platform.clock()
        reported = Reported(context.instance.daemon_cursor_storage, platform.settings.lake)
        lanes = range(1, most_lanes(platform.settings))
        asked = [_tick(context.instance, platform, partitions, reported, now)]
        asked += [_lane(context.instance, platform, reported, lane, now) for lane in lanes]
        requests = [one for one in asked if isinstance(one, dg.RunRequest)]
        reasons = [one for one in asked if isinstance(one, str)]
        skipped = None if requests else "; ".join(dict.fromkeys(reasons))
        return dg.SensorResult(run_requests=requests, skip_reason=skipped)

    return arrivals


def _tick(
    instance: dg.DagsterInstance, platform: Platform, partitions: Partitions, reported: Reported, now: int
) -> dg.RunRequest | str:
    """A request for a tick, or why there is none."""
    if reason := _under_way(instance, reported, now, 0):
        return reason
    found = tables(partitions, platform.settings.streams)
    reasons = [f"new: {stream}" for stream in platform.news(now, 0)]
    if not reasons:
        _nothing_new(platform.settings, reported, 0, now)
        reasons = [f"not reported yet: {asset}" for asset in unreported(platform, reported, found, now)]
    if not reasons:
        untold = reported.untold(reported.brought(most_lanes(platform.settings)))
        reasons = [f"not reported yet: raw/{stream}" for stream in untold]
    return dg.RunRequest(job_name=TICK, tags=_because(reasons)) if reasons else "nothing new"


def _lane(
    instance: dg.DagsterInstance, platform: Platform, reported: Reported, lane: int, now: int
) -> dg.RunRequest | str:
    """A request for a run of one further lane, or why there is none."""
    if reason := _under_way(instance, reported, now, lane):
        return reason
    if platform.clock() - now > ASKING_US:
        return lane_request(lane, _because(["not asked: the others took too long"]))
    reasons = [f"new: {stream}" for stream in platform.news(now, lane)]
    if not reasons:
        _nothing_new(platform.settings, reported, lane, now)
        return "nothing new"
    return lane_request(lane, _because(reasons))


def _because(reasons: Sequence[str]) -> dict[str, str]:
    return {"neverwinter/because": "; ".join(reasons)[:250]}


def _nothing_new(settings: Settings, reported: Reported, lane: int, now: int) -> None:
    """Every stream could be looked at and has nothing that is not in.

    So what is silent from here on is silent at the source, what failed does not fail any more, and no stream is behind
    but those that wait for larger batches (`every`), which were not looked at.
    """
    last = reported.tick_of(lane)
    lags = {
        name: last.lags.get(name, {}) if stream.every_us > _MINUTE_US else _caught_up(last, name)
        for name, stream in settings.streams.items()
        if lane < stream.lanes
    }
    reported.save_tick(replace(last, failures={}, ingested_until=now, lags=lags, looked_at=now), lane)


def _caught_up(last: LastTick, stream: str) -> LagNumbers:
    counted = "lag_records" in last.lags.get(stream, {})  # files cannot be counted
    return {"lag_seconds": 0.0, **({"lag_records": 0} if counted else {})}


def _under_way(instance: dg.DagsterInstance, reported: Reported, now: int, lane: int) -> str | None:
    """Why no run of a lane (0: no tick) may start: one waits in the queue, or runs and was alive within two minutes."""
    job, tags, name = (LANE, {LANE_TAG: str(lane)}, f"a run of lane {lane}") if lane else (TICK, {}, "a tick")
    queued = dg.RunsFilter(job_name=job, tags=tags, statuses=[dg.DagsterRunStatus.QUEUED])
    if instance.get_run_records(queued, limit=1):
        return f"{name} waits in the queue"
    running = instance.get_run_records(dg.RunsFilter(job_name=job, tags=tags, statuses=list(_UNDER_WAY)), limit=1)
    if not running:
        return None
    alive = max(int(running[0].update_timestamp.timestamp() * 1_000_000), reported.heartbeat(lane))
    # A sign of life from the future is one of before the clock was set back, and says nothing of now.
    return f"{name} is running" if abs(now - alive) < SILENCE_US else None
