"""Lets sensors tick again after the clock was set back (`python -m resources.sensor_clock`).

Dagster begins a sensor's next tick when its interval has passed since the last one, by the clock. If the clock was set
back by hours, that is hours away. So last ticks that lie in the future are forgotten; cursors are kept.
"""

from __future__ import annotations

import sys
import time
from typing import Final

import dagster as dg
from dagster._core.scheduler.instigation import SensorInstigatorData

__all__ = ["forget_future_ticks"]

_TOLERANCE_S: Final = 5.0


def forget_future_ticks(instance: dg.DagsterInstance, now: float) -> int:
    """Forget when sensors ticked last if that is later than `now` (seconds since the epoch); return how many."""
    forgotten = 0
    for state in instance.all_instigator_state():
        data = state.instigator_data
        if not isinstance(data, SensorInstigatorData):
            continue
        last = max(data.last_tick_timestamp or 0.0, data.last_tick_start_timestamp or 0.0)
        if last > now + _TOLERANCE_S:
            without = data._replace(last_tick_timestamp=None, last_tick_start_timestamp=None)
            instance.update_instigator_state(state.with_data(without))
            forgotten += 1
    return forgotten


def main() -> int:
    """Mend it in the instance of DAGSTER_HOME; the exit code."""
    with dg.DagsterInstance.get() as instance:
        forget_future_ticks(instance, time.time())
    return 0


if __name__ == "__main__":
    sys.exit(main())
