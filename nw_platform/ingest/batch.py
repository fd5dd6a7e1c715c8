"""A batch while it is in memory: framed rows from a source or from `raw`, parsed chunk by chunk.

The rows of a batch stand in one canonical order: by source, partition and start. Its digest is taken in this order,
and so it can be taken again from `raw` whatever the files there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import InvariantError
from nw_platform.parsing.contract import Format
from nw_platform.record.envelope import RAW_SCHEMA, TIMESTAMP
from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.record.spans import Span

CHUNK_BYTES = 24 << 20
CHUNK_ROWS = 200_000
_FEW = 8  # incarnations in a chunk that are looked for one by one
_PIECES = 16
_PIECE_ROWS = 500  # on average, so that handling a piece costs less than its rows

# What a format reads of a raw row.
PARSED_COLUMNS = ("value", "received_time", "source", "source_partition", "source_start", "source_end", "incarnation")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows of a batch, with the csv header that stands above all of them."""

    raw: pa.Table  # RAW_SCHEMA
    incarnation: pa.Array
    header: str | None


@dataclass(slots=True)
class Parsed:
    """A parsed batch, row by row that of its raw rows."""

    rows: pa.Table  # logs_schema of the stream, `ingest_time` included
    hours: np.ndarray  # int64; hours since the epoch of each row's event time
    from_sender: np.ndarray | None  # bool; the row's id was given by its sender, so it can repeat; None: no row's was

    def event_hours(self) -> dict[str, int]:
        """Event hour -> rows."""
        counts = {hour: sum(b - a for a, b in pieces) for hour, pieces in pieces_by_hour(self.hours).items()}
        return {hour_of(hour * HOUR_US): count for hour, count in sorted(counts.items())}


def pieces_by_hour(hours: np.ndarray) -> dict[int, list[tuple[int, int]]]:
    """Hour (as in `hours`) -> where rows of it begin and end, piece by piece. Few where rows are nearly in order."""
    edges = [0, *(np.flatnonzero(hours[1:] != hours[:-1]) + 1).tolist(), len(hours)] if len(hours) else [0]
    found: dict[int, list[tuple[int, int]]] = {}
    for a, b in itertools.pairwise(edges):
        found.setdefault(int(hours[a]), []).append((a, b))
    return found


