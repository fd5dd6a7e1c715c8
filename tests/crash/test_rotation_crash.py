"""SIGKILL while a rotation is followed, or a vanished file is found: what receipts say afterwards is the same."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nw_platform.ingest.steps import Step

REPOSITORY = Path(__file__).resolve().parents[2]
STEPS = (Step.PLANNED, Step.SPAN_READ, Step.RAW_COMMITTED, Step.RECEIPT_APPENDED, Step.SOURCE_ADVANCED)


def nw(folder, *arguments, crash_at=""):
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "NW_CRASH_AT": crash_at}
    command = [sys.executable, "-m", "nw_platform.cli.main", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def append(path, *lines):
    with path.open("a") as file:
        file.writelines(f"{line}\n" for line in lines)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("declared", [True, False])
def test_a_crash_while_a_rotation_is_followed(tmp_path, step, declared):
    rotated = ", rotated: ['old/*']" if declared else ""
    (tmp_path / "neverwinter.yaml").write_text(f"streams: {{web: {{path: app.log, format: lines{rotated}}}}}\n")
    append(tmp_path / "app.log", "a1")
    assert nw(tmp_path, "ingest", "--once").returncode == 0
    append(tmp_path / "app.log", "a2")
    (tmp_path / "old").mkdir()
    (tmp_path / "app.log").rename(tmp_path / "old" / "app.log")
    append(tmp_path / "app.log", "b1")
    assert nw(tmp_path, "ingest", "--once", crash_at=step).returncode == -signal.SIGKILL
    assert nw(tmp_path, "ingest", "--once").returncode == (0 if declared else 1)
    rows = json.loads(nw(tmp_path, "sql", "SELECT message FROM web ORDER BY 1", "--format", "json").stdout)
    assert [row["message"] for row in rows] == (["a1", "a2", "b1"] if declared else ["a1", "b1"])
    assert nw(tmp_path, "verify").returncode == (0 if declared else 1)
