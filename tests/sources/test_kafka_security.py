"""Brokers that ask for a password: the options reach the client, and the password reaches nobody else."""

from __future__ import annotations

import socket

import pytest

from nw_platform.errors import SourceError
from nw_platform.sources.contract import Budget
from nw_platform.sources.registry import open_source
from tests.sources.kafka_topics import Topics
from tests.sources.lane import Lane

pytestmark = pytest.mark.services

NOW = 1_800_000_000_000_000


@pytest.fixture
def guarded_kafka(start_kafka):
    """A broker, and the address of its listener that asks for a password."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    plain = "org.apache.kafka.common.security.plain.PlainLoginModule required"
    kafka = start_kafka({
        "listeners": f"PLAINTEXT://127.0.0.1:{{broker}},CONTROLLER://127.0.0.1:{{controller}},SASL://127.0.0.1:{port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{{broker}},SASL://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
        "listener.name.sasl.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.sasl.plain.sasl.jaas.config": f'{plain} user_reader="the-right-one";',
    })  # fmt: skip
    return kafka, f"127.0.0.1:{port}"


def test_a_password_opens_and_a_wrong_one_is_said_but_not_shown(guarded_kafka, capfd):
    kafka, address = guarded_kafka
    topic = Topics(kafka).make()
    topic.append([b"1", b"2"])
    options = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN", "sasl.username": "reader"}

    def opened(password: str):
        given = {**options, "sasl.password": password}
        return open_source("kafka", bootstrap=address, topics=[topic.name], options=given)

    lane = Lane(lambda: opened("the-right-one"))
    assert lane.drain(NOW) == [b"1", b"2"]
    lane.source.close()
    wrong = opened("another-one")
    with pytest.raises(SourceError) as error:
        wrong.plan(NOW, Budget())
    wrong.close()
    assert "uthentication" in str(error.value)
    assert "another-one" not in str(error.value)
    assert "".join(capfd.readouterr()) == ""  # the client's log is quiet
