"""Takes JSON objects apart into leaves, in memory that grows with the bytes of the text and not with bytes times keys.

A record's text is parsed once a level: its names and its members come out as two lists of one length, and no row of a
member carries the text it came from. Callers hand over slices of a few megabytes (`slices`), so that the number of
keys, the depth and the length of a record bound nothing but themselves.

A leaf is a value that is no object and no array, or an empty one. Its key is its path: `a.b`, of arrays `a[].b`. A key
longer than `MAX_TEXT` characters is cut and ends with a hash, so that a long name above many members is not repeated
for each of them. Of a name that an object has twice the first member counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import duckdb
import pyarrow as pa

from nw_platform.lake.engine import literal

MAX_TEXT: Final = 256  # characters of a key; of a longer one the first 220 and a hash are kept
SLICE_BYTES: Final = 8 << 20  # of JSON text taken apart at a time

# Keys whose values must not be shown.
HIDDEN_KEYS: Final = (
    r"passw|passphrase|\bpwd\b|secret|token|authori[sz]ation|credential|cookie"
    r"|api[_-]?key|access[_-]?key|private[_-]?key"
)

_IS_OBJECT: Final = "CASE WHEN json_valid(extra) THEN json_type(extra) = 'OBJECT' ELSE false END"
_IS_LEAF: Final = "(type NOT IN ('OBJECT', 'ARRAY') OR json::VARCHAR IN ('{}', '[]'))"
# A leaf of the first level, under a name that no path into something nested can have: it is once in a record.
_IS_SINGLE: Final = "key <> '' AND NOT contains(key, '.') AND NOT contains(key, '[]')"
_TEXT: Final = "CASE WHEN type = 'VARCHAR' THEN json ->> '$' ELSE json::VARCHAR END"


def shortened(text: str, limit: int = MAX_TEXT) -> str:
    """The SQL of a text that is cut if it is long, with a hash that keeps it distinct."""
    cut = f"left({text}, {limit - 36}) || '#' || md5({text})"
    return f"CASE WHEN strlen({text}) <= {limit} OR length({text}) <= {limit} THEN {text} ELSE {cut} END"


def slices(batches: Iterable[pa.RecordBatch], column: str, size: int = SLICE_BYTES) -> Iterator[pa.Table]:
    """The rows of batches in tables whose texts in `column` have at most about `size` bytes; a longer one is alone."""
    waiting: list[pa.RecordBatch] = []
    held = 0
    for batch in batches:
        for piece in _pieces(batch, column, size):
            weight = piece.column(column).nbytes
            if waiting and held + weight > size:
                yield pa.Table.from_batches(waiting)
                waiting, held = [], 0
            waiting.append(piece)
            held += weight
    if waiting:
        yield pa.Table.from_batches(waiting)


def _pieces(batch: pa.RecordBatch, column: str, size: int) -> Iterator[pa.RecordBatch]:
    """The batch cut in halves until each has at most `size` bytes of text, or one row."""
    if batch.num_rows <= 1 or batch.column(column).nbytes <= size:
        yield batch
        return
    middle = batch.num_rows // 2
    yield from _pieces(batch.slice(0, middle), column, size)
    yield from _pieces(batch.slice(middle), column, size)


def take_apart(connection: duckdb.DuckDBPyConnection, records: pa.Table, depth: int) -> None:
    """Replace the temporary table `nw_leaves` by the leaves of some records.

    Args:
        connection: of which this thread is the only user.
        records: `record` (a number, each once) and `extra` (JSON text; what is no object has no leaf).
        depth: of nesting; what lies deeper counts as one value of type object or array.

    `nw_leaves` has the columns record, key, hidden (its value must not be shown), text, type (as `json_type` names it)
    and single (no other leaf of the record can have this key).
    """
    connection.register("nw_records", records.select(["record", "extra"]))
    try:
        source = f"SELECT record, '' AS key, false AS hidden, extra::JSON AS json FROM nw_records WHERE {_IS_OBJECT}"
        _create_level(connection, source, "name")
    finally:
        connection.unregister("nw_records")
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE nw_leaves AS
        SELECT record, key, hidden, {_TEXT} AS text, type, {_IS_SINGLE} AS single FROM nw_level WHERE {_IS_LEAF}"""
    )
    for level in range(2, depth + 1):
        if not _has_containers(connection):
            return
        _descend(connection)
        is_leaf = _IS_LEAF if level < depth else "true"
        connection.execute(
            f"INSERT INTO nw_leaves SELECT record, key, hidden, {_TEXT}, type, false FROM nw_level WHERE {is_leaf}"
        )


def _has_containers(connection: duckdb.DuckDBPyConnection) -> bool:
    """Return True if the newest level has an object or array that is not empty; keeps only those."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE nw_above AS SELECT * FROM nw_level WHERE NOT {_IS_LEAF}")
    return bool(connection.execute("SELECT count(*) FROM nw_above").fetchall()[0][0])


def _descend(connection: duckdb.DuckDBPyConnection) -> None:
    """Replace `nw_level` by the members of the containers in `nw_above`."""
    objects = "SELECT record, key, hidden, json FROM nw_above WHERE type = 'OBJECT'"
    _create_level(connection, objects, "key || '.' || name")
    connection.execute(
        f"""INSERT INTO nw_level SELECT record, {shortened("path")} AS key, {_hidden("path")}, json, json_type(json)
        FROM (SELECT record, key || '[]' AS path, hidden, unnest(json_extract(json, '$[*]')) AS json
            FROM nw_above WHERE type = 'ARRAY')"""
    )


def _create_level(connection: duckdb.DuckDBPyConnection, objects: str, path: str) -> None:
    """Replace `nw_level` by the members of objects. `path`: the SQL of a member's key."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE nw_objects AS SELECT row_number() OVER () AS object, * "
                       f"FROM ({objects})")  # fmt: skip
    listed = "json_keys(json) AS names, json_extract(json, '$.*') AS members"
    members = "SELECT object, record, key, hidden, unnest(names) AS name, unnest(members) AS json"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE nw_members AS {members} FROM (SELECT *, {listed} FROM nw_objects)"
    )
    repeated = "SELECT object FROM nw_members GROUP BY object, name HAVING count(*) > 1"
    if connection.execute(f"SELECT 1 FROM ({repeated}) LIMIT 1").fetchall():
        placed = f"{members}, unnest(range(len(names))) AS place FROM (SELECT *, {listed} FROM nw_objects)"
        connection.execute(
            f"""CREATE OR REPLACE TEMP TABLE nw_members AS
            SELECT object, record, key, hidden, name, arg_min(json, place) AS json FROM ({placed}) GROUP BY ALL"""
        )
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE nw_level AS
        SELECT record, {shortened("path")} AS key, {_hidden("path")} AS hidden, json, json_type(json) AS type
        FROM (SELECT record, hidden, {path} AS path, json FROM nw_members)"""
    )
    connection.execute("DROP TABLE nw_members; DROP TABLE nw_objects")


def _hidden(path: str) -> str:
    return f"hidden OR regexp_matches({path}, {literal(HIDDEN_KEYS)}, 'i')"
