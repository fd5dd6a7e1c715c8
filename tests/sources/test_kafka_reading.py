"""Reading ahead, with a consumer that delivers what the test says: no broker is needed."""

from __future__ import annotations

import queue
import time

import pytest
from confluent_kafka import KafkaError, Message

from nw_platform.errors import SourceError
from nw_platform.sources.kafka import reading
from nw_platform.sources.kafka.client import Broker, client_options
from nw_platform.sources.kafka.held import Partition
from nw_platform.sources.kafka.reading import Reading
from tests.sources.kafka_topics import until


class Delivered:
    """A consumer; what is put into `messages` arrives."""

    def __init__(self) -> None:
        self.messages: queue.Queue[list[Message]] = queue.Queue()
        self.options: dict[str, object] = {}
        self.assigned: list[list] = []
        self.committed: dict[tuple[str, int], int] = {}
        self.is_committing = False
        self.is_closed = False

    def assign(self, places: list) -> None:
        self.assigned.append(places)

    def incremental_unassign(self, places: list) -> None:
        self.taken_away = places

    def incremental_assign(self, places: list) -> None:
        self.assigned.append(places)

    def consume(self, count: int, seconds: float) -> list[Message]:
        del count
        try:
            return self.messages.get(timeout=seconds)
        except queue.Empty:
            return []

    def commit(self, offsets: list, *, asynchronous: bool) -> None:
        assert asynchronous
        assert not self.is_committing, "one request at a time: two may overtake each other"
        self.is_committing = True
        self.committed |= {(each.topic, each.partition): each.offset for each in offsets}

    def poll(self, seconds: float) -> None:
        del seconds
        self.is_committing = False
        self.options["on_commit"](None, [])  # type: ignore[operator]

    def close(self) -> None:
        self.is_closed = True


@pytest.fixture
def consumer(monkeypatch):
    made = Delivered()

    def construct(self, kind, more):
        del self, kind
        made.options = more
        return made

    monkeypatch.setattr(Broker, "construct", construct)
    return made


@pytest.fixture
def ahead():
    made = Reading(Broker(client_options("127.0.0.1:9", {})))
    yield made
    made.close()


def message(topic: str, partition: int, offset: int, value: bytes | None = b"v", **more: object) -> Message:
    return Message(topic=topic, partition=partition, offset=offset, value=value, **{"timestamp": (1, 1000), **more})


def starts(*places: tuple[str, int]) -> dict[tuple[str, int], tuple[int, str]]:
    return dict.fromkeys(places, (0, "A"))


def test_messages_of_a_topic_that_was_dropped_meanwhile_are_dropped_too(consumer, ahead):
    ahead.align(starts(("a", 0), ("b", 0), ("c", 0)))
    old = ahead._generation
    ahead.align(starts(("a", 0), ("b", 0)))
    ahead._sort([message("c", 0, 0), message("a", 0, 0)], old)
    assert ahead._broken is None
    until(lambda: consumer.assigned and len(consumer.assigned[-1]) == 2, "the partitions that are left are assigned")
    consumer.messages.put([message("a", 0, 0), message("b", 0, 0)])
    assert [len(piece.offsets) for piece in ahead.take(("a", 0), 1)] == [1]
    assert [len(piece.offsets) for piece in ahead.take(("b", 0), 1)] == [1]


def test_records_without_a_value_have_a_weight(consumer, ahead):
    ahead.align(starts(("a", 0)))
    consumer.messages.put([message("a", 0, number, None) for number in range(1000)])
    until(lambda: ahead._partitions["a", 0].position == 1000, "they came")
    assert ahead._held == 64 * 1000
    assert sum(len(piece.offsets) for piece in ahead.take(("a", 0), 700)) == 700
    assert ahead._held == 64 * 300
    assert sum(len(piece.offsets) for piece in ahead.take(("a", 0), 1000)) == 300
    assert ahead._held == 0


def test_headers_have_a_weight(consumer, ahead):
    ahead.align(starts(("a", 0)))
    consumer.messages.put([message("a", 0, 0, headers=[("name", b"x" * 10_000)])])
    until(lambda: ahead._held, "it came")
    assert ahead._held > 10_000


def test_no_more_is_fetched_than_may_be_held_where_records_are_empty(consumer):
    ahead = Reading(Broker(client_options("127.0.0.1:9", {})), ahead_bytes=64 * 100)
    ahead.align(starts(("a", 0)))
    for first in range(0, 500, 50):
        consumer.messages.put([message("a", 0, first + number, b"") for number in range(50)])
    until(lambda: ahead._held >= 64 * 100, "there is no room any more")
    assert ahead._partitions["a", 0].position <= 200
    ahead.close()


def test_a_record_without_a_time_has_no_age(consumer, ahead):
    ahead.align(starts(("a", 0), ("b", 0)))
    consumer.messages.put([message("a", 0, 0, timestamp=(0, -1)), message("b", 0, 0)])
    until(lambda: ahead._partitions["b", 0].position, "they came")
    assert ahead.first_times(starts(("a", 0), ("b", 0))) == {("b", 0): 1_000_000}
    for partition in ahead._partitions.values():
        partition.seal()
    assert ahead.first_times(starts(("a", 0), ("b", 0))) == {("b", 0): 1_000_000}
    assert Partition(0, "A").first_time() is None


