"""The traffic of the demo: 30 hours up to now, with four things wrong in it at known places.

Hours are counted from the first hour of the traffic, so that every fault lies in yesterday or today and is the same
in every demo, whenever it is started.
"""

from __future__ import annotations

from typing import Final

from nw_platform.generator.spec import (
    MINUTE_US,
    SECOND_US,
    BrokenLines,
    Faults,
    LateFile,
    RenamedKey,
    Silence,
    TrafficSpec,
)
from nw_platform.record.hours import HOUR_US

HOURS: Final = 30  # whole hours before the one that is open
SILENT_HOST: Final = "web-02.west"
SILENT_FROM: Final = 18  # hours after the first
LATE_HOST: Final = "web-02.east"
LATE_HOUR: Final = 2  # more than 24 hours before now, whatever the minute
RENAMED_IN: Final = "checkout"
RENAMED_FROM: Final = 22
BROKEN_HOST: Final = "web-01.east"
BROKEN_HOUR: Final = 26
BROKEN_LINES: Final = 40

_SEED: Final = 20150518
_RATE: Final = 1.0  # records a second


def demo_traffic(now: int) -> TrafficSpec:
    """Traffic that ends at the last whole minute before `now` (microseconds since the epoch, UTC)."""
    end = now // MINUTE_US * MINUTE_US
    start = now // HOUR_US * HOUR_US - HOURS * HOUR_US
    faults = Faults(
        silences=(Silence(SILENT_HOST, start + SILENT_FROM * HOUR_US, end),),
        late_files=(LateFile(LATE_HOST, covers=start + LATE_HOUR * HOUR_US, arrives=end),),
        renamed_keys=(RenamedKey(RENAMED_IN, "user_id", "userId", start + RENAMED_FROM * HOUR_US),),
        broken_lines=(
            BrokenLines(BROKEN_HOST, "frontend", start + BROKEN_HOUR * HOUR_US + 17 * MINUTE_US, BROKEN_LINES),
        ),
    )
    return TrafficSpec(
        start=start,
        seconds=(end - start) // SECOND_US,
        rate=_RATE,
        seed=_SEED,
        errors=0.008,
        duplicates=0.002,
        spill=0.01,
        processes=1,
        minutes_per_file=60,
        faults=faults,
    )
