"""A small world for tests: a landing zone, a configuration over it, a clock that only tests move."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from nw_platform import settings
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.lake.engine import connect, scan
from nw_platform.record.hours import to_us
from nw_platform.sources.contract import Budget

START = to_us(datetime(2026, 11, 22, 5, 30, tzinfo=UTC))
MINUTE = 60_000_000
HOUR = 60 * MINUTE


class World:
    """One lake and one landing zone."""

    def __init__(self, root: Path, now: int = START) -> None:
        self.root, self.now = root, now
        self.landing = root / "landing"
        self.landing.mkdir(parents=True, exist_ok=True)
        self.budget = Budget()

    def write(self, name: str, data: bytes) -> Path:
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def settings(self, **stream):
        declared = {"source": "landing", "path": "app/*.log*", "format": "json", "late_after": "never", **stream}
        text = json.dumps({
            "lake": str(self.root / "lake"),
            "sources": {"landing": {"kind": "landing", "url": str(self.landing)}},
            "streams": {"app": declared},
        })  # fmt: skip
        return settings.parse(text, base=str(self.root), origin="test")

    def session(self, **stream) -> Session:
        return Session(self.settings(**stream), budget=self.budget)

    def ingest(self, session: Session, **options):
        """Everything that is there, as a new run would; a failure is the test's failure."""
        report = run_tick(session, lambda: self.now, until_caught_up=True, **options)
        assert not report.failures
        return report

    def rows(self, session: Session, table: str = "logs", columns: str = "*", order: str = "ALL") -> list[tuple]:
        """Rows of logs, raw or duplicates of the stream `app`."""
        lake = session.lake
        source = {"logs": lake.logs("app"), "raw": lake.raw("app"), "duplicates": lake.duplicates()}[table]
        snapshot = source.snapshot()
        if snapshot is None:
            return []
        hive = source.partition_by
        with connect() as connection:
            query = (
                f"SELECT {columns} FROM ({scan(snapshot.files(), snapshot.schema(), partitions=hive)}) ORDER BY {order}"
            )
            return connection.execute(query).fetchall()

    def versions(self, session: Session) -> dict[str, int]:
        """The version of every table: equal before and after means nothing was committed."""
        lake = session.lake
        tables = {
            "raw": lake.raw("app"),
            "logs": lake.logs("app"),
            "receipts": lake.receipts(),
            "dup": lake.duplicates(),
        }
        return {name: table.snapshot().version if table.exists() else -1 for name, table in tables.items()}


def wire(ts_us: int, **fields) -> bytes:
    """A wire record as a line."""
    return json.dumps({"v": 1, "ts": ts_us // 1000, "host": "h", **fields}, separators=(",", ":")).encode() + b"\n"


def sent(session: str, seq: int, ts_us: int, **fields) -> bytes:
    """A wire record as an emitter sends it."""
    return wire(ts_us, id=f"{session}-{seq}", session=session, seq=seq, **fields)
