"""`nw services` on the real thing: up, down, status; after crashes; two at once."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from nw_platform.cli.main import main
from nw_platform.services import processes
from nw_platform.services.hdfs import Hdfs
from nw_platform.services.kafka import Kafka, tool

ROOT = Path(__file__).resolve().parents[2]

# `nw` as a user of the run's services: should this test be killed, they are stopped only after it.
GUARDED_COMMAND = """
import sys
from pathlib import Path
from nw_platform.cli.main import main
from nw_platform.services.guardian import guarded
with guarded(Path(sys.argv[1])):
    sys.exit(main(sys.argv[2:]))
"""

pytestmark = [pytest.mark.services, pytest.mark.slow]


@pytest.fixture
def nw(own_folder, capsys):
    """Runs `nw services ... --json` in the test's own folder; returns what it printed."""

    def run(*words):
        assert main(["services", *words, "--dir", str(own_folder), "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    yield run
    main(["services", "down", "--dir", str(own_folder)])


def pids(service):
    return processes.find(processes.mark(service.folder))


def write(bootstrap, topic, value):
    producer = Producer({"bootstrap.servers": bootstrap})
    producer.produce(topic, value, partition=0)
    assert producer.flush(60) == 0


def read(bootstrap, topic):
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "g"})
    consumer.assign([TopicPartition(topic, 0, 0)])
    message = consumer.poll(60)
    consumer.close()
    return message.value()


@pytest.mark.usefixtures("kafka_jars", "hdfs_jars")
def test_up_and_down_say_where_and_keep_what_was_written(nw, own_folder):
    nothing = {"kafka": None, "hdfs": None}
    service = Kafka(own_folder)
    assert nw("status") == nothing
    first = nw("up", "kafka")
    bootstrap = first["kafka"]["bootstrap"]
    running = pids(service)
    assert nw("status") == {**nothing, **first}
    assert nw("up", "kafka") == first
    assert pids(service) == running
    write(bootstrap, "kept", b"hello")

    assert nw("down") == {"kafka": {"stopped": True, "purged": False}, "hdfs": {"stopped": False, "purged": False}}
    assert (nw("status"), pids(service)) == (nothing, [])
    assert nw("up", "kafka") == first
    assert read(bootstrap, "kept") == b"hello"

    assert nw("down", "--purge")["kafka"] == {"stopped": True, "purged": True}
    assert not service.folder.exists()
    assert pids(service) == []


@pytest.mark.usefixtures("kafka_jars")
def test_a_data_folder_that_was_never_used_is_made_anew_and_a_lost_pid_file_is_no_loss(own_folder):
    service = Kafka(own_folder, quick=True)
    service._claim()
    (service.folder / "data").mkdir()
    (service.folder / "data" / "meta.properties").write_text("version=1\ncluster.id=somebody-elses\n")
    bootstrap = service.up()["bootstrap"]
    write(bootstrap, "kept", b"hello")
    (service.folder / "process.json").unlink()  # as if `up` had been killed right after the start
    assert service.status() is None
    bootstrap = service.up()["bootstrap"]
    assert read(bootstrap, "kept") == b"hello"
    assert len(pids(service)) == 1


def test_a_killed_broker_comes_back_at_the_same_place(own_kafka):
    topic = own_kafka.make_topic()
    write(own_kafka.bootstrap, topic, b"hello")
    own_kafka.kill()
    assert own_kafka.server.status() is None
    own_kafka.start()
    assert read(own_kafka.bootstrap, topic) == b"hello"


def test_a_killed_namenode_comes_back_with_its_files(own_hdfs):
    url = f"{own_hdfs.webhdfs}/webhdfs/v1/kept"
    put = urllib.request.Request(f"{url}?op=CREATE&noredirect=true", method="PUT")  # noqa: S310
    with urllib.request.urlopen(put, timeout=60) as answer:  # noqa: S310
        place = json.load(answer)["Location"]
    urllib.request.urlopen(urllib.request.Request(place, data=b"hello", method="PUT"), timeout=60).close()  # noqa: S310
    own_hdfs.kill()
    assert own_hdfs.server.status() is None
    own_hdfs.start()
    with urllib.request.urlopen(f"{url}?op=OPEN", timeout=60) as answer:  # noqa: S310
        assert answer.read() == b"hello"


@pytest.mark.usefixtures("hdfs_jars")
def test_a_killed_up_is_finished_by_two_others_at_once(services_folder, own_folder):
    service = Hdfs(own_folder)

    def up():
        command = [sys.executable, "-c", GUARDED_COMMAND, str(services_folder), "services", "up", "hdfs", "--json"]
        options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*command, "--dir", str(own_folder)], **options)

    killed = up()
    deadline = time.monotonic() + 60
    while not pids(service):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    killed.kill()
    killed.communicate()
    both = [up(), up()]
    told = [process.communicate(timeout=200) for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert json.loads(told[0][0]) == json.loads(told[1][0]) == {"hdfs": service.status()}
    assert len(pids(service)) == 1
    os.kill(pids(service)[0], signal.SIGKILL)
    service.down(purge=True)
    assert pids(service) == []


@pytest.mark.usefixtures("kafka_jars")
def test_a_server_that_does_not_start_is_quoted(own_folder):
    with pytest.raises(Exception, match=r"kafka: its data folder .* cannot be made: .*controller"):
        Kafka(own_folder, quick=True, properties={"controller.listener.names": "NOBODY"}).up()


def test_kafkas_own_console_tools_run_from_the_same_jars(kafka):
    topic = kafka.make_topic()
    where = ["--bootstrap-server", kafka.bootstrap, "--topic", topic]
    produce = tool("org.apache.kafka.tools.ConsoleProducer", *where)
    subprocess.run(produce, input=b"one\ntwo\n", check=True, capture_output=True, timeout=120)
    consume = tool("org.apache.kafka.tools.consumer.ConsoleConsumer", *where, "--from-beginning", "--max-messages", "2")
    said = subprocess.run(consume, check=True, capture_output=True, timeout=120).stdout
    assert said == b"one\ntwo\n"
