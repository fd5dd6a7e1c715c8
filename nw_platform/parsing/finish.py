"""What all formats share: rows in blocks, text, and from what a format extracted to the columns of `logs`.

A format is a subclass of `BlockFormat` that says its columns and turns a block of text into an `Extracted`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import TYPES, ParseOptions
from nw_platform.parsing.decode import Text, check_encoding, decode, without_bom
from nw_platform.parsing.pieces import put
from nw_platform.parsing.times import check_layout, check_zone
from nw_platform.parsing.typed import map_severity, plain_hosts, typed
from nw_platform.record.envelope import FILLABLE_COLUMNS, REJECT_REASONS, RESERVED_COLUMNS, logs_schema

__all__ = ["BLOCK_ROWS", "Block", "BlockFormat", "Extracted", "any_of", "fillable", "own_columns"]

BLOCK_ROWS: Final = 1 << 17  # rows that are parsed at once: bounds memory, and keeps a block near the caches
BLOCK_BYTES: Final = 48 << 20

Mask = npt.NDArray[np.bool_]

_REASONS: Final = pa.array([None, *REJECT_REASONS], pa.string())
_TOO_LARGE, _BAD_ENCODING, _BAD_FORMAT, _BAD_TIME, _BAD_TYPE = range(1, 6)


@dataclass(frozen=True, slots=True)
class Block:
    """Some consecutive rows, decoded."""

    rows: pa.RecordBatch  # as given to `parse`
    decoded: Text
    header: str | None

    @property
    def text(self) -> pa.Array:
        """The records' text: string, no nulls. Too large records are cut, undecodable bytes replaced."""
        return self.decoded.text

    @property
    def received(self) -> pa.Array:
        """When each record was received: timestamp us UTC."""
        return self.rows.column("received_time")


@dataclass(slots=True)
class Extracted:
    """What a format found in a block. Every array is as long as the block; what is missing was not said.

    Too large and undecodable rows may hold anything here: they are rejects anyway, but their `event_time` is used.
    """

    # timestamp us UTC; null: the row has no usable time (bad_time, if it is not bad_format). None: the received time.
    event_time: pa.Array | None = None
    bad_format: Mask | None = None
    bad_type: Mask | None = None  # what `columns` cannot show, for example a wire key of the wrong type
    # Columns of `logs` by name, envelope and own: of their final type, or strings that are read strictly as that type.
    columns: dict[str, pa.Array] = field(default_factory=dict)
    extra: pa.Array | None = None  # string: JSON text or null


