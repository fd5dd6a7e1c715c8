"""The crash matrix on a real Kafka, in a size for every day; `python tests/crash/matrix.py` is the full one."""

from __future__ import annotations

import pytest
from crash.matrix import PLACES, kill_and_check


@pytest.mark.services
@pytest.mark.timeout(900)
def test_kills_on_a_real_kafka_lose_and_repeat_nothing(tmp_path, own_kafka):
    kill_and_check(tmp_path, own_kafka.bootstrap, str(tmp_path / "lake"), [own_kafka], PLACES)
