"""SQL that counts the keys and values of a stream's records, part by part, before anything is stored.

Parts are rows of two tables, summed by hour; those of the same hour, key (and value) add up:

    key_parts     one or more rows per period, log_type, log_version, host, key
    value_parts   one or more rows per period, log_type, log_version, key, value

A key is a column that the stream's format or declaration gives, an envelope column that records fill, or a leaf of the
JSON text in `extra` (flattened: `a.b`, arrays `a[].b`; lake/leaves.py). Only records that parsed count. Values never
leave the machine's memory in clear if their key looks like a secret: such values are hashed here, at the first step.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from nw_platform.lake.engine import literal, quoted
from nw_platform.lake.leaves import HIDDEN_KEYS, MAX_TEXT, shortened

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
# Every name of a type, in the order they are shown. In parts a set of them is a number: bit n for the n-th.
KINDS: Final = (
    "array", "bool", "boolean", "date", "float64", "int32", "int64", "integer", "number", "object", "string",
    "timestamp",
)  # fmt: skip

MAX_DEPTH: Final = 32  # of nested JSON; what lies deeper counts as one value of type object or array
MAX_KEYS: Final = 10_000  # of a type and period; the rest is counted in one row (the same number in dbt_project.yml)
OTHER_KEYS: Final = "(other keys)"  # that row's key (the same in macros/merges.sql)

_BLANKS: Final = "chr(32)||chr(9)||chr(10)||chr(11)||chr(12)||chr(13)"
_GROUP: Final = "period, log_type, log_version"

KEY_PARTS: Final = """CREATE OR REPLACE TABLE key_parts (period VARCHAR, log_type VARCHAR, log_version INTEGER,
    host VARCHAR, key VARCHAR, hidden BOOLEAN, kinds INTEGER, present BIGINT, nulls BIGINT, blanks BIGINT,
    len_min BIGINT, len_max BIGINT, len_sum BIGINT, number_min DOUBLE, number_max DOUBLE, number_sum DOUBLE,
    numbers BIGINT, text_min VARCHAR, text_max VARCHAR, first_time TIMESTAMP, last_time TIMESTAMP)"""
VALUE_PARTS: Final = """CREATE OR REPLACE TABLE value_parts (period VARCHAR, log_type VARCHAR, log_version INTEGER,
    key VARCHAR, value VARCHAR, count BIGINT, first_time TIMESTAMP)"""

# What dbt reads if no stream has a record.
EMPTY_KEYS: Final = """SELECT NULL::VARCHAR AS period, NULL::VARCHAR AS stream, NULL::VARCHAR AS log_type,
    NULL::INTEGER AS log_version, NULL::VARCHAR AS host, NULL::VARCHAR AS key, NULL::VARCHAR[] AS types,
    0::BIGINT AS present, 0::BIGINT AS nulls, 0::BIGINT AS blanks, NULL::BIGINT AS len_min, NULL::BIGINT AS len_max,
    0::BIGINT AS len_sum, NULL::DOUBLE AS number_min, NULL::DOUBLE AS number_max, NULL::DOUBLE AS number_sum,
    0::BIGINT AS numbers, NULL::VARCHAR AS text_min, NULL::VARCHAR AS text_max,
    NULL::TIMESTAMP AS first_time, NULL::TIMESTAMP AS last_time, NULL::BIGINT AS other_keys WHERE false"""
EMPTY_VALUES: Final = """SELECT NULL::VARCHAR AS period, NULL::VARCHAR AS stream, NULL::VARCHAR AS log_type,
    NULL::INTEGER AS log_version, NULL::VARCHAR AS key, NULL::VARCHAR AS value, 0::BIGINT AS count,
    NULL::TIMESTAMP AS first_time WHERE false"""


@dataclass(frozen=True, slots=True)
class StreamColumns:
    """What counting a stream's keys and values needs to know of it."""

    stream: str
    relation: str  # SQL name of its records: `logs` columns and `period` (the event hour)
    always_present: bool  # False for JSON: there a key may be missing from a record
    own: Mapping[str, str] = field(default_factory=dict)  # name -> type of DuckDB