class BlockFormat(ABC):
    """A format that works block by block. Subclasses set `_columns` (see `own_columns`) and implement `extract`."""

    def __init__(self, options: ParseOptions, base: Mapping[str, pa.DataType]) -> None:
        self._options = options
        self._encoding = check_encoding(options.encoding)
        self._columns = own_columns(base, options.columns)
        declared = options.event_time
        self._zone = check_zone(declared.zone) if declared else "UTC"
        if declared and declared.layout is not None:
            check_layout(declared.layout)

    @property
    def columns(self) -> dict[str, pa.DataType]:
        """The stream's own columns of `logs`, in order."""
        return dict(self._columns)

    @abstractmethod
    def extract(self, block: Block) -> Extracted:
        """Take a block apart. Must not raise, whatever the text."""

    def parse(self, rows: pa.Table, header: str | None = None) -> pa.Table:
        """See `contract.Format.parse`."""
        schema = logs_schema(self._columns)
        schema = schema.remove(schema.get_field_index("ingest_time"))
        value = rows.column("value")
        if value.null_count:  # a tombstone of a Kafka topic
            rows = rows.set_column(rows.schema.get_field_index("value"), "value", pc.fill_null(value, b""))
        blocks = [self._parse_block(batch, header, schema) for batch in _blocks(rows)]
        return pa.Table.from_batches(blocks, schema=schema)

    def _parse_block(self, rows: pa.RecordBatch, header: str | None, schema: pa.Schema) -> pa.RecordBatch:
        start = rows.column("source_start").to_numpy(zero_copy_only=False)
        decoded = decode(rows.column("value"), self._encoding, self._options.max_record)
        text = without_bom(decoded.text, start == 0)
        block = Block(rows, Text(text, decoded.too_large, decoded.bad_encoding), header)
        return self._finish(block, self.extract(block), schema)

    def _finish(self, block: Block, found: Extracted, schema: pa.Schema) -> pa.RecordBatch:
        """Typing, rejects by precedence, and what is the same for all formats."""
        columns = dict(found.columns)
        bad_type = found.bad_type
        for name, kind in [*((f.name, f.type) for f in schema if f.name in columns)]:
            if columns[name].type != kind:
                columns[name], bad = typed(columns[name], kind, self._zone)
                bad_type = any_of(bad_type, bad)
        event_time = block.received if found.event_time is None else found.event_time
        timeless = None if event_time.null_count == 0 else pc.is_null(event_time).to_numpy(zero_copy_only=False)
        reasons = _reasons(len(event_time), block.decoded, found.bad_format, timeless, bad_type)
        if timeless is not None:
            event_time = pc.coalesce(event_time, block.received)
        columns["event_time"] = event_time
        self._fill_envelope(columns, block, event_time)
        columns["extra"] = found.extra
        if reasons is not None:
            self._reject(columns, reasons, block.text)
        count = len(event_time)
        arrays = [pa.nulls(count, f.type) if columns.get(f.name) is None else columns[f.name] for f in schema]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _fill_envelope(self, columns: dict[str, pa.Array | None], block: Block, event_time: pa.Array) -> None:
        """Everything in the envelope that is not extracted, or has a default."""
        options, rows, count = self._options, block.rows, block.rows.num_rows
        for name in ("received_time", "source", "source_partition", "source_start", "source_end"):
            columns[name] = rows.column(name)
        if "size_bytes" in rows.schema.names:
            columns["size_bytes"] = rows.column("size_bytes")
        else:
            span = pc.subtract(rows.column("source_end"), rows.column("source_start"))  # a line with its ending
            length = pc.binary_length(rows.column("value")).cast(pa.int64())  # more, where positions count records
            columns["size_bytes"] = pc.max_element_wise(span, length)
        if options.datacenter is not None:
            columns["datacenter"] = pa.repeat(pa.scalar(options.datacenter, pa.string()), count)
        _default(columns, "log_type", pa.scalar(options.log_type or options.stream, pa.string()), count)
        _default(columns, "log_version", pa.scalar(0, pa.int32()), count)
        _default(columns, "series", pa.scalar("normal", pa.string()), count)
        _default(columns, "spilled", pa.scalar(value=False), count)
        if columns.get("severity") is not None:
            columns["severity"] = map_severity(columns["severity"])
        if columns.get("host") is not None:
            columns["host"] = plain_hosts(columns["host"])
        sent_id = columns.get("event_id")
        if sent_id is None or sent_id.null_count:
            without = np.ones(count, np.bool_) if sent_id is None else sent_id.is_null().to_numpy(zero_copy_only=False)
            place = _place_ids(rows if sent_id is None else rows.filter(pa.array(without)))
            columns["event_id"] = place if sent_id is None else put(sent_id, without, place)
        columns["late"] = _late(event_time, rows.column("received_time"), options.late_after_us)

    def _reject(self, columns: dict[str, pa.Array | None], reasons: npt.NDArray[np.uint8], text: pa.Array) -> None:
        """Make error records of the rows that have a reason."""
        columns["reject_reason"] = _REASONS.take(pa.array(reasons))
        mask = pa.array(reasons > 0)
        columns["series"] = pc.if_else(mask, pa.scalar("error", pa.string()), columns["series"])
        message = columns.get("message")
        if message is None:
            columns["message"] = pc.if_else(mask, text, pa.scalar(None, pa.string()))
        elif message is not text:
            columns["message"] = put(message, reasons > 0, text.filter(mask))
        for name in (*self._columns, "extra"):
            values = columns.get(name)
            if values is not None:
                columns[name] = pc.if_else(mask, pa.scalar(None, values.type), values)


