"""A source in memory: topics with partitions, as a broker has them. For tests and trials; it keeps every promise.

log = memory_log("mine")
log.append("events", [b"one", b"two"], partition=0, time=1_700_000_000_000_000)
source = MemorySource(log, "events")
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any, Final

import pyarrow as pa

from nw_platform.errors import SourceError
from nw_platform.record.envelope import RAW_SCHEMA, TIMESTAMP
from nw_platform.record.spans import Receipt, Span
from nw_platform.sources.contract import Budget, Plan, Problem, SpanReader, Survey

_SCHEMA: Final = pa.schema(
    [RAW_SCHEMA.field(name) for name in ("value", "key", "headers", "source_start", "source_end", "received_time")]
)
_SLICE: Final = 20_000  # records in one RecordBatch


@dataclass(frozen=True, slots=True)
class _Record:
    value: bytes
    key: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    time: int

    @property
    def size(self) -> int:
        return len(self.value) + len(self.key or b"")


@dataclass(slots=True)
class _Partition:
    first: int = 0  # offset of records[0]
    records: list[_Record] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.first + len(self.records)


class MemoryLog:
    """Topics in memory. An incarnation of a topic lasts until it is deleted."""

    def __init__(self) -> None:
        self._topics: dict[str, dict[int, _Partition]] = {}
        self._incarnations: dict[str, str] = {}
        self._numbers = count(1)
        self.reachable = True  # set False, and every call of a source fails

    def append(
        self,
        topic: str,
        values: Sequence[bytes],
        *,
        partition: int = 0,
        time: int = 0,
        keys: Sequence[bytes | None] | None = None,
        headers: Mapping[str, bytes] | None = None,
    ) -> int:
        """Append records, all of one time (microseconds since the epoch); returns the offset of the first."""
        self._incarnations.setdefault(topic, f"{next(self._numbers):016x}")
        into = self._topics.setdefault(topic, {}).setdefault(partition, _Partition())
        start = into.end
        pairs = tuple((headers or {}).items())
        for number, value in enumerate(values):
            into.records.append(_Record(value, keys[number] if keys else None, pairs, time))
        return start

    def trim(self, topic: str, partition: int, before: int) -> None:
        """Forget records with offsets below `before`, as retention does."""
        part = self._topics[topic][partition]
        part.records = part.records[max(0, before - part.first) :]
        part.first = max(part.first, before)

    def delete(self, topic: str) -> None:
        """Delete a topic; made again it is another one."""
        self._topics.pop(topic, None)
        self._incarnations.pop(topic, None)

    def partitions(self, topic: str) -> tuple[str, dict[int, _Partition]]:
        """The topic's incarnation and its partitions.

        Raises:
            SourceError: the log is not `reachable`.
        """
        if not self.reachable:
            raise SourceError("the memory log is not reachable: set `reachable` again")
        return self._incarnations.get(topic, ""), self._topics.get(topic, {})


_LOGS: Final[dict[str, MemoryLog]] = {}


def memory_log(name: str) -> MemoryLog:
    """The log of this name, one for the whole process."""
    return _LOGS.setdefault(name, MemoryLog())


class MemorySource:
    """One topic of a memory log. Positions: `{incarnation: {partition: next offset}}`."""

    def __init__(self, log: MemoryLog, topic: str, lane: tuple[int, int] = (0, 1)) -> None:
        self._log = log
        self._topic = topic
        self._lane, self._lanes = lane
        self._positions: dict[str, dict[str, int]] = {}
        self._lost: dict[str, dict[str, int]] = {}  # as positions: where the last plan goes on behind a loss

    def genesis(self, now: int, before: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """The first offsets that are still there, or those that the lanes before were at."""
        del now
        incarnation, partitions = self._mine()
        at = {n: p.first for n, p in sorted(partitions.items())}
        if before:
            known = {int(n): offset for positions in before for n, offset in positions.get(incarnation, {}).items()}
            at = {n: known[n] for n in at if n in known}
        return {incarnation: {str(n): offset for n, offset in at.items()}} if incarnation else {}

    def restore(self, receipts: Sequence[Receipt]) -> None:
        """See Source."""
        self._positions = {}
        for receipt in receipts:
            self.advance(receipt)

    def advance(self, receipt: Receipt) -> None:
        """See Source."""
        if receipt.kind in ("genesis", "batch"):
            self._positions = {topic: dict(offsets) for topic, offsets in receipt.positions.items()}
            self._lost = {}

    def plan(self, now: int, budget: Budget) -> Plan:
        """See Source."""
        del now
        incarnation, partitions = self._mine()
        self._lost = {}
        known = self._positions.get(incarnation, {})
        spans: list[Span] = []
        problems: list[Problem] = []
        records, size, more = budget.records, budget.bytes, False
        oldest: int | None = None
        waiting = 0
        for number, partition in sorted(partitions.items()):
            wanted = known.get(str(number), 0)
            start = max(wanted, partition.first)
            if wanted < partition.first:
                reason = f"{self._topic}/{number}: offsets {wanted} to {start} were deleted before they were read"
                problems.append(Problem("lost", self._topic, wanted, f"{reason}; keep them longer", number, start))
                self._lost.setdefault(incarnation, {})[str(number)] = start
            end = start
            while end < partition.end and records > 0 and size > 0:
                size -= partition.records[end - partition.first].size
                records -= 1
                end += 1
            more = more or end < partition.end
            waiting += partition.end - start
            if start < partition.end:
                first = partition.records[start - partition.first].time
                oldest = first if oldest is None else min(oldest, first)
            if end > start and len(spans) < budget.spans:
                spans.append(Span(self._topic, number, start, end, f"{incarnation}.{number}"))
        return Plan(tuple(spans), tuple(problems), more, oldest=oldest, waiting=waiting)

    def survey(self, now: int, budget: Budget) -> Survey:
        """See Source. The sample is of the newest records of each partition."""
        del now
        incarnation, partitions = self._mine()
        spans = tuple(
            Span(self._topic, number, max(part.first, part.end - budget.records), part.end, f"{incarnation}.{number}")
            for number, part in sorted(partitions.items())[: budget.spans]
            if part.records
        )
        records = sum(len(part.records) for part in partitions.values())
        return Survey(
            found=int(bool(incarnation)), empty=int(bool(incarnation) and not records), records=records, spans=spans
        )

    def read(self, span: Span, make_framer: Callable[[str | None, int], Any]) -> SpanReader:
        """See Source. Records need no framing."""
        del make_framer
        incarnation, partitions = self._log.partitions(span.source)
        partition = partitions.get(span.partition, _Partition())
        if (
            span.incarnation != f"{incarnation}.{span.partition}"
            or span.start < partition.first
            or span.end > partition.end
        ):
            raise SourceError(f"{span.source}/{span.partition}: offsets {span.start} to {span.end} are gone")
        found = partition.records[span.start - partition.first : span.end - partition.first]
        reader = SpanReader(iter(()), span)
        reader.batches = _batches(reader, found)
        return reader

    def positions(self, spans: Sequence[Span] = ()) -> dict[str, Any]:
        """See Source."""
        positions = {topic: dict(offsets) for topic, offsets in self._positions.items()}
        for topic, offsets in self._lost.items():
            positions.setdefault(topic, {}).update(offsets)
        for span in spans:
            positions.setdefault(span.incarnation.partition(".")[0], {})[str(span.partition)] = span.end
        return positions

    def close(self) -> None:
        """See Source."""

    def _mine(self) -> tuple[str, dict[int, _Partition]]:
        incarnation, partitions = self._log.partitions(self._topic)
        return incarnation, {n: p for n, p in partitions.items() if n % self._lanes == self._lane}


def _batches(reader: SpanReader, records: Sequence[_Record]) -> Iterator[pa.RecordBatch]:
    span = reader.span
    for at in range(0, len(records), _SLICE):
        part = records[at : at + _SLICE]
        start = span.start + at
        yield pa.RecordBatch.from_arrays(
            [
                pa.array([record.value for record in part], pa.binary()),
                pa.array([record.key for record in part], pa.binary()),
                pa.array([record.headers or None for record in part], _SCHEMA.field("headers").type),
                pa.array(range(start, start + len(part)), pa.int64()),
                pa.array(range(start + 1, start + len(part) + 1), pa.int64()),
                pa.array([record.time for record in part], TIMESTAMP),
            ],
            schema=_SCHEMA,
        )
    reader.span = replace(span, records=len(records), bytes=sum(record.size for record in records))
