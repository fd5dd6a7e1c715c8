"""Log text for measurements, made from the real sample: as long, as varied and as compressible as the real thing."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Final

import duckdb

SAMPLE: Final = Path(__file__).parent.parent / "nw_platform" / "generator" / "samples" / "apache_logs.gz"
COMBINED_BYTES: Final = 237  # a line, on average
JSON_BYTES: Final = 270

_COPY: Final = "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER E'\\x01')"
_SAMPLED: Final = 4000

_COMBINED: Final = """
    (r * 7919 % 223 + 1) || '.' || (hash(r) % 256) || '.' || (hash(r + 1) % 256) || '.' || (r % 251) || ' - - ['
    || strftime(TIMESTAMP '2026-11-20' + to_milliseconds((r * 86400000) // $lines), '%d/%b/%Y:%H:%M:%S')
    || ' +0000] ' || rest"""

_JSON: Final = """
    '{"v":1,"id":"' || s || '-' || (r // 40)
    || '","ts":' || (epoch_ms(TIMESTAMP '2026-11-20') + (r * 86400000) // $lines)
    || ',"host":"web-' || (r % 40) || '.east","process":"api","type":"'
    || (CASE WHEN r % 7 = 0 THEN 'payment' ELSE 'request' END) || '","session":"' || s || '","seq":' || (r // 40)
    || ',"severity":"INFO","message":"handled ' || hex(hash(r))
    || '","fields":{"user_id":"u' || (hash(r) % 50000)
    || '","status":' || (CASE WHEN hash(r) % 50 = 0 THEN 500 ELSE 200 END)
    || ',"latency_ms":' || round((hash(r + 7) % 100000) / 1000.0, 3) || '}}'"""

# One minute of one hour, from 400 senders; what differs is how a record is named.
_WIRE: Final = """
    '{"v":1,' || $name || ',"ts":' || (epoch_ms(TIMESTAMP '2026-11-20 05:00:00') + r * 1000 // $per_second)
    || ',"host":"web-' || (r % 400) || '.east","process":"api","type":"request","severity":"INFO","message":"handled '
    || hex(hash(r)) || '","fields":{"status":' || (CASE WHEN hash(r) % 50 = 0 THEN 500 ELSE 200 END) || '}}'"""
_SENDERS: Final = 400
_NAMES: Final = {
    "session": """'"id":"' || s || '-' || q || '","session":"' || s || '","seq":' || q""",
    "uuid": """'"id":"' || CAST(uuid() AS VARCHAR) || '"'""",
}


def combined(path: Path, megabytes: int, *, broken: float = 0.0) -> int:
    """Write combined lines of one day; a share `broken` of them is cut short. Returns the number of lines."""
    lines = megabytes * 1_000_000 // COMBINED_BYTES
    with duckdb.connect(config={"threads": 2}) as connection:
        sample = gzip.decompress(SAMPLE.read_bytes()).decode().splitlines()
        connection.execute("CREATE TABLE sample (id INTEGER, rest VARCHAR)")
        whole = [line.split("] ", 1)[1] for line in sample if line.endswith('"')]
        connection.executemany("INSERT INTO sample VALUES (?, ?)", list(enumerate(whole[:_SAMPLED])))
        connection.execute(
            f"COPY (SELECT {_cut('line', broken)} FROM (SELECT r, {_COMBINED.replace('$lines', str(lines))} AS line "
            f"FROM range({lines}) t(r) JOIN sample ON id = hash(r) % {_SAMPLED}) ORDER BY r) TO '{path}' {_COPY}"
        )
    return lines


def json_lines(path: Path, megabytes: int, *, broken: float = 0.0) -> int:
    """Write wire records of one day from 40 sessions; a share `broken` is cut short. Returns the number of lines."""
    lines = megabytes * 1_000_000 // JSON_BYTES
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(
            f"COPY (SELECT {_cut('line', broken)} FROM (SELECT r, {_JSON.replace('$lines', str(lines))} AS line "
            f"FROM (SELECT r, 'sess' || lpad((r % 40)::VARCHAR, 12, '0') AS s FROM range({lines}) t(r))) ORDER BY r) "
            f"TO '{path}' {_COPY}"
        )
    return lines


def wire_minute(path: Path, minute: int, per_second: int, ids: str) -> int:
    """Write the records of one minute (0 to 59) of one hour, named by `ids`: session or uuid. Returns their number."""
    count = 60 * per_second
    text = _WIRE.replace("$name", _NAMES[ids]).replace("$per_second", str(per_second))
    with duckdb.connect(config={"threads": 2}) as connection:
        connection.execute(
            f"COPY (SELECT {text} FROM (SELECT r, 'sess' || lpad((r % {_SENDERS})::VARCHAR, 12, '0') AS s, "
            f"r // {_SENDERS} AS q FROM range({minute * count}, {(minute + 1) * count}) t(r))) TO '{path}' {_COPY}"
        )
    return count


def _cut(line: str, broken: float) -> str:
    """The line, or every n-th one without its end."""
    if not broken:
        return line
    every = round(1 / broken)
    return f"CASE WHEN hash(r) % {every} = 0 THEN left({line}, length({line}) // 2) ELSE {line} END"
