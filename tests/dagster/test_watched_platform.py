"""`nw watch` and a real platform: its daemon hangs, goes on, is killed; each is told once, and so is its end."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from vault_server import Answering

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 280
# `nw up` that leaves a daemon that hangs to `nw watch`, starts what died again once, and calls it well after 30 s.
UP = """
import functools, sys
from nw_platform.cli import main, up
from nw_platform.cli.vital_signs import Pace
up.Pace = functools.partial(Pace, stopped=1e6, heartbeat=1e6, waits=(0.0,), calm=30.0)
sys.exit(main.main(sys.argv[1:]))
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Platform:
    def __init__(self, folder, hook):
        self.folder, self.port = folder, free_port()
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(folder / "home")}
        (folder / "in").mkdir()
        (folder / "neverwinter.yaml").write_text(
            "lake: ./lake\nstreams: {web: {path: 'in/*.log', format: lines, history: {from: 2024-03-10}}}\n"
            f"alerts: {{channels: {{hook: {{kind: webhook, url: '{hook.address}'}}}}, routes: [{{to: [hook]}}]}}\n",
            encoding="utf-8",
        )

    def command(self, *arguments):
        return [sys.executable, "-m", "nw_platform.cli.main", "-c", str(self.folder / "neverwinter.yaml"), *arguments]

    def up(self):
        with (self.folder / "up.err").open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-c", UP, *self.command("up", "--port", str(self.port))[3:]],
                env=self.environ, cwd=self.folder, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        assert process.stdout.readline(), (self.folder / "up.err").read_text()
        return process

    def look(self):
        """`nw watch --once` from outside, as cron runs it; its exit code."""
        command = self.command("watch", "--once", "--url", f"http://127.0.0.1:{self.port}", "--after", "45s")
        return subprocess.run(command, env=self.environ, cwd=self.folder, capture_output=True, check=False).returncode


def child(process, what):
    return next(p for p in psutil.Process(process.pid).children(recursive=True) if what in p.cmdline())


def until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_daemon_that_hangs_one_that_is_killed_and_the_end_of_it_all(tmp_path):
    sent = []

    def heard(_, __, body):
        told = json.loads(body)
        sent.append((told["check"], told["subject"], told["transition"]))
        return 200, {}

    with Answering(heard) as hook:
        platform = Platform(tmp_path, hook)
        process = platform.up()
        try:
            until(lambda: platform.look() == 0)
            assert child(process, "watch")  # a watch of its own, too
            daemon = child(process, "dagster._daemon")

            daemon.suspend()
            until(lambda: platform.look() == 1)
            assert ("daemon", "", "opened") in sent
            daemon.resume()
            until(lambda: platform.look() == 0)
            until(lambda: ("daemon", "", "resolved") in sent)

            daemon.kill()
            until(lambda: ("process", "daemon", "opened") in sent)
            until(lambda: ("process", "daemon", "resolved") in sent)
            assert "the daemon was killed by signal 9" in (tmp_path / "up.err").read_text()
            assert {check for check, _, _ in sent} <= {"daemon", "alerting", "process"}  # nothing else was missed

            child(process, "dagster._daemon").kill()
            assert process.wait(PATIENCE) == 1
            assert "it was started again 1 times in 15 minutes, and nw up ends" in (tmp_path / "up.err").read_text()
            assert sent.count(("process", "daemon", "opened")) == 2
            assert ("webserver", "", "opened") in sent  # the last thing that `nw up` sees to
            assert platform.look() == 1

            process = platform.up()
            until(lambda: ("webserver", "", "resolved") in sent)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)
    per_alert = Counter(one for one in sent if one[0] != "process")
    assert set(per_alert.values()) == {1}, per_alert  # each once, though the platform and two watches looked
    assert {check for check, _, _ in sent} <= {"daemon", "webserver", "alerting", "process"}
