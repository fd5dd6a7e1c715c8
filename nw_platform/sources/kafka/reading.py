"""Reads partitions ahead of who asks: one thread fetches from all of them, bounded in bytes.

Records are handed out by partition and offset. Whatever is read ahead stays for the next batch, so that fetching goes
on while a batch is parsed and committed. It is a hint: `align` throws away what does not fit the positions asked for.
"""

from __future__ import annotations

import gc
import itertools
import logging
import threading
import time
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from nw_platform.errors import NeverwinterError
from nw_platform.sources.kafka.client import Broker, one_line
from nw_platform.sources.kafka.columns import Piece, Run, times_of
from nw_platform.sources.kafka.held import PIECE_BYTES, Partition

__all__ = ["AHEAD_BYTES", "Reading"]

_LOG = logging.getLogger(__name__)

AHEAD_BYTES: Final = 160 << 20  # read ahead at most, by all who read; no faster with twice as much
_LEAST_BYTES: Final = 2 << 20  # of each of them
_QUEUE_BYTES: Final = 16 << 20  # the client's own queue, where there is room for it
STALL_S: Final = 10.0  # a partition that has to have records and brings none for so long is given up for this batch
_TURN_S: Final = 0.05  # the longest that a call collects messages
_HURRY_S: Final = 0.01  # the same, while somebody waits for them
_MESSAGES: Final = 2000  # in one call
_CALL_BYTES: Final = 4 << 20  # about, in one call
_CLOSE_S: Final = 5.0
_ARRIVE_S: Final = 2.0  # so long the group's offsets that are on their way are waited for before the last ones are sent
_OBJECTS: Final = 50_000  # new ones between two searches for garbage

_READERS: Final[weakref.WeakSet[Reading]] = weakref.WeakSet()  # those of this process that read ahead

Place = tuple[str, int]  # topic, partition

# Small fetches and a short queue keep records near the caches; records larger than a fetch arrive all the same.
_TUNED: Final[Mapping[str, Any]] = {
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "enable.partition.eof": "true",
}
_SUGGESTED: Final[Mapping[str, Any]] = {
    "group.id": "neverwinter",
    "check.crcs": "false",
    "fetch.message.max.bytes": 1 << 20,
    "fetch.queue.backoff.ms": 2,
    "fetch.error.backoff.ms": 100,
}


