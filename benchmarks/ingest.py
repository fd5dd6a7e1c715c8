"""Landing file -> raw and logs, beside plain DuckDB that reads the same file and writes the same columns once.

Both have two threads and write Parquet with zstd level 1. The platform does more: it keeps the exact bytes too, with
digests and receipts, types each line or says why not, and remembers ids; the peer's rows go to one file.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import duckdb

from benchmarks import data
from benchmarks.alone import Taken, run_alone
from benchmarks.figures import Figure, median_of
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.settings import parse

BROKEN: Final = 0.001
_GIB: Final = 1 << 30
_SETTLED_US: Final = 3600 * 1_000_000  # the file is taken as one that nobody has written to for an hour

_COLUMNS: Final = {"user_id": "string", "status": "int32", "latency_ms": "float64"}
_WRITERS: Final = {"combined": data.combined, "json": data.json_lines}

_LINES: Final = (
    "read_csv('$path', columns = {x: 'VARCHAR'}, delim = E'\\x01', quote = '', escape = '', header = false, "
    "auto_detect = false)"
)
_ACCESS: Final = r'^(\S+) (\S+) (\S+) \[([^\]]+)\] "([^" ]*) ([^" ]*) ([^"]*)" (\d+) (\d+|-) "([^"]*)" "([^"]*)"'
_GROUPS: Final = "['h', 'i', 'u', 't', 'm', 'p', 'v', 's', 'b', 'r', 'a']"
_SPLIT: Final = ", ".join(f"{name}: 'VARCHAR'" for name in ("h", "i", "u", "t", "zone", "request", "s", "b", "r", "a"))

# What DuckDB alone is asked for. The csv reader is no access log reader: it happens to split most lines rightly.
PEERS: Final = {
    "combined": {
        "regexp_extract": "SELECT try_strptime(f.t, '%d/%b/%Y:%H:%M:%S %z') AS event_time, f.h, f.i, f.u, f.m, f.p, "
        "f.v, try_cast(f.s AS INTEGER) AS s, try_cast(f.b AS BIGINT) AS b, f.r, f.a "
        f"FROM (SELECT regexp_extract(x, '{_ACCESS}', {_GROUPS}) AS f FROM {_LINES})",
        "read_csv": "SELECT try_strptime(t || ' ' || zone, '[%d/%b/%Y:%H:%M:%S %z]') AS event_time, h, i, u, "
        "split_part(request, ' ', 1) AS m, split_part(request, ' ', 2) AS p, split_part(request, ' ', 3) AS v, "
        "try_cast(s AS INTEGER) AS s, try_cast(b AS BIGINT) AS b, r, a "
        "FROM read_csv('$path', auto_detect = false, header = false, delim = ' ', quote = '\"', escape = '\\', "
        f"ignore_errors = true, columns = {{{_SPLIT}}})",
    },
    "json": {
        "read_json": "SELECT make_timestamp(ts * 1000) AS event_time, * EXCLUDE (ts, fields), unnest(fields) "
        "FROM read_json('$path', format = 'newline_delimited', ignore_errors = true, columns = {"
        "v: 'BIGINT', id: 'VARCHAR', ts: 'BIGINT', host: 'VARCHAR', process: 'VARCHAR', type: 'VARCHAR', "
        "session: 'VARCHAR', seq: 'BIGINT', severity: 'VARCHAR', message: 'VARCHAR', "
        "fields: 'STRUCT(user_id VARCHAR, status INTEGER, latency_ms DOUBLE)'})",
    },
}


def figures(form: str, folder: Path, *, megabytes: int, pairs: int) -> Iterator[Figure]:
    """Measure one format, clean and with broken lines. `pairs`: how often the peer and the platform alternate."""
    clean = _measured(form, folder, megabytes, pairs, 0.0)
    yield from _ratios(form, clean)
    mine = clean["platform"]
    peak = max(taken.peak for taken in mine)
    yield Figure(f"{form}: peak memory", peak / _GIB, " GiB", at_most=1.5)
    stored = mine[0].result
    detail = f"raw {stored['raw'] / stored['text']:.3f}, logs {stored['logs'] / stored['text']:.3f}"
    size = (stored["raw"] + stored["logs"]) / stored["text"]
    yield Figure(f"{form}: raw + logs on disk, of the text", size, at_most=0.35, detail=detail)
    broken = _measured(form, folder, megabytes, pairs, BROKEN)
    yield from _ratios(f"{form}, 0.1 % broken", broken)
    cost = [b.cpu / c.cpu for b, c in zip(broken["platform"], clean["platform"], strict=True)]
    yield median_of(f"{form}: CPU with 0.1 % broken, of clean", cost, at_most=1.25)


def platform(folder: str, form: str, text: str) -> dict[str, int]:
    """Ingest one file into a new lake. Returns bytes of text, raw and logs, records and rejects."""
    root, file = Path(folder), Path(text)
    declared: dict[str, Any] = {"source": "landing", "path": file.name, "format": form, "late_after": "never"}
    if form == "json":
        declared["columns"] = _COLUMNS
    settings = parse(configuration(root, file.parent, declared), base=folder, origin="benchmark")
    with Session(settings) as session:
        report = run_tick(session, lambda: time.time_ns() // 1000 + _SETTLED_US, until_caught_up=True)
    if report.failures or report.problems:
        raise SystemExit(f"the platform failed: {report.failures} {report.problems}")
    return {
        "text": file.stat().st_size,
        "raw": _size(root / "lake" / "raw"),
        "logs": _size(root / "lake" / "logs"),
        "records": sum(batch.records for batch in report.batches),
        "rejects": sum(batch.rejects for batch in report.batches),
    }


def peer(folder: str, query: str, text: str) -> dict[str, int]:
    """The same with plain DuckDB into one file. Returns its bytes and rows."""
    target = Path(folder, "peer.parquet")
    target.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(config={"threads": 2}) as connection:
        options = "(FORMAT parquet, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        counted = connection.execute(f"COPY ({query.replace('$path', text)}) TO '{target}' {options}").fetchone()
    return {"size": target.stat().st_size, "records": counted[0]}


def configuration(root: Path, landing: Path, stream: dict[str, Any]) -> str:
    """A configuration of one stream `app` over a landing zone, lake and hints below `root`."""
    return json.dumps(
        {
            "lake": str(root / "lake"),
            "sources": {"landing": {"kind": "landing", "url": str(landing)}},
            "streams": {"app": stream},
        }
    )


def _measured(form: str, folder: Path, megabytes: int, pairs: int, broken: float) -> dict[str, list[Taken]]:
    """Every peer and the platform in turn, `pairs` times. Name -> what each run took."""
    text = folder / "landing" / f"{form}.log"
    text.parent.mkdir(parents=True, exist_ok=True)
    lines = _WRITERS[form](text, megabytes, broken=broken)
    found: dict[str, list[Taken]] = {}
    for _ in range(pairs):
        for name, query in PEERS[form].items():
            if broken and name == "read_csv":
                continue  # a quote that is not closed takes most of the file with it
            found.setdefault(name, []).append(
                run_alone("benchmarks.ingest:peer", folder=str(folder / "run"), query=query, text=str(text))
            )
            shutil.rmtree(folder / "run")
        taken = run_alone("benchmarks.ingest:platform", folder=str(folder / "run"), form=form, text=str(text))
        shutil.rmtree(folder / "run")
        if taken.result["records"] != lines:
            raise SystemExit(f"{form}: {lines} lines were written, {taken.result['records']} records came in")
        found.setdefault("platform", []).append(taken)
    text.unlink()
    return found


def _ratios(what: str, found: dict[str, list[Taken]]) -> Iterator[Figure]:
    mine = found["platform"]
    records = mine[0].result["records"]
    for name, theirs in found.items():
        if name == "platform":
            continue
        pairs = list(zip(theirs, mine, strict=True))
        peer_s, our_s = (sorted(t.seconds for t in runs)[len(runs) // 2] for runs in (theirs, mine))
        detail = f"{records / our_s / 1000:,.0f}k records/s beside {records / peer_s / 1000:,.0f}k"
        if (rows := theirs[0].result["records"]) != records:
            detail += f"; the peer keeps {rows:,} of {records:,} lines"
        rates = [t.seconds / m.seconds for t, m in pairs]
        yield median_of(f"{what}: rate, of DuckDB's {name}", rates, at_least=0.5, detail=detail)
        detail = f"{1e6 * min(m.cpu for m in mine) / records:.1f} us beside "
        detail += f"{1e6 * min(t.cpu for t in theirs) / records:.1f} us a record"
        yield median_of(f"{what}: CPU, of DuckDB's {name}", [m.cpu / t.cpu for t, m in pairs], detail=detail)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
