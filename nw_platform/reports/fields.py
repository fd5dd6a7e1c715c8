"""SQL that takes the records of a stream apart into keys and values, before anything is stored.

Two relations come out, both already summed by hour, so that nothing as long as the logs is ever kept:

    key_counts     one row per hour, stream, log_type, log_version, host, key
    value_counts   one row per hour, stream, log_type, log_version, key, value

A key is a column that the stream's format or declaration gives, an envelope column that records fill, or a leaf of the
JSON text in `extra` (flattened: `a.b`, arrays `a[].b`). Only records that parsed count. Values never leave the
machine's memory in clear if their key looks like a secret: such values are hashed here, at the first step.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from nw_platform.lake.engine import literal, quoted

# Envelope columns that count as keys, with their types; session, seq and what the platform fills do not.
ENVELOPE_KEYS: Final[Mapping[str, str]] = {
    "host": "VARCHAR",
    "ip": "VARCHAR",
    "process": "VARCHAR",
    "pid": "INTEGER",
    "severity": "VARCHAR",
    "message": "VARCHAR",
}

# A type of DuckDB -> the name that a declaration gives it, which is what `key_coverage.types` shows.
TYPE_NAMES: Final[Mapping[str, str]] = {
    "VARCHAR": "string",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "DOUBLE": "float64",
    "BOOLEAN": "bool",
    "TIMESTAMPTZ": "timestamp",
    "TIMESTAMP": "timestamp",
    "DATE": "date",
}
NUMERIC: Final = ("int32", "int64", "float64", "integer", "number")

_JSON_TYPES: Final = ("array", "boolean", "integer", "number", "object", "string")  # in the order they are shown

MAX_DEPTH: Final = 32  # of nested JSON; what lies deeper counts as one value of type object or array
MAX_VALUE: Final = 256  # characters; of a longer value the first 220 and a hash are kept

# Keys whose values are hashed.
_HIDDEN_KEYS: Final = (
    r"passw|passphrase|\bpwd\b|secret|token|authori[sz]ation|credential|cookie"
    r"|api[_-]?key|access[_-]?key|private[_-]?key"
)
_BLANKS: Final = "chr(32)||chr(9)||chr(10)||chr(11)||chr(12)||chr(13)"


@dataclass(frozen=True, slots=True)
class StreamColumns:
    """What taking a stream's records apart needs to know of it."""

    stream: str
    relation: str  # SQL name of its records: `logs` columns and `period` (the event hour)
    always_present: bool  # False for JSON: there a key may be missing from a record
    own: Mapping[str, str] = field(default_factory=dict)  # name -> type of DuckDB


def is_secret(key: str) -> bool:
    """Whether the values of a key must not be shown."""
    return re.search(_HIDDEN_KEYS, key, re.IGNORECASE) is not None


def key_counts_sql(streams: list[StreamColumns]) -> str:
    """A SELECT of `key_counts` over all streams; typed and empty if there are none."""
    parts = [part for stream in streams for part in (_typed_keys(stream), _json_keys(stream))]
    return "\nUNION ALL BY NAME\n".join([_EMPTY_KEYS, *parts])


def value_counts_sql(streams: list[StreamColumns]) -> str:
    """A SELECT of `value_counts` over all streams; typed and empty if there are none."""
    parts = [part for stream in streams for part in (*_typed_values(stream), _json_values(stream))]
    return "\nUNION ALL BY NAME\n".join([_EMPTY_VALUES, *parts])


_EMPTY_KEYS: Final = """SELECT NULL::VARCHAR AS period, NULL::VARCHAR AS stream, NULL::VARCHAR AS log_type,
    NULL::INTEGER AS log_version, NULL::VARCHAR AS host, NULL::VARCHAR AS key, NULL::VARCHAR[] AS types,
    0::BIGINT AS present, 0::BIGINT AS nulls, 0::BIGINT AS blanks, NULL::BIGINT AS len_min, NULL::BIGINT AS len_max,
    0::BIGINT AS len_sum, NULL::DOUBLE AS number_min, NULL::DOUBLE AS number_max, NULL::DOUBLE AS number_sum,
    0::BIGINT AS numbers, NULL::VARCHAR AS text_min, NULL::VARCHAR AS text_max,
    NULL::TIMESTAMP AS first_time, NULL::TIMESTAMP AS last_time WHERE false"""
