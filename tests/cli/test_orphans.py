"""What a killed `nw up` left behind is found and ended; nobody else's process ever is."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import ExitStack

import psutil
import pytest

from nw_platform.cli.orphans import HOME_VARIABLE, PARENT_VARIABLE, end_orphans, home_identity, left_behind, marks
from nw_platform.errors import UsageError

DEAF = "import signal, sys; signal.signal(15, signal.SIG_IGN); print('on', flush=True); sys.stdin.read()"
HEARING = "import sys; print('on', flush=True); sys.stdin.read()"
GONE = "4194305"  # more than the largest process id


@pytest.fixture
def start():
    with ExitStack() as stack:

        def begin(variables, body=HEARING):
            process = subprocess.Popen(
                [sys.executable, "-c", body],
                env={**os.environ, **variables},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert process.stdout.readline() == b"on\n"
            return process

        yield begin


def of(home, parent=GONE):
    return {HOME_VARIABLE: home_identity(home), PARENT_VARIABLE: parent}


def test_what_was_left_behind_is_ended_also_if_it_hears_nothing_or_was_stopped(tmp_path, start):
    hearing, deaf, stopped = start(of(tmp_path)), start(of(tmp_path), DEAF), start(of(tmp_path))
    stopped.send_signal(signal.SIGSTOP)
    assert {one.pid for one in left_behind(tmp_path)} == {hearing.pid, deaf.pid, stopped.pid}
    ended = end_orphans(tmp_path, patience=1)
    assert sorted(ended) == sorted(f"process {one.pid}" for one in (hearing, deaf, stopped))
    assert not any(psutil.pid_exists(one.pid) for one in (hearing, deaf, stopped))
    assert end_orphans(tmp_path) == []


def test_what_was_ended_is_named(tmp_path, start):
    run = start(of(tmp_path), f"{HEARING}  # from multiprocessing.spawn import spawn_main")
    assert end_orphans(tmp_path) == [f"process {run.pid} (run)"]


def test_strangers_stay(tmp_path, start):
    home, other = tmp_path / "home", tmp_path / "other"
    home.mkdir()
    (home / "nw-up.lock").write_text(str(os.getpid()))  # a stale file that names a living process
    shutil.copytree(home, other)  # a copy of a home is another one
    strangers = [start({}), start(of(other)), start({"DAGSTER_HOME": str(home)})]
    assert end_orphans(home) == []
    assert all(one.poll() is None for one in strangers)


def test_neither_this_process_nor_one_it_descends_from_is_ended(tmp_path, start):
    body = (
        "from pathlib import Path\nfrom nw_platform.cli.orphans import end_orphans\n"
        f"print(end_orphans(Path({str(tmp_path)!r})))"
    )
    shell = (
        "import subprocess, sys; print('on', flush=True)\n"
        f"sys.exit(subprocess.run([sys.executable, '-c', {body!r}]).returncode)"
    )
    root = {"PYTHONPATH": os.pathsep.join(sys.path)}
    outer = start(of(tmp_path) | root, shell)
    assert outer.stdout.readline() == b"[]\n"
    assert outer.wait() == 0


def test_a_living_parent_is_named_though_its_lock_was_removed(tmp_path, start):
    # This test is the parent of the process: for a third one it looks like a `nw up` that works.
    child = start(of(tmp_path, str(os.getpid())))
    body = (
        "from pathlib import Path\nfrom nw_platform.cli.orphans import end_orphans\n"
        "from nw_platform.errors import UsageError\n"
        f"try: end_orphans(Path({str(tmp_path)!r}))\nexcept UsageError as error: print(error)"
    )
    told = subprocess.run(
        [sys.executable, "-c", body], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert told.startswith(f"`nw up` runs already on {tmp_path} (process {os.getpid()}, ")
    assert len(told.splitlines()) == 1
    assert child.poll() is None


def test_what_this_process_started_itself_is_ended_at_the_end(tmp_path, start):
    child = start(marks(tmp_path))
    assert len(end_orphans(tmp_path)) == 1
    assert not psutil.pid_exists(child.pid)


def test_one_that_cannot_be_ended_is_named(tmp_path, start, monkeypatch):
    from nw_platform.cli import orphans  # noqa: PLC0415  (its bounds are changed)
    from nw_platform.errors import NeverwinterError  # noqa: PLC0415  (only here)

    child = start(of(tmp_path))
    monkeypatch.setattr(psutil.Process, "send_signal", lambda *_: None)
    monkeypatch.setattr(orphans, "_KILL_S", 0.0)
    with pytest.raises(NeverwinterError, match=f"process {child.pid} .*kill -9 {child.pid}") as told:
        end_orphans(tmp_path, patience=0)
    assert not isinstance(told.value, UsageError)
