"""A real broker, and what happens there: each record once, in order, and what is gone said exactly."""

from __future__ import annotations

import itertools
import time

import pytest

from nw_platform.errors import SourceError
from nw_platform.sources.contract import Budget
from nw_platform.sources.registry import open_source
from tests.sources.kafka_topics import Topics, until
from tests.sources.lane import Lane

pytestmark = pytest.mark.services

NOW = 1_800_000_000_000_000


@pytest.fixture
def topics(kafka):
    return Topics(kafka)


@pytest.fixture
def lane_of(kafka):
    opened = []

    def make(*names: str, **options) -> Lane:
        lane = Lane(lambda: open_source("kafka", bootstrap=kafka.bootstrap, topics=names, **options))
        opened.append(lane)
        return lane

    yield make
    for lane in opened:
        lane.source.close()


def numbers(first: int, last: int) -> list[bytes]:
    return [b"%d" % number for number in range(first, last)]


def lost(lane: Lane) -> list[tuple[int | None, int, int | None]]:
    """(partition, first, one after the last) of what is said to be lost."""
    return [(p.partition, p.position, p.end) for p in lane.problems if p.kind == "lost"]


def test_all_partitions_are_read_each_in_order(topics, lane_of):
    topic = topics.make(3)
    lane = lane_of(topic.name)
    for partition in range(3):
        topic.append([b"%d-%d" % (partition, number) for number in range(100)], partition=partition)
    lane.drain(NOW)
    for partition in range(3):
        mine = [record for record in lane.records if record.partition == partition]
        assert [record.value for record in mine] == [b"%d-%d" % (partition, number) for number in range(100)]
        assert [record.start for record in mine] == list(range(100))
        assert all(record.end == record.start + 1 for record in mine)
    lane.check()


def test_the_time_of_a_record_is_the_brokers(topics, lane_of):
    topic = topics.make()
    topic.append([b"a"], time_ms=1_700_000_000_123)
    topic.append([b"b"], time_ms=1_600_000_000_000)  # a clock that jumps
    lane = lane_of(topic.name)
    lane.drain(NOW)
    assert [record.received for record in lane.records] == [1_700_000_000_123_000, 1_600_000_000_000_000]


def read(lane: Lane) -> list[dict]:
    """The rows of the next plan, in full."""
    rows = []
    for span in lane.source.plan(NOW, Budget()).spans:
        for batch in lane.source.read(span, None).batches:
            rows += batch.to_pylist()
    return rows


def test_keys_headers_and_tombstones_arrive_as_they_are(topics, lane_of):
    topic = topics.make()
    topic.append([b"plain"])
    topic.append([None, b""], keys=[b"k1", b"k2"])
    topic.append([b"h"], headers=[("a", b"1"), ("a", b"2"), ("b", None), ("c", b"")])
    topic.append([b"last"], keys=[b""])
    lane = lane_of(topic.name)
    rows = read(lane)
    assert [(row["value"], row["key"], row["headers"]) for row in rows] == [
        (b"plain", None, None),
        (None, b"k1", None),
        (b"", b"k2", None),
        (b"h", None, [("a", b"1"), ("a", b"2"), ("b", None), ("c", b"")]),
        (b"last", b"", None),
    ]


def test_what_a_record_weighs_is_its_value_and_key(topics, lane_of):
    topic = topics.make()
    topic.append([b"123", None, b"4"], keys=[b"ab", b"c", None])
    lane = lane_of(topic.name)
    lane.step(NOW)
    assert [(span.records, span.bytes) for span in lane.spans] == [(3, 7)]


