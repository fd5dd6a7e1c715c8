"""What ingestion relies on, of every source: a shipped fake, Kafka, files on local disk, on HDFS, on other systems."""

from __future__ import annotations

import uuid
from dataclasses import replace

import fsspec
import pytest
from hdfs import InsecureClient

from nw_platform.errors import ConfigError, SourceError
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.framing import make_framer
from nw_platform.sources.contract import Budget
from nw_platform.sources.memory import memory_log
from nw_platform.sources.registry import open_source
from tests.sources.kafka_topics import Topics
from tests.sources.lane import Lane

NOW = 4_000_000_000_000_000  # far after every file's time: whatever can settle has settled


class Topic:
    """Records are appended to one partition; what was can be taken away."""

    def __init__(self) -> None:
        self.name = uuid.uuid4().hex
        self.log = memory_log(self.name)

    def open(self):
        return open_source("memory", url=self.name, topics=["t"])

    def append(self, values: list[bytes]) -> None:
        self.log.append("t", values)

    def lose(self) -> None:
        self.log.delete("t")

    def unreachable(self) -> None:
        self.log.reachable = False


class LocalFile:
    def __init__(self, folder) -> None:
        self.folder = folder / "zone"
        self.folder.mkdir()

    def open(self):
        return open_source("landing", url=str(self.folder), path="*.log", growing=True)

    def append(self, values: list[bytes]) -> None:
        with (self.folder / "a.log").open("ab") as file:
            file.write(b"".join(value + b"\n" for value in values))

    def lose(self) -> None:
        (self.folder / "a.log").unlink()

    def unreachable(self) -> None:
        self.folder.rename(self.folder.with_name("away"))


class RemoteFile:
    def __init__(self) -> None:
        self.url = f"memory://{uuid.uuid4().hex}"
        self.system = fsspec.filesystem("memory")
        self.system.mkdir(self.url)

    def open(self):
        return open_source("landing", url=self.url, path="in/*.log", growing=True)

    def append(self, values: list[bytes]) -> None:
        path = f"{self.url}/in/a.log"
        before = self.system.cat_file(path) if self.system.exists(path) else b""
        self.system.pipe_file(path, before + b"".join(value + b"\n" for value in values))

    def lose(self) -> None:
        self.system.rm_file(f"{self.url}/in/a.log")

    def unreachable(self) -> None:
        self.system.rm(self.url, recursive=True)


class HdfsFile:
    """A real HDFS, by its own protocol or by WebHDFS; what happens there is done by WebHDFS."""

    def __init__(self, hdfs, scheme: str) -> None:
        address = hdfs.rpc if scheme == "hdfs" else hdfs.webhdfs.replace("http", "webhdfs")
        self.url, self.folder = address + hdfs.folder, hdfs.folder
        self.client = InsecureClient(hdfs.webhdfs, user="hdfs")
        self.client.makedirs(f"{self.folder}/in")

    def open(self):
        return open_source("landing", url=self.url, path="in/*.log", growing=True)

    def append(self, values: list[bytes]) -> None:
        path = f"{self.folder}/in/a.log"
        there = self.client.status(path, strict=False) is not None
        self.client.write(path, b"".join(value + b"\n" for value in values), append=there)

    def lose(self) -> None:
        self.client.delete(f"{self.folder}/in/a.log")

    def unreachable(self) -> None:
        self.client.delete(self.folder, recursive=True)


class KafkaTopic:
    """A topic of a real broker."""

    def __init__(self, kafka) -> None:
        self.topic = Topics(kafka).make()
        self.kafka = kafka

    def open(self):
        return open_source("kafka", bootstrap=self.kafka.bootstrap, topics=[self.topic.name])

    def append(self, values: list[bytes]) -> None:
        self.topic.append(values)

    def lose(self) -> None:
        self.topic.delete()

    def unreachable(self) -> None:
        self.kafka.stop()


SERVED = [pytest.param(kind, marks=pytest.mark.services) for kind in ("kafka", "webhdfs", "hdfs")]


@pytest.fixture(params=["memory", "local", "fsspec", *SERVED])
def place(request, tmp_path):
    if request.param == "kafka":
        stopped = "reached" in request.node.name  # not the broker that other tests use
        return KafkaTopic(request.getfixturevalue("own_kafka" if stopped else "kafka"))
    if request.param in {"webhdfs", "hdfs"}:
        return HdfsFile(request.getfixturevalue("hdfs"), request.param)
    return {"memory": Topic, "local": lambda: LocalFile(tmp_path), "fsspec": RemoteFile}[request.param]()


