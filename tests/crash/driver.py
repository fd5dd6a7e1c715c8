"""A run that a crash test kills: `python tests/crash/driver.py ROOT ACTION`. Time stands still, so results compare."""

from __future__ import annotations

import sys
from pathlib import Path

from world import HOUR, START, World

from nw_platform.errors import NeverwinterError
from nw_platform.ingest.compact import compact
from nw_platform.ingest.rebuild import rebuild
from nw_platform.ingest.repair import repair
from nw_platform.ingest.replay import replay
from nw_platform.ingest.retention import expire
from nw_platform.ingest.tick import run_tick
from nw_platform.reports.build import build
from nw_platform.sources.contract import Budget

ALL = ("1970-01-01T00", "2100-01-01T00")
LATER = START + 30 * HOUR
# Small batches: a run goes through every step several times.
BUDGET = Budget(bytes=40_000)
OLD_RULES = {"format": "json"}
NEW_RULES = {"format": "json", "event_time": {"field": "at", "unit": "s"}}


def act(root: Path, action: str) -> None:
    """Do one thing to the lake below `root`, as a command would."""
    world = World(root)
    world.budget = BUDGET
    rules = NEW_RULES if action == "rebuild" else OLD_RULES
    retention = {"raw": "2h", "logs": "20h"} if action == "retention" else {}
    with world.session(**rules, retention=retention) as session:
        if action == "ingest":
            report = run_tick(session, lambda: START, until_caught_up=True)
            if report.failures:
                raise NeverwinterError(str(report.failures))
        elif action == "compact":
            compact(session, LATER)
        elif action == "replay":
            replay(session, "app", *ALL, START)
        elif action == "repair":
            repair(session, ["app"], START)
        elif action == "rebuild":
            rebuild(session, "app", *ALL, START)
        elif action == "build":
            build(session.lake, session.settings, now=START)
        elif action == "retention":
            expire(session, LATER)
        else:
            raise SystemExit(f"unknown action {action}")


if __name__ == "__main__":
    act(Path(sys.argv[1]), sys.argv[2])