def test_aborted_records_and_markers_are_not_records(topics, lane_of):
    topic = topics.make()
    lane = lane_of(topic.name)
    topic.in_transaction([b"1", b"2"], commit=True)
    topic.in_transaction([b"never", b"never"], commit=False)
    topic.append([b"3"])
    topic.in_transaction([b"never"], commit=False)
    assert lane.drain(NOW) == [b"1", b"2", b"3"]
    assert lane.spans[-1].end == topic.end()  # the markers at the end count as read
    assert sum(span.records for span in lane.spans) == 3
    assert lane.step(NOW) == []
    topic.append([b"4"])
    assert lane.drain(NOW) == [b"4"]
    lane.check()
    lane.crash()
    for span in lane.spans:
        assert lane.replay(span) == lane.recorded(span)


def test_a_span_of_nothing_but_markers_is_read_to_its_end(topics, lane_of):
    topic = topics.make()
    topic.in_transaction([b"never"] * 5, commit=False)
    lane = lane_of(topic.name)
    assert lane.step(NOW) == []
    assert [(span.start, span.end, span.records) for span in lane.spans] == [(0, 6, 0)]
    assert lane.step(NOW) == []
    assert len(lane.receipts) == 2


def test_what_is_not_committed_yet_waits_and_comes_in_its_place(topics, lane_of):
    topic = topics.make()
    lane = lane_of(topic.name)
    producer = topic.transactional()
    producer.begin_transaction()
    producer.produce(topic.name, b"1", partition=0)
    producer.flush(30)
    topic.append([b"2"])
    assert lane.step(NOW) == []
    producer.commit_transaction(30)
    until(lambda: lane.source.plan(NOW, Budget()).spans, "the transaction is seen")
    assert lane.drain(NOW) == [b"1", b"2"]
    lane.check()


def test_a_compacted_topic_has_gaps_that_are_no_losses(topics, lane_of):
    config = {
        "cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100", "min.compaction.lag.ms": "0", "delete.retention.ms": "0",
    }  # fmt: skip
    topic = topics.make(1, config)
    for number in range(40):
        topic.append([b"%d" % number], keys=[b"same" if number % 4 else b"k%d" % number])

    def compacted() -> bool:
        topic.append([b"x"], keys=[b"roll"])  # a segment is rolled by what is written after it
        lane = lane_of(topic.name)
        lane.drain(NOW)
        starts = [record.start for record in lane.records]
        return len(starts) < 41 and starts != list(range(starts[0], starts[-1] + 1))

    until(compacted, "the topic is compacted")
    lane = lane_of(topic.name)
    lane.budget = Budget(records=7)
    lane.drain(NOW)
    starts = [record.start for record in lane.records]
    assert starts == sorted(set(starts))
    assert {b"%d" % number for number in range(0, 40, 4)} <= set(lane.values)  # the last of each key is there
    assert lane.spans[-1].end == topic.end()
    lane.check()
    assert not lane.problems


def test_replaying_what_was_compacted_meanwhile_is_refused(topics, lane_of):
    topic = topics.make()
    topic.append(numbers(0, 5))
    lane = lane_of(topic.name)
    lane.step(NOW)
    span = lane.spans[0]
    more = type(span)(span.source, 0, 0, 5, span.incarnation, records=6)  # as if there had been one more
    with pytest.raises(SourceError, match="1 of 6 records are gone"):
        lane.replay(more)


def test_what_retention_deleted_is_said_exactly_and_once(topics, lane_of):
    topic = topics.make(2)
    lane = lane_of(topic.name)
    topic.append(numbers(0, 10))
    assert lane.drain(NOW) == numbers(0, 10)
    topic.append(numbers(10, 30))
    topic.trim(25)
    assert lane.step(NOW) == numbers(25, 30)
    assert lost(lane) == [(0, 10, 25)]
    (reason,) = [problem.reason for problem in lane.problems]
    assert f"{topic.name}/0: offsets [10, 25), 15 of them" in reason
    topic.append([b"a"], partition=1)
    assert lane.step(NOW) == [b"a"]
    assert not lane.problems


