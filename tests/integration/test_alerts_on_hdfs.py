"""Alerts of a lake on HDFS: told once, by two that look at once, and known to whoever comes later."""

from __future__ import annotations

import threading

import pytest
from alerts.alert_bench import MINUTE, Bench, finding

from nw_platform.lake.store import Lake

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]


def test_two_that_look_at_once_tell_each_alert_once(tmp_path, hdfs):
    bench = Bench(tmp_path)
    url = f"{hdfs.rpc}{hdfs.folder}/alerts-lake"
    bench.lake = lambda work="work": Lake(url, work=tmp_path / work)
    ways = [bench.evaluator("a"), bench.evaluator("b")]
    for passed in (False, True, False):
        bench.now += MINUTE
        found = [finding(name, passed=passed) for name in "abc"]
        threads = [threading.Thread(target=bench.evaluate, args=found, kwargs={"by": way}) for way in ways]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        wanted = set() if passed else {one.key for one in found}
        assert set(ways[0].state().open) == set(ways[1].state().open) == wanted
    assert bench.told() == ["mail opened"] * 3 + ["mail resolved"] * 3 + ["mail opened"] * 3
    assert bench.evaluator("new").state() == ways[0].state() == ways[1].state()
    version = bench.version()
    assert bench.evaluate(*(finding(name) for name in "abc"), by=ways[0], after=MINUTE).told() == "no change; 3 open"
    assert bench.version() == version
