"""From messages to Arrow, a run of one partition at a time, without a loop in Python over its records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from confluent_kafka import Message

from nw_platform.record.envelope import RAW_SCHEMA, TIMESTAMP

__all__ = ["SCHEMA", "Collected", "Piece", "Run", "sealed", "times_of"]

SCHEMA: Final = pa.schema(
    [RAW_SCHEMA.field(name) for name in ("value", "key", "headers", "source_start", "source_end", "received_time")]
)
_HEADERS: Final = RAW_SCHEMA.field("headers").type
_TIME: Final = itemgetter(1)
_LENGTH: Final[Callable[[Any], int]] = len
_JOIN: Final[Callable[[Any], bytes]] = b"".join

_RECORD_BYTES: Final = 64  # what a record takes beside its value and key
_HEADER_BYTES: Final = 128  # the same of a header: a tuple, a text and bytes

Integers = npt.NDArray[np.int64]


@dataclass(slots=True)
class Run:
    """Consecutive records of one partition. `bytes`: of values and keys; `held`: with what each takes beside them."""

    values: list[bytes | None]
    lengths: Integers  # of the values; null as 0
    offsets: Integers
    times: Integers  # milliseconds since the epoch; below 0: the record has none
    keys: list[bytes | None] | None  # None: no record has one
    headers: list[list[tuple[str, bytes]] | None] | None
    bytes: int
    garbled: int = 0  # records whose headers cannot be told, and are left out
    headers_held: int = 0  # bytes of memory that the headers take, about

    @property
    def held(self) -> int:
        """Bytes of memory, about."""
        return self.bytes + _RECORD_BYTES * len(self.offsets) + self.headers_held

    @classmethod
    def of(cls, messages: Sequence[Any], times: Integers) -> Run:
        """The run of these messages, none of which is an error.

        `times`: their timestamps. Offsets that begin and end as far apart as there are messages have no gap between
        them, since those of a partition only grow.
        """
        count = len(messages)
        values: list[bytes | None] = list(map(Message.value, messages))
        try:
            lengths = np.fromiter(map(_LENGTH, values), np.int64, count)
        except TypeError:  # a tombstone has no value
            lengths = np.fromiter((0 if value is None else len(value) for value in values), np.int64, count)
        first, last = messages[0].offset(), messages[-1].offset()
        if last - first == count - 1:
            offsets = np.arange(first, last + 1, dtype=np.int64)
        else:
            offsets = np.fromiter(map(Message.offset, messages), np.int64, count)
        keys: list[bytes | None] | None = list(map(Message.key, messages))
        size = int(lengths.sum())
        if keys is not None and keys.count(None) == count:
            keys = None
        elif keys is not None:
            size += sum(len(key) for key in keys if key is not None)
        told, garbled = _told(messages)
        headers = told if any(told) else None
        return cls(values, lengths, offsets, times, keys, headers, size, garbled, _weight(headers))

    def since(self, offset: int) -> Run | None:
        """The records from `offset` on; None: there is none."""
        if int(self.offsets[0]) >= offset:
            return self
        at = int(np.searchsorted(self.offsets, offset))
        return None if at == len(self.offsets) else self._part(slice(at, None))

    def until(self, at: int) -> Run:
        """The first so many records."""
        return self._part(slice(at))

    def _part(self, part: slice) -> Run:
        keys = None if self.keys is None else self.keys[part]
        headers = None if self.headers is None else self.headers[part]
        size = int(self.lengths[part].sum()) + sum(len(key) for key in keys or () if key is not None)
        lengths, offsets, times = self.lengths[part], self.offsets[part], self.times[part]
        return Run(self.values[part], lengths, offsets, times, keys, headers, size, self.garbled, _weight(headers))


@dataclass(slots=True)
class Piece:
    """A batch of records, and their offsets once more for cutting it."""

    batch: pa.RecordBatch  # SCHEMA
    offsets: Integers
    bytes: int  # of values and keys
    fetched: float  # when the last of them came: seconds of the monotonic clock
    held: int = 0  # of memory, about
    garbled: int = 0  # records whose headers cannot be told, and are left out

    def until(self, end: int) -> tuple[Piece | None, Piece | None]:
        """The records before offset `end`, and the others."""
        at = int(np.searchsorted(self.offsets, end))
        if at == 0:
            return None, self
        if at == len(self.offsets):
            return self, None
        head = self.batch.slice(0, at)
        size = _content(head)
        held = self.held * at // len(self.offsets)
        rest = Piece(self.batch.slice(at), self.offsets[at:], self.bytes - size, self.fetched, self.held - held)
        return Piece(head, self.offsets[:at], size, self.fetched, held, self.garbled), rest


@dataclass(slots=True)
class Collected:
    """Runs of a partition until they are worth a piece."""

    runs: list[Run] = field(default_factory=list)
    held: int = 0  # bytes of memory, about
    fetched: float = 0.0  # when the last of them came: seconds of the monotonic clock

    def add(self, run: Run, now: float) -> None:
        """One more run, of offsets above those before, that came now."""
        self.runs.append(run)
        self.held += run.held
        self.fetched = now

    def seal(self) -> Piece:
        """All of them as one piece; there has to be one at least."""
        runs, self.runs, self.held = self.runs, [], 0
        return sealed(runs, self.fetched)


def sealed(runs: Sequence[Run], fetched: float = 0.0) -> Piece:
    """One piece of the runs, in their order."""
    offsets = np.concatenate([run.offsets for run in runs])
    count = len(offsets)
    times = np.concatenate([run.times for run in runs]) * 1000
    batch = pa.RecordBatch.from_arrays(
        [
            _values(runs),
            _keys(runs, count),
            _headers(runs, count),
            pa.array(offsets),
            pa.array(offsets + 1),
            pa.array(times, mask=times < 0).cast(TIMESTAMP) if (times < 0).any() else pa.array(times).cast(TIMESTAMP),
        ],
        schema=SCHEMA,
    )
    size, held = sum(run.bytes for run in runs), sum(run.held for run in runs)
    return Piece(batch, offsets, size, fetched, held, sum(run.garbled for run in runs))


def _values(runs: Sequence[Run]) -> pa.Array:
    values = list(chain.from_iterable(run.values for run in runs)) if len(runs) > 1 else runs[0].values
    try:
        data = _JOIN(values)
    except TypeError:  # a tombstone has no value
        return pa.array(values, pa.binary())
    ends = np.zeros(len(values) + 1, dtype=np.int32)
    np.cumsum(np.concatenate([run.lengths for run in runs]), out=ends[1:])
    return pa.Array.from_buffers(pa.binary(), len(values), [None, pa.py_buffer(ends), pa.py_buffer(data)])


def _keys(runs: Sequence[Run], count: int) -> pa.Array:
    if all(run.keys is None for run in runs):
        return pa.nulls(count, pa.binary())
    keys: list[bytes | None] = []
    for run in runs:
        keys.extend([None] * len(run.values) if run.keys is None else run.keys)
    return pa.array(keys, pa.binary())


def _headers(runs: Sequence[Run], count: int) -> pa.Array:
    if all(run.headers is None for run in runs):
        return pa.nulls(count, _HEADERS)
    headers: list[Any] = []
    for run in runs:
        headers.extend([None] * len(run.values) if run.headers is None else run.headers)
    return pa.array(headers, _HEADERS)


def _told(messages: Sequence[Any]) -> tuple[list[list[tuple[str, bytes]] | None], int]:
    """Headers, and how many records have some that cannot be told.

    The client fails at names that are not UTF-8, and has spoilt such headers then: they must not be asked for again.
    """
    found: list[list[tuple[str, bytes]] | None] = []
    garbled = 0
    left = iter(messages)
    while len(found) < len(messages):
        try:
            found.extend(map(Message.headers, left))
        except (SystemError, UnicodeError):
            found.append(None)
            garbled += 1
    return found, garbled


def _weight(headers: Sequence[list[tuple[str, bytes]] | None] | None) -> int:
    """Bytes of names and values, and of the objects that hold them."""
    each = chain.from_iterable(filter(None, headers or ()))
    return sum(_HEADER_BYTES + len(name) + len(value or b"") for name, value in each)


def _content(batch: pa.RecordBatch) -> int:
    return sum(_length(batch.column(at)) for at in (0, 1))


def _length(array: pa.Array) -> int:
    """Bytes of a binary array's values."""
    _, ends, data = array.buffers()
    if data is None or not len(array):
        return 0
    offsets = np.frombuffer(ends, dtype=np.int32)
    return int(offsets[array.offset + len(array)] - offsets[array.offset])


def times_of(messages: Sequence[Any]) -> Integers:
    """Timestamps in milliseconds since the epoch; errors, and records without one, have one that is not above 0."""
    return np.fromiter(map(_TIME, map(Message.timestamp, messages)), np.int64, len(messages))
