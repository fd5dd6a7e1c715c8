"""The crash matrix on a real Kafka with a local lake; `python tests/crash/matrix.py` is the full one.

It is behind `make soak`: its twin with the lake on HDFS runs every day on the same kind of broker, and test_crash.py
kills at every step of a local lake.
"""

from __future__ import annotations

import pytest
from crash.matrix import PLACES, kill_and_check


@pytest.mark.services
@pytest.mark.soak
@pytest.mark.timeout(900)
def test_kills_on_a_real_kafka_lose_and_repeat_nothing(tmp_path, own_kafka):
    kill_and_check(tmp_path, own_kafka.bootstrap, str(tmp_path / "lake"), [own_kafka], PLACES)
