"""The crash matrix on real services, in a size for every day; `python tests/crash/matrix.py` is the full one."""

from __future__ import annotations

import pytest
from crash.matrix import PLACES, Matrix, outages

KILLS, RECORDS = len(PLACES) + 4, 30_000


@pytest.mark.services
@pytest.mark.timeout(900)
@pytest.mark.parametrize("place", ["local", "hdfs"])
def test_kills_on_a_real_kafka_lose_and_repeat_nothing(request, tmp_path, own_kafka, place):
    def restart(service):
        def away():
            service.stop()
            service.start()

        return away

    services, lake = [own_kafka], str(tmp_path / "lake")
    if place == "hdfs":
        own_hdfs = request.getfixturevalue("own_hdfs")
        services.append(own_hdfs)
        lake = f"{own_hdfs.rpc}/lake"
    matrix = Matrix(tmp_path, own_kafka.bootstrap, lake, seed=7, say=print)
    matrix.run(KILLS, RECORDS, outages(*map(restart, services)))
    assert {place for place, count in matrix.kills.items() if count} >= {f"{a} {s}" for a, s in PLACES}
    matrix.check()