_EMPTY_VALUES: Final = """SELECT NULL::VARCHAR AS period, NULL::VARCHAR AS stream, NULL::VARCHAR AS log_type,
    NULL::INTEGER AS log_version, NULL::VARCHAR AS key, NULL::VARCHAR AS value, 0::BIGINT AS count,
    NULL::TIMESTAMP AS first_time WHERE false"""

_GROUP: Final = "period, log_type, log_version"


def _text(expression: str, kind: str) -> str:
    """A value as the text that reports show."""
    if kind == "VARCHAR":
        return expression
    if kind.startswith("TIMESTAMP"):
        return f"strftime({expression}::TIMESTAMP, '%Y-%m-%dT%H:%M:%S.%fZ')"
    return f"{expression}::VARCHAR"


def _shown(text: str, key: str) -> str:
    """Text as it may be kept: hashed if the key is a secret's, cut if it is long (a hash keeps it distinct)."""
    if is_secret(key):
        return f"'sha256:' || left(sha256({text}), 16)"
    return f"CASE WHEN length({text}) <= {MAX_VALUE} THEN {text} ELSE left({text}, 220) || '#' || md5({text}) END"


def _keys(stream: StreamColumns) -> list[tuple[str, str, bool]]:
    """(name, type, whether every record has it) of the typed columns."""
    own = [(name, kind, stream.always_present) for name, kind in stream.own.items()]
    return own + [(name, kind, False) for name, kind in ENVELOPE_KEYS.items()]


def _typed_keys(stream: StreamColumns) -> str:
    """All typed columns in one scan: one struct of aggregates a column, then one row a struct.

    None of the many aggregates has a FILTER: each would make DuckDB slice the arguments of all of them.
    """
    texts, structs = [], []
    for number, (name, kind, always) in enumerate(_keys(stream)):
        column, text = quoted(name), _text(quoted(name), kind)
        filled = quoted(f"nw {number}")  # its text, unless that is blank
        blank = kind == "VARCHAR"
        texts.append(f"CASE WHEN trim({column}, {_BLANKS}) <> '' THEN {column} END AS {filled}" if blank else
                     f"{text} AS {filled}")  # fmt: skip
        secret = is_secret(name)
        numeric = TYPE_NAMES[kind] in NUMERIC and not secret
        shown = TYPE_NAMES[kind] not in NUMERIC and not secret
        seen = "event_time" if always else f"CASE WHEN {column} IS NOT NULL THEN event_time END"
        structs.append(
            f"""{{'key': {literal(name)}, 'kind': {literal(TYPE_NAMES[kind])},
            'present': {"count(*)" if always else f"count({column})"},
            'nulls': {f"count(*) - count({column})" if always else "0::BIGINT"},
            'blanks': {f"count({column}) - count({filled})" if blank else "0::BIGINT"},
            'len_min': min(length({filled})), 'len_max': max(length({filled})),
            'len_sum': coalesce(sum(length({filled})), 0)::BIGINT,
            'number_min': {f"min({column}::DOUBLE)" if numeric else "NULL::DOUBLE"},
            'number_max': {f"max({column}::DOUBLE)" if numeric else "NULL::DOUBLE"},
            'number_sum': {f"sum({column}::DOUBLE)" if numeric else "NULL::DOUBLE"},
            'numbers': {f"count({column})" if numeric else "0::BIGINT"},
            'text_min': {f"min(left({filled}, {MAX_VALUE}))" if shown else "NULL::VARCHAR"},
            'text_max': {f"max(left({filled}, {MAX_VALUE}))" if shown else "NULL::VARCHAR"},
            'first_time': min({seen}), 'last_time': max({seen})}}"""
        )
    return f"""SELECT {_GROUP}, {literal(stream.stream)} AS stream, host, k.key AS key,
        CASE WHEN k.present > k.nulls THEN [k.kind] ELSE []::VARCHAR[] END AS types,
        k.present AS present, k.nulls AS nulls, k.blanks AS blanks, k.len_min AS len_min, k.len_max AS len_max,
        k.len_sum AS len_sum, k.number_min AS number_min, k.number_max AS number_max, k.number_sum AS number_sum,
        k.numbers AS numbers, k.text_min AS text_min, k.text_max AS text_max,
        k.first_time AS first_time, k.last_time AS last_time
    FROM (SELECT {_GROUP}, host, unnest([{", ".join(structs)}]) AS k
        FROM (SELECT *, {", ".join(texts)} FROM {stream.relation} WHERE reject_reason IS NULL)
        GROUP BY {_GROUP}, host)
    WHERE k.present > 0"""


