"""The demo as a newcomer runs it: without a terminal, twice, and with what it says compared with what was sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REPORTS = ("summary_report", "log_type_report", "key_coverage", "value_coverage")


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "HOME": str(folder.parent), "NW_CONFIG": "/nowhere/else.yaml"}
    return subprocess.run(
        [sys.executable, "-m", "nw_platform.cli.main", *arguments, "demo", "--dir", str(folder)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=400, env=environment,
    )  # fmt: skip


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """What is in the lake: path -> (size, modification time)."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in (folder / "lake").rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("newcomer") / "demo"
    first = demo(folder)
    before = files(folder)
    second = demo(folder)
    return folder, first, second, before


def test_it_ends_well_and_prints_the_four_reports(runs):
    _, first, _, _ = runs
    assert first.returncode == 0, first.stderr
    for name in REPORTS:
        assert f"\n{name}: " in first.stdout
    assert "Where to look next" in first.stdout


def test_everything_it_found_is_what_was_sent(runs):
    _, first, _, _ = runs
    verdicts = [line for line in first.stdout.splitlines() if line.endswith(("AS SENT]", "[as sent]"))]
    assert len(verdicts) == 7
    assert all(line.endswith("[as sent]") for line in verdicts), "\n".join(verdicts)


def test_a_second_run_reads_nothing_twice_and_writes_nothing(runs):
    folder, first, second, before = runs
    assert second.returncode == 0, second.stderr
    assert "nothing new was there to read" in second.stdout
    assert first.stdout.splitlines()[1:] == second.stdout.splitlines()[1:]
    assert files(folder) == before


def test_what_is_known_of_the_real_logs(runs):
    folder, _, _, _ = runs
    told = json.loads(demo(folder, "--json").stdout)
    (apache,) = [r for r in told["reports"]["log_type_report"] if r["stream"] == "apache_access"]
    assert (apache["lines"], apache["bytes"], apache["minutes"]) == (2893, 673487, 24)
    (referrer,) = [r for r in told["reports"]["key_coverage"] if r["key"] == "referrer"]
    assert (referrer["present"], referrer["nulls"], referrer["coverage_pct"]) == (2893, 1260, 56.45)
    (status,) = [
        r for r in told["reports"]["value_coverage"] if r["key"] == "status" and r["log_type"] == "apache_access"
    ]
    assert (status["distinct"], status["entropy_bits"]) == (7, 0.71)
