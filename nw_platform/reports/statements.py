"""Which statements `nw sql` takes: one that only reads, judged by what DuckDB's own parser makes of it.

A SELECT may hold statements that write (`WITH x AS (COPY ... TO ...)`), and so may EXPLAIN ANALYZE: every node of the
parsed statement is looked at, whatever it stands in. Functions in FROM are allowed by name: most others read files,
some change settings, and two follow a pointer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import duckdb

from nw_platform.errors import UsageError

_ALLOWED: Final = "SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN"
_READING_NODES: Final = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
TABLE_FUNCTIONS: Final = frozenset(
    {
        "range", "generate_series", "unnest", "repeat", "repeat_row", "json_each", "json_tree", "histogram",
        "histogram_values", "summary", "duckdb_columns", "duckdb_functions", "duckdb_keywords", "duckdb_tables",
        "duckdb_types", "duckdb_views", "pg_timezone_names", "pragma_table_info", "pragma_version",
    }
)  # fmt: skip
_EXPLAIN_WORDS: Final = frozenset({"explain", "analyze", "analyse", "verbose"})
_WORD: Final = re.compile(r"\w*")


def reading_query(parser: duckdb.DuckDBPyConnection, query: str) -> str:
    """Return the SELECT in a text that is to be run: the text itself, or what it asks to explain.

    Raises:
        UsageError: it is no query, more than one, or not one that only reads.
    """
    kind = _kind(parser, query)
    select = query
    while kind == "EXPLAIN":
        select = _explained(parser, select)
        kind = _kind(parser, select)
    if kind != "SELECT":
        raise _refused(kind)
    _check_nodes(_parsed(parser, select))
    return select


def _kind(parser: duckdb.DuckDBPyConnection, text: str) -> str:
    try:
        statements = parser.extract_statements(text)
    except duckdb.Error as error:
        raise UsageError(one_line(error)) from error
    if len(statements) != 1:
        raise UsageError(f"nw sql takes exactly one query; this text has {len(statements)}")
    return str(statements[0].type.name)


def _explained(parser: duckdb.DuckDBPyConnection, text: str) -> str:
    """The statement behind EXPLAIN, its words and its options in parentheses."""
    tokens = [at for at, kind in duckdb.tokenize(text) if kind != duckdb.token_type.comment]
    at = next((at for at in tokens if _word(text, at) not in _EXPLAIN_WORDS), len(text))
    rest = text[at:]
    if not rest.startswith("("):
        return rest
    try:
        parser.extract_statements(rest)
    except duckdb.Error:
        return _behind_parenthesis(rest)
    return rest


def _behind_parenthesis(text: str) -> str:
    depth = 0
    for at, _ in duckdb.tokenize(text):
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        if not depth:
            return text[at + 1 :]
    return ""


def _word(text: str, at: int) -> str:
    found = _WORD.match(text, at)
    return found.group().lower() if found else ""


def _parsed(parser: duckdb.DuckDBPyConnection, select: str) -> Any:  # noqa: ANN401  (a tree of JSON)
    """DuckDB's own tree of a SELECT."""
    try:
        ((text,),) = parser.execute("SELECT json_serialize_sql(?::VARCHAR)", [select]).fetchall()
        tree = json.loads(text)
    except RecursionError:
        raise UsageError("the query is nested too deeply to be checked; nw sql did not run it") from None
    except duckdb.Error as error:
        raise UsageError(one_line(error)) from error
    if tree["error"]:
        raise UsageError(f"nw sql cannot check this query and did not run it: {tree['error_message']}")
    return tree["statements"]


def _check_nodes(tree: Any) -> None:  # noqa: ANN401  (a tree of JSON)
    """A UsageError, unless all statements in a tree only read, and only what tables and harmless functions give."""
    for node in _objects(tree):
        kind = node.get("type")
        if not isinstance(kind, str):
            continue
        if kind.endswith("_NODE") and kind not in _READING_NODES:
            raise _refused(kind.removesuffix("_NODE").removesuffix("_QUERY"))
        if kind == "TABLE_FUNCTION":
            name = str(node["function"].get("function_name", "?")).lower()
            if name not in TABLE_FUNCTIONS:
                raise UsageError(
                    f"Cannot access anything but the lake's tables: {name}(...) is not allowed in nw sql; allowed are "
                    f"{', '.join(sorted(TABLE_FUNCTIONS))}"
                )


def _objects(tree: Any) -> Iterator[dict[str, Any]]:  # noqa: ANN401  (a tree of JSON)
    """Every object in a tree."""
    todo = [tree]
    while todo:
        value = todo.pop()
        if isinstance(value, dict):
            yield value
            todo.extend(value.values())
        elif isinstance(value, list):
            todo.extend(value)


def _refused(kind: str) -> UsageError:
    return UsageError(f"nw sql only reads; {kind} is not allowed ({_ALLOWED})")


def one_line(error: duckdb.Error) -> str:
    """DuckDB's message without the picture of the query, and without what kind of error it calls itself."""
    text = str(error).split("\n\nLINE ", 1)[0].split("\nLINE ", 1)[0]
    if "Traceback (most recent call last)" in text:  # of the file system, which is Python: its last line says why
        text = text.strip().rpartition("\n")[2]
    kind, _, rest = text.partition(": ")
    return " ".join((rest if kind.endswith("Error") and rest else text).split())
