"""One lane of one stream, batch after batch.

Steps of a batch, numbered as in docs/architecture.md:
    1. plan, from where the lane's last receipt ends
    2. frame
    3. commit raw with its receipt, append the receipt
    4. apply to logs
A run that loses a race to another (CommitConflictError) forgets what it read, recovers (recovery.py) and goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import pyarrow as pa

from nw_platform.errors import CommitConflictError, InvariantError
from nw_platform.ingest.apply import Applied, apply_batch
from nw_platform.ingest.batch import Chunk, Coalescer, Parsed, chunks_of_raw, gathered, parse_chunk, span_order
from nw_platform.ingest.lanes import lane_name, lanes_by_epoch
from nw_platform.ingest.outcome import BatchReport
from nw_platform.ingest.raw import MakeFramer, RawWriter, commit_raw, next_receipt, raw_file, read_spans
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.agreement import refuse_lost_commits
from nw_platform.lake.receipts import ReceiptLog, receipts_app
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import Snapshot
from nw_platform.parsing.contract import Format
from nw_platform.record.envelope import logs_schema
from nw_platform.record.spans import Receipt, Span
from nw_platform.sources.contract import Budget, Plan, Problem, Source, SpanReader

_PARSERS = 2


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch that is in raw with its receipt, and not in logs yet."""

    receipt: Receipt
    parsed: Parsed
    problems: int
    began: float  # time.perf_counter() when the batch was begun