def test_a_loss_is_said_until_a_receipt_holds_it(topics, lane_of):
    topic = topics.make(2)
    lane = lane_of(topic.name)
    topic.append(numbers(0, 10))
    topic.trim(10)  # nothing is left to read
    for _ in range(3):
        assert lane.step(NOW) == []
        assert lost(lane) == [(0, 0, 10)]
        lane.crash()
    topic.append([b"elsewhere"], partition=1)
    assert lane.step(NOW) == [b"elsewhere"]
    assert lost(lane) == [(0, 0, 10)]
    assert lane.step(NOW) == []
    assert not lost(lane)
    lane.crash()
    topic.append([b"on"])
    assert lane.drain(NOW) == [b"on"]
    assert not lost(lane)


def test_replaying_what_retention_deleted_says_what_is_gone(topics, lane_of):
    topic = topics.make()
    topic.append(numbers(0, 10))
    lane = lane_of(topic.name)
    lane.step(NOW)
    topic.trim(4)
    with pytest.raises(SourceError, match=r"\[0, 4\) are gone: retention"):
        lane.replay(lane.spans[0])


def test_a_topic_made_again_is_another_one(topics, lane_of):
    topic = topics.make(2)
    lane = lane_of(topic.name)
    topic.append(numbers(0, 10))
    lane.budget = Budget(records=4)
    lane.step(NOW)
    first = lane.spans[0]
    topic.delete()
    topics.make(2, name=topic.name).append(numbers(100, 103))
    lane.budget = Budget()
    read_before = len(lane.values)
    assert lane.step(NOW) == numbers(100, 103)
    assert lost(lane) == [(0, read_before, 10)]
    last = lane.spans[-1]
    assert (last.start, last.partition) == (0, 0)
    assert last.incarnation != first.incarnation
    assert lane.step(NOW) == []
    assert not lane.problems
    with pytest.raises(SourceError, match=r"gone: their topic .* was deleted and made anew"):
        lane.replay(first)
    lane.crash()
    assert lane.step(NOW) == []
    assert lane.replay(last) == numbers(100, 103)


def test_a_topic_deleted_while_it_is_read_gives_the_batch_up(topics, lane_of):
    topic = topics.make()
    topic.append(numbers(0, 10))
    lane = lane_of(topic.name)
    plan = lane.source.plan(NOW, Budget())
    topic.delete()
    topics.make(name=topic.name).append(numbers(50, 60))
    with pytest.raises(SourceError):
        lane.read(plan.spans[0])
    assert lane.drain(NOW) == numbers(50, 60)


def test_a_topic_that_is_missing_is_named_and_read_from_its_beginning_later(topics, lane_of):
    there = topics.make()
    there.append([b"1"])
    name = f"{there.name}-later"
    lane = lane_of(there.name, name, start="latest")
    assert lane.step(NOW) == []
    assert [(p.kind, p.source) for p in lane.problems] == [("unreadable", name)]
    assert name in lane.problems[0].reason
    topics.make(name=name).append([b"new"])
    assert lane.step(NOW) == [b"new"]
    assert not lane.problems


def test_a_pattern_takes_new_topics_from_their_beginning(topics, lane_of):
    one = topics.make()
    one.append([b"old"])
    lane = lane_of(f"^{one.name}", start="latest")
    assert lane.step(NOW) == []
    two = topics.make(name=f"{one.name}-b")
    two.append([b"new"])
    one.append([b"also new"])
    assert sorted(lane.drain(NOW)) == [b"also new", b"new"]
    two.delete()  # was read: nothing to say
    assert lane.step(NOW) == []
    assert not lane.problems


def test_new_partitions_are_read_from_their_beginning(topics, lane_of):
    topic = topics.make()
    topic.append([b"old"])
    lane = lane_of(topic.name, start="latest")
    topic.grow(3)
    topic.append([b"2"], partition=2)
    topic.append([b"0"], partition=0)
    assert lane.drain(NOW) == [b"0", b"2"]
    assert not lane.problems


