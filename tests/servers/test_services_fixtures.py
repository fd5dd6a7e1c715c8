"""The services that other tests use do what a client expects of them."""

import re
import urllib.request

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

pytestmark = pytest.mark.services


def test_a_record_comes_back_from_kafka(kafka):
    topic = kafka.make_topic(2)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, b"hello", partition=1)
    assert producer.flush(30) == 0
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": topic})
    consumer.assign([TopicPartition(topic, 1, 0)])
    message = consumer.poll(30)
    consumer.close()
    assert message.value() == b"hello"


def test_a_file_comes_back_from_hdfs(hdfs):
    url = f"{hdfs.webhdfs}/webhdfs/v1{hdfs.folder}/a"
    with pytest.raises(urllib.error.HTTPError) as redirect:
        urllib.request.urlopen(urllib.request.Request(f"{url}?op=CREATE", method="PUT"), timeout=30)  # noqa: S310
    put = urllib.request.Request(redirect.value.headers["Location"], data=b"hello", method="PUT")  # noqa: S310
    urllib.request.urlopen(put, timeout=30).close()  # noqa: S310
    with urllib.request.urlopen(f"{url}?op=OPEN", timeout=30) as read:  # noqa: S310
        assert read.read() == b"hello"


def test_another_service_at_the_same_port_is_not_taken_for_ours(kafka, hdfs, tmp_path):
    for ours, identity in ((kafka.server, "meta.properties"), (hdfs.server, "name-*/current/VERSION")):
        other = type(ours)(tmp_path)
        ports = ours.process().ports
        assert ours._answers(ports)
        assert not other._answers(ports)
        file = next((ours.folder / "data").glob(identity))
        known = other.folder / file.relative_to(ours.folder)
        known.parent.mkdir(parents=True)
        known.write_text(file.read_text())
        assert other._answers(ports)
        known.write_text(re.sub(r"(cluster.id|blockpoolID)=.", r"\1=?", known.read_text()))
        assert not other._answers(ports)
