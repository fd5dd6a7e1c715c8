"""What `nw up` tells of its processes becomes findings, for whoever it started."""

from __future__ import annotations

import pytest

from nw_platform.alerts.processes import PROCESS, TOLD_VARIABLE, ProcessNews, process_findings, write_news

NEWS = (
    ProcessNews("daemon", works=False, message="the daemon is stopped", since=1_800_000_000_000_000, repair="see x"),
    ProcessNews("webserver", works=True, message="the webserver works"),
    ProcessNews("home", works=False, message="it is full", since=1, repair="free space", severity="error"),
)


def test_what_is_told_is_found(tmp_path):
    place = tmp_path / "processes.json"
    write_news(place, NEWS)
    daemon, webserver, home = process_findings({TOLD_VARIABLE: str(place)})
    assert {one.check for one in (daemon, webserver, home)} == {PROCESS}
    assert (daemon.subject, daemon.passed, daemon.severity, daemon.since) == ("daemon", False, "warn", NEWS[0].since)
    assert (daemon.message, daemon.repair) == ("the daemon is stopped", "see x")
    assert (webserver.passed, webserver.since, webserver.repair) == (True, None, "")
    assert home.severity == "error"
    write_news(place, NEWS[1:2])
    assert len(process_findings({TOLD_VARIABLE: str(place)})) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["processes.json"]


@pytest.mark.parametrize("text", [None, "", "no json", "{}", '{"a": 1}', "[1]", '[{"name": "x"}]', '[{"no": "x"}]'])
def test_where_nobody_tells_anything_nothing_is_found(tmp_path, text):
    place = tmp_path / "processes.json"
    if text is not None:
        place.write_text(text)
    assert process_findings({TOLD_VARIABLE: str(place)}) == []
    assert process_findings({}) == []
