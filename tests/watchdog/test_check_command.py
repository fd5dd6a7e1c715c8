"""`nw check` as somebody uses it: exit codes, what is printed where, and simulated times."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from nw_platform.cli.main import main


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "in").mkdir()
    lines = [json.dumps({"ts": 1_795_323_600_000 + n * 60_000, "message": "m"}) for n in range(50)]
    (tmp_path / "in" / "a.log").write_text("\n".join([*lines, *["{broken"] * 50]) + "\n")
    (tmp_path / "neverwinter.yaml").write_text(
        "streams:\n"
        "  web:\n"
        "    {path: in/*.log, format: json, growing: false, late_after: never,\n"
        '     expect: [{kind: file, name: "dialer-{date}.csv", by: "06:00", grace: 30m}]}\n'
    )
    monkeypatch.setenv("NW_CONFIG", str(tmp_path / "neverwinter.yaml"))
    return tmp_path


@pytest.mark.usefixtures("config")
def test_nothing_was_ingested_and_nothing_fails(capsys: pytest.CaptureFixture[str]):
    assert main(["check"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.usefixtures("config")
def test_what_fails_is_printed_and_ends_with_1(capsys: pytest.CaptureFixture[str]):
    assert main(["ingest", "--once"]) == 0
    capsys.readouterr()
    assert main(["--json", "check"]) == 1
    shown = capsys.readouterr()
    [finding] = [f for f in json.loads(shown.out) if f["check"] == "error_rate"]
    assert (finding["asset"], finding["passed"], finding["state"]) == ("logs/web", False, "warn")
    assert finding["numbers"]["part"] == 50
    assert finding["repair"] in finding["message"]
    assert "fail" in shown.err
    assert main(["check"]) == 1
    assert "lines are errors" in capsys.readouterr().out


@pytest.mark.usefixtures("config")
def test_a_deadline_at_a_simulated_time(capsys: pytest.CaptureFixture[str]):
    main(["ingest", "--once"])
    capsys.readouterr()

    def missing(moment: str) -> list[str]:
        main(["--json", "check", "--all", "--at", moment])
        found = json.loads(capsys.readouterr().out)
        return [f["subject"] for f in found if f["check"] == "expected_files" and not f["passed"]]

    assert "dialer-2099-03-01.csv" not in missing("2099-03-01T06:29:59Z")
    assert "dialer-2099-03-01.csv" in missing("2099-03-01T06:30:00Z")
    assert "dialer-2099-03-01.csv" in missing("2099-03-01T08:30:00+02:00")


@pytest.mark.usefixtures("config")
def test_a_wrong_time_and_a_wrong_stream_are_wrong_use(capsys: pytest.CaptureFixture[str]):
    assert main(["check", "--at", "yesterday"]) == 2
    assert "'yesterday' is no time" in capsys.readouterr().err
    assert main(["check", "--stream", "wbe"]) == 2
    assert "web" in capsys.readouterr().err


def test_of_one_stream_no_host_is_missed_that_another_has_seen(config: Path, capsys: pytest.CaptureFixture[str]):
    heartbeat = "{path: in/%s.log, format: json, growing: false, expect: [{kind: heartbeat}]}"
    streams = "".join(f"  {name}: {heartbeat % name}\n" for name in ("web", "app"))
    (config / "neverwinter.yaml").write_text(f"hosts: [h1, h2, h3]\nstreams:\n{streams}")
    now = time.time()
    for name, host in (("web", "h1"), ("app", "h2")):
        (config / "in" / f"{name}.log").write_text(json.dumps({"ts": int(now * 1000), "message": "m", "host": host}))
    assert main(["ingest", "--once"]) == 0
    later = datetime.fromtimestamp(now + 7200, UTC).isoformat()

    def silent(*options: str) -> set[tuple[str, str]]:
        capsys.readouterr()
        main(["--json", "check", "--at", later, *options])
        return {(f["stream"], f["subject"]) for f in json.loads(capsys.readouterr().out) if f["check"] == "silence"}

    assert silent() == {("web", "h1"), ("app", "h2"), ("web", "h3")}
    assert silent("--stream", "web") == {("web", "h1"), ("web", "h3")}
    assert silent("--stream", "app") == {("app", "h2")}