def fillable(name: str) -> str | None:
    """The envelope column that a format's column `name` fills (in any case), or None if it is a column of its own."""
    lower = name.lower()
    return lower if lower in FILLABLE_COLUMNS else None


def own_columns(base: Mapping[str, pa.DataType], declared: Mapping[str, str]) -> dict[str, pa.DataType]:
    """The stream's own columns of `logs`: the format's, retyped or added to by the declaration, without fillable ones.

    Raises:
        ConfigError: a declared type is unknown, or a name is one that the platform fills.
    """
    columns = {name: kind for name, kind in base.items() if fillable(name) is None}
    for name, type_name in declared.items():
        if type_name not in TYPES:
            raise ConfigError(f"columns.{name}: type {type_name!r} is not known; use one of {', '.join(TYPES)}")
        if fillable(name) is not None:
            continue
        if name.lower() in RESERVED_COLUMNS:
            raise ConfigError(f"columns.{name}: this name is the platform's own; declare the column under another name")
        columns[name] = TYPES[type_name]
    return columns


def any_of(left: Mask | None, right: Mask | None) -> Mask | None:
    """The union of two masks, None being no row."""
    if left is None or right is None:
        return right if left is None else left
    return left | right


def _blocks(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    """Consecutive pieces of `rows` of at most about BLOCK_ROWS rows and BLOCK_BYTES bytes, each of one chunk."""
    total = rows.num_rows
    if not total:
        return
    ends = np.cumsum(pc.binary_length(rows.column("value")).to_numpy(), dtype=np.int64)
    at = 0
    while at < total:
        limit = (int(ends[at - 1]) if at else 0) + BLOCK_BYTES
        until = min(at + BLOCK_ROWS, total, max(at + 1, int(np.searchsorted(ends, limit, side="right"))))
        yield from rows.slice(at, until - at).combine_chunks().to_batches()
        at = until


def _reasons(
    count: int, decoded: Text, bad_format: Mask | None, bad_time: Mask | None, bad_type: Mask | None
) -> npt.NDArray[np.uint8] | None:
    """The number of each row's reject reason (0: none); None if there is no reject. The first that applies wins."""
    masks = (
        (bad_type, _BAD_TYPE),
        (bad_time, _BAD_TIME),
        (bad_format, _BAD_FORMAT),
        (decoded.bad_encoding, _BAD_ENCODING),
        (decoded.too_large, _TOO_LARGE),
    )
    reasons: npt.NDArray[np.uint8] | None = None
    for mask, reason in masks:
        if mask is not None and mask.any():
            reasons = np.zeros(count, dtype=np.uint8) if reasons is None else reasons
            reasons[mask] = reason
    return reasons


def _default(columns: dict[str, pa.Array | None], name: str, value: pa.Scalar, count: int) -> None:
    """Give a column its default where it is missing or null."""
    values = columns.get(name)
    if values is None:
        columns[name] = pa.repeat(value, count)
    elif values.null_count:
        columns[name] = pc.fill_null(values, value)


def _place_ids(rows: pa.RecordBatch) -> pa.Array:
    """`<incarnation>:<source_start>`: the same position of the same content is the same record."""
    return pc.binary_join_element_wise(rows.column("incarnation"), rows.column("source_start").cast(pa.string()), ":")


def _late(event_time: pa.Array, received: pa.Array, after_us: int | None) -> pa.Array:
    if after_us is None:
        return pa.repeat(pa.scalar(value=False), len(event_time))
    age = received.to_numpy(zero_copy_only=False).view(np.int64) - event_time.to_numpy(zero_copy_only=False).view(
        np.int64
    )
    return pa.array(age > after_us)
