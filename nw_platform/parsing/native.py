"""DuckDB as a library of vectorised functions over Arrow tables: in memory, one connection a thread."""

from __future__ import annotations

import os
import threading
from typing import Any, Final

import duckdb
import pyarrow as pa

__all__ = ["literal", "query"]

_LOCAL: Final = threading.local()


def query(sql: str, **tables: pa.Table | pa.RecordBatch) -> pa.Table:
    """Run `sql` over `tables` (seen under their argument names, not copied) and return the rows in order.

    Row order is that of the input for projections and filters. Times with a zone come back in UTC.

    Raises:
        duckdb.Error: the statement failed, for example a function met a value it refuses.
    """
    connection = _connection()
    for name, table in tables.items():
        connection.register(name, table)
    try:
        return connection.sql(sql).to_arrow_table()
    except UnicodeDecodeError as error:  # a message that quotes its input may cut a character in two
        raise duckdb.InvalidInputException("a value was refused; the message cannot be shown") from error
    finally:
        for name in tables:
            connection.unregister(name)


def literal(text: str) -> str:
    """`text` as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _connection() -> Any:  # noqa: ANN401  (duckdb ships no type information that mypy is shown)
    """This thread's connection; a forked child gets its own, as DuckDB's threads do not survive a fork."""
    if getattr(_LOCAL, "process", None) != os.getpid():
        connection = duckdb.connect(config={"threads": 2, "autoinstall_known_extensions": False})
        connection.execute("SET TimeZone = 'UTC'; SET preserve_insertion_order = true; SET enable_progress_bar = false")
        _LOCAL.connection, _LOCAL.process = connection, os.getpid()
    return _LOCAL.connection
