"""A source whose brokers say what the test wants them to, or break: no broker is needed."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest

from nw_platform.errors import SourceError
from nw_platform.record.spans import FIRST_DIGEST, Receipt
from nw_platform.sources.contract import Budget
from nw_platform.sources.kafka import source as module
from nw_platform.sources.kafka.client import Broker, Topic
from nw_platform.sources.kafka.columns import Integers, Piece, Run, sealed
from nw_platform.sources.kafka.reading import Reading
from nw_platform.sources.kafka.source import KafkaSource

NOW = 1_800_000_000_000_000


class Said:
    """What the brokers say, look by look; the last is said for ever."""

    def __init__(self) -> None:
        self.bounds: list[dict[int, tuple[int, int]]] = []
        self.looks = 0
        self.new_connections = 0
        self.waited: list[float] = []
        self.read: dict[int, int] = {}  # partition -> offset at which reading breaks
        self.committed: list[dict[tuple[str, int], int]] = []


@pytest.fixture
def said(monkeypatch):
    found = Said()

    def topics(self, names):
        del self, names
        return {"t": Topic("t", "A", tuple(found.bounds[-1]))}

    def bounds(self, places):
        del self
        now = found.bounds[min(found.looks, len(found.bounds) - 1)]
        found.looks += 1
        return {place: now[place[1]] for place in places}, {}

    def close(self):
        del self
        found.new_connections += 1

    def take(self, place, end) -> Iterator[Piece]:
        del self
        breaks = found.read.get(place[1], end)
        if breaks:
            yield piece(breaks)
        if breaks < end:
            raise SourceError("it broke")

    monkeypatch.setattr(Broker, "topics", topics)
    monkeypatch.setattr(Broker, "bounds", bounds)
    monkeypatch.setattr(Broker, "close", close)
    monkeypatch.setattr(Reading, "align", lambda *_: None)
    monkeypatch.setattr(Reading, "take", take)
    monkeypatch.setattr(Reading, "commit", lambda _, offsets: found.committed.append(dict(offsets)))
    monkeypatch.setattr(module.time, "sleep", found.waited.append)
    return found


def piece(count: int) -> Piece:
    numbers: Integers = np.arange(count, dtype=np.int64)
    return sealed([Run([b"v"] * count, np.ones(count, dtype=np.int64), numbers, numbers + 1, None, None, count)])


def receipt(positions: dict, spans: tuple = ()) -> Receipt:
    return Receipt(
        "s", "0.0", 1, "batch", "2026-11-22T05", spans, positions, 0, 0, 0, "", FIRST_DIGEST, {}, NOW
    )  # fmt: skip


def opened(**nexts: int) -> KafkaSource:
    source = KafkaSource("b:1", ["t"])
    entry = {"next": {name[1:]: offset for name, offset in nexts.items()}}
    source.restore([receipt({"asked": ["t"], "topics": {"t": {"A": entry}}})])
    return source


def test_one_answer_of_an_earlier_end_cuts_nothing(said):
    said.bounds = [{0: (0, 4)}, {0: (0, 12)}]
    plan = opened(p0=9).plan(NOW, Budget())
    assert plan.problems == ()
    assert [(span.start, span.end, span.incarnation) for span in plan.spans] == [(9, 12, "A.0")]
    assert (said.new_connections, len(said.waited)) == (1, 1)
    assert said.waited[0] >= 1.9


def test_an_earlier_end_that_is_said_twice_cuts_the_log_and_is_waited_for_once(said):
    said.bounds = [{0: (0, 4)}]
    source = opened(p0=9)
    for _ in range(2):
        plan = source.plan(NOW, Budget())
        assert [(p.kind, p.position, p.end) for p in plan.problems] == [("lost", 4, 9)]
        said.waited[:] = [2.0]
        source._doubts = {each: since - 2.0 for each, since in source._doubts.items()}  # time passes
    assert said.looks == 3


def test_nobody_waits_where_logs_only_grow(said):
    said.bounds = [{0: (0, 9), 1: (0, 3)}]
    opened(p0=9, p1=1).plan(NOW, Budget())
    assert (said.looks, said.waited) == (1, [])


def read(source: KafkaSource) -> tuple[list, list, list[pa.RecordBatch]]:
    spans, problems, batches = [], [], []
    for span in source.plan(NOW, Budget()).spans:
        reader = source.read(span, None)
        batches += list(reader.batches)
        spans.append(reader.span)
        problems += reader.problems
    return spans, problems, batches


def test_a_partition_that_breaks_after_some_records_ends_there_and_the_others_go_on(said):
    said.bounds = [{0: (0, 9), 1: (0, 9)}]
    said.read = {0: 4}
    source = opened(p0=0, p1=0)
    spans, problems, batches = read(source)
    assert [(span.partition, span.end, span.records) for span in spans] == [(0, 4, 4), (1, 9, 9)]
    assert [(p.kind, p.partition, p.position, p.reason) for p in problems] == [("unreadable", 0, 4, "it broke")]
    assert sum(map(len, batches)) == 13
    assert source.positions(spans)["topics"]["t"]["A"]["next"] == {"0": 4, "1": 9}


def test_a_partition_that_breaks_at_once_is_the_callers_to_leave_out(said):
    said.bounds = [{0: (0, 9)}]
    said.read = {0: 0}
    with pytest.raises(SourceError, match="it broke"):
        read(opened(p0=0))


def test_the_group_is_told_of_all_partitions_once_after_a_crash_and_with_each_receipt(said):
    said.bounds = [{0: (0, 9), 1: (0, 5)}]
    source = opened(p0=4, p1=5)  # the crash came before the group knew of partition 1
    said.read = {}
    spans = source.plan(NOW, Budget()).spans
    assert said.committed == []
    source.read(spans[0], None)
    assert said.committed == [{("t", 0): 4, ("t", 1): 5}]
    source.read(spans[0], None)
    assert len(said.committed) == 1
    source.advance(receipt(source.positions(spans), spans))
    assert said.committed[1:] == [{("t", 0): 9, ("t", 1): 5}]
