"""A real `nw up` for tests: its processes, its ticks and its runs, read from outside."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import psutil

from nw_platform.cli.orphans import left_behind

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240
COMMANDS = {
    "code-server": ("api", "grpc"),
    "daemon": ("dagster._daemon",),
    "webserver": ("dagster_webserver",),
}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def until(condition, seconds=PATIENCE, pause=0.2):
    """Wait until it is true, and return how long that took."""
    begun = time.monotonic()
    while not (found := condition()):
        assert time.monotonic() - begun < seconds, "it took too long"
        time.sleep(pause)  # of real processes, that nothing else tells anything of
    del found
    return time.monotonic() - begun


def is_gone(process):
    """Return True if a process has ended, also if nobody has reaped it yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE or not process.is_running()
    except psutil.NoSuchProcess:
        return True


class RunningPlatform:
    """One configuration, one home, one port; started and ended as often as is wanted."""

    def __init__(self, folder, home, streams, more="", environ=None):
        self.folder, self.home, self.port, self.lines = folder, home, free_port(), 0
        self.environ = {**os.environ, "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(home), **(environ or {})}
        (folder / "in").mkdir()
        (folder / "neverwinter.yaml").write_text(f"lake: ./lake\nstreams: {streams}\n{more}", encoding="utf-8")
        self.process = None

    def command(self, *arguments):
        return [sys.executable, "-m", "nw_platform.cli.main", "-c", str(self.folder / "neverwinter.yaml"), *arguments]

    def begin(self):
        """Start it, and do not wait until it serves."""
        with (self.folder / "up.err").open("a") as errors:
            self.process = subprocess.Popen(
                self.command("up", "--port", str(self.port)),
                env=self.environ, cwd=self.folder, stdout=subprocess.PIPE, stderr=errors, text=True,
            )  # fmt: skip
        return self.process

    def up(self):
        """Start it, and wait until it serves."""
        assert self.begin().stdout.readline(), self.said()
        return self

    def said(self):
        return (self.folder / "up.err").read_text()

    def end(self):
        """End it as an operator does; its exit code."""
        if self.process is None:
            return None
        self.process.send_signal(signal.SIGTERM)
        self.process.send_signal(signal.SIGCONT)
        try:
            return self.process.wait(60)
        finally:
            self.process.kill()
            self.process.stdout.close()
            self.process = None

    def part(self, name):
        """One of its processes; None if it is not there now."""
        for child in psutil.Process(self.process.pid).children():
            with contextlib.suppress(psutil.Error):
                words = child.cmdline()
                if any(words[at : at + len(COMMANDS[name])] == [*COMMANDS[name]] for at in range(len(words))):
                    return child
        return None

    def worker(self):
        """The process of a run; None if there is none."""
        code = self.part("code-server")
        with contextlib.suppress(psutil.Error):
            for child in code.children() if code else ():
                if any("spawn_main" in word for word in child.cmdline()):
                    return child
        return None

    def land(self):
        """One more file with one line, which no other file has."""
        self.lines += 1
        (self.folder / "in" / f"web{self.lines:04}.log").write_text(f"line {self.lines}\n", encoding="utf-8")

    def rows(self, database, query, *values):
        place = self.home / database
        with contextlib.suppress(sqlite3.OperationalError):
            if not place.exists():
                return []
            with closing(sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=10)) as connection:
                return connection.execute(query, values).fetchall()
        return []

    def ticks(self):
        """The newest id of a finished tick of a sensor."""
        found = self.rows(
            "schedules/schedules.db", "SELECT max(id) FROM job_ticks WHERE status IN ('SKIPPED', 'SUCCESS')"
        )
        return (found[0][0] or 0) if found else 0

    def runs(self, status):
        found = self.rows("history/runs.db", "SELECT count(*) FROM runs WHERE status = ?", status)
        return found[0][0] if found else 0

    def query(self, text):
        """The one row that a query has for an answer; None if there is no table yet."""
        told = subprocess.run(
            self.command("--json", "sql", text), env=self.environ, cwd=self.folder, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return json.loads(told.stdout)[0] if told.returncode == 0 else None

    def leftovers(self):
        return left_behind(self.home)