@pytest.mark.parametrize(
    ("start", "values"), [("earliest", [0, 1, 2, 3]), ("latest", []), (1_600_000_000_500_000, [2, 3])]
)
def test_where_a_stream_begins(topics, lane_of, start, values):
    topic = topics.make()
    for number in range(4):
        topic.append([b"%d" % number], time_ms=1_600_000_000_000 + 300 * number)
    lane = lane_of(topic.name, start=start)
    topic.append([b"later"], time_ms=1_600_000_009_000)
    assert lane.drain(NOW) == [*(b"%d" % number for number in values), b"later"]


def test_a_start_before_which_everything_is_old_begins_at_the_end(topics, lane_of):
    topic = topics.make()
    topic.append([b"old"], time_ms=1_600_000_000_000)
    lane = lane_of(topic.name, start=1_700_000_000_000_000)
    topic.append([b"new"], time_ms=1_500_000_000_000)
    assert lane.drain(NOW) == [b"new"]


def test_lanes_share_partitions_and_others_take_over(topics, kafka):
    topic = topics.make(5)
    for partition in range(5):
        topic.append([b"%d" % partition] * 3, partition=partition)

    def opened(lane):
        return open_source("kafka", bootstrap=kafka.bootstrap, topics=[topic.name], lane=lane)

    lanes = [Lane(lambda number=number: opened((number, 2))) for number in range(2)]
    assert [set(lane.drain(NOW)) for lane in lanes] == [{b"0", b"2", b"4"}, {b"1", b"3"}]
    for partition in range(5):
        topic.append([b"new %d" % partition], partition=partition)
    before = [lane.source.positions() for lane in lanes]
    found = []
    for number in range(3):
        source = opened((number, 3))
        start = source.genesis(NOW, before)
        assert {int(p) % 3 for entry in start["topics"][topic.name].values() for p in entry["next"]} == {number}
        lane = Lane(lambda source=source: source)
        lane.receipts[0] = lane.receipts[0].with_changes(positions=start)
        source.restore(lane.receipts)
        found += lane.drain(NOW)
        source.close()
    assert sorted(found) == [b"new %d" % partition for partition in range(5)]
    for lane in lanes:
        lane.source.close()


def test_large_records_arrive_and_end_a_batch_early(topics, lane_of):
    topic = topics.make(2, {"max.message.bytes": str(8 << 20)})
    topics.producer = type(topics.producer)({"bootstrap.servers": topics.bootstrap, "message.max.bytes": 8 << 20})
    values = [bytes([number]) * (3 << 20) for number in range(12)]
    topic.append(values[:6], partition=0)
    topic.append(values[6:], partition=1)
    lane = lane_of(topic.name)
    lane.budget = Budget(bytes=8 << 20)
    first = lane.step(NOW)
    assert sum(map(len, first)) <= 24 << 20  # records were thought to be small: it ends early all the same
    lane.drain(NOW)
    assert sorted(lane.values) == sorted(values)
    lane.check()
    assert max(span.bytes for span in lane.spans[2:]) <= 12 << 20


def test_a_plan_is_shared_by_all_partitions(topics, lane_of):
    topic = topics.make(4)
    topic.append([b"x" * 100] * 5000, partition=0)
    for partition in (1, 2, 3):
        topic.append([b"y"] * 10, partition=partition)
    lane = lane_of(topic.name)
    plan = lane.source.plan(NOW, Budget(records=100))
    assert {span.partition: span.end - span.start for span in plan.spans} == {0: 70, 1: 10, 2: 10, 3: 10}
    assert plan.more
    assert plan.waiting == 5030
    assert lane.source.plan(NOW, Budget(records=100)).spans == plan.spans
    seen = set()
    lane.budget = Budget(records=1, spans=1)
    for _ in range(8):
        lane.step(NOW)
        seen |= {span.partition for span in lane.plan.spans}
    assert seen == {0, 1, 2, 3}


