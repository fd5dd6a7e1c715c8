"""The same with the lake on a real HDFS. A file of its own, so that two workers share the two."""

from __future__ import annotations

import pytest
from crash.matrix import PLACES, kill_and_check

# Each command takes several times as long on HDFS: every day only what is committed there; all of it in the full size.
ON_HDFS = tuple(place for place in PLACES if str(place[1]).endswith(("committed", "appended", "advanced")))


@pytest.mark.services
@pytest.mark.timeout(900)
def test_kills_with_the_lake_on_hdfs_lose_and_repeat_nothing(tmp_path, own_kafka, own_hdfs):
    kill_and_check(tmp_path, own_kafka.bootstrap, f"{own_hdfs.rpc}/lake", [own_kafka, own_hdfs], ON_HDFS)
