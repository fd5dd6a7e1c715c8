"""A real Kafka and a real HDFS for tests: one of each for all workers of a run, started when first asked for.

Fixtures (mark the test with `@pytest.mark.services`):

    kafka       the run's broker: `kafka.bootstrap`, `kafka.make_topic(partitions, config)`
    hdfs        the run's HDFS: `hdfs.webhdfs`, `hdfs.rpc`, `hdfs.folder` (of this test alone, such as "/tests/x1")
    own_kafka   a broker of this test alone, which may be stopped, killed and started: `.stop() .kill() .start()`
    start_kafka a function that starts such brokers, with properties of their own: `start_kafka({"listeners": ...})`
    own_hdfs    as own_kafka, for HDFS (NameNode and DataNodes at once: they are one process)

Where Java, Maven or the jars are missing such a test is skipped, and fails if NW_REQUIRE_SERVICES=1. The services end
with the run, even when it is killed (nw_platform/services/guardian.py).
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nw_platform.errors import RequirementError
from nw_platform.services.artefacts import ServiceName, jars
from nw_platform.services.guardian import guarded
from nw_platform.services.hdfs import Hdfs
from nw_platform.services.java import find_java
from nw_platform.services.kafka import Kafka

_FETCH_SECONDS = 200.0  # below pytest's own limit


@dataclass
class KafkaForTests:
    """A broker and what tests do with it. `server` is the service itself."""

    server: Kafka
    bootstrap: str = field(init=False)

    def __post_init__(self) -> None:
        self.bootstrap = self.server.up()["bootstrap"]

    def make_topic(
        self, partitions: int = 1, config: Mapping[str, str] | None = None, *, name: str | None = None
    ) -> str:
        """Make a topic and return its name, by default one that no other test has."""
        from confluent_kafka.admin import AdminClient, NewTopic  # noqa: PLC0415

        topic = name or f"t-{uuid.uuid4().hex[:12]}"
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        new = NewTopic(topic, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
        admin.create_topics([new], operation_timeout=30)[topic].result(60)
        return topic

    def stop(self) -> None:
        self.server.down()

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        """Start it again, with its data, at the same address."""
        assert self.server.up()["bootstrap"] == self.bootstrap


@dataclass
class HdfsForTests:
    """An HDFS and what tests do with it. `server` is the service itself."""

    server: Hdfs
    webhdfs: str = field(init=False)
    rpc: str = field(init=False)
    folder: str = field(init=False)

    def __post_init__(self) -> None:
        addresses = self.server.up()
        self.webhdfs, self.rpc = addresses["webhdfs"], addresses["rpc"]
        self.folder = f"/tests/{uuid.uuid4().hex[:12]}"

    def stop(self) -> None:
        self.server.down()

    def kill(self) -> None:
        self.server.kill()

    def start(self) -> None:
        """Start it again, with its data, at the same addresses."""
        addresses = self.server.up()
        assert (addresses["webhdfs"], addresses["rpc"]) == (self.webhdfs, self.rpc)


@pytest.fixture(scope="session")
def services_folder(testrun_uid: str) -> Iterator[Path]:
    """One folder for all workers of this run. Short: HDFS makes long names below it."""
    run = testrun_uid[:12]
    with guarded(Path(tempfile.gettempdir()) / f"nw-services-{os.getuid()}-{run}") as folder:
        yield folder


@pytest.fixture(scope="session")
def kafka_jars() -> Path:
    """What Kafka needs is there. Tried once a worker: without a network it takes long to find out."""
    return _required("kafka")


@pytest.fixture(scope="session")
def hdfs_jars() -> Path:
    """What HDFS needs is there."""
    return _required("hdfs")


@pytest.fixture(scope="session")
def shared_kafka(services_folder: Path, kafka_jars: Path) -> KafkaForTests:  # noqa: ARG001  (has to be there)
    return KafkaForTests(Kafka(services_folder / "shared", quick=True))


@pytest.fixture(scope="session")
def shared_hdfs(services_folder: Path, hdfs_jars: Path) -> Hdfs:  # noqa: ARG001  (has to be there)
    service = Hdfs(services_folder / "shared", quick=True)
    service.up()
    return service


@pytest.fixture
def kafka(shared_kafka: KafkaForTests) -> KafkaForTests:
    return shared_kafka


@pytest.fixture
def hdfs(shared_hdfs: Hdfs) -> HdfsForTests:
    return HdfsForTests(shared_hdfs)


@pytest.fixture
def own_folder(services_folder: Path) -> Path:
    """A folder of this test alone; services that run in it end with the run at the latest."""
    return services_folder / uuid.uuid4().hex[:8]


@pytest.fixture
def start_kafka(
    own_folder: Path,
    kafka_jars: Path,  # noqa: ARG001  (has to be there)
) -> Iterator[Callable[..., KafkaForTests]]:
    """Start brokers of this test alone: `start_kafka(properties={"auto.create.topics.enable": "false"})`."""
    started: list[Kafka] = []

    def start(properties: Mapping[str, str] | None = None) -> KafkaForTests:
        started.append(Kafka(own_folder / str(len(started)), quick=True, properties=properties))
        return KafkaForTests(started[-1])

    yield start
    for server in started:
        server.down(purge=True)


@pytest.fixture
def own_kafka(start_kafka: Callable[..., KafkaForTests]) -> KafkaForTests:
    return start_kafka()


@pytest.fixture
def own_hdfs(own_folder: Path, hdfs_jars: Path) -> Iterator[HdfsForTests]:  # noqa: ARG001  (has to be there)
    server = Hdfs(own_folder, quick=True)
    try:
        yield HdfsForTests(server)
    finally:
        server.down(purge=True)


def _required(name: ServiceName) -> Path:
    """The jars. What is missing is a skip, or a failure where services are required."""
    try:
        find_java()
        return jars(name, timeout=_FETCH_SECONDS)
    except RequirementError as error:
        if os.environ.get("NW_REQUIRE_SERVICES") == "1":
            pytest.fail(f"NW_REQUIRE_SERVICES=1, but {error}")
        pytest.skip(str(error))
