"""Drives a source as ingestion does: genesis, restore, then plan, read, publish, advance; and keeps the records."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.framing import make_framer
from nw_platform.record.spans import FIRST_DIGEST, Receipt, Span
from nw_platform.sources.contract import Budget, Plan, Problem, Source


@dataclass
class Record:
    value: bytes
    source: str
    partition: int
    start: int
    end: int
    received: int


@dataclass
class Lane:
    open: Callable[[], Source]
    options: ParseOptions = field(default_factory=lambda: ParseOptions(stream="s", format="lines"))
    budget: Budget = field(default_factory=Budget)

    def __post_init__(self) -> None:
        self.source = self.open()
        self.receipts: list[Receipt] = [self._receipt(0, (), self.source.genesis(0), 0)]
        self.records: list[Record] = []
        self.problems: list[Problem] = []
        self.plan = Plan()
        self.source.restore(self.receipts)

    @property
    def values(self) -> list[bytes]:
        return [record.value for record in self.records]

    @property
    def spans(self) -> list[Span]:
        return [span for receipt in self.receipts for span in receipt.spans]

    def step(self, now: int) -> list[bytes]:
        """One batch; the values of its records."""
        self.plan = self.source.plan(now, self.budget)
        self.problems = list(self.plan.problems)
        names = [span.source for span in self.plan.spans if "whole" in span.state]
        assert len(names) == len(set(names)), "two contents of one name in a batch"
        records, spans = [], []
        for span in self.plan.spans:
            found, reader = self.read(span)
            self.problems += reader.problems
            records += found
            if reader.is_news:
                spans.append(reader.span)
        if spans or self.plan.has_losses:
            positions = self.source.positions(spans)
            receipt = self._receipt(len(self.receipts), tuple(spans), positions, now, self.problems)
            self.receipts.append(receipt)
            self.records += records
            self.source.advance(receipt)
            assert self.source.positions() == positions
        return [record.value for record in records]

    def drain(self, now: int) -> list[bytes]:
        """Batches until one brings nothing; the values of their records."""
        values = []
        for _ in range(10_000):
            before = len(self.receipts)
            values += self.step(now)
            if len(self.receipts) == before:
                return values
        raise AssertionError("it never ends")

    def crash(self) -> None:
        """The process dies; a new one knows the receipts, and perhaps a hint file of some time."""
        self.source = self.open()
        self.source.restore(self.receipts)

    def read(self, span: Span):
        reader = self.source.read(span, functools.partial(make_framer, self.options))
        found = []
        for batch in reader.batches:
            for row in batch.to_pylist():
                received = int(row["received_time"].timestamp() * 1_000_000)
                found.append(
                    Record(row["value"], span.source, span.partition, row["source_start"], row["source_end"], received)
                )
        assert reader.span.records == len(found)
        return found, reader

    def check(self) -> None:
        """Spans of a content adjoin, without gap or overlap, and count what they hold."""
        ends: defaultdict[tuple[str, int], int] = defaultdict(int)
        incarnations: dict[tuple[str, int], str] = {}
        for span in self.spans:
            key = (span.source, span.partition)
            assert span.start == ends[key]
            assert span.end >= span.start
            assert incarnations.setdefault(key, span.incarnation) == span.incarnation
            ends[key] = span.end
        assert len(set(incarnations.values())) == len(incarnations)

    def replay(self, span: Span) -> list[bytes]:
        return [record.value for record in self.read(span)[0]]

    def recorded(self, span: Span) -> list[bytes]:
        """The values that were read of a span."""
        return [
            record.value
            for record in self.records
            if (record.source, record.partition) == (span.source, span.partition)
            and span.start <= record.start < span.end
        ]

    def _receipt(
        self, sequence: int, spans: tuple[Span, ...], positions: dict, now: int, problems: Sequence[Problem] = ()
    ) -> Receipt:
        return Receipt(
            stream=self.options.stream,
            lane="0.0",
            sequence=sequence,
            kind="batch" if sequence else "genesis",
            arrival_hour="2026-11-22T05",
            spans=spans,
            positions=positions,
            records=sum(span.records for span in spans),
            bytes=sum(span.bytes for span in spans),
            skipped_lines=sum(span.skipped_lines for span in spans),
            digest="",
            previous_digest=self.receipts[-1].self_digest() if sequence else FIRST_DIGEST,
            event_hours={},
            planned_time=now,
            detail={"problems": [asdict(problem) for problem in problems]} if problems else {},
        )
