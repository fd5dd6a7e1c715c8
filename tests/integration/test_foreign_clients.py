"""What clients that nobody here wrote put into a real Kafka, and what they see of us there."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest
from world import World

from nw_platform import settings
from nw_platform.ingest.verify import verify
from nw_platform.services.kafka import tool
from nw_platform.services.processes import free_ports

pytestmark = pytest.mark.services


class TopicWorld(World):
    """A lake, and a topic of a real broker."""

    def __init__(self, root: Path, bootstrap: str, topic: str) -> None:
        super().__init__(root, now=time.time_ns() // 1000)
        self.bootstrap, self.topic = bootstrap, topic

    def settings(self, **stream):
        text = json.dumps({
            "lake": str(self.root / "lake"),
            "sources": {"broker": {"kind": "kafka", "bootstrap": self.bootstrap}},
            "streams": {"app": {"source": "broker", "topic": self.topic, "late_after": "never", **stream}},
        })  # fmt: skip
        return settings.parse(text, base=str(self.root), origin="test")


@pytest.fixture
def world(tmp_path, kafka):
    return TopicWorld(tmp_path, kafka.bootstrap, kafka.make_topic(3))


def command(name: str) -> str:
    """The program, or a skip; a failure where everything has to be there."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        if os.environ.get("NW_REQUIRE_SERVICES") == "1":
            pytest.fail(f"NW_REQUIRE_SERVICES=1, but {name} is not installed")
        pytest.skip(f"{name} is not installed")
    return found


def test_kcat_and_kafkas_console_producer(world):
    kcat = [command("kcat"), "-b", world.bootstrap, "-t", world.topic]
    lines = "".join(
        json.dumps({"ts": world.now // 1000 + n, "n": n, "message": f"line {n}"}) + "\n" for n in range(500)
    )
    subprocess.run([*kcat, "-P", "-H", "trace=abc"], input=lines, text=True, check=True, timeout=60)
    subprocess.run(
        [*kcat, "-P", "-K", ":", "-p", "1", "-z", "zstd"],
        input="key:{broken\nother:{}\n",
        text=True,
        check=True,
        timeout=60,
    )
    console = tool(
        "org.apache.kafka.tools.ConsoleProducer", "--bootstrap-server", world.bootstrap, "--topic", world.topic
    )
    subprocess.run(console, input='{"ts":1790000000000,"n":-1}\n', text=True, check=True, timeout=120)
    with world.session(format="json", columns={"n": "int32"}) as session:
        world.ingest(session)
        assert sorted(n for (n,) in world.rows(session, columns="n") if n is not None) == [-1, *range(500)]
        rejects = world.rows(session, columns="reject_reason", order="1")
        assert [reason for (reason,) in rejects if reason] == ["bad_format", "bad_time"]
        raw = world.rows(session, "raw", "key, headers, source_partition")
        assert sum(dict(headers or {}) == {"trace": b"abc"} for _, headers, _ in raw) == 500
        assert {(key, partition) for key, _, partition in raw if key} == {(b"key", 1), (b"other", 1)}
        assert verify(session).findings == []
    groups = tool(
        "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand", "--bootstrap-server", world.bootstrap,
        "--describe", "--all-groups",
    )  # fmt: skip
    said = subprocess.run(groups, capture_output=True, text=True, check=True, timeout=120).stdout
    mine = [line.split() for line in said.splitlines() if world.topic in line]
    assert mine
    assert sum(int(row[3]) for row in mine) == 503  # CURRENT-OFFSET
    assert {row[5] for row in mine} == {"0"}  # LAG


def test_rsyslog_with_its_kafka_output(world, tmp_path):
    (port,) = free_ports(1)
    conf = tmp_path / "rsyslog.conf"
    conf.write_text(
        f'module(load="imtcp")\nmodule(load="omkafka")\ninput(type="imtcp" address="127.0.0.1" port="{port}")\n'
        'template(name="line" type="string" string="%rawmsg%")\n'
        f'action(type="omkafka" broker=["{world.bootstrap}"] topic="{world.topic}" partitions.auto="on" '
        'template="line" confParam=["linger.ms=10"])\n'
    )
    daemon = subprocess.Popen(
        [command("rsyslogd"), "-n", "-f", str(conf), "-i", str(tmp_path / "pid")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        with _connected(port) as sender:
            for n in range(300):
                sender.sendall(f"<{8 + n % 8}>Nov 22 05:00:{n % 60:02d} web-0{n % 3} api[{n}]: request {n}\n".encode())
        with world.session(format="syslog", year=2026) as session:
            deadline = time.monotonic() + 60
            while len(world.rows(session)) < 300:
                assert time.monotonic() < deadline
                assert daemon.poll() is None, daemon.stderr.read()
                world.ingest(session)
            rows = world.rows(session, columns="host, process, pid, message, severity", order="pid")
            assert [(host, process, pid, message) for host, process, pid, message, _ in rows] == [
                (f"web-0{n % 3}", "api", n, f"request {n}") for n in range(300)
            ]
            assert verify(session).findings == []
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(30)


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + 30
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            assert time.monotonic() < deadline
