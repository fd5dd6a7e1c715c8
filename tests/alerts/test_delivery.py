"""Messages leave once, in order, again after a failure, and never twice for two processes."""

from __future__ import annotations

from alerts.alert_bench import Bench, finding


def test_what_fails_is_told_once_and_what_is_over_once(tmp_path):
    bench = Bench(tmp_path)
    first = bench.evaluate(finding("a"))
    assert first.told() == "1 opened; 1 open; 1 sent"
    version = bench.version()
    assert bench.evaluate(finding("a"), after=60_000_000).told() == "no change; 1 open"
    assert bench.version() == version
    assert bench.evaluate(finding("a", passed=True), after=60_000_000).told() == "1 resolved; 0 open; 1 sent"
    assert bench.told() == ["mail opened", "mail resolved"]
    opened, resolved = bench.sent()
    assert opened["thread"] == opened["id"] == resolved["thread"] != resolved["id"]
