"""Brokers that do not answer are waited for once, by all streams of a process."""

from __future__ import annotations

import socket
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from nw_platform.errors import SourceError
from nw_platform.sources.contract import Budget
from nw_platform.sources.kafka import client
from nw_platform.sources.kafka.client import Broker, client_options
from nw_platform.sources.registry import open_source

NOW = 1_800_000_000_000_000


@pytest.fixture
def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{free.getsockname()[1]}"  # nobody listens there, and nobody else can


def failure(bootstrap: str, stream: str, **options: object) -> tuple[float, str]:
    """Seconds until a stream of its own group says that it cannot be planned, and what it says."""
    source = open_source("kafka", bootstrap=bootstrap, topics=[stream], group=stream, options=options)
    began = time.monotonic()
    with pytest.raises(SourceError) as error:
        source.plan(NOW, Budget())
    source.close()
    return time.monotonic() - began, str(error.value)


def test_many_streams_wait_once_for_brokers_that_are_gone(closed_port, monkeypatch):
    seconds, said = failure(closed_port, "s0")
    assert seconds > 1
    for number in range(1, 8):
        again, also_said = failure(closed_port, f"s{number}")
        assert again < 0.5
        assert also_said == said
    monkeypatch.setattr(client, "REMEMBERED_S", 0.0)
    assert failure(closed_port, "s9")[0] > 1


def test_other_options_are_other_brokers(closed_port):
    failure(closed_port, "s0")
    assert failure(closed_port, "s0", **{"client.id": "another"})[0] > 1


def test_an_answer_ends_the_silence_and_what_was_said_before_it(monkeypatch):
    broker = Broker(client_options("127.0.0.1:9", {"client.id": "ended"}))

    class Admin:
        topics = None

        def list_topics(self, timeout):
            assert timeout
            if self.topics is None:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
            return self

    admin = Admin()
    monkeypatch.setattr(broker, "_client", lambda: admin)
    broker.heard("refused long ago")
    with pytest.raises(SourceError, match="refused long ago"):
        broker.names()
    admin.topics = {"t": None}
    with pytest.raises(SourceError, match="refused long ago"):
        broker.names()  # not asked
    with monkeypatch.context() as later:
        later.setattr(client, "REMEMBERED_S", 0.0)
        assert broker.names() == ["t"]
    assert broker.names() == ["t"]
    assert "long ago" not in str(broker.failure("something else", "of today"))
