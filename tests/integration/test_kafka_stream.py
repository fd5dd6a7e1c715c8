"""A stream of a real broker, through raw and logs: what its checks, its verification and its replay say."""

from __future__ import annotations

import json

import pytest

from nw_platform import settings
from nw_platform.ingest.replay import replay
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.ingest.verify import verify
from nw_platform.sources.contract import Budget
from nw_platform.sources.kafka import client
from tests.sources.kafka_topics import Topics
from tests.world import START, World, wire

pytestmark = pytest.mark.services


class KafkaWorld(World):
    """A world whose stream is a topic."""

    def __init__(self, root, kafka, partitions: int = 2) -> None:
        super().__init__(root)
        self.topics = Topics(kafka)
        self.topic = self.topics.make(partitions)
        self.kafka = kafka

    def settings(self, **stream):
        declared = {"source": "k", "topic": self.topic.name, "format": "json", "late_after": "never", **stream}
        text = json.dumps({
            "lake": str(self.root / "lake"),
            "sources": {"k": {"kind": "kafka", "bootstrap": self.kafka.bootstrap}},
            "streams": {"app": declared},
        })  # fmt: skip
        return settings.parse(text, base=str(self.root), origin="test")

    def append(self, first: int, last: int, partition: int = 0) -> None:
        values = [wire(START, seq=number).rstrip() for number in range(first, last)]
        self.topic.append(values, partition=partition)


@pytest.fixture
def world(tmp_path, kafka):
    return KafkaWorld(tmp_path, kafka)


def found(session: Session) -> list[tuple[str, str]]:
    return [(finding.what, finding.where) for finding in verify(session).findings]


def test_records_are_in_logs_once_and_replay_finds_them_again(world):
    world.append(0, 500)
    world.append(500, 700, partition=1)
    world.budget = Budget(records=150)
    with world.session() as session:
        world.ingest(session)
        assert [row[0] for row in world.rows(session, columns="seq", order="seq")] == list(range(700))
        assert found(session) == []
        before = world.versions(session)
        assert all(change.changed == 0 and not change.kept for change in replay(session, "app", "0", "9", world.now))
        assert world.versions(session) == before


def test_a_format_that_is_not_declared_is_found_out(world):
    world.append(0, 50)
    with world.session(format="auto") as session:
        world.ingest(session)
        assert [row[0] for row in world.rows(session, columns="seq", order="seq")] == list(range(50))


def test_tombstones_and_records_of_no_length_are_kept(world):
    world.topic.append([None, b"", wire(START, seq=1).rstrip()], keys=[b"k", None, None])
    with world.session() as session:
        world.ingest(session)
        rows = world.rows(session, columns="source_start, series, reject_reason, message, seq", order="source_start")
        assert rows == [
            (0, "error", "bad_format", "", None), (1, "error", "bad_format", "", None), (2, "normal", None, None, 1)
        ]  # fmt: skip
        assert world.rows(session, "raw", "value, key", "source_start")[:2] == [(None, b"k"), (b"", None)]
        assert found(session) == []
        assert all(change.changed == 0 and not change.kept for change in replay(session, "app", "0", "9", world.now))


def test_tombstones_are_lines_of_nothing(world):
    world.topic.append([None, b"x"])
    with world.session(format="lines") as session:
        world.ingest(session)
        assert world.rows(session, columns="message, series", order="source_start") == [("", "normal"), ("x", "normal")]


def test_the_size_of_a_record_is_that_of_its_value(world):
    world.topic.append([b"12345", b"1"])
    with world.session(format="lines") as session:
        world.ingest(session)
        assert [row[0] for row in world.rows(session, columns="size_bytes", order="source_start")] == [5, 1]


def test_what_retention_took_is_in_a_receipt_and_in_verify(world):
    with world.session() as session:
        world.append(0, 10)
        world.ingest(session)
        world.append(10, 30)
        world.topic.trim(20)
        report = world.ingest(session)
        assert [(p.problem.kind, p.problem.position) for p in report.problems] == [("lost", 10)]
        assert found(session) == [("lost", f"{world.topic.name}/0 [10, 20)")]
        assert len(world.rows(session)) == 20
        assert world.ingest(session).problems == []


def test_a_topic_made_again_is_read_beside_the_old_one(world):
    with world.session() as session:
        world.append(0, 10)
        world.ingest(session)
        world.topic.delete()
        world.topic = world.topics.make(2, name=world.topic.name)
        world.append(10, 15)
        world.ingest(session)
        assert [row[0] for row in world.rows(session, columns="seq", order="seq")] == list(range(15))
        # Nobody knows whether the old topic got more records before it was deleted.
        assert found(session) == [("lost", f"{world.topic.name}/0 from 10")]


def test_lanes_read_all_and_others_take_over(world):
    world.append(0, 100)
    world.append(100, 200, partition=1)
    with world.session(lanes=2) as session:
        world.ingest(session)
    world.append(200, 250)
    world.append(250, 300, partition=1)
    with world.session(lanes=3) as session:
        world.ingest(session)
        assert [row[0] for row in world.rows(session, columns="seq", order="seq")] == list(range(300))
        assert found(session) == []


def test_a_broker_that_is_away_fails_one_stream_and_comes_back(tmp_path, own_kafka, monkeypatch):
    monkeypatch.setattr(client, "REMEMBERED_S", 0.0)  # so long a broker that was silent is not asked again
    world = KafkaWorld(tmp_path, own_kafka)
    world.append(0, 10)
    with world.session() as session:
        world.ingest(session)
        own_kafka.stop()
        report = run_tick(session, lambda: world.now)
        assert own_kafka.bootstrap in report.failures["app"]
        own_kafka.start()
        world.topics = Topics(own_kafka)
        world.topic.at = world.topics
        world.append(10, 20)
        world.ingest(session)
        assert len(world.rows(session)) == 20
