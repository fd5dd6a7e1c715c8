"""Sensor `watchdog`: judges every expectation each minute, also when nothing arrives and nothing runs."""

from functools import partial
from typing import cast

import dagster as dg

from assets.checks import evaluate
from assets.reporting import Log, Partitions
from resources.platform import Platform
from resources.reported import Reported
from resources.runless import report_evaluation


def build_watchdog(platform: Platform, partitions: Partitions) -> dg.SensorDefinition:
    """The sensor. It launches nothing: evaluations that changed go straight into the event log."""

    @dg.sensor(
        name="watchdog",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Evaluates all checks of raw and logs; writes what changed and what became final.",
    )
    def watchdog(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        instance = context.instance
        reported = Reported(instance.daemon_cursor_storage, platform.settings.lake)
        log = cast("Log", partial(report_evaluation, instance))  # it is given evaluations only
        written = evaluate(platform, reported, partitions, log, platform.clock(), "watchdog")
        return dg.SkipReason(f"{written} evaluations written" if written else "no change")

    return watchdog
