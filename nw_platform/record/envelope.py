"""The columns of `raw` and `logs`, as Arrow schemas. All times are UTC, in microseconds.

`raw` holds one row per record with its exact bytes; `logs` one row per record, parsed and deduplicated.
A format's or a stream's own columns stand between `size_bytes` and `extra`.
"""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from nw_platform.record.names import (
    ENVELOPE_COLUMNS,
    FILLABLE_COLUMNS,
    PARTITION_COLUMNS,
    RESERVED_COLUMNS,
    TRAILING_COLUMNS,
)

__all__ = [
    "ENVELOPE_COLUMNS",
    "ENVELOPE_FIELDS",
    "FILLABLE_COLUMNS",
    "PARTITION_COLUMNS",
    "RAW_SCHEMA",
    "REJECT_REASONS",
    "RESERVED_COLUMNS",
    "SERIES",
    "SEVERITIES",
    "TIMESTAMP",
    "TRAILING_COLUMNS",
    "TRAILING_FIELDS",
    "logs_schema",
]

TIMESTAMP: Final = pa.timestamp("us", tz="UTC")

# One row = one record. `hour` and `dt` (partition columns, of the arrival hour) are not in the files.
RAW_SCHEMA: Final = pa.schema(
    [
        pa.field("lane", pa.string()),
        pa.field("sequence", pa.int64()),
        pa.field("source", pa.string()),
        pa.field("source_partition", pa.int32()),
        pa.field("source_start", pa.int64()),
        pa.field("source_end", pa.int64()),
        pa.field("received_time", TIMESTAMP),
        pa.field("key", pa.binary()),
        pa.field("value", pa.binary()),
        pa.field("headers", pa.map_(pa.string(), pa.binary())),
    ]
)

# What every row of `logs` has before the columns of its format.
ENVELOPE_FIELDS: Final = (
    pa.field("event_time", TIMESTAMP),
    pa.field("received_time", TIMESTAMP),
    pa.field("ingest_time", TIMESTAMP),
    pa.field("event_id", pa.string()),
    pa.field("datacenter", pa.string()),
    pa.field("host", pa.string()),
    pa.field("ip", pa.string()),
    pa.field("process", pa.string()),
    pa.field("pid", pa.int32()),
    pa.field("log_type", pa.string()),
    pa.field("log_version", pa.int32()),
    pa.field("series", pa.string()),
    pa.field("spilled", pa.bool_()),
    pa.field("late", pa.bool_()),
    pa.field("severity", pa.string()),
    pa.field("message", pa.string()),
    pa.field("reject_reason", pa.string()),
    pa.field("session", pa.string()),
    pa.field("seq", pa.int64()),
    pa.field("size_bytes", pa.int64()),
)

# What every row of `logs` has after the columns of its format.
TRAILING_FIELDS: Final = (
    pa.field("extra", pa.string()),
    pa.field("source", pa.string()),
    pa.field("source_partition", pa.int32()),
    pa.field("source_start", pa.int64()),
    pa.field("source_end", pa.int64()),
)

SERIES: Final = ("normal", "error", "watchdog")

# In the order of precedence: where several apply, the first is the reason.
REJECT_REASONS: Final = ("too_large", "bad_encoding", "bad_format", "bad_time", "bad_type")

# A severity as it is written (upper case) -> as it is stored. What is not here is stored in upper case.
SEVERITIES: Final = {
    "TRACE": "TRACE", "TRC": "TRACE", "FINEST": "TRACE", "FINER": "TRACE", "ALL": "TRACE",
    "DEBUG": "DEBUG", "DBG": "DEBUG", "FINE": "DEBUG", "CONFIG": "DEBUG", "VERBOSE": "DEBUG",
    "INFO": "INFO", "INF": "INFO", "INFORMATION": "INFO", "INFORMATIONAL": "INFO", "NOTICE": "INFO", "LOG": "INFO",
    "WARN": "WARN", "WRN": "WARN", "WARNING": "WARN",
    "ERROR": "ERROR", "ERR": "ERROR", "SEVERE": "ERROR",
    "FATAL": "FATAL", "FTL": "FATAL", "CRITICAL": "FATAL", "CRIT": "FATAL", "ALERT": "FATAL", "EMERG": "FATAL",
    "EMERGENCY": "FATAL", "PANIC": "FATAL",
}  # fmt: skip


def logs_schema(columns: dict[str, pa.DataType]) -> pa.Schema:
    """The schema of a stream's `logs` files (partition columns excluded), given its own columns in order."""
    own = (pa.field(name, kind) for name, kind in columns.items())
    return pa.schema([*ENVELOPE_FIELDS, *own, *TRAILING_FIELDS])