def test_what_was_read_ahead_is_used_and_thrown_away_where_it_does_not_fit(topics, lane_of):
    topic = topics.make(3)
    for partition in range(3):
        topic.append([b"%d-%d" % (partition, number) for number in range(5000)], partition=partition)
    lane = lane_of(topic.name)
    lane.budget = Budget(records=700)
    lane.step(NOW)
    reading = lane.source._reading
    lane.step(NOW)
    assert lane.source._reading is reading
    for _ in range(2):  # the batch was lost to another run: the same again
        lane.source.restore(lane.receipts)
        lane.source.plan(NOW, lane.budget)
        for span in lane.source.plan(NOW, lane.budget).spans[:2]:
            next(lane.source.read(span, None).batches)
    lane.source.restore(lane.receipts)
    lane.drain(NOW)
    for partition in range(3):
        mine = [record.value for record in lane.records if record.partition == partition]
        assert mine == [b"%d-%d" % (partition, number) for number in range(5000)]
    lane.check()


def test_no_more_is_held_than_allowed_and_nobody_starves(topics, lane_of, monkeypatch):
    monkeypatch.setattr("nw_platform.sources.kafka.reading.AHEAD_BYTES", 1 << 20)
    topic = topics.make(4)
    for partition in range(4):
        topic.append([b"%d-%05d-" % (partition, number) + b"x" * 1000 for number in range(6000)], partition=partition)
    lane = lane_of(topic.name)
    lane.budget = Budget(bytes=40 << 20, records=40_000)
    lane.drain(NOW)
    for partition in range(4):
        mine = [record.value[:8] for record in lane.records if record.partition == partition]
        assert mine == [b"%d-%05d-" % (partition, number) for number in range(6000)]


def test_group_offsets_are_what_lag_tools_see(topics, lane_of):
    topic = topics.make()
    topic.append(numbers(0, 10))
    lane = lane_of(topic.name, group=f"g-{topic.name}")
    lane.budget = Budget(records=6)
    lane.step(NOW)
    lane.source.close()
    assert committed(topics, f"g-{topic.name}", topic.name) == 6
    lane.crash()
    lane.step(NOW)
    lane.source.close()
    assert committed(topics, f"g-{topic.name}", topic.name) == 10


def committed(topics: Topics, group: str, topic: str) -> int:
    from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition  # noqa: PLC0415

    request = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0)])]
    found = topics.admin.list_consumer_group_offsets(request)[group].result(30)
    return found.topic_partitions[0].offset


def test_oldest_and_expiry_come_from_what_is_read_ahead(topics, lane_of):
    topic = topics.make(1, {"retention.ms": str(3_600_000)})
    at = int(time.time() * 1000) - 60_000
    topic.append(numbers(0, 100), time_ms=at)
    lane = lane_of(topic.name)
    lane.budget = Budget(records=10)
    lane.step(NOW)
    until(lambda: lane.source.plan(NOW, Budget()).oldest is not None, "the next records are read ahead")
    plan = lane.source.plan(NOW, Budget())
    assert plan.oldest == at * 1000
    assert plan.expires_at == (at + 3_600_000) * 1000


def test_an_unreachable_broker_is_one_line_within_seconds():
    source = open_source("kafka", bootstrap="127.0.0.1:9", topics=["x"])
    for call in (lambda: source.plan(NOW, Budget()), lambda: source.genesis(NOW)):
        began = time.monotonic()
        with pytest.raises(SourceError) as error:
            call()
        assert time.monotonic() - began < 10
        assert "127.0.0.1:9" in str(error.value)
        assert "refused" in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 400
    source.close()


