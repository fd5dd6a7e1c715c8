"""Wire records whose `message` is itself in another format: a log line that an agent tailed, for example.

The record is parsed first, then its message. What the message says fills the columns of its format, and the envelope
columns that the record itself leaves open; two things the message knows better: when it happened, and what of the line
is message. Where the message says no time, the record's time stands, and it is also what a year-less time is judged by.

A message that does not parse makes its record an error with the reason, as a line of a file would be; who sent it
(host, process, session, seq, id) stays. Records without message, and those of series watchdog, are left as they are.
Declared `columns` are looked for in both; the message wins. A declared `event_time` speaks of the message.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import Format, ParseOptions
from nw_platform.parsing.native import query
from nw_platform.record.envelope import FILLABLE_COLUMNS, logs_schema

__all__ = ["MessageFormat"]

_ANY_LENGTH: Final = 2**31 - 1  # the record was measured already
# What the record says about itself wins over its message.
_SENDERS: Final = tuple(name for name in FILLABLE_COLUMNS if name != "message")


class MessageFormat:
    """A format for the record and one for its message, as one format."""

    def __init__(self, options: ParseOptions, make: Callable[[ParseOptions], Format]) -> None:
        """Make both with `make`.

        Raises:
            ConfigError: the stream's format is not json, or the options of one of the two are wrong.
        """
        if options.format != "json" or options.message_format is None:
            raise ConfigError("message_format: only wire records have a message; declare format: json with it")
        self._late_after_us = options.late_after_us
        self._outer = make(replace(options, message_format=None, event_time=None))
        of_message = replace(options, format=options.message_format, message_format=None)
        self._inner = make(replace(of_message, encoding="utf-8", max_record=_ANY_LENGTH))
        self._columns = {**self._inner.columns, **self._outer.columns}

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The columns of the message's format, then what else is declared."""
        return dict(self._columns)

    def parse(self, rows: pa.Table, header: str | None = None) -> pa.Table:
        """See `contract.Format.parse`. `header` is that of csv messages."""
        schema = logs_schema(self._columns)
        schema = schema.remove(schema.get_field_index("ingest_time"))
        incarnation = rows.column("incarnation")
        blocks: list[pa.RecordBatch] = []
        at = 0
        for block in self._outer.parse(rows).to_batches():
            place = incarnation.slice(at, block.num_rows).combine_chunks()
            blocks.append(self._fill(block, place, header, schema))
            at += block.num_rows
        return pa.Table.from_batches(blocks, schema=schema)

    def _fill(self, block: pa.RecordBatch, place: pa.Array, header: str | None, schema: pa.Schema) -> pa.RecordBatch:
        """Parse the messages of a block of records and put what they say into it."""
        has_message = pc.and_(
            pc.and_(block.column("message").is_valid(), pc.is_null(block.column("reject_reason"))),
            pc.not_equal(block.column("series"), "watchdog"),
        )
        count = block.num_rows
        known = {name: block.column(name) for name in block.schema.names}
        columns = {field.name: known.get(field.name, pa.nulls(count, field.type)) for field in schema}
        if pc.any(has_message).as_py():
            outer = {name: values.filter(has_message) for name, values in columns.items()}
            for name, values in self._said(outer, place.filter(has_message), header).items():
                columns[name] = pc.replace_with_mask(columns[name], has_message, values)
        return pa.RecordBatch.from_arrays([columns[field.name] for field in schema], schema=schema)

    def _said(self, outer: dict[str, pa.Array], place: pa.Array, header: str | None) -> dict[str, pa.Array]:
        """The columns that the messages of these records change."""
        lines = pa.table(
            {
                "value": outer["message"].cast(pa.binary()),
                "received_time": outer["event_time"],
                **{name: outer[name] for name in ("source", "source_partition", "source_start", "source_end")},
                "incarnation": place,
            }
        )
        parsed = self._inner.parse(lines, header).combine_chunks()
        inner = {name: _one(parsed.column(name)) for name in parsed.column_names}
        rejected = inner["reject_reason"].is_valid()
        said = {name: inner[name] for name in ("event_time", "message", "reject_reason")}
        said["series"] = pc.if_else(rejected, "error", outer["series"])
        said["late"] = self._late(inner["event_time"], outer["received_time"])
        said |= {name: pc.coalesce(outer[name], inner[name]) for name in _SENDERS}
        for name in self._columns:
            values = pc.coalesce(inner[name], outer[name]) if name in inner else outer[name]
            said[name] = pc.if_else(rejected, pa.scalar(None, values.type), values)
        said["extra"] = pc.if_else(rejected, pa.scalar(None, pa.string()), _merged(outer["extra"], inner["extra"]))
        return said

    def _late(self, event_time: pa.Array, received: pa.Array) -> pa.Array:
        if self._late_after_us is None:
            return pa.repeat(pa.scalar(value=False), len(event_time))
        age = pc.subtract(received.cast(pa.int64()), event_time.cast(pa.int64()))
        return pc.greater(age, self._late_after_us)


def _one(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array."""
    whole = column.combine_chunks()
    return whole.chunk(0) if isinstance(whole, pa.ChunkedArray) and whole.num_chunks == 1 else whole


def _merged(outer: pa.Array, inner: pa.Array) -> pa.Array:
    """JSON objects of both; of a key in both the value of `inner`."""
    if inner.null_count == len(inner):
        return outer
    if outer.null_count == len(outer):
        return inner
    read = query(
        "SELECT CASE WHEN a IS NULL THEN b WHEN b IS NULL THEN a ELSE CAST(json_merge_patch(a, b) AS VARCHAR) END AS x "
        "FROM given",
        given=pa.table({"a": outer, "b": inner}),
    )
    return read.column("x").combine_chunks().cast(pa.string())