@pytest.fixture
def lane(place):
    place.append([])
    lane = Lane(place.open)
    yield lane
    lane.source.close()
    lane.source.close()


def test_records_come_once_in_order(lane, place):
    place.append([b"1", b"2"])
    assert lane.step(NOW) == [b"1", b"2"]
    assert lane.step(NOW) == []
    place.append([b"3"])
    assert lane.step(NOW) == [b"3"]
    lane.check()


def test_nothing_new_is_an_empty_plan_that_changes_nothing(lane, place):
    place.append([b"1"])
    lane.step(NOW)
    positions = lane.source.positions()
    for _ in range(3):
        plan = lane.source.plan(NOW, Budget())
        assert (plan.spans, plan.more, plan.problems) == ((), False, ())
    assert lane.source.positions() == positions


def test_a_plan_that_was_not_published_is_made_again(lane, place):
    place.append([b"1", b"2"])
    first = lane.source.plan(NOW, Budget())
    again = lane.source.plan(NOW, Budget())
    assert [(s.source, s.partition, s.start, s.end, s.incarnation) for s in first.spans] == [
        (s.source, s.partition, s.start, s.end, s.incarnation) for s in again.spans
    ]
    lane.crash()
    assert lane.step(NOW) == [b"1", b"2"]


def test_positions_are_a_fold_over_receipts(lane, place):
    for number in range(5):
        place.append([b"%d" % number])
        lane.step(NOW)
    positions = lane.source.positions()
    lane.crash()
    assert lane.source.positions() == positions
    assert lane.receipts[-1].positions == positions
    assert lane.step(NOW) == []


def test_a_replayed_receipt_moves_nothing(lane, place):
    place.append([b"1"])
    lane.step(NOW)
    positions = lane.source.positions()
    lane.source.advance(replace(lane.receipts[-1], kind="replay", sequence=2, replaces=1))
    assert lane.source.positions() == positions


def test_recorded_spans_are_read_again_exactly(lane, place):
    for number in range(4):
        place.append([b"%d" % number, b"x" * number])
        lane.step(NOW)
    lane.crash()
    for span in lane.spans:
        assert lane.replay(span) == lane.recorded(span)
        assert span.records == len(lane.recorded(span))


def test_a_budget_cuts_and_the_rest_follows(lane, place):
    values = [b"%05d" % number for number in range(2000)]
    place.append(values)
    lane.budget = Budget(bytes=1000, records=100, spans=1)
    first = lane.step(NOW)
    assert 0 < len(first) < 400
    assert lane.plan.more
    lane.drain(NOW)
    assert lane.values == values
    lane.check()
    lane.crash()
    for span in lane.spans:
        assert lane.replay(span) == lane.recorded(span)


def test_a_survey_is_a_sample_of_what_is_there_and_moves_nothing(lane, place):
    place.append([b"%05d" % number for number in range(50)])
    lane.step(NOW)
    positions = lane.source.positions()
    looking = place.open()
    found = looking.survey(NOW, Budget(bytes=100, records=10, spans=3))
    assert (found.found, found.empty, found.problems, found.ignored) == (1, 0, (), ())
    assert found.records in (None, 50)
    values = [value for span in found.spans for value in values_of(looking, span)]
    assert 0 < len(values) < 50
    assert set(values) <= set(lane.values)
    looking.close()
    assert lane.source.positions() == positions
    assert lane.step(NOW) == []


def values_of(source, span):
    batches = source.read(span, lambda header, at: make_framer(ParseOptions("s", "lines"), header, at)).batches
    return [value for batch in batches for value in batch["value"].to_pylist()]


def test_what_is_gone_is_said(lane, place):
    place.append([b"1"])
    lane.step(NOW)
    place.lose()
    with pytest.raises(SourceError, match="gone"):
        lane.replay(lane.spans[0])


def test_a_source_that_cannot_be_reached_says_so_in_one_line(lane, place):
    place.unreachable()
    with pytest.raises(SourceError) as error:
        lane.source.plan(NOW, Budget())
    assert "\n" not in str(error.value)
    assert error.value.retriable


def test_an_unknown_kind_is_refused():
    with pytest.raises(ConfigError, match="carrier"):
        open_source("carrier pigeon")
