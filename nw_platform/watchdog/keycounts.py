"""Counts which keys the records of an hour have, by log type, and of what kind their values are.

A key is a column of the stream's own or a leaf of `extra`: `a.b`, of arrays `a[].b`. Null and empty containers are no
value. One row for each key comes back, never a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import duckdb
import pyarrow as pa

from nw_platform.lake.engine import literal, quoted, scan
from nw_platform.lake.tables import LakeFile
from nw_platform.record.envelope import ENVELOPE_FIELDS, TRAILING_FIELDS
from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.watchdog.observations import Keys

_DEPTH: Final = 8  # of nested JSON
_MOST_KEYS: Final = 5000  # of an hour
_ALWAYS: Final = frozenset(field.name for field in (*ENVELOPE_FIELDS, *TRAILING_FIELDS))
_HOUR: Final = f"epoch_us(event_time) // {HOUR_US}"
_KIND: Final = """CASE type WHEN 'VARCHAR' THEN 'string' WHEN 'BOOLEAN' THEN 'boolean' ELSE 'number' END"""
_POINTER: Final = "'/' || replace(replace(name, '~', '~0'), '/', '~1')"  # names any key, whatever characters it has


def count_keys(
    connection: duckdb.DuckDBPyConnection, files: Sequence[LakeFile], schema: pa.Schema, as_of: int | None = None
) -> dict[str, dict[str, Keys]]:
    """Of the files of whole event hours of one stream: hour -> log type -> keys. Raises duckdb.Error."""
    if not files:
        return {}
    own = [field for field in schema if field.name not in _ALWAYS]
    names = {"event_time", "ingest_time", "log_type", "series", "reject_reason", "extra"}
    needed = pa.schema([field for field in schema if field.name in names or field in own])
    until = "true" if as_of is None else f"epoch_us(ingest_time) <= {int(as_of)}"
    counts = "".join(f", count({quoted(field.name)})" for field in own)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE nw_typed AS SELECT {_HOUR} AS h, log_type, count(*){counts}
        FROM ({scan(files, needed, partitions=())})
        WHERE {until} AND reject_reason IS NULL AND series <> 'watchdog' AND log_type IS NOT NULL GROUP BY 1, 2"""
    )
    found: dict[str, dict[str, Keys]] = {}
    for h, log_type, records, *filled in connection.execute("SELECT * FROM nw_typed").fetchall():
        typed = zip(own, filled, strict=True)
        keys = {field.name: {_kind(field.type): count} for field, count in typed if count}
        found.setdefault(hour_of(h * HOUR_US), {})[log_type] = Keys(records, keys)
    for h, log_type, key, kind, count in connection.execute(_leaves(files, schema, until)).fetchall():
        found[hour_of(h * HOUR_US)][log_type].keys.setdefault(key, {})[kind] = count
    return found


def _leaves(files: Sequence[LakeFile], schema: pa.Schema, until: str) -> str:
    """Level by level, each a few native calls over all records."""
    names = {"event_time", "ingest_time", "log_type", "series", "reject_reason", "extra"}
    source = scan(files, pa.schema([field for field in schema if field.name in names]), partitions=())
    of = "record, h, log_type"
    return f"""WITH RECURSIVE tree AS (
        SELECT row_number() OVER () AS record, {_HOUR} AS h, log_type, '' AS key, extra::JSON AS json, 0 AS level,
            'OBJECT' AS type
        FROM ({source}) WHERE {until} AND reject_reason IS NULL AND series <> 'watchdog' AND log_type IS NOT NULL
            AND CASE WHEN json_valid(extra) THEN json_type(extra) = 'OBJECT' ELSE false END
      UNION ALL
        SELECT {of}, key, json, level, json_type(json) AS type FROM (
            SELECT {of}, level + 1 AS level, CASE WHEN key = '' THEN name ELSE key || '.' || name END AS key,
                json_extract(json, {_POINTER}) AS json
            FROM (SELECT *, unnest(list_distinct(json_keys(json))) AS name FROM tree
                WHERE type = 'OBJECT' AND level < {_DEPTH})
          UNION ALL
            SELECT {of}, level + 1 AS level, key || '[]' AS key, unnest(json_extract(json, '$[*]')) AS json
            FROM tree WHERE type = 'ARRAY' AND level < {_DEPTH}))
    SELECT h, log_type, key, kind, count(*) AS records FROM (
        SELECT DISTINCT {of}, key, {_KIND} AS kind FROM tree WHERE type NOT IN ({literal("OBJECT")}, 'ARRAY', 'NULL'))
    GROUP BY h, log_type, key, kind
    QUALIFY row_number() OVER (PARTITION BY h ORDER BY records DESC, key) <= {_MOST_KEYS}"""


def _kind(kind: pa.DataType) -> str:
    if pa.types.is_boolean(kind):
        return "boolean"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    return "string" if pa.types.is_string(kind) else "time"
