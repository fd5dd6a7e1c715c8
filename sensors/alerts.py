"""Sensor `alerts`: twice a minute, what is wrong is opened, what still is is reminded of, what is over is resolved."""

import dagster as dg

from nw_platform.errors import LakeError, NeverwinterError
from resources.health import health
from resources.lanes import lanes_of
from resources.platform import Health, Platform
from resources.reported import Reported


def build_alerts(platform: Platform) -> dg.SensorDefinition:
    """The sensor. It launches nothing; ingestion and checks do not wait for it."""

    @dg.sensor(
        name="alerts",
        minimum_interval_seconds=30,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Opens, reminds of and resolves alerts, and sends them to the channels of the configuration.",
    )
    def alerts(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        now = platform.clock()
        reported = Reported(context.instance.daemon_cursor_storage, platform.settings.lake)
        seen, problem = _health(context, now)
        tick = reported.last_tick(lanes_of(platform.settings))
        try:
            told = platform.alert(reported.viewer("alerts"), now, tick, seen)
        except (NeverwinterError, OSError) as error:
            # The tick fails, and says why in one line: where in our code that was tells nobody anything.
            raise LakeError(f"alerts could not be evaluated: {_one_line(error)}") from None
        return dg.SkipReason(f"{told}; {problem}" if problem else told)

    return alerts


def _health(context: dg.SensorEvaluationContext, now: int) -> tuple[Health, str]:
    """What Dagster knows of the platform; if it cannot be asked, alerts of streams go out all the same."""
    repository = context.repository_def
    if repository is None:
        return Health(), "the platform was not judged: no repository"
    try:
        findings, judged = health(context.instance, now, repository)
    except Exception as error:  # noqa: BLE001  (storage of any kind may be behind it)
        return Health(), f"the platform was not judged: {_one_line(error)}"
    return Health(findings, judged), ""


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500] or type(error).__name__
