"""The job that a minute tick runs, for all streams at once.

One op job instead of asset runs: streams with different histories have different partitions, and one asset run cannot
span those. It logs the materializations and check evaluations itself.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, cast

import dagster as dg

from assets.checks import evaluate
from assets.reporting import Log, Partitions, report, tables
from resources.platform import LastTick, Platform
from resources.reported import Reported

TICK: Final = "tick"
TICK_PRIORITY: Final = "10"  # before backfills, which have 0
TICK_BUDGET_US: Final = 240_000_000  # then it reports; the next tick goes on
HEARTBEAT_SECONDS: Final = 15


def build_tick_job(partitions: Partitions) -> dg.JobDefinition:
    """The job `tick`: ingest, report what changed, evaluate the checks."""

    @dg.op(name="ingest_and_report", description="Ingests what is new in all streams and reports what changed.")
    def ingest_and_report(context: dg.OpExecutionContext, platform: dg.ResourceParam[Platform]) -> None:
        reported = Reported(context.instance.daemon_cursor_storage, platform.settings.lake)
        with _heartbeat(reported, platform.clock):
            began = platform.clock()
            outcome = platform.tick(deadline=began + TICK_BUDGET_US)
            until = reported.last_tick().ingested_until if outcome.more else began
            reported.save_tick(LastTick(outcome.problems, outcome.failures, until))
            now = platform.clock()
            found = tables(partitions, platform.settings.streams)
            log = cast("Log", context.log_event)  # its annotation leaves check evaluations out, which it takes
            hours = report(platform, reported, found, log, now, numbers=outcome.numbers, lags=outcome.lags)
            checks = evaluate(platform, reported, partitions, log, now, TICK, told=hours)
        context.log.info(
            "%d hours reported, %d checks written, %d batches lost to another run",
            len(hours),
            checks,
            outcome.lost_races,
        )
        for problem in outcome.problems:
            context.log.warning("%s", " ".join(f"{name}={value}" for name, value in problem.items()))
        if outcome.failures:
            # The other streams are done and reported; the run fails so that somebody looks at these.
            raise dg.Failure(
                description="; ".join(f"{stream}: {reason}" for stream, reason in outcome.failures.items()),
                allow_retries=False,
            )

    @dg.job(
        name=TICK,
        description="What happens every minute: streams are ingested, changed hours reported, checks evaluated.",
        tags={"dagster/priority": TICK_PRIORITY},
        executor_def=dg.in_process_executor,
    )
    def tick() -> None:
        ingest_and_report()

    return tick


@contextmanager
def _heartbeat(reported: Reported, clock: Callable[[], int]) -> Iterator[None]:
    """Says every few seconds that this process is alive, until the block ends.

    A thread, because a batch may take longer than the two minutes after which a tick counts as dead.
    """
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            reported.beat(clock())

    reported.beat(clock())
    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
