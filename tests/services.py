"""A real Kafka and a real HDFS for tests: one of each for all workers of a run, started when first asked for.

Fixtures (mark the test with `@pytest.mark.services`):

    kafka       the run's broker: `kafka.bootstrap`, `kafka.make_topic(partitions, config)`
    hdfs        the run's HDFS: `hdfs.webhdfs`, `hdfs.rpc`, `hdfs.folder` (of this test alone, such as "/tests/x1")
    own_kafka   a broker of this test alone, which may be stopped, killed and started: `.stop() .kill() .start()`
    own_hdfs    the same for HDFS (NameNode and DataNode)

Where Java, Maven or the jars are missing such a test is skipped, and fails if NW_REQUIRE_SERVICES=1. The services end
with the run, even when it is killed (nw_platform/services/guardian.py).
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from nw_platform.errors import RequirementError
from nw_platform.services.guardian import guarded
from nw_platform.services.hdfs import Hdfs
from nw_platform.services.kafka import Kafka


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
def shared_kafka(services_folder: Path) -> KafkaForTests:
    with _required():
        return KafkaForTests(Kafka(services_folder / "shared", quick=True))


@pytest.fixture(scope="session")
def shared_hdfs(services_folder: Path) -> Hdfs:
    with _required():
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
def own_kafka(services_folder: Path) -> Iterator[KafkaForTests]:
    service = Kafka(services_folder / uuid.uuid4().hex[:8], quick=True)
    with _required():
        yield KafkaForTests(service)
    service.down(purge=True)


@pytest.fixture
def own_hdfs(services_folder: Path) -> Iterator[HdfsForTests]:
    service = Hdfs(services_folder / uuid.uuid4().hex[:8], quick=True)
    with _required():
        yield HdfsForTests(service)
    service.down(purge=True)


class _required:  # noqa: N801  (used like a function)
    """Turns a missing requirement into a skip, or into a failure where services are required."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, RequirementError):
            if os.environ.get("NW_REQUIRE_SERVICES") == "1":
                pytest.fail(f"NW_REQUIRE_SERVICES=1, but {error}")
            pytest.skip(str(error))
