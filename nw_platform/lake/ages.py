"""Instants as ages, for libraries that subtract an age from the machine's clock instead of taking an instant.

Nothing else in the lake reads the clock: an age made here and the library's subtraction of it, a moment later, undo
each other, so the caller's time (`now` is an argument everywhere) decides what is old, whatever the calendar says.
"""

from __future__ import annotations

import math
import time

from nw_platform.record.hours import HOUR_US


def hours_since(instant: int) -> int:
    """Return how many whole hours ago an instant (microseconds since the epoch) was, rounded up.

    It is 0 for an instant that the machine's clock has not reached: what a library deletes by this age is always
    older than the instant.
    """
    elapsed = time.time_ns() // 1000 - instant
    return max(0, math.ceil(elapsed / HOUR_US))
