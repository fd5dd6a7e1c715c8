"""The job that a minute tick runs, for all streams at once, and the job of every further lane.

One op job instead of asset runs: streams with different histories have different partitions, and one asset run cannot
span those. It logs the materializations and check evaluations itself.

A tick takes lane 0 of every stream. Streams with more `lanes` are read by a run of `ingest_lane` for each further lane
number, side by side with the tick. Those report nothing themselves: the tick after them finds what changed.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Final, cast

import dagster as dg
from pydantic import Field

from assets.checks import evaluate
from assets.reporting import Log, Partitions, report, tables
from resources.lanes import added, lanes_of, most_lanes
from resources.platform import LastTick, Platform, TickOutcome
from resources.reported import Reported

TICK: Final = "tick"
LANE: Final = "ingest_lane"
_LANE_OP: Final = "ingest_one_lane"  # a job and its op cannot have one name
LANE_TAG: Final = "neverwinter/lane"
TICK_PRIORITY: Final = "10"  # before backfills, which have 0
LANE_PRIORITY: Final = "9"
TICK_BUDGET_US: Final = 240_000_000  # then it reports; the next tick goes on
HEARTBEAT_SECONDS: Final = 15


class LaneConfig(dg.Config):
    """Which lane a run takes."""

    lane: int = Field(ge=1, description="The number of the lane, of every stream that has so many; 0 is the tick's.")


def build_tick_job(partitions: Partitions) -> dg.JobDefinition:
    """The job `tick`: ingest, report what changed, evaluate the checks."""

    @dg.op(name="ingest_and_report", description="Ingests what is new in all streams and reports what changed.")
    def ingest_and_report(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
        reported = Reported(context.instance.daemon_cursor_storage, platform.settings.lake)
        with _heartbeat(reported, platform.clock):
            outcome = _ingest(platform, reported, 0)
            now = platform.clock()
            brought = reported.brought(most_lanes(platform.settings))
            hours = report(
                platform,
                reported,
                tables(partitions, platform.settings.streams),
                cast("Log", context.log_event),  # its annotation leaves check evaluations out, which it takes
                now,
                numbers=added(outcome.numbers, reported.untold(brought)),
                lags=reported.last_tick(lanes_of(platform.settings)).lags,
            )
            reported.save_told(brought)
            checks = evaluate(platform, reported, partitions, cast("Log", context.log_event), now, TICK, told=hours)
        context.log.info("%d hours reported, %d checks written", len(hours), checks)
        _say(context, outcome)

    @dg.job(
        name=TICK,
        description="What happens every minute: streams are ingested, changed hours reported, checks evaluated.",
        tags={"dagster/priority": TICK_PRIORITY},
        executor_def=dg.in_process_executor,
    )
    def tick() -> None:
        ingest_and_report()

    return tick


def build_lane_job() -> dg.JobDefinition:
    """The job `ingest_lane`: what the tick is for lane 0, without the reporting, which has to be done by one."""

    @dg.op(name=_LANE_OP, description="Ingests what is new in one lane of the streams that have several.")
    def ingest_one_lane(
        context: dg.OpExecutionContext, config: LaneConfig, platform: dg.ResourceParam[Platform]
    ) -> None:
        reported = Reported(context.instance.daemon_cursor_storage, platform.settings.lake)
        with _heartbeat(reported, platform.clock, config.lane):
            outcome = _ingest(platform, reported, config.lane)
            reported.bring(config.lane, outcome.numbers, platform.clock())
        _say(context, outcome)

    @dg.job(
        name=LANE,
        description="One further lane of the streams with several `lanes`: its partitions are ingested.",
        tags={"dagster/priority": LANE_PRIORITY},
        executor_def=dg.in_process_executor,
    )
    def ingest_lane() -> None:
        ingest_one_lane()

    return ingest_lane


def lane_request(lane: int, because: Mapping[str, str]) -> dg.RunRequest:
    """A run of one lane."""
    return dg.RunRequest(
        job_name=LANE,
        run_config={"ops": {_LANE_OP: {"config": {"lane": lane}}}},
        tags={LANE_TAG: str(lane), **because},
    )


def _ingest(platform: Platform, reported: Reported, lane: int) -> TickOutcome:
    """Ingest the lanes of this number, and keep what was met."""
    began = platform.clock()
    outcome = platform.tick(lane=lane, deadline=began + TICK_BUDGET_US)
    until = reported.tick_of(lane).ingested_until if outcome.more else began
    met = LastTick(outcome.problems, outcome.failures, until, outcome.lags, platform.clock())
    reported.save_tick(met, lane)
    return outcome


def _say(context: dg.OpExecutionContext, outcome: TickOutcome) -> None:
    """Log what was met.

    Raises:
        dg.Failure: a stream failed. The others are done; the run fails so that somebody looks at this one.
    """
    context.log.info("%d batches lost to another run", outcome.lost_races)
    for problem in outcome.problems:
        context.log.warning("%s", " ".join(f"{name}={value}" for name, value in problem.items()))
    if outcome.failures:
        raise dg.Failure(
            description="; ".join(f"{stream}: {reason}" for stream, reason in outcome.failures.items()),
            allow_retries=False,
        )


@contextmanager
def _heartbeat(reported: Reported, clock: Callable[[], int], lane: int = 0) -> Iterator[None]:
    """Says every few seconds that this process is alive, until the block ends.

    A thread, because a batch may take longer than the two minutes after which a run counts as dead.
    """
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            reported.beat(clock(), lane)

    reported.beat(clock(), lane)
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
