"""A real lake with a landing folder, and a clock that tests set."""

from __future__ import annotations

import gzip
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.record.hours import to_us
from nw_platform.settings import parse
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observe import TickState, Watch

MINUTE = 60_000_000
HOUR = 60 * MINUTE
DAY = "2026-11-22"


def at(text: str) -> int:
    whole = text if len(text) > 8 else f"{DAY} {text}"
    return to_us(datetime.fromisoformat(whole).replace(tzinfo=UTC))


class Platform:
    """A configuration, its landing folder, and a clock that tests set."""

    def __init__(self, root: Path, streams: dict[str, Any], **top: Any) -> None:
        self.root = root
        self.landing = root / "in"
        self.landing.mkdir()
        for stream in streams.values():
            stream.setdefault("history", {"from": "2026-11-01"})
            stream.setdefault("format", "json")
            stream.setdefault("growing", False)
        text = json.dumps({"streams": streams, **top})
        self.settings = parse(text, base=str(root), origin=str(root / "neverwinter.yaml"))
        self.session = Session(self.settings)
        self.watch = self.new_watch()
        self.tick_state = TickState()

    def new_watch(self) -> Watch:
        return Watch(self.session.lake, folder=self.root / "watch")

    def land(self, name: str, times: list[int], *, packed: bool = False, more: bytes = b"", **fields: Any) -> Path:
        lines = [json.dumps({"ts": t // 1000, "message": "m", **fields}).encode() + b"\n" for t in times]
        content = b"".join(lines) + more
        path = self.landing / name
        path.write_bytes(gzip.compress(content) if packed else content)
        return path

    def tick(self, now: int) -> None:
        for path in self.landing.iterdir():
            if path.stat().st_mtime_ns // 1000 > now:
                os.utime(path, ns=(now * 1000, now * 1000))
        report = run_tick(self.session, lambda: now, until_caught_up=True)
        assert report.failures == {}
        problems: dict[str, list[Any]] = {}
        for met in report.problems:
            problems.setdefault(met.stream, []).append(met.problem)
        self.tick_state = TickState(problems=problems, ingested_until=now)

    def look(self, now: int, **options: Any) -> list[Finding]:
        found = self.watch.findings(rules_of_all(self.settings), now, self.tick_state, **options)
        self.watch.commit()
        return found

    def failing(self, now: int, **options: Any) -> set[tuple[str, str | None, str]]:
        return {(f.check, f.partition, f.subject) for f in self.look(now, **options) if not f.passed}


def minutes(begin: str, count: int, *, step: int = MINUTE) -> list[int]:
    return [at(begin) + n * step for n in range(count)]
