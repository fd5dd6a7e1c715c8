"""Apache Kafka as one process that is broker and controller (KRaft), on 127.0.0.1."""

from __future__ import annotations

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from nw_platform.errors import NeverwinterError
from nw_platform.services.artefacts import classpath
from nw_platform.services.java import find_java
from nw_platform.services.processes import environment, mark
from nw_platform.services.service import Service

_FORMAT_SECONDS: Final = 60
_ANSWER_SECONDS: Final = 5.0

# One broker is all there is, and what a cluster does in minutes (retention, compaction) is done in seconds.
_PROPERTIES: Final[Mapping[str, str]] = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
    "num.partitions": "4",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "group.initial.rebalance.delay.ms": "0",
    "broker.heartbeat.interval.ms": "1000",
    "broker.session.timeout.ms": "4000",  # so long a killed broker's successor waits
    "log.initial.task.delay.ms": "1000",
    "log.retention.check.interval.ms": "1000",
    "log.segment.delete.delay.ms": "1000",
    "log.cleaner.backoff.ms": "1000",
    "log.cleaner.dedupe.buffer.size": str(16 << 20),
}


class Kafka(Service):
    """A Kafka broker."""

    name: ClassVar = "kafka"
    port_names: ClassVar[Sequence[str]] = ("broker", "controller")

    def __init__(self, folder: Path, *, quick: bool = False, properties: Mapping[str, str] | None = None) -> None:
        """As `Service`.

        Args:
            folder: as `Service`.
            quick: as `Service`.
            properties: more of server.properties, or others; `{broker}` and `{controller}` stand for the ports.
        """
        super().__init__(folder, quick=quick)
        self._properties = dict(properties or {})

    def addresses(self, ports: Mapping[str, int]) -> dict[str, str]:
        """`bootstrap`: what `bootstrap.servers` of a client takes."""
        return {"bootstrap": f"127.0.0.1:{ports['broker']}"}

    def _format(self, ports: Mapping[str, int]) -> None:
        cluster = new_cluster_id(uuid.uuid4())
        settings = str(self._write_properties(ports))
        command = [*self._java(), "-cp", classpath("kafka"), "kafka.tools.StorageTool", "format"]
        done = subprocess.run(  # noqa: S603  (our own arguments)
            [*command, "-t", cluster, "-c", settings],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_FORMAT_SECONDS,
            env=environment(),
            check=False,
        )
        if done.returncode:
            told = " ".join((done.stderr or done.stdout).split())
            raise NeverwinterError(f"kafka: its data folder {self.folder / 'data'} cannot be made: {told}")

    def _command(self, ports: Mapping[str, int], *, first: bool) -> list[str]:
        del first
        settings = str(self._write_properties(ports))
        logged = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [mark(self.folder), logged, "-cp", classpath("kafka"), "kafka.Kafka", settings]

    def _answers(self, ports: Mapping[str, int]) -> bool:
        """Whether the broker is ours and takes part in its cluster of one."""
        admin = AdminClient({"bootstrap.servers": self.addresses(ports)["bootstrap"], "log_level": 0})
        try:
            told = admin.list_topics(timeout=_ANSWER_SECONDS)
            written = (self.folder / "data" / "meta.properties").read_text(encoding="ascii")
        except (KafkaException, OSError):
            return False
        return bool(told.brokers) and f"cluster.id={told.cluster_id}" in written.splitlines()

    def _write_properties(self, ports: Mapping[str, int]) -> Path:
        broker, controller = ports["broker"], ports["controller"]
        properties = {
            **_PROPERTIES,
            "listeners": f"PLAINTEXT://127.0.0.1:{broker},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{broker}",
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "log.dirs": str(self.folder / "data"),
        }
        for key, value in self._properties.items():
            properties[key] = value.replace("{broker}", str(broker)).replace("{controller}", str(controller))
        path = self.folder / "server.properties"
        lines = (f"{key}={_escaped(value)}\n" for key, value in properties.items())
        path.write_text("".join(lines), encoding="ascii")
        return path


def _escaped(value: str) -> str:
    """The value as a Java properties file has it."""
    units = value.replace("\\", "\\\\").encode("utf-16-be")
    codes = [int.from_bytes(units[i : i + 2], "big") for i in range(0, len(units), 2)]
    return "".join(chr(code) if code < 128 else f"\\u{code:04x}" for code in codes)  # noqa: PLR2004  (ASCII)


def tool(main_class: str, *arguments: str) -> list[str]:
    """The command of one of Kafka's own tools, such as `org.apache.kafka.tools.ConsoleProducer`.

    Raises:
        RequirementError: Java, Maven or the jars are missing.
    """
    return [find_java(), "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", classpath("kafka"), main_class, *arguments]


def new_cluster_id(of: uuid.UUID) -> str:
    """22 letters of base64 as Kafka writes its ids; none begins with a dash, which its tools take for an option."""
    text = base64.urlsafe_b64encode(of.bytes).decode().rstrip("=")
    return f"A{text[1:]}" if text.startswith("-") else text
