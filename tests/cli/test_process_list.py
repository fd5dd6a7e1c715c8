"""Nothing that a command starts gets a secret as an argument: everybody on the machine can read those."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from nw_platform.cli.main import main

MARK = "hunter2-in-the-process-list"
STARTS = ("subprocess.Popen", "os.exec", "os.posix_spawn", "os.spawn", "os.system", "pty.spawn")


class Listener:
    """Keeps what processes are started with while it listens. An audit hook cannot be taken out again."""

    def __init__(self) -> None:
        self.listening = False
        self.started: list[str] = []
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.listening and event in STARTS:
            self.started.append(f"{event} {arguments[:2]!r}")  # the program and its arguments; not the environment


@pytest.fixture(scope="module")
def listener() -> Listener:
    return Listener()


@pytest.fixture
def started(listener: Listener) -> Iterator[list[str]]:
    listener.started.clear()
    listener.listening = True
    yield listener.started
    listener.listening = False


def test_no_argument_holds_a_secret(tmp_path, monkeypatch, capsys, started):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NW_TEST_TOKEN", MARK)
    monkeypatch.setenv("NW_TEST_URL", f"http://127.0.0.1:9/{MARK}")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.log").write_text("one\ntwo\n")
    (tmp_path / "nw.yaml").write_text(
        "sources: {z: {kind: landing, url: './in', options: {token: 'env:NW_TEST_TOKEN'}}}\n"
        "streams: {app: {source: z, path: '*.log', format: lines, expect: [{kind: volume, min_lines: 9}]}}\n"
        "alerts: {channels: {ops: {kind: webhook, url: 'env:NW_TEST_URL'}}, routes: [{to: [ops]}]}\n"
    )
    for command in (["config", "check"], ["ingest", "--once"], ["build"], ["check"], ["alerts", "test"], ["verify"]):
        main(["-c", "nw.yaml", *command])
    said = capsys.readouterr()
    assert MARK not in said.out + said.err
    assert MARK not in "\n".join(started)


def test_the_listener_hears_what_is_started(started):
    import subprocess  # noqa: PLC0415  (only what this test starts itself)

    subprocess.run([sys.executable, "-c", "", MARK], check=True)
    assert any(MARK in line for line in started)
