"""`nw sql` over 50M rows: one day's status counts, beside plain DuckDB over the same day's files.

The lake is made of real parsed lines: one hour's rows are ingested, then written again for every hour of five days,
as one file an hour, which is what compaction leaves.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from benchmarks import data
from benchmarks.alone import Taken, run_alone
from benchmarks.figures import Figure, median_of
from benchmarks.ingest import configuration
from nw_platform.ingest.opening import open_lake
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.lake.engine import connect, scan
from nw_platform.lake.parquet import WrittenFile
from nw_platform.lake.tables import file_name
from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hours import HOUR_US, hour_of, partition_of, to_us
from nw_platform.reports.views import run_query
from nw_platform.settings import load

_DAYS: Final = 5
_FIRST: Final = date(2026, 11, 16)
_ASKED: Final = _FIRST + timedelta(days=2)
_STREAM: Final = {"source": "landing", "path": "*.log", "format": "combined", "late_after": "never"}
_SETTLED_US: Final = 3600 * 1_000_000

QUERIES: Final = {
    "by dt": f"SELECT status, count(*) AS lines FROM app WHERE dt = '{_ASKED}' GROUP BY ALL ORDER BY ALL",
    "by event_time": "SELECT status, count(*) AS lines FROM app "
    f"WHERE event_time >= '{_ASKED}' AND event_time < '{_ASKED + timedelta(days=1)}' GROUP BY ALL ORDER BY ALL",
    "all days": "SELECT status, count(*) AS lines FROM app GROUP BY ALL ORDER BY ALL",
}
_LIMIT_S: Final = 1.0
_RUNS: Final = 3  # a query is short: so many for each pair of a long measurement


def figures(folder: Path, *, rows: int, pairs: int) -> Iterator[Figure]:
    """Make the lake, then ask: each query as a command, and inside a process that has just started."""
    made = run_alone("benchmarks.sql:make_lake", folder=str(folder), rows=rows)
    config = str(folder / "neverwinter.yaml")
    for name, query in QUERIES.items():
        whole: list[float] = []
        ours: list[Taken] = []
        theirs: list[Taken] = []
        for _ in range(pairs * _RUNS):
            theirs.append(run_alone("benchmarks.sql:plain", folder=str(folder), name=name))
            ours.append(run_alone("benchmarks.sql:asked", config=config, query=query))
            whole.append(_command(config, query))
        if any(taken.result != theirs[0].result for taken in (*ours, *theirs)):
            raise SystemExit(f"{name}: the platform and plain DuckDB disagree")
        limit = None if name == "all days" else _LIMIT_S
        what = f"status counts of {'one day' if limit else 'all'} in {made.result / 1e6:g}M rows, {name}"
        yield median_of(f"{what}: query", [t.seconds for t in ours], unit=" s", at_most=limit)
        yield median_of(f"{what}: whole command", whole, unit=" s", at_most=limit)
        ratios = [o.seconds / t.seconds for o, t in zip(ours, theirs, strict=True)]
        yield median_of(f"{what}: query, of plain DuckDB's", ratios)


def make_lake(folder: str, rows: int) -> int:
    """Fill the table `logs` of stream `app`. Returns how many rows it has."""
    root = Path(folder)
    per_hour = rows // (24 * _DAYS)
    landing = root / "landing"
    landing.mkdir()
    data.combined(landing / "app.log", max(1, round(per_hour * data.COMBINED_BYTES / 1_000_000)))
    config = root / "neverwinter.yaml"
    config.write_text(configuration(root / "first", landing, _STREAM))
    with Session(load(str(config))) as session:
        run_tick(session, lambda: time.time_ns() // 1000 + _SETTLED_US, until_caught_up=True)
        snapshot = session.lake.logs("app").ensure()
        schema = snapshot.schema()
        with connect(memory="2GB") as connection:
            hour = connection.sql(scan(snapshot.files(), schema, partitions=())).to_arrow_table().cast(schema)
    config.write_text(configuration(root, landing, _STREAM))
    open_lake(load(str(config))).renew()  # the work folder knows the first lake
    with Session(load(str(config))) as session:
        table = session.lake.logs("app")
        fresh = table.ensure(schema)
        start = to_us(datetime(_FIRST.year, _FIRST.month, _FIRST.day, tzinfo=UTC))
        written: list[WrittenFile] = []
        at = schema.names.index("event_time")
        step = HOUR_US // len(hour)
        for number in range(24 * _DAYS):
            begin = start + number * HOUR_US
            times = pa.array(range(begin, begin + step * len(hour), step), pa.int64()).cast(TIMESTAMP)
            dt, hh = partition_of(hour_of(begin))
            name = file_name("compacted", number)
            with table.writer(name, schema, {"dt": dt, "hour": hh}, statistics=("event_time",)) as writer:
                writer.write(hour.set_column(at, schema.field(at), times))
                written.append(writer.close())
        fresh.commit(add=written, transactions={}, metadata={}, now=start)
    return len(hour) * len(written)


def asked(config: str, query: str) -> list[list[int]]:
    """The query as `nw sql` runs it, its imports done."""
    settings = load(config)
    with Session(settings) as session:
        return [list(row) for row in run_query(session.lake, settings, query, time.time_ns() // 1000).rows]


def plain(folder: str, name: str) -> list[list[int]]:
    """The same answer with plain DuckDB, told which day's files to read."""
    day = "*" if name == "all days" else str(_ASKED)
    files = Path(folder, "lake", "logs", "stream=app", f"dt={day}", "*", "*.parquet")
    with duckdb.connect(config={"threads": 2}) as connection:
        query = f"SELECT status, count(*) FROM read_parquet('{files}') GROUP BY ALL ORDER BY ALL"
        return [list(row) for row in connection.execute(query).fetchall()]


def _command(config: str, query: str) -> float:
    """Seconds of `nw sql` from start to end."""
    command = [sys.executable, "-m", "nw_platform.cli.main", "-c", config, "sql", query, "--format", "csv"]
    started = time.perf_counter()
    subprocess.run(command, cwd=Path(__file__).parent.parent, stdout=subprocess.DEVNULL, check=True)  # noqa: S603  (our own command)
    return time.perf_counter() - started