def is_secret(key: str) -> bool:
    """Return True if the values of a key must not be shown."""
    return re.search(HIDDEN_KEYS, key, re.IGNORECASE) is not None


def _text(expression: str, kind: str) -> str:
    """The SQL of a value as the text that reports show."""
    if kind == "VARCHAR":
        return expression
    if kind.startswith("TIMESTAMP"):
        return f"strftime({expression}::TIMESTAMP, '%Y-%m-%dT%H:%M:%S.%fZ')"
    return f"{expression}::VARCHAR"


def _hashed(text: str) -> str:
    """The SQL of what is kept of a secret."""
    return f"'sha256:' || left(sha256({text}), 16)"


def _bit(kind: str) -> int:
    return 1 << KINDS.index(kind)


def _keys(stream: StreamColumns) -> list[tuple[str, str, bool]]:
    """(name, type, whether every record has it) of the typed columns."""
    own = [(name, kind, stream.always_present) for name, kind in stream.own.items()]
    return own + [(name, kind, False) for name, kind in ENVELOPE_KEYS.items()]


def typed_keys(stream: StreamColumns) -> str:
    """Rows of `key_parts` of all typed columns in one scan: one struct of aggregates a column, then one row a struct.

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
            f"""{{'key': {literal(name)}, 'hidden': {str(secret).lower()}, 'kind': {_bit(TYPE_NAMES[kind])},
            'present': {"count(*)" if always else f"count({column})"},
            'nulls': {f"count(*) - count({column})" if always else "0::BIGINT"},
            'blanks': {f"count({column}) - count({filled})" if blank else "0::BIGINT"},
            'len_min': min(length({filled})), 'len_max': max(length({filled})),
            'len_sum': coalesce(sum(length({filled})), 0)::BIGINT,
            'number_min': {f"min({column}::DOUBLE)" if numeric else "NULL::DOUBLE"},
            'number_max': {f"max({column}::DOUBLE)" if numeric else "NULL::DOUBLE"},
            'number_sum': {f"sum({column}::DOUBLE)" if numeric else "NULL::DOUBLE"},
            'numbers': {f"count({column})" if numeric else "0::BIGINT"},
            'text_min': {f"min(left({filled}, {MAX_TEXT}))" if shown else "NULL::VARCHAR"},
            'text_max': {f"max(left({filled}, {MAX_TEXT}))" if shown else "NULL::VARCHAR"},
            'first_time': min({seen}), 'last_time': max({seen})}}"""
        )
    return f"""SELECT {_GROUP}, host, k.key AS key, k.hidden AS hidden,
        CASE WHEN k.present > k.nulls THEN k.kind ELSE 0 END AS kinds,
        k.present AS present, k.nulls AS nulls, k.blanks AS blanks, k.len_min AS len_min, k.len_max AS len_max,
        k.len_sum AS len_sum, k.number_min AS number_min, k.number_max AS number_max, k.number_sum AS number_sum,
        k.numbers AS numbers, k.text_min AS text_min, k.text_max AS text_max,
        k.first_time AS first_time, k.last_time AS last_time
    FROM (SELECT {_GROUP}, host, unnest([{", ".join(structs)}]) AS k
        FROM (SELECT *, {", ".join(texts)} FROM {stream.relation} WHERE reject_reason IS NULL)
        GROUP BY {_GROUP}, host)
    WHERE k.present > 0"""


def typed_values(stream: StreamColumns) -> Iterator[str]:
    """Rows of `value_parts`, a scan a column: a column store reads only what each needs."""
    for name, kind, _ in _keys(stream):
        column, text = quoted(name), _text(quoted(name), kind)
        filled = f"AND trim({column}, {_BLANKS}) <> ''" if kind == "VARCHAR" else ""
        # Long texts are cut before they are grouped: none of them is held as a whole.
        value = _hashed(text) if is_secret(name) else shortened(text)
        yield f"""SELECT {_GROUP}, {literal(name)} AS key, {value} AS value, count(*) AS count,
        min(event_time) AS first_time
    FROM {stream.relation} WHERE reject_reason IS NULL AND {column} IS NOT NULL {filled} GROUP BY ALL"""


_IS_FILLED: Final = f"type <> 'NULL' AND trim(text, {_BLANKS}) <> ''"

# Leaves (`nw_leaves`) with what key coverage asks of each. `kind`: a bit for its type, 0 for null.
_WEIGHED: Final = f"""SELECT *, CASE WHEN {_IS_FILLED} THEN text END AS filled,
        CASE WHEN type IN ('BIGINT', 'UBIGINT', 'HUGEINT', 'DOUBLE') AND NOT hidden THEN TRY_CAST(text AS DOUBLE) END
            AS number,
        CASE WHEN type = 'VARCHAR' AND NOT hidden THEN left(filled, {MAX_TEXT}) END AS string,
        CASE type WHEN 'NULL' THEN 0 WHEN 'VARCHAR' THEN {_bit("string")} WHEN 'DOUBLE' THEN {_bit("number")}
            WHEN 'BOOLEAN' THEN {_bit("boolean")} WHEN 'OBJECT' THEN {_bit("object")} WHEN 'ARRAY' THEN {_bit("array")}
            ELSE {_bit("integer")} END AS kind
    FROM nw_leaves"""

# Rows of `key_parts` of a slice. A record counts once a key, also if an array repeats it: null only if it is null
# everywhere in the record. `nw_facts`: the group and time of each record.
JSON_KEYS: Final = f"""SELECT {_GROUP}, host, key, bool_or(hidden) AS hidden, bit_or(kinds) AS kinds,
        count(*) AS present, count(CASE WHEN kinds = 0 THEN 1 END) AS nulls,
        count(CASE WHEN kinds > 0 AND leaves = 0 THEN 1 END) AS blanks,
        min(len_min) AS len_min, max(len_max) AS len_max, sum(len_sum)::BIGINT AS len_sum,
        min(number_min) AS number_min, max(number_max) AS number_max, sum(number_sum) AS number_sum,
        sum(numbers)::BIGINT AS numbers, min(text_min) AS text_min, max(text_max) AS text_max,
        min(event_time) AS first_time, max(event_time) AS last_time
    FROM (SELECT record, key, hidden, kind AS kinds, (filled IS NOT NULL)::BIGINT AS leaves,
            length(filled) AS len_min, length(filled) AS len_max, coalesce(length(filled), 0) AS len_sum,
            number AS number_min, number AS number_max, number AS number_sum, (number IS NOT NULL)::BIGINT AS numbers,
            string AS text_min, string AS text_max
        FROM ({_WEIGHED}) WHERE single
        UNION ALL BY NAME
        SELECT record, key, bool_or(hidden) AS hidden, bit_or(kind) AS kinds,
            count(filled) AS leaves, min(length(filled)) AS len_min, max(length(filled)) AS len_max,
            coalesce(sum(length(filled)), 0) AS len_sum,
            min(number) AS number_min, max(number) AS number_max, sum(number) AS number_sum, count(number) AS numbers,
            min(string) AS text_min, max(string) AS text_max
        FROM ({_WEIGHED}) WHERE NOT single GROUP BY record, key)
    JOIN nw_facts USING (record)
    GROUP BY {_GROUP}, host, key"""

# Rows of `value_parts` of a slice: `count` is the number of records that have the value, however often an array
# repeats it.
JSON_VALUES: Final = f"""SELECT {_GROUP}, key,
        CASE WHEN hidden THEN {_hashed("text")} ELSE {shortened("text")} END AS value,
        sum(count)::BIGINT AS count, min(first_time) AS first_time
    FROM (SELECT {_GROUP}, key, hidden, text, count(*) AS count, min(event_time) AS first_time
            FROM nw_leaves JOIN nw_facts USING (record) WHERE single AND {_IS_FILLED} GROUP BY ALL
        UNION ALL
        SELECT {_GROUP}, key, hidden, text, count(*) AS count, min(event_time) AS first_time
            FROM (SELECT DISTINCT record, key, hidden, text FROM nw_leaves WHERE NOT single AND {_IS_FILLED})
            JOIN nw_facts USING (record) GROUP BY ALL)
    GROUP BY ALL"""


# Parts that are added up, without their types being named.
ADDED_KEYS: Final = f"""SELECT {_GROUP}, host, key, bool_or(hidden) AS hidden, bit_or(kinds)::INTEGER AS kinds,
        sum(present)::BIGINT AS present, sum(nulls)::BIGINT AS nulls, sum(blanks)::BIGINT AS blanks,
        min(len_min) AS len_min, max(len_max) AS len_max, sum(len_sum)::BIGINT AS len_sum,
        min(number_min) AS number_min, max(number_max) AS number_max, sum(number_sum) AS number_sum,
        sum(numbers)::BIGINT AS numbers, min(text_min) AS text_min, max(text_max) AS text_max,
        min(first_time) AS first_time, max(last_time) AS last_time
    FROM key_parts GROUP BY {_GROUP}, host, key"""
ADDED_VALUES: Final = f"""SELECT {_GROUP}, key, value, sum(count)::BIGINT AS count, min(first_time) AS first_time
    FROM value_parts GROUP BY {_GROUP}, key, value"""


def kept_keys(most: int = MAX_KEYS) -> str:
    """The keys of types that have more than `most`, a row each. `kept`: those of the most records, then by name."""
    return f"""WITH totals AS (SELECT {_GROUP}, key, sum(present)::BIGINT AS present FROM key_parts GROUP BY ALL),
    wide AS (SELECT {_GROUP} FROM totals GROUP BY ALL HAVING count(*) > {most} OR bool_or(key = '{OTHER_KEYS}'))
    SELECT {_GROUP}, key, place <= {most} AND key <> '{OTHER_KEYS}' AS kept FROM (
        SELECT totals.*, row_number() OVER (PARTITION BY {_GROUP} ORDER BY key = '{OTHER_KEYS}', present DESC, key)
            AS place
        FROM totals SEMI JOIN wide USING ({_GROUP}))"""


def counted_keys(stream: str) -> str:
    """`lake.key_counts` of a stream, given `key_parts` and the table `nw_kept` (as from `kept_keys`).

    The keys that are not kept share a row a host, named OTHER_KEYS: its sums are over keys and records, and
    `other_keys` is how many keys of the type it stands for.
    """
    names = ", ".join(literal(name) for name in KINDS)
    dropped = f"SELECT {_GROUP}, count(*) AS dropped FROM nw_kept WHERE NOT kept GROUP BY ALL"
    return f"""WITH named AS (
        SELECT * REPLACE (CASE WHEN kept IS NOT DISTINCT FROM false THEN '{OTHER_KEYS}' ELSE key END AS key)
        FROM key_parts LEFT JOIN nw_kept USING ({_GROUP}, key)),
    added AS ({ADDED_KEYS.replace("FROM key_parts", "FROM named")}),
    dropped AS ({dropped})
    SELECT period, {literal(stream)} AS stream, log_type, log_version, host, key,
        CASE WHEN rest THEN [] ELSE list_filter([{names}], lambda name, i: (kinds >> (i - 1)) & 1 = 1) END AS types,
        present, nulls, blanks, CASE WHEN NOT rest THEN len_min END AS len_min,
        CASE WHEN NOT rest THEN len_max END AS len_max, CASE WHEN rest THEN 0 ELSE len_sum END AS len_sum,
        {_shown("number_min")}, {_shown("number_max")}, {_shown("number_sum")},
        CASE WHEN rest OR hidden THEN 0 ELSE numbers END AS numbers, {_shown("text_min")}, {_shown("text_max")},
        first_time, last_time, CASE WHEN rest THEN dropped END AS other_keys
    FROM (SELECT added.*, key = '{OTHER_KEYS}' AS rest, dropped FROM added LEFT JOIN dropped USING ({_GROUP}))"""


def _shown(column: str) -> str:
    return f"CASE WHEN NOT rest AND NOT hidden THEN {column} END AS {column}"


def counted_values(stream: str) -> str:
    """`lake.value_counts` of a stream, given `value_parts` and `nw_kept`: the values of kept keys."""
    return f"""SELECT {literal(stream)} AS stream, * FROM ({ADDED_VALUES}) AS v
        ANTI JOIN (SELECT * FROM nw_kept WHERE NOT kept) AS k USING ({_GROUP}, key)"""