def _typed_values(stream: StreamColumns) -> list[str]:
    """One scan a column: a column store reads only what each needs."""
    branches = []
    for name, kind, _ in _keys(stream):
        column, text = quoted(name), _text(quoted(name), kind)
        filled = f"AND trim({column}, {_BLANKS}) <> ''" if kind == "VARCHAR" else ""
        branches.append(
            f"""SELECT {_GROUP}, {literal(stream.stream)} AS stream, {literal(name)} AS key,
        {_shown("text", name)} AS value, sum(count)::BIGINT AS count, min(first_time) AS first_time
    FROM (SELECT {_GROUP}, {text} AS text, count(*) AS count, min(event_time) AS first_time
        FROM {stream.relation} WHERE reject_reason IS NULL AND {column} IS NOT NULL {filled} GROUP BY ALL)
    GROUP BY ALL"""
        )
    return branches


# A JSON pointer names any key, whatever characters it has.
_POINTER: Final = "'/' || replace(replace(name, '~', '~0'), '/', '~1')"
_TEXT: Final = "CASE WHEN type = 'VARCHAR' THEN json ->> '$' ELSE json::VARCHAR END"
_TYPE: Final = """CASE type WHEN 'VARCHAR' THEN 'string' WHEN 'BIGINT' THEN 'integer' WHEN 'UBIGINT' THEN 'integer'
            WHEN 'HUGEINT' THEN 'integer' WHEN 'DOUBLE' THEN 'number' ELSE lower(type) END"""
_IS_LEAF: Final = "(type NOT IN ('OBJECT', 'ARRAY') OR json::VARCHAR IN ('{}', '[]'))"
# A leaf of the first level, under a name that no path into something nested can have.
_IS_SHALLOW: Final = f"{_IS_LEAF} AND key <> '' AND NOT contains(key, '.') AND NOT contains(key, '[]')"


def _first_level(stream: StreamColumns) -> str:
    """The members of `extra`, one row each."""
    return f"""(SELECT *, json_type(json) AS type FROM (
            SELECT * EXCLUDE (extra), name AS key, json_extract(extra, {_POINTER}) AS json FROM (
                SELECT record, {_GROUP}, host, event_time, extra, unnest(list_distinct(json_keys(extra))) AS name FROM (
                    SELECT row_number() OVER () AS record, {_GROUP}, host, event_time, extra::JSON AS extra
                    FROM {stream.relation}
                    WHERE reject_reason IS NULL AND extra IS NOT NULL AND CASE WHEN json_valid(extra)
                        THEN json_type(extra) = 'OBJECT' ELSE false END))))"""


def _shallow(stream: StreamColumns) -> str:
    """The leaves of the first level of `extra`, one row each and each key once a record: what most logs have."""
    return f"""(SELECT {_GROUP}, host, event_time, key, {_TEXT} AS text, {_TYPE} AS type
        FROM {_first_level(stream)} WHERE {_IS_SHALLOW})"""


def _deep(stream: StreamColumns) -> str:
    """The other leaves of `extra`, one row each: level by level, each level a few native calls over all records."""
    return f"""(WITH RECURSIVE tree AS (
        SELECT record, {_GROUP}, host, event_time, key, json, 1 AS level, type
        FROM {_first_level(stream)} WHERE NOT ({_IS_SHALLOW})
      UNION ALL
        SELECT record, {_GROUP}, host, event_time, key, json, level, json_type(json) AS type FROM (
            SELECT record, {_GROUP}, host, event_time, level + 1 AS level, key || '.' || name AS key,
                json_extract(json, {_POINTER}) AS json
            FROM (SELECT *, unnest(list_distinct(json_keys(json))) AS name FROM tree
                WHERE type = 'OBJECT' AND level < {MAX_DEPTH})
          UNION ALL
            SELECT record, {_GROUP}, host, event_time, level + 1 AS level, key || '[]' AS key,
                unnest(json_extract(json, '$[*]')) AS json
            FROM tree WHERE type = 'ARRAY' AND level < {MAX_DEPTH}))
      SELECT record, {_GROUP}, host, event_time, key, {_TEXT} AS text, {_TYPE} AS type
      FROM tree WHERE {_IS_LEAF} OR level = {MAX_DEPTH})"""


def _hidden_sql() -> str:
    return f"regexp_matches(key, {literal(_HIDDEN_KEYS)}, 'i')"


