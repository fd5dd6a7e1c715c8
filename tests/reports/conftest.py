"""A lake for report tests, written without the platform: a small parser of its own, and deltalake itself."""

from __future__ import annotations

import gzip
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from nw_platform.lake.store import DUPLICATES_SCHEMA, Lake
from nw_platform.record.envelope import logs_schema
from nw_platform.reports.build import BuildReport, build
from nw_platform.reports.views import run_query
from nw_platform.settings import Settings
from nw_platform.streams.declaration import StreamDecl

SAMPLE = Path(__file__).parents[2] / "nw_platform" / "generator" / "samples" / "apache_logs.gz"
COMBINED = {
    "remote_host": pa.string(), "ident": pa.string(), "remote_user": pa.string(), "method": pa.string(),
    "path": pa.string(), "protocol": pa.string(), "status": pa.int32(), "bytes_sent": pa.int64(),
    "referrer": pa.string(), "user_agent": pa.string(),
}  # fmt: skip
LINE = re.compile(
    r'(\S+) (\S+) (\S+) \[([^\]]+)\] "(\S+) (\S+) (\S+)" (\d{3}) (\d+|-) "((?:[^"\\]|\\.)*)" "((?:[^"\\]|\\.)*)"\Z'
)
NOW = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000


def record(event_time: datetime, **values: Any) -> dict[str, Any]:
    """A row of `logs` with the defaults of a record that parsed."""
    return {
        "event_time": event_time, "received_time": event_time, "ingest_time": event_time, "event_id": None,
        "datacenter": None, "log_type": "app", "log_version": 0, "series": "normal", "spilled": False, "late": False,
        "size_bytes": 10, "source": "file", "source_partition": 0, "source_start": 0, "source_end": 10, **values,
    }  # fmt: skip


def apache_records() -> list[dict[str, Any]]:
    """The 10,000 lines of the sample, parsed one by one."""
    rows, position = [], 0
    for line in gzip.decompress(SAMPLE.read_bytes()).split(b"\n")[:-1]:
        text = line.decode()
        stamp = re.search(r"\[([^\]]+)\]", text)
        assert stamp
        when = datetime.strptime(stamp[1], "%d/%b/%Y:%H:%M:%S %z").astimezone(UTC)
        row = record(when, log_type="apache", size_bytes=len(line) + 1, source_start=position)
        position += len(line) + 1
        row["source_end"] = position
        if found := LINE.match(text):
            names = [n for n in COMBINED if n not in {"status", "bytes_sent"}]
            texts = found.group(1, 2, 3, 5, 6, 7, 10, 11)
            row |= {n: None if t == "-" else t for n, t in zip(names, texts, strict=True)}
            row |= {"status": int(found[8]), "bytes_sent": None if found[9] == "-" else int(found[9])}
        else:
            row |= {"series": "error", "reject_reason": "bad_format", "message": text}
        rows.append(row)
    return rows


class Bench:
    """A lake, its settings, and a way to write to it."""

    def __init__(self, folder: Path, work: Path, streams: Mapping[str, StreamDecl]) -> None:
        self.lake = Lake(str(folder / "lake"), work=work)
        self.settings: Settings = Settings(
            path=str(folder / "neverwinter.yaml"), lake=str(folder / "lake"), lake_grace_us=0, work=work,
            sources={}, streams=dict(streams),
        )  # fmt: skip

    def write(self, stream: str, rows: list[dict[str, Any]], columns: Mapping[str, pa.DataType] | None = None) -> None:
        """Append records to the stream's logs."""
        schema = logs_schema(dict(columns or {}))
        table = pa.Table.from_pylist(rows, schema=schema)
        table = _partitioned(table, [r["event_time"] for r in rows])
        write_deltalake(
            f"{self.lake.url}/logs/stream={stream}", table, mode="append", partition_by=["dt", "hour"],
            schema_mode="merge",
        )  # fmt: skip

    def write_duplicates(self, stream: str, rows: list[dict[str, Any]]) -> None:
        """Append dropped duplicates."""
        table = pa.Table.from_pylist([{**r, "lane": "0.0", "sequence": 1} for r in rows], schema=DUPLICATES_SCHEMA)
        table = _partitioned(table, [r["event_time"] for r in rows]).drop_columns(["hour"])
        table = table.append_column("stream", pa.array([stream] * len(rows)))
        write_deltalake(f"{self.lake.url}/duplicates", table, mode="append", partition_by=["stream", "dt"])

    def build(self, **arguments: Any) -> BuildReport:
        """Build; these lakes have no receipts, so every hour is taken to be whole unless a test says otherwise."""
        return build(self.lake, self.settings, **{"now": NOW, "incomplete": lambda _: (), **arguments})

    def sql(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query."""
        return run_query(self.lake, self.settings, query, NOW).mappings()

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file below reports: (inode, time of its last change)."""
        root = Path(self.lake.reports_root)
        return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in root.rglob("*.*")}


def _partitioned(table: pa.Table, times: list[datetime]) -> pa.Table:
    days = pa.array([t.strftime("%Y-%m-%d") for t in times])
    return table.append_column("dt", days).append_column("hour", pa.array([t.strftime("%H") for t in times]))


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    """One for all lakes of a test process: dbt parses the project once."""
    return tmp_path_factory.mktemp("work")


@pytest.fixture
def make_bench(tmp_path, work):
    return lambda **streams: Bench(tmp_path, work, streams)


@pytest.fixture(scope="session")
def apache(tmp_path_factory, work):
    """The sample in a lake of its own, built once. Tests that write make their own."""
    bench = Bench(tmp_path_factory.mktemp("apache"), work, {"apache": StreamDecl(name="apache", format="combined")})
    rows = apache_records()
    bench.write("apache", rows, COMBINED)
    report = bench.build()
    return SimpleNamespace(bench=bench, rows=rows, report=report, lake=bench.lake, settings=bench.settings)


@pytest.fixture
def row():
    return record