class Pipeline:
    """One lane. Not to be used by two threads, `put` excepted; two processes are welcome (P8)."""

    def __init__(
        self,
        lake: Lake,
        stream: str,
        sources: Sequence[Source],
        form: Format,
        make_framer: MakeFramer,
        *,
        rules: str,
        work: Path,
        index: int = 0,
        sniffed: dict[str, Any] | None = None,
    ) -> None:
        """Lane number `index` of as many as there are `sources`."""
        self.lake, self.stream, self.form, self.rules = lake, stream, form, rules
        self.sources, self.index, self.source = sources, index, sources[index]
        self.lane = lane_name(0, index)  # until `standing` has looked which epoch it is
        self.make_framer = make_framer
        self.work = work
        self._sniffed = sniffed  # kept in receipts, so that a stream is sniffed once
        self._done: dict[str, int] = {}  # lanes of epochs before -> the receipt up to which nothing is left of them
        self._last: Receipt | None = None  # the lane's last receipt, once recovered; None: recover first
        self._put_until = 0.0  # time.perf_counter() when the last batch was in logs
        self.problems: list[Problem] = []  # met by the last plan and batch
        self.failed: set[tuple[str, int, int]] = set()  # spans of batches of which nothing could be read

    @property
    def logs_schema(self) -> pa.Schema:
        """Of this stream's `logs` files."""
        return logs_schema(self.form.columns)

    @property
    def last_planned(self) -> int | None:
        """When the lane's last batch was planned, as far as known."""
        return self._last.planned_time if self._last else None

    def name_in(self, raw: Snapshot | None) -> str | None:
        """The lane's name, if the stream is being read by as many lanes as this run is configured for."""
        epochs = lanes_by_epoch(raw)
        return epochs[-1][self.index] if epochs and len(epochs[-1]) == len(self.sources) else None

    def to_finish(self, raw: Snapshot | None) -> list[str]:
        """Lanes whose receipts this one sees to, in order: those of epochs before (the first lane does), and itself."""
        old = [lane for lanes in lanes_by_epoch(raw)[:-1] for lane in lanes] if self.index == 0 else []
        return [*old, self.lane]

    def to_record(self, raw: Snapshot | None) -> list[str]:
        """Lanes whose receipts this one brings into their table, should who committed them be gone.

        The first lane does so for all: raw's history, where they are else, is cleaned up while other lanes go on.
        """
        every = [lane for lanes in lanes_by_epoch(raw) for lane in lanes]
        return every if self.index == 0 else [self.lane]

    def read(self, span: Span, make_framer: MakeFramer) -> SpanReader:
        """Read a span of any lane again, by the source that knows what became of its partition."""
        return self.sources[span.partition % len(self.sources)].read(span, make_framer)

    def stale(self) -> bool:
        """Whether the lane has moved, or has work left over, since this object last looked."""
        return self._last is None or self.pending()

    def pending(self) -> bool:
        """Whether receipts or records of the lane are committed that did not get further, or others came meanwhile."""
        raw = self.lake.raw(self.stream).snapshot()
        if raw is None or not lanes_by_epoch(raw):
            return False
        lane = self.name_in(raw)
        if lane is None:
            return True  # a new epoch is to be started
        if lane != self.lane:
            self.lane, self._last = lane, None
        receipts = self.lake.receipts().snapshot()
        for name in self.to_record(raw):
            if receipts is None or receipts.transaction(receipts_app(self.stream, name)) < raw.transaction(name):
                return True
        for name in self.to_finish(raw):
            at = raw.transaction(name)
            mine = name == self.lane
            if at == (self._last.sequence if mine and self._last else self._done.get(name)):
                continue
            log = ReceiptLog(self.lake, receipts, self.stream, name)
            if self.unapplied(log):
                return True
            if mine:
                self.resume(log)
            else:
                self._done[name] = at
        return False

    def news(self, now: int, budget: Budget) -> bool:
        """Whether the source has something to read. Writes nothing."""
        if self._last is None:
            self.source.restore([])
        return self.source.plan(now, budget).is_news

    def resume(self, log: ReceiptLog) -> None:
        """The lane stands where `log` ends; everything before is in raw and logs."""
        self.source.restore(log)
        self._last = log[-1]

    def plan(self, now: int, budget: Budget) -> Plan:
        """What the next batch would read."""
        plan = self.source.plan(now, budget)
        self.problems = list(plan.problems)
        return plan

    def step(self, plan: Plan, now: int) -> BatchReport | None:
        """Read a planned batch and put it into raw and logs. None: nothing of it could be read.

        Raises:
            CommitConflictError: another run won this batch; `stale` is True then.
        """
        taken = self.take(plan, now)
        return None if taken is None else self.put(taken, now)

    def take(self, plan: Plan, now: int) -> Taken | None:
        """The first half of a step: read the batch and commit it to raw. None: nothing of it could be read.

        Raises:
            CommitConflictError: another run won this batch; `stale` is True then.
            LakeError: raw is behind its receipts.
        """
        started = time.perf_counter()
        last = self._last
        if last is None:
            raise InvariantError("a batch was started before recover(): a mistake of the program")
        reached(Step.PLANNED)
        planned = max(now, last.planned_time)
        sequence = last.sequence + 1
        raw = self.lake.raw(self.stream).snapshot()
        if raw is None or self.name_in(raw) != self.lane or raw.transaction(self.lane) != last.sequence:
            self._last = None
            refuse_lost_commits(self.lake, self.stream)
            raise CommitConflictError(f"stream {self.stream}: another run is ahead; starting again from its receipt")
        with (
            _Sink(self, planned) as sink,
            RawWriter(raw_file(self.lake, self.stream, self.lane, sequence, planned)) as writer,
        ):
            spans, digest, problems = read_spans(
                self.source.read, plan.spans, self.make_framer,
                lane=self.lane, sequence=sequence, planned=planned, take=sink.take, write=writer.write,
            )  # fmt: skip
            parsed = sink.finish()
            written = writer.close()
        self.problems += problems
        reached(Step.RAW_WRITTEN)
        if not spans and not plan.has_losses:
            self.failed |= {span_order(span) for span in plan.spans}
            self.lake.raw(self.stream).discard([written])
            return None
        receipt = next_receipt(
            last,
            now,
            kind="batch",
            spans=spans,
            positions=self.source.positions(spans),
            records=sum(s.records for s in spans),
            bytes=sum(s.bytes for s in spans),
            skipped_lines=sum(s.skipped_lines for s in spans),
            digest=digest,
            event_hours=parsed.event_hours(),
            detail=self._detail(self.problems),
        )
        if not written.records:
            self.lake.raw(self.stream).discard([written])
        try:
            commit_raw(self.lake, raw, [receipt], add=[written] if written.records else [], now=now)
        except CommitConflictError:
            self._last = None
            self.lake.raw(self.stream).discard([written])
            raise
        self.source.advance(receipt)
        self._last = receipt
        reached(Step.SOURCE_ADVANCED)
        return Taken(receipt, parsed, len(self.problems), started)

    def put(self, taken: Taken, now: int) -> BatchReport:
        """The second half of a step, in order: what was taken goes into logs. A second thread may do it meanwhile.

        A batch is read while the one before it is put, so its seconds begin where those of the other end: they add up
        to the time that has passed.
        """
        applied = self.apply(taken.receipt, taken.parsed, now)
        ended = time.perf_counter()
        seconds = ended - max(taken.began, self._put_until)
        self._put_until = ended
        return batch_report(taken.receipt, applied, seconds, taken.problems)

    def parse(self, rows: pa.Table, spans: Sequence[Span], planned: int) -> Parsed:
        """Parse rows read back from `raw`, in canonical order, of a batch with these spans and this planned time."""
        with _Sink(self, planned) as sink:
            for chunk in chunks_of_raw(rows, spans):
                sink.take(chunk)
            return sink.finish()

    def receipts(self, lane: str | None = None) -> ReceiptLog:
        """The receipts of this or another lane of the stream, as of now."""
        return ReceiptLog(self.lake, self.lake.receipts().snapshot(), self.stream, lane or self.lane)

    def unapplied(self, log: ReceiptLog) -> list[Receipt]:
        """Receipts of records that are in raw and have not reached `logs`, oldest first."""
        logs = self.lake.logs(self.stream).snapshot()
        applied = logs.transaction(log.lane) if logs else -1
        open_ = [r for r in log[applied + 1 :] if r.kind in {"batch", "replay"} and r.sequence > applied]
        return [r for r in open_ if r.records or r.kind == "replay"]

    def apply(self, receipt: Receipt, parsed: Parsed, now: int) -> Applied | None:
        """Put a batch into `logs`, against whoever else commits there. None: somebody had done it already."""
        if not receipt.records:
            return Applied(0, 0, 0, 0, 0, 0)
        hint = self.work / "dedupe" / self.stream
        while True:
            try:
                return apply_batch(self.lake, self.stream, receipt, parsed, rules=self.rules, work=hint, now=now)
            except CommitConflictError:
                continue  # another lane, a compaction or a rebuild came between: the same again on a new snapshot

    def _detail(self, problems: Sequence[Problem]) -> dict[str, Any]:
        detail: dict[str, Any] = {"problems": [asdict(problem) for problem in problems]} if problems else {}
        return {**detail, "format": self._sniffed} if self._sniffed else detail


