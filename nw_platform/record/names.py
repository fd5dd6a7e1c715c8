"""The names of the columns of `logs`, for code that only needs names: nothing heavy is imported here."""

from __future__ import annotations

from typing import Final

# In the order of the schema (record/envelope.py): before and after the columns of a format.
ENVELOPE_COLUMNS: Final = (
    "event_time", "received_time", "ingest_time", "event_id", "datacenter", "host", "ip", "process", "pid",
    "log_type", "log_version", "series", "spilled", "late", "severity", "message", "reject_reason", "session",
    "seq", "size_bytes",
)  # fmt: skip
TRAILING_COLUMNS: Final = ("extra", "source", "source_partition", "source_start", "source_end")
PARTITION_COLUMNS: Final = ("dt", "hour")

RESERVED_COLUMNS: Final = frozenset(
    (*ENVELOPE_COLUMNS, *TRAILING_COLUMNS, *PARTITION_COLUMNS, "stream", "lane", "sequence")
)

# Envelope columns that a line, a csv column or a wire record may fill; the others are the platform's to fill.
FILLABLE_COLUMNS: Final = ("host", "ip", "process", "pid", "severity", "message", "session", "seq")