def test_a_broker_that_stops_and_comes_back_costs_nothing(own_kafka):
    topics = Topics(own_kafka)
    topic = topics.make(2)
    topic.append([b"a%d" % number for number in range(3000)])
    topic.append([b"b%d" % number for number in range(3000)], partition=1)
    lane = Lane(lambda: open_source("kafka", bootstrap=own_kafka.bootstrap, topics=[topic.name]))
    lane.budget = Budget(records=500)
    lane.step(NOW)
    own_kafka.stop()
    with pytest.raises(SourceError, match=own_kafka.bootstrap):
        lane.source.plan(NOW, Budget())
    own_kafka.start()
    until(lambda: _steps(lane), "it answers again")
    plan = lane.source.plan(NOW, Budget())
    own_kafka.kill()  # between planning and reading
    began = time.monotonic()
    try:
        for span in plan.spans:
            lane.read(span)
    except SourceError as error:
        assert own_kafka.bootstrap in str(error)  # noqa: PT017  (what was read ahead may have been enough)
    assert time.monotonic() - began < 30
    own_kafka.start()
    lane.crash()
    until(lambda: _steps(lane), "it answers again")
    lane.drain(NOW)
    assert [record.value for record in lane.records if record.partition == 0] == [b"a%d" % n for n in range(3000)]
    assert [record.value for record in lane.records if record.partition == 1] == [b"b%d" % n for n in range(3000)]
    lane.check()
    lane.source.close()


def _steps(lane: Lane) -> bool:
    try:
        lane.step(NOW)
    except SourceError:
        return False
    return True


def test_a_log_that_the_brokers_cut_is_said_and_read_on(own_kafka):
    topics = Topics(own_kafka)
    topic = topics.make()
    topic.append(numbers(0, 10))
    lane = Lane(lambda: open_source("kafka", bootstrap=own_kafka.bootstrap, topics=[topic.name]))
    lane.drain(NOW)
    own_kafka.stop()
    emptied = 0
    for path in own_kafka.server.folder.rglob(f"{topic.name}-0/*"):  # a lost disk
        if path.suffix in {".log", ".index", ".timeindex", ".snapshot"} or path.name == "leader-epoch-checkpoint":
            path.unlink()
            emptied += 1
    assert emptied
    for path in own_kafka.server.folder.rglob("*-checkpoint"):
        if path.parent.name != f"{topic.name}-0":
            path.unlink()
    own_kafka.start()
    until(lambda: topic.id() and topic._bounds(0, quiet=True) == (0, 0), "the log is empty")
    topics.producer = type(topics.producer)({"bootstrap.servers": own_kafka.bootstrap})
    assert lane.step(NOW) == []
    assert lost(lane) == [(0, 0, 10)]
    topic.append(numbers(0, 3))
    assert lane.step(NOW) == []  # written since the log was cut, and below where reading goes on: said
    assert lost(lane) == [(0, 3, 10)]
    lane.source.close()


def test_pieces_follow_each_other_without_a_gap_under_load(topics, lane_of):
    topic = topics.make(2)
    for part in range(4):
        for partition in range(2):
            topic.append(numbers(part * 25_000, (part + 1) * 25_000), partition=partition)
    lane = lane_of(topic.name)
    lane.budget = Budget(records=30_011)
    lane.drain(NOW)
    for partition in range(2):
        starts = [record.start for record in lane.records if record.partition == partition]
        assert starts == list(range(100_000))
    assert all(a.end == b.start for a, b in itertools.pairwise(s for s in lane.spans if s.partition == 0))


def test_header_names_that_are_not_text_cost_their_headers_only(topics, lane_of):
    topic = topics.make()
    topic.append([b"1"], headers=[("a", b"1")])
    topic.append_named(b"2", b"\xff\xfe")
    topic.append([b"3"], headers=[("c", b"3")])
    lane = lane_of(topic.name)
    (span,) = lane.source.plan(NOW, Budget()).spans
    reader = lane.source.read(span, None)
    rows = [row for batch in reader.batches for row in batch.to_pylist()]
    assert [(row["value"], row["headers"]) for row in rows] == [
        (b"1", [("a", b"1")]),
        (b"2", None),
        (b"3", [("c", b"3")]),
    ]
    assert [(p.kind, p.partition) for p in reader.problems] == [("damaged", 0)]
    assert "1 records have headers with names that are not UTF-8" in reader.problems[0].reason