class Reading:
    """One consumer and its thread. Used by one thread besides its own."""

    def __init__(self, broker: Broker, *, ahead_bytes: int | None = None) -> None:
        """Take the brokers, and how much may be read ahead (None: an equal part of AHEAD_BYTES)."""
        self._broker = broker
        self._ahead_bytes = ahead_bytes
        self._changed = threading.Condition()
        self._partitions: dict[Place, Partition] = {}
        self._held = 0  # bytes
        self._asked: tuple[Place, int] | None = None  # what somebody waits for: place, end
        self._alone: Place | None = None  # the only partition that is fetched, where there is no room for others
        self._topics: dict[str, int] = {}  # their numbers
        self._generation = 0  # grows with every assignment: what was consumed under an older one is dropped
        self._is_doubted = False  # a partition is to be fetched again, from its position on
        self._average = float(_CALL_BYTES // 100)  # bytes of a message
        self._committing: dict[Place, int] = {}  # offsets of the group that are to be sent
        self._is_committing = False  # some are on their way: one request at a time, since two may overtake each other
        self._stop = False
        self._heard_at = 0.0  # when anything came last: seconds of the monotonic clock
        self._gave_up_at = 0.0  # the same: when one was waited for in vain while nothing came at all; 0: not yet
        self._broken: NeverwinterError | None = None
        self._consumer: Any = None
        self._thread: threading.Thread | None = None

    def align(self, starts: Mapping[Place, tuple[int, str]]) -> None:
        """Read these partitions, from offsets of an incarnation on. What is held of them already is kept if it fits.

        Raises:
            ConfigError: the client refuses the options.
            SourceError: partitions cannot be assigned.
        """
        with self._changed:
            kept = {
                place: partition
                for place, partition in self._partitions.items()
                if place in starts
                and not partition.failure
                and (partition.handed, partition.incarnation) == starts[place]
            }
            if len(kept) == len(starts) == len(self._partitions) and self._thread is not None and not self._broken:
                return
            self._generation += 1
            self._partitions = {
                place: kept.get(place) or Partition(start, incarnation, handed=start)
                for place, (start, incarnation) in starts.items()
            }
            self._held = sum(partition.held for partition in self._partitions.values())
            self._topics = {topic: number for number, topic in enumerate(sorted({place[0] for place in starts}))}
            self._alone = None
            self._start()
            self._changed.notify_all()

    def take(self, place: Place, end: int) -> Iterator[Piece]:
        """The records from where the last call for the partition ended to before `end`.

        Raises:
            SourceError: they do not come.
        """
        while True:
            with self._changed:
                piece = self._next(place, end)
            if piece is None:
                return
            yield piece

    def begin(self) -> None:
        """A new batch: brokers that were silent in the one before are waited for once more."""
        with self._changed:
            self._gave_up_at = 0.0

    def standing(self) -> dict[Place, tuple[int, str]]:
        """Where each partition is read on, and its incarnation."""
        with self._changed:
            return {place: (each.handed, each.incarnation) for place, each in self._partitions.items()}

    def first_times(self, starts: Mapping[Place, tuple[int, str]]) -> dict[Place, int]:
        """Source times of the records at these offsets, of those that are held; microseconds since the epoch."""
        found: dict[Place, int] = {}
        with self._changed:
            for place, start in starts.items():
                partition = self._partitions.get(place)
                if partition is not None and (partition.handed, partition.incarnation) == start:
                    first = partition.first_time()
                    if first is not None:
                        found[place] = first
        return found

    def commit(self, offsets: Mapping[Place, int]) -> None:
        """Tell the group how far it is, for those who watch it; whether that arrives is not waited for."""
        with self._changed:
            self._committing.update(offsets)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the thread and leave, waiting for a bounded time."""
        _READERS.discard(self)
        with self._changed:
            self._stop = True
            self._partitions, self._held = {}, 0
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
            self._thread = None

    # -- called with the lock held --

    def _next(self, place: Place, end: int) -> Piece | None:
        """The next piece before `end`; None: all of them were handed out. Waits."""
        partition = self._partitions[place]
        self._asked = (place, end)
        seen, since = partition.position, time.monotonic()
        try:
            while True:
                if not partition.pieces and (partition.position >= end or partition.collected.held >= PIECE_BYTES):
                    partition.seal()
                if partition.pieces:
                    return self._cut(partition, end)
                if partition.position >= end:
                    partition.handed = max(partition.handed, end)
                    return None
                self._check(place, partition)
                self._changed.notify_all()
                self._changed.wait(_TURN_S)
                if partition.position != seen:
                    seen, since = partition.position, time.monotonic()
                elif self._gave_up_at > self._heard_at or time.monotonic() - since > STALL_S:
                    if self._alone is None and self._heard_at < since:
                        self._gave_up_at = self._gave_up_at or time.monotonic()
                    what = f"offset {seen} of {place[0]}/{place[1]} was not delivered within {STALL_S:g} s"
                    raise self._broker.failure(what, "no answer")
        finally:
            self._asked = None

    def _cut(self, partition: Partition, end: int) -> Piece | None:
        piece, rest = partition.pieces.popleft().until(end)
        if rest is not None:
            partition.pieces.appendleft(rest)
        if piece is None:
            partition.handed = max(partition.handed, end)
            return None
        partition.handed = int(piece.offsets[-1]) + 1
        self._held -= piece.held
        self._changed.notify_all()
        return piece

    def _check(self, place: Place, partition: Partition) -> None:
        if self._broken is not None:
            raise self._broken
        if partition.failure:
            raise self._broker.failure(
                f"{place[0]}/{place[1]} cannot be read on at {partition.position}", partition.failure
            )

    def _start(self) -> None:
        if self._broken is not None:  # its thread is gone, and has closed it
            self._consumer, self._thread, self._broken = None, None, None
        if self._consumer is None:
            _READERS.add(self)
            suggested = {**_SUGGESTED, "queued.max.messages.kbytes": min(_QUEUE_BYTES, self._limit()) >> 10}
            tuned = {**{k: v for k, v in suggested.items() if k not in self._broker.options}, **_TUNED}
            self._consumer = self._broker.construct(Consumer, {**tuned, "on_commit": self._committed})
            self._thread = threading.Thread(target=self._run, args=(self._consumer,), name="kafka-reading", daemon=True)
            self._thread.start()
            _collect_less()

    # -- the thread: all calls of the consumer are made here, for some wait for each other if made in two threads --

    def _run(self, consumer: Any) -> None:  # noqa: ANN401  (a client of an untyped library)
        assigned = 0
        try:
            while self._may_go_on():
                generation = self._generation
                if assigned != generation:
                    with self._changed:
                        generation = assigned = self._generation
                        places = self._from_positions(self._partitions)
                    consumer.assign([each for each in places if self._alone in {None, (each.topic, each.partition)}])
                elif self._is_doubted:
                    with self._changed:
                        places = self._from_positions(
                            [place for place, partition in self._partitions.items() if partition.is_doubted]
                        )
                    consumer.incremental_unassign(places)
                    consumer.incremental_assign(places)
                self._tell(consumer)
                count = max(4, min(_MESSAGES, int(_CALL_BYTES / self._average)))
                messages = consumer.consume(count, _TURN_S if self._asked is None else _HURRY_S)
                if messages:
                    self._sort(messages, generation)
        except Exception as error:  # noqa: BLE001  (whatever ends the thread is the reader's to raise)
            with self._changed:
                self._broken = error if isinstance(error, NeverwinterError) else self._broker.failure("reading", error)
                self._changed.notify_all()
        finally:
            try:
                end = time.monotonic() + _ARRIVE_S
                while self._is_committing and time.monotonic() < end:
                    consumer.poll(_HURRY_S)
                self._tell(consumer)
                consumer.close()  # waits for the group's offsets to arrive
            except (KafkaException, RuntimeError) as error:
                _LOG.debug("kafka %s: %s", self._broker.address, error)

    def _from_positions(self, places: Iterable[Place]) -> list[TopicPartition]:
        """To be assigned, from their positions on. Called with the lock held."""
        self._is_doubted = False
        for place in places:
            self._partitions[place].assigned()
        return [TopicPartition(*place, self._partitions[place].position) for place in places]

    def _tell(self, consumer: Any) -> None:  # noqa: ANN401  (a client of an untyped library)
        """Send the group's offsets. They are for others to look at: a failure is worth a word only."""
        if self._is_committing:
            return
        with self._changed:
            offsets, self._committing = self._committing, {}
        places = [TopicPartition(topic, partition, offset) for (topic, partition), offset in offsets.items()]
        try:
            if places:
                consumer.commit(offsets=places, asynchronous=True)
                self._is_committing = True
        except (KafkaException, RuntimeError) as error:
            _LOG.debug("kafka %s: group offsets were not committed: %s", self._broker.address, error)

    def _committed(self, error: object, _offsets: object) -> None:
        self._is_committing = False
        if error is not None:
            _LOG.debug("group offsets were not committed: %s", error)

    def _limit(self) -> int:
        """How much may be read ahead now."""
        if self._ahead_bytes is not None:
            return self._ahead_bytes
        return max(min(_LEAST_BYTES, AHEAD_BYTES), AHEAD_BYTES // max(1, len(_READERS)))

    def _may_go_on(self) -> bool:
        """Wait for room. What somebody waits for has room always: then no other partition is fetched."""
        with self._changed:
            while not self._stop:
                wanted = self._asked[0] if self._asked is not None else None
                hungry = wanted is not None and not self._partitions[wanted].pieces
                limit = self._limit()
                if self._held < limit or hungry or (self._committing and not self._is_committing):
                    break
                self._changed.wait(1.0)
            if self._stop:
                return False
            alone = self._alone
            if self._held >= limit:
                alone = wanted if hungry else alone
            elif alone != wanted or self._held < limit // 2:
                alone = None
            if alone != self._alone:
                # Assigned anew, at positions of ours: pausing and resuming partitions left records out.
                self._alone = alone
                self._generation += 1
            return True

    def _sort(self, messages: Sequence[Any], generation: int) -> None:
        """Put messages to their partitions; none of those that were consumed under an older assignment."""
        with self._changed:
            if generation != self._generation:
                return
            topics = self._topics
        ends: dict[Place, int] = {}
        failures: dict[Place, str] = {}
        times = times_of(messages)
        if (times <= 0).any():  # errors have no time
            messages = self._without_errors(messages, ends, failures)
            times = times_of(messages)
        runs = [(place, Run.of(messages[a:b], times[a:b])) for place, a, b in _runs(messages, topics)]
        now = time.monotonic()
        if messages:
            size = sum(run.bytes for _, run in runs)
            self._average = max(1.0, 0.5 * self._average + 0.5 * size / len(messages))
        with self._changed:
            if generation != self._generation:
                return
            self._heard_at = now if runs or ends else self._heard_at
            for place, run in runs:
                partition = self._partitions.get(place)
                if partition is not None and (news := partition.admit(run)) is not None:
                    partition.add(news, now)
                    self._held += news.held
            for place, partition in self._partitions.items():
                if place in ends:
                    partition.reach(ends[place])
                partition.failure = failures.get(place, partition.failure)
                self._is_doubted |= partition.is_doubted
            self._changed.notify_all()

    def _without_errors(self, messages: Sequence[Any], ends: dict[Place, int], failures: dict[Place, str]) -> list[Any]:
        """The records among them; ends of partitions and failures are noted."""
        records: list[Any] = []
        for message in messages:
            error = message.error()
            place = (message.topic(), message.partition())
            if error is None:
                records.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001  (public in the C module, named so)
                ends[place] = message.offset()
            elif place[0] is None:
                self._broker.heard(error)
            else:
                failures[place] = one_line(error.str(), self._broker.options)
        return records


def _runs(messages: Sequence[Any], numbers: Mapping[str, int]) -> Iterator[tuple[Place, int, int]]:
    """Where each run of one partition begins and ends; `numbers`: of the topics assigned."""
    if not messages:
        return
    count = len(messages)
    partitions = np.fromiter(map(Message.partition, messages), np.int64, count)
    changes = np.diff(partitions) != 0
    if len(numbers) > 1:
        topics = np.fromiter(map(numbers.__getitem__, map(Message.topic, messages)), np.int64, count)
        changes |= np.diff(topics) != 0
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), count]
    for a, b in itertools.pairwise(edges):
        yield (messages[a].topic(), int(partitions[a])), a, b


def _collect_less() -> None:
    """Look for garbage less often: every message is an object, and 700 new ones start a search by default.

    Searching cost a sixth of the CPU of reading. Messages form no cycles: they are freed without it.
    """
    first, *others = gc.get_threshold()
    if 0 < first < _OBJECTS:
        gc.set_threshold(_OBJECTS, *others)
