"""Topics of a real broker, as tests make, fill and spoil them. Waits for conditions, never for time to pass."""

from __future__ import annotations

import ctypes
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import confluent_kafka
from confluent_kafka import KafkaException, Producer, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec

DEADLINE_S = 60.0


def until(true: Callable[[], object], what: str) -> None:
    """Wait for a condition."""
    end = time.monotonic() + DEADLINE_S
    while not true():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.05)


class Topics:
    """A broker's topics."""

    def __init__(self, kafka) -> None:
        self.bootstrap = kafka.bootstrap
        self.admin = AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0})
        self.producer = self.make_producer()

    def make_producer(self) -> Producer:
        # Idempotent: a partition just made may refuse the first batches, and a retry must not change the order.
        return Producer(
            {"bootstrap.servers": self.bootstrap, "log_level": 0, "linger.ms": 5, "enable.idempotence": True}
        )

    def make(self, partitions: int = 1, config: Mapping[str, str] | None = None, *, name: str | None = None) -> TopicOf:
        topic = TopicOf(self, name or f"t-{uuid.uuid4().hex[:12]}")
        kept = {"retention.ms": "-1", **(config or {})}  # records of long ago stay, unless a test wants them gone
        new = NewTopic(topic.name, num_partitions=partitions, replication_factor=1, config=kept)

        def made() -> bool:
            try:
                self.admin.create_topics([new], operation_timeout=30)[topic.name].result(60)
            except KafkaException as error:
                if "marked for deletion" in str(error) or error.args[0].name() == "TOPIC_ALREADY_EXISTS":
                    return False
                raise
            return True

        until(made, f"{topic.name} is made")
        until(topic.id, f"{topic.name} is known")
        return topic


@dataclass
class TopicOf:
    """One topic."""

    at: Topics
    name: str

    def append(
        self,
        values: Sequence[bytes | None],
        *,
        partition: int = 0,
        keys: Sequence[bytes | None] | None = None,
        time_ms: int | None = None,
        headers: list[tuple[str, bytes | None]] | None = None,
    ) -> None:
        failures = []
        for number, value in enumerate(values):
            more = {} if time_ms is None else {"timestamp": time_ms}
            self.at.producer.produce(
                self.name,
                value,
                key=keys[number] if keys else None,
                partition=partition,
                headers=headers,
                on_delivery=lambda error, _: failures.append(error) if error else None,
                **more,
            )
        assert self.at.producer.flush(DEADLINE_S) == 0
        assert not failures

    def append_named(self, value: bytes, name: bytes) -> None:
        """One record with a header of any name: Python's producer takes none that is not UTF-8, the library does."""
        library = ctypes.CDLL(str(next(Path(confluent_kafka.__file__).parents[1].glob("*kafka.libs/librdkafka*"))))
        for made in (library.rd_kafka_conf_new, library.rd_kafka_new):
            made.restype = ctypes.c_void_p
        conf = ctypes.c_void_p(library.rd_kafka_conf_new())
        said = ctypes.create_string_buffer(512)
        size = ctypes.c_size_t(len(said))
        assert library.rd_kafka_conf_set(conf, b"bootstrap.servers", self.at.bootstrap.encode(), said, size) == 0
        producer = ctypes.c_void_p(library.rd_kafka_new(0, conf, said, size))
        topic, partition, content, flags, header = 1, 3, 4, 7, 9  # rd_kafka_vtype_t
        assert not library.rd_kafka_producev(
            producer, topic, self.name.encode(), partition, ctypes.c_int32(0), flags, ctypes.c_int(2),
            content, value, ctypes.c_size_t(len(value)), header, name, b"1", ctypes.c_ssize_t(1), 0,
        )  # fmt: skip
        assert library.rd_kafka_flush(producer, int(DEADLINE_S * 1000)) == 0
        library.rd_kafka_destroy(producer)

    def in_transaction(self, values: Sequence[bytes], *, commit: bool, partition: int = 0) -> None:
        producer = self.transactional()
        producer.begin_transaction()
        for value in values:
            producer.produce(self.name, value, partition=partition)
        producer.flush(DEADLINE_S)
        if commit:
            producer.commit_transaction(DEADLINE_S)
        else:
            producer.abort_transaction(DEADLINE_S)

    def transactional(self) -> Producer:
        producer = Producer({
            "bootstrap.servers": self.at.bootstrap, "transactional.id": uuid.uuid4().hex, "log_level": 0
        })  # fmt: skip
        producer.init_transactions(DEADLINE_S)
        return producer

    def id(self) -> str | None:
        try:
            said = self.at.admin.describe_topics(TopicCollection([self.name]), request_timeout=20)[self.name].result()
        except KafkaException:
            return None
        return str(said.topic_id)

    def delete(self) -> None:
        self.at.admin.delete_topics([self.name], operation_timeout=30)[self.name].result(60)
        until(lambda: self.id() is None, f"{self.name} is deleted")

    def grow(self, partitions: int) -> None:
        self.at.admin.create_partitions([NewPartitions(self.name, partitions)])[self.name].result(60)
        until(lambda: self.id() and self._bounds(partitions - 1, quiet=True) is not None, f"{self.name} has grown")
        self.at.producer = self.at.make_producer()  # knows of it at once

    def trim(self, before: int, partition: int = 0) -> None:
        """Delete records, as retention does."""
        place = TopicPartition(self.name, partition, before)
        for future in self.at.admin.delete_records([place]).values():
            future.result(60)

    def first(self, partition: int = 0) -> int:
        bounds = self._bounds(partition)
        assert bounds is not None
        return bounds[0]

    def end(self, partition: int = 0) -> int:
        bounds = self._bounds(partition)
        assert bounds is not None
        return bounds[1]

    def _bounds(self, partition: int, *, quiet: bool = False) -> tuple[int, int] | None:
        place = TopicPartition(self.name, partition)
        found = []
        for spec in (OffsetSpec.earliest(), OffsetSpec.latest()):
            try:
                found.append(next(iter(self.at.admin.list_offsets({place: spec}).values())).result(60).offset)
            except KafkaException:
                if quiet:
                    return None
                raise
        return found[0], found[1]
