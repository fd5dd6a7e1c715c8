"""The peak memory of one run that meets an hour of ids which are all different and none `<session>-<seq>` (UUIDs)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from benchmarks import data
from benchmarks.alone import run_alone
from benchmarks.figures import Figure
from nw_platform.record.hours import to_us

_NOW: Final = to_us(datetime(2026, 11, 20, 6, tzinfo=UTC)) - 1_000_000  # the end of the hour
_FILES: Final = 10


def figures(folder: Path, *, records: int) -> Iterator[Figure]:
    """Write the hour as files, and ingest it in one run."""
    landing = folder / "landing"
    landing.mkdir(parents=True)
    per_second = max(1, records // _FILES // 60)
    count = 0
    for number in range(_FILES):
        path = landing / f"{number}.json"
        count += data.wire_minute(path, number, per_second, "uuid")
        os.utime(path, ns=((_NOW - 60_000_000) * 1000,) * 2)
    taken = run_alone("benchmarks.deltas:delta", folder=str(folder), now=_NOW, whole=True)
    if taken.result != count:
        raise SystemExit(f"{count} records were written, {taken.result} are new in logs")
    detail = f"{count:,} UUIDs of one hour at {count / taken.seconds / 1000:,.0f}k records/s"
    yield Figure("ids: peak memory", taken.peak / (1 << 30), " GiB", at_most=1.2, detail=detail)