def in_pieces(hours: np.ndarray) -> bool:
    """Whether rows are near enough in order of their hours to be taken piece by piece rather than one by one."""
    return int((hours[1:] != hours[:-1]).sum()) <= max(_PIECES, len(hours) // _PIECE_ROWS)


def span_order(span: Span) -> tuple[str, int, int]:
    """The canonical order of a batch's spans."""
    return (span.source, span.partition, span.start)


def raw_rows(batch: pa.RecordBatch, span: Span, lane: str, sequence: int, planned: int) -> pa.Table:
    """Rows of `raw` for what a source handed out of a span: received at the source's time, but not after `planned`."""
    n = batch.num_rows
    received = pc.min_element_wise(batch["received_time"].cast(TIMESTAMP).cast(pa.int64()), pa.scalar(planned))
    return pa.Table.from_arrays(
        [
            pa.repeat(pa.scalar(lane), n),
            pa.repeat(pa.scalar(sequence, pa.int64()), n),
            pa.repeat(pa.scalar(span.source), n),
            pa.repeat(pa.scalar(span.partition, pa.int32()), n),
            batch["source_start"],
            batch["source_end"],
            received.cast(TIMESTAMP),
            batch["key"],
            batch["value"],
            batch["headers"],
        ],
        schema=RAW_SCHEMA,
    )


def chunks_of_raw(rows: pa.Table, spans: Sequence[Span]) -> Iterator[Chunk]:
    """Chunks from rows that were read back from `raw`, in canonical order, for the spans of their receipt.

    Raises:
        InvariantError: the rows are not as many as the receipt says.
    """
    ordered = sorted(spans, key=span_order)
    expected = sum(span.records for span in ordered)
    if expected != rows.num_rows:
        raise InvariantError(f"raw holds {rows.num_rows} records of a batch whose receipt says {expected}: nw verify")
    at = 0
    for span in ordered:
        part = rows.slice(at, span.records)
        at += span.records
        yield Chunk(part, pa.repeat(pa.scalar(span.incarnation), part.num_rows), span.state.get("header"))


class Coalescer:
    """Makes chunks of a size that is worth a call: small files share one, large pieces are cut."""

    def __init__(self) -> None:
        self._pending: list[Chunk] = []
        self._rows = self._bytes = 0

    def add(self, chunk: Chunk) -> Iterator[Chunk]:
        """Take one; hand out what is large enough."""
        step = max(1, min(CHUNK_ROWS, CHUNK_BYTES * max(1, chunk.raw.num_rows) // max(1, chunk.raw.nbytes)))
        for at in range(0, chunk.raw.num_rows, step):
            part = Chunk(chunk.raw.slice(at, step), chunk.incarnation.slice(at, step), chunk.header)
            rows, size = part.raw.num_rows, part.raw.nbytes
            full = self._rows + rows > CHUNK_ROWS or self._bytes + size > CHUNK_BYTES
            if self._pending and (full or self._pending[0].header != part.header):
                yield from self.flush()
            self._pending.append(part)
            self._rows, self._bytes = self._rows + rows, self._bytes + size

    def flush(self) -> Iterator[Chunk]:
        """Hand out the rest."""
        pending, self._pending = self._pending, []
        self._rows = self._bytes = 0
        if pending:
            raw = pa.concat_tables([c.raw for c in pending])
            yield Chunk(raw, pa.concat_arrays([c.incarnation for c in pending]), pending[0].header)


def parse_chunk(form: Format, chunk: Chunk, planned: int) -> pa.Table:
    """Parse one chunk into rows of `logs`. A pure function of the rows, the rules and the batch's planned time.

    Raises:
        InvariantError: the format gave another number of rows than it was given.
    """
    rows = chunk.raw.append_column("incarnation", chunk.incarnation).select(list(PARSED_COLUMNS))
    parsed = form.parse(rows, chunk.header)
    if parsed.num_rows != rows.num_rows:
        raise InvariantError(f"a format made {parsed.num_rows} rows of {rows.num_rows}: nothing was committed")
    at = parsed.schema.names.index("received_time") + 1
    ingest_time = pa.repeat(pa.scalar(planned, TIMESTAMP), parsed.num_rows)
    parsed = parsed.add_column(at, pa.field("ingest_time", TIMESTAMP), ingest_time)
    return parsed.append_column("__sent", _sent(parsed["event_id"], chunk))


def _sent(event_id: pa.ChunkedArray, chunk: Chunk) -> pa.Array | pa.ChunkedArray:
    """Which ids senders gave: those that are not derived from the row's own place."""
    places = chunk.incarnation.unique().to_pylist()
    if len(places) <= _FEW and not any(pc.any(pc.starts_with(event_id, f"{place}:")).as_py() for place in places):
        return pa.repeat(pa.scalar(True), len(event_id))  # noqa: FBT003  (a value, no switch)
    derived = pc.binary_join_element_wise(chunk.incarnation, pc.cast(chunk.raw["source_start"], pa.string()), ":")
    return pc.not_equal(event_id, derived)


def gathered(parts: Sequence[pa.Table], empty: pa.Schema) -> Parsed:
    """All chunks of a batch as one."""
    whole = pa.concat_tables(parts) if parts else empty.empty_table().append_column("__sent", pa.array([], pa.bool_()))
    sent = whole["__sent"].to_numpy() if len(whole) else np.empty(0, dtype=bool)
    rows = whole.drop_columns(["__sent"])
    hours = rows["event_time"].cast(pa.int64()).to_numpy() // HOUR_US if len(rows) else np.empty(0, dtype=np.int64)
    return Parsed(rows, hours, sent if sent.any() else None)
