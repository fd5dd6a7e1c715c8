"""What parsing costs: `python -m benchmarks.parse [--megabytes N]`.

Prints CPU nanoseconds a record for each format, clean and with 0.1 % of the lines cut short, beside plain DuckDB
taking the same columns out of the same file in the same run. Both are the better of several rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from benchmarks import data
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.registry import make_format
from nw_platform.record.envelope import TIMESTAMP

ROUNDS: Final = 3
BROKEN: Final = 0.001
RECEIVED: Final = 1_795_000_000_000_000
JSON_COLUMNS: Final = {"user_id": "string", "status": "int32", "latency_ms": "float64"}

_LINES: Final = (
    "read_csv('{path}', columns = {{x: 'VARCHAR'}}, delim = E'\\x01', quote = '', escape = '', header = false, "
    "auto_detect = false)"
)
_ACCESS: Final = r'^(\S+) (\S+) (\S+) \[([^\]]+)\] "([^" ]*) ([^" ]*) ([^"]*)" (\d+) (\d+|-) "([^"]*)" "([^"]*)"'
_PLAIN: Final = {
    "combined": "SELECT try_strptime(f.t, '%d/%b/%Y:%H:%M:%S %z') AS t, try_cast(f.s AS INTEGER) AS s, "
    "try_cast(f.b AS BIGINT) AS b, f.h, f.i, f.u, f.m, f.p, f.v, f.r, f.a "
    f"FROM (SELECT regexp_extract(x, '{_ACCESS}', ['h', 'i', 'u', 't', 'm', 'p', 'v', 's', 'b', 'r', 'a']) AS f "
    f"FROM {_LINES})",
    "json": "SELECT * EXCLUDE (fields), unnest(fields) FROM read_json('{path}', format = 'newline_delimited', "
    "ignore_errors = true, columns = {{v: 'BIGINT', id: 'VARCHAR', ts: 'BIGINT', host: 'VARCHAR', process: 'VARCHAR', "
    "type: 'VARCHAR', session: 'VARCHAR', seq: 'BIGINT', severity: 'VARCHAR', message: 'VARCHAR', "
    "fields: 'STRUCT(user_id VARCHAR, status INTEGER, latency_ms DOUBLE)'}})",
    "lines": f"SELECT x FROM {_LINES}",
}
_WRITERS: Final = {"combined": data.combined, "json": data.json_lines, "lines": data.combined}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="CPU time of parsing, beside plain DuckDB.")
    parser.add_argument("--megabytes", type=int, default=100, help="text a format (default 100)")
    megabytes = parser.parse_args().megabytes
    _say(f"{'ns CPU a record':16} {'duckdb':>8} {'clean':>8} {'broken':>8} {'clean/duckdb':>13} {'broken/clean':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for name, write in _WRITERS.items():
            plain, clean = _measure(name, write, Path(folder) / f"{name}.log", megabytes, 0.0)
            _, broken = _measure(name, write, Path(folder) / f"{name}.broken.log", megabytes, BROKEN)
            _say(f"{name:16} {plain:8.0f} {clean:8.0f} {broken:8.0f} {clean / plain:13.2f} {broken / clean:13.2f}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _measure(name: str, write: Callable[..., int], path: Path, megabytes: int, broken: float) -> tuple[float, float]:
    """(DuckDB, ours) in CPU nanoseconds a record."""
    write(path, megabytes, broken=broken)
    values = path.read_bytes().splitlines()
    rows = _rows(values)
    made = make_format(ParseOptions("bench", name, columns=JSON_COLUMNS if name == "json" else {}))
    with duckdb.connect(config={"threads": 2}) as connection:
        query = _PLAIN[name].format(path=path)
        pairs = [
            (_cpu(lambda: connection.sql(query).to_arrow_table()), _cpu(lambda: made.parse(rows)))
            for _ in range(ROUNDS)
        ]
    return tuple(min(times) / len(values) for times in zip(*pairs, strict=True))


def _cpu(run: Callable[[], object]) -> float:
    """CPU nanoseconds of this process, all its threads."""
    start = time.process_time_ns()
    run()
    return float(time.process_time_ns() - start)


def _rows(values: list[bytes]) -> pa.Table:
    """Raw rows as the landing source delivers them."""
    lengths = pa.array([len(value) + 1 for value in values], pa.int64())
    ends = pc.cumulative_sum(lengths)
    count = len(values)
    return pa.table(
        {
            "value": pa.array(values, pa.binary()),
            "received_time": pa.repeat(pa.scalar(RECEIVED, pa.int64()), count).cast(TIMESTAMP),
            "source": pa.repeat("bench.log", count),
            "source_partition": pa.repeat(pa.scalar(0, pa.int32()), count),
            "source_start": pc.subtract(ends, lengths),
            "source_end": ends,
            "incarnation": pa.repeat("c0ffee", count),
        }
    )


if __name__ == "__main__":
    main()
