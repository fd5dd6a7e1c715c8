"""Log text for measurements, made from the real sample: as long, as varied and as compressible as the real thing."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

import duckdb

SAMPLE: Final = Path(__file__).parent.parent / "nw_platform" / "generator" / "samples" / "apache_logs.gz"
_COPY: Final = "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER E'\\x01')"
_START: Final = "TIMESTAMP '2026-11-20 00:00:00'"
COMBINED_BYTES: Final = 237  # a line, on average
JSON_BYTES: Final = 270


def combined(path: Path, megabytes: int, *, broken: float = 0.0) -> int:
    """Write combined lines of one day; a share `broken` of them is cut short. Returns the number of lines."""
    lines = megabytes * 1_000_000 // COMBINED_BYTES
    with duckdb.connect(config={"threads": 2}) as connection:
        sample = gzip.decompress(SAMPLE.read_bytes()).decode().splitlines()
        connection.execute("CREATE TABLE sample (id INTEGER, rest VARCHAR)")
        whole = [line.split("] ", 1)[1] for line in sample if line.endswith('"')]
        connection.executemany("INSERT INTO sample VALUES (?, ?)", list(enumerate(whole[:4000])))
        connection.execute(
            f"COPY (SELECT {_cut('line', broken)} FROM (SELECT r, (r * 7919 % 223 + 1) || '.' || (hash(r) % 256) || '.' || "
            "(hash(r + 1) % 256) || '.' || (r % 251) || ' - - [' || "
            f"strftime({_START} + to_milliseconds((r * 86400000) // {lines}), '%d/%b/%Y:%H:%M:%S') || ' +0000] ' || rest AS line "
            f"FROM range({lines}) t(r) JOIN sample ON id = hash(r) % 4000) ORDER BY r) TO '{path}' {_COPY}"
        )
    return lines


def json_lines(path: Path, megabytes: int, *, broken: float = 0.0) -> int:
    """Write wire records of one day from 40 sessions; a share `broken` is cut short. Returns the number of lines."""
    lines = megabytes * 1_000_000 // JSON_BYTES
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(
            f"COPY (SELECT {_cut('line', broken)} FROM (SELECT r, '{{\"v\":1,\"id\":\"' || s || '-' || (r // 40) || '\",\"ts\":' || "
            f"(epoch_ms({_START}) + (r * 86400000) // {lines}) || ',\"host\":\"web-' || (r % 40) || '.east\",\"process\":\"api\",\"type\":\"' || "
            "(CASE WHEN r % 7 = 0 THEN 'payment' ELSE 'request' END) || '\",\"session\":\"' || s || '\",\"seq\":' || (r // 40) || "
            "',\"severity\":\"INFO\",\"message\":\"handled ' || hex(hash(r)) || '\",\"fields\":{\"user_id\":\"u' || (hash(r) % 50000) || "
            "'\",\"status\":' || (CASE WHEN hash(r) % 50 = 0 THEN 500 ELSE 200 END) || ',\"latency_ms\":' || "
            "round((hash(r + 7) % 100000) / 1000.0, 3) || '}}' AS line FROM (SELECT r, 'sess' || lpad((r % 40)::VARCHAR, 12, '0') AS s "
            f"FROM range({lines}) t(r))) ORDER BY r) TO '{path}' {_COPY}"
        )
    return lines


def _cut(line: str, broken: float) -> str:
    """The line, or every n-th one without its end."""
    if not broken:
        return line
    every = round(1 / broken)
    return f"CASE WHEN hash(r) % {every} = 0 THEN left({line}, length({line}) // 2) ELSE {line} END"