def _json_keys(stream: StreamColumns) -> str:
    """A record counts once a key, also if an array repeats it: null only if it is null everywhere in the record."""
    names = ", ".join(literal(name) for name in _JSON_TYPES)
    return f"""SELECT {_GROUP}, {literal(stream.stream)} AS stream, host, key,
        list_filter([{names}], lambda name, i: (bit_or(kinds) >> (i - 1)) & 1 = 1) AS types, count(*) AS present,
        count(CASE WHEN kinds = 0 THEN 1 END) AS nulls, count(CASE WHEN kinds > 0 AND leaves = 0 THEN 1 END) AS blanks,
        min(len_min) AS len_min, max(len_max) AS len_max, sum(len_sum)::BIGINT AS len_sum,
        CASE WHEN NOT {_hidden_sql()} THEN min(number_min) END AS number_min,
        CASE WHEN NOT {_hidden_sql()} THEN max(number_max) END AS number_max,
        CASE WHEN NOT {_hidden_sql()} THEN sum(number_sum) END AS number_sum,
        CASE WHEN {_hidden_sql()} THEN 0 ELSE sum(numbers)::BIGINT END AS numbers,
        CASE WHEN NOT {_hidden_sql()} THEN min(text_min) END AS text_min,
        CASE WHEN NOT {_hidden_sql()} THEN max(text_max) END AS text_max,
        min(event_time) AS first_time, max(event_time) AS last_time
    FROM (SELECT {_GROUP}, host, key, event_time, kind AS kinds, (filled IS NOT NULL)::BIGINT AS leaves,
            length(filled) AS len_min, length(filled) AS len_max, coalesce(length(filled), 0) AS len_sum,
            number AS number_min, number AS number_max, number AS number_sum, (number IS NOT NULL)::BIGINT AS numbers,
            string AS text_min, string AS text_max
        FROM {_weighed(_shallow(stream))}
        UNION ALL BY NAME
        SELECT {_GROUP}, host, key, min(event_time) AS event_time, bit_or(kind) AS kinds,
            count(filled) AS leaves, min(length(filled)) AS len_min, max(length(filled)) AS len_max,
            coalesce(sum(length(filled)), 0) AS len_sum,
            min(number) AS number_min, max(number) AS number_max, sum(number) AS number_sum, count(number) AS numbers,
            min(string) AS text_min, max(string) AS text_max
        FROM {_weighed(_deep(stream))}
        GROUP BY record, {_GROUP}, host, key)
    GROUP BY {_GROUP}, host, key"""


def _weighed(leaves: str) -> str:
    """Leaves with what key coverage asks of each. `kind`: a bit for its type, 0 for null."""
    names = ", ".join(literal(name) for name in _JSON_TYPES)
    return f"""(SELECT *, CASE WHEN type = 'null' THEN 0 ELSE 1 << (list_position([{names}], type) - 1) END AS kind,
            CASE WHEN type <> 'null' AND trim(text, {_BLANKS}) <> '' THEN text END AS filled,
            CASE WHEN type IN ('integer', 'number') THEN TRY_CAST(text AS DOUBLE) END AS number,
            CASE WHEN type = 'string' THEN left(filled, {MAX_VALUE}) END AS string
        FROM {leaves})"""


def _json_values(stream: StreamColumns) -> str:
    """`count` is the number of records that have the value, however often an array repeats it."""
    shown = (
        f"CASE WHEN {_hidden_sql()} THEN 'sha256:' || left(sha256(text), 16) "
        f"WHEN length(text) <= {MAX_VALUE} THEN text ELSE left(text, 220) || '#' || md5(text) END"
    )
    kept = f"type <> 'null' AND trim(text, {_BLANKS}) <> ''"
    return f"""SELECT {_GROUP}, {literal(stream.stream)} AS stream, key, {shown} AS value, sum(count)::BIGINT AS count,
        min(first_time) AS first_time
    FROM (SELECT {_GROUP}, key, text, count(*) AS count, min(event_time) AS first_time
            FROM {_shallow(stream)} WHERE {kept} GROUP BY ALL
        UNION ALL
        SELECT {_GROUP}, key, text, count(*) AS count, min(event_time) AS first_time
            FROM (SELECT DISTINCT record, {_GROUP}, event_time, key, text FROM {_deep(stream)} WHERE {kept})
            GROUP BY ALL)
    GROUP BY ALL"""
