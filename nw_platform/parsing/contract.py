"""What a format is to the rest of the platform, and what a stream tells its format.

A format turns raw rows into `logs` rows with native column operations only (Arrow kernels, DuckDB SQL): no Python
loop over records. It is a pure function of the rows and the options: equal input gives equal output, whatever the
clock, the chunking or what came before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import pyarrow as pa

from nw_platform.record.rules import EventTime, EventTimeUnit, ParseOptions

__all__ = ["TYPES", "EventTime", "EventTimeUnit", "Format", "FramedRows", "Framer", "ParseOptions"]

# Types a declaration may give a column.
TYPES: Mapping[str, pa.DataType] = {
    "string": pa.string(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "date": pa.date32(),
}


class Format(Protocol):
    """One format, made for one stream's options. Instances keep no state between calls and may be shared."""

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The stream's own columns of `logs` in order: the format's, retyped or added to by the declaration."""

    def parse(self, rows: pa.Table, header: str | None = None) -> pa.Table:
        """Parse raw rows.

        Args:
            rows: columns `value` (binary), `received_time` (timestamp us UTC), `source` (string),
                `source_partition` (int32), `source_start`, `source_end` (int64), `incarnation` (string). Any number
                of rows, any chunking; the call may work in parallel inside.
            header: for csv only: the header line that stands above all these rows.

        Returns:
            One row per row of `rows`, in the same order, with exactly the columns of
            `logs_schema(self.columns)` except `ingest_time`. A row that does not parse has series `error`, a
            `reject_reason` and its text in `message`; its event time if that can still be read, else its received
            time.
        """


@dataclass(frozen=True, slots=True)
class FramedRows:
    """Whole records cut from a byte stream, as equally long Arrow arrays."""

    value: pa.Array  # binary; the record's bytes, line ending excluded
    start: pa.Array  # int64; position of its first byte
    end: pa.Array  # int64; position after its line ending


class Framer(Protocol):
    """Cuts a byte stream into records: lines, joined where the stream is multi-line. Used for one span."""

    @property
    def header(self) -> str | None:
        """A csv header that was met at position 0, else the one it was given."""

    @property
    def skipped_lines(self) -> int:
        """Lines that are no records: a header."""

    @property
    def skipped_bytes(self) -> int:
        """Bytes that are no part of a record: holes, see parsing/holes.py."""

    @property
    def position(self) -> int:
        """Up to here the stream has been handed out as whole records."""

    def feed(self, block: bytes) -> FramedRows:
        """Take the next bytes; return the records that are certainly whole now."""

    def finish(self, *, whole: bool, settled: bool = False) -> FramedRows:
        """The end was reached.

        `whole`: what is left is a record, also unterminated. `settled`: terminated lines that could still get a
        continuation are a record. Neither: only what is certain.
        """
