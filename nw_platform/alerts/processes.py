"""What `nw up` says of its processes to those who raise alerts: a small file, outside the lake and Dagster's home.

`nw up` writes it; the sensor `alerts` and `nw watch`, which it starts, read it. The variable NW_UP_TOLD names it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from nw_platform.alerts.platform import platform_finding
from nw_platform.watchdog.findings import Finding, Severity

__all__ = ["PROCESS", "TOLD_VARIABLE", "ProcessNews", "process_findings", "write_news"]

PROCESS: Final = "process"
TOLD_VARIABLE: Final = "NW_UP_TOLD"


@dataclass(frozen=True, slots=True)
class ProcessNews:
    """How one process of `nw up` is. `since`: microseconds since the epoch, for one that does not work or did not."""

    name: str
    works: bool
    message: str
    since: int | None = None
    repair: str = ""
    severity: Severity = "warn"  # a process that was started again works


def write_news(place: Path, news: Sequence[ProcessNews]) -> None:
    """Replace the file at once, so that a reader sees the old text or the new one.

    Raises:
        OSError: it cannot be written.
    """
    beside = place.with_suffix(".new")
    beside.write_text(json.dumps([asdict(one) for one in news]), encoding="utf-8")
    beside.replace(place)


def process_findings(environ: Mapping[str, str] = os.environ) -> list[Finding]:
    """The findings of the check `process`: none if Dagster's processes were not started by `nw up`."""
    place = environ.get(TOLD_VARIABLE)
    if not place:
        return []
    try:
        news = [ProcessNews(**one) for one in json.loads(Path(place).read_text(encoding="utf-8"))]
    except (OSError, ValueError, TypeError):  # it was ended: nobody says anything of processes
        return []
    return [
        platform_finding(
            PROCESS,
            one.name,
            passed=one.works,
            message=one.message,
            repair=one.repair,
            since=one.since,
            severity=one.severity,
        )
        for one in news
    ]
