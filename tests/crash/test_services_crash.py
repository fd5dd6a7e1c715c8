"""The crash matrix on real services, in a size for every day; `python tests/crash/matrix.py` is the full one."""

from __future__ import annotations

import pytest
from crash.matrix import PLACES, Matrix, outages

RECORDS = 30_000
# Each command takes several times as long on HDFS: every day only what is committed there; all of it in the full size.
ON_HDFS = tuple(place for place in PLACES if str(place[1]).endswith(("committed", "appended", "advanced")))


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
    matrix.places = PLACES if place == "local" else ON_HDFS
    matrix.run(len(matrix.places) + 2, RECORDS, outages(*map(restart, services)))
    assert {place for place, count in matrix.kills.items() if count} >= {f"{a} {s}" for a, s in matrix.places}
    matrix.check()