class _Sink:
    """Collects a batch's chunks; workers parse each as soon as it is large enough, while reading goes on."""

    def __init__(self, pipeline: Pipeline, planned: int) -> None:
        self._form, self._schema, self._planned = pipeline.form, pipeline.logs_schema, planned
        self._coalescer = Coalescer()
        self._parts: deque[Future[pa.Table]] = deque()
        self._done: list[pa.Table] = []
        self._pool = ThreadPoolExecutor(_PARSERS, thread_name_prefix="parse")

    def take(self, chunk: Chunk) -> None:
        self._parse(self._coalescer.add(chunk))

    def finish(self) -> Parsed:
        self._parse(self._coalescer.flush())
        self._settle(0)
        return gathered(self._done, self._schema)

    def _parse(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self._settle(_PARSERS)  # so many in work and no more: memory is bounded
            self._parts.append(self._pool.submit(parse_chunk, self._form, chunk, self._planned))

    def _settle(self, left: int) -> None:
        while len(self._parts) > left:
            self._done.append(self._parts.popleft().result())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


def batch_report(receipt: Receipt, applied: Applied | None, seconds: float, problems: int) -> BatchReport:
    """What to say of a batch that was applied; `applied` None: by another run."""
    counts = applied or Applied(0, 0, 0, 0, 0, 0)
    return BatchReport(
        stream=receipt.stream,
        lane=receipt.lane,
        sequence=receipt.sequence,
        kind=receipt.kind,
        arrival_hour=receipt.arrival_hour,
        records=receipt.records,
        bytes=receipt.bytes,
        normal=counts.normal,
        error=counts.error,
        watchdog=counts.watchdog,
        duplicates=counts.duplicates,
        late=counts.late,
        rejects=counts.rejects,
        skipped_lines=receipt.skipped_lines,
        spans=len(receipt.spans),
        event_hours=receipt.event_hours,
        planned_time=receipt.planned_time,
        seconds=seconds,
        problems=problems,
    )