def test_brokers_that_fall_silent_are_waited_for_once_a_batch(consumer, ahead, monkeypatch):
    monkeypatch.setattr(reading, "STALL_S", 0.3)
    places = [("a", number) for number in range(16)]
    ahead.align(starts(*places))
    ahead.begin()
    began = time.monotonic()
    for place in places:
        with pytest.raises(SourceError, match=r"not delivered within 0\.3 s"):
            list(ahead.take(place, 5))
    assert time.monotonic() - began < 2
    consumer.messages.put([message("a", 3, number) for number in range(5)])
    until(lambda: ahead._partitions["a", 3].position, "something comes again")
    assert sum(len(piece.offsets) for piece in ahead.take(("a", 3), 5)) == 5
    ahead.begin()
    began = time.monotonic()
    with pytest.raises(SourceError, match="not delivered"):
        list(ahead.take(("a", 0), 5))
    assert time.monotonic() - began >= 0.3


def test_many_readers_share_what_may_be_held(consumer):
    broker = Broker(client_options("127.0.0.1:9", {}))
    many = [Reading(broker) for _ in range(30)]
    for each in many:
        each.align(starts(("a", 0)))
    assert 2 << 20 <= many[0]._limit() <= reading.AHEAD_BYTES // 30
    assert consumer.options["queued.max.messages.kbytes"] <= (reading.AHEAD_BYTES // 30) >> 10
    for each in many:
        each.close()


def test_group_offsets_are_sent_one_after_the_other_and_the_last_ones_at_the_end(consumer, ahead):
    ahead.align(starts(("a", 0)))
    ahead.commit({("a", 0): 1, ("a", 1): 5})
    until(lambda: consumer.committed, "they are sent")
    ahead.commit({("a", 0): 2})
    ahead.commit({("a", 0): 3})
    ahead.close()
    assert consumer.is_closed
    assert consumer.committed == {("a", 0): 3, ("a", 1): 5}


class Losing(Delivered):
    """A consumer of one partition that serves a log, and leaves out what `lose` names after an assignment."""

    def __init__(self, offsets: list[int], lose: list[range]) -> None:
        super().__init__()
        self.offsets, self.lose = offsets, lose
        self.end = offsets[-1] + 1
        self.at = 0
        self.lost = range(0)

    def assign(self, places: list) -> None:
        super().assign(places)
        self.at = places[0].offset
        self.lost = self.lose.pop(0) if self.lose else range(0)

    incremental_assign = assign

    def consume(self, count: int, seconds: float) -> list[Message]:
        del seconds
        to_come = [offset for offset in self.offsets if offset >= self.at and offset not in self.lost][: min(count, 7)]
        if not to_come:
            if self.at > self.end:
                time.sleep(0.001)
                return []
            self.at = self.end + 1
            error = KafkaError(KafkaError._PARTITION_EOF)
            return [Message(topic="t", partition=0, offset=self.end, error=error, timestamp=(0, 0))]
        self.at = to_come[-1] + 1
        return [message("t", 0, offset) for offset in to_come]


PLAIN = list(range(100))
GAPPED = [*range(10), *range(20, 22), *range(30, 90, 3), 95]  # as compaction and transactions leave them


@pytest.mark.parametrize("offsets", [PLAIN, GAPPED])
@pytest.mark.parametrize(
    "lose",
    [
        [],
        [range(30)],  # the first fetches after an assignment
        [range(10, 40)],  # in the midst of it
        [range(100)],  # all there is: only the end of the log is heard
        [range(5, 30), range(5, 20)],  # twice in a row, and not the same
        [range(5, 30), range(40, 60)],  # twice, elsewhere
    ],
)
def test_what_the_client_leaves_out_once_is_fetched_again(monkeypatch, offsets, lose):
    made = Losing(offsets, list(lose))
    monkeypatch.setattr(Broker, "construct", lambda *_: made)
    ahead = Reading(Broker(client_options("127.0.0.1:9", {})))
    ahead.align(starts(("t", 0)))
    found = [offset for piece in ahead.take(("t", 0), made.end) for offset in piece.offsets]
    ahead.close()
    # Lost twice alike is what cannot be told from a gap.
    again = set(lose[0]) & set(lose[1]) if len(lose) == 2 else set()
    assert found == [offset for offset in offsets if offset not in again]


def test_a_log_that_is_known_to_have_gaps_is_fetched_once(monkeypatch):
    offsets = list(range(0, 1000, 2))
    made = Losing(offsets, [])
    monkeypatch.setattr(Broker, "construct", lambda *_: made)
    ahead = Reading(Broker(client_options("127.0.0.1:9", {})))
    ahead.align(starts(("t", 0)))
    found = [offset for piece in ahead.take(("t", 0), made.end) for offset in piece.offsets]
    ahead.close()
    assert found == offsets
    assert len(made.assigned) <= 5
