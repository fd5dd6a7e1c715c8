"""`nw up` as a user starts it: real processes, a real port, real signals."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
import yaml
from world import HOUR, World

from assets.partitions import arrival_hours
from nw_platform.cli import up
from nw_platform.cli.children import Children
from nw_platform.cli.dagster_home import POSTGRES_VARIABLE, home_problem, locked, prepare_home
from nw_platform.cli.output import Output
from nw_platform.cli.up import _first_arrivals
from nw_platform.errors import NeverwinterError, UsageError
from nw_platform.record.hours import hour_of
from nw_platform.settings import load

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = "lake: ./lake\nstreams:\n  web: {path: 'in/web*.log', format: lines, history: {from: 2024-03-10}}\n"
PATIENCE = 240


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """One for all: what was found out of the dbt project stays there, as it does for a user's second `nw up`."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "in").mkdir()
    (folder / "neverwinter.yaml").write_text(CONFIGURATION, encoding="utf-8")
    return folder


def start(site, port, home=None):
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DAGSTER_HOME": str(home or site / "home")}
    command = [
        sys.executable,
        "-m",
        "nw_platform.cli.main",
        "-c",
        str(site / "neverwinter.yaml"),
        "up",
        "--port",
        str(port),
    ]
    with (site / "up.err").open("w") as errors:
        return subprocess.Popen(command, cwd=site, env=environ, stdout=subprocess.PIPE, stderr=errors, text=True)


def family(process):
    return psutil.Process(process.pid).children(recursive=True)


def gone(processes):
    return not psutil.wait_procs(processes, timeout=30)[1]


def locations(url):
    query = "{workspaceOrError {... on Workspace {locationEntries {name loadStatus locationOrLoadError {__typename}}}}}"
    request = urllib.request.Request(  # noqa: S310  (our own address)
        f"{url}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  (our own address)
        return json.load(answer)["data"]["workspaceOrError"]["locationEntries"]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_it_serves_refuses_a_second_one_and_ends_without_a_trace(site):
    port = free_port()
    process = start(site, port)
    url = process.stdout.readline().strip()  # blocks until it answers, or ends
    assert url == f"http://127.0.0.1:{port}", (site / "up.err").read_text()
    (entry,) = locations(url)
    assert (entry["name"], entry["locationOrLoadError"]["__typename"]) == ("neverwinter", "RepositoryLocation")

    second = start(site, free_port())
    assert second.wait(60) == 2
    assert "runs already" in (site / "up.err").read_text()

    children = family(process)
    assert len(children) >= 3
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    assert gone(children)
    assert process.stdout.read() == ""


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE)
def test_when_it_is_killed_nothing_stays_and_the_next_one_starts(site):
    process = start(site, free_port())
    assert process.stdout.readline(), (site / "up.err").read_text()
    children = family(process)
    process.kill()
    assert gone(children)
    process.wait(30)
    with locked(site / "home") as held:  # the kernel let go of it
        assert held is None


DEAF = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
FAMILY = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"


def test_when_one_dies_while_all_start_it_is_named_and_the_others_are_ended_too(tmp_path):
    children = Children(tmp_path / "logs", dict(os.environ), lambda: False)
    deaf, parent = children.start("deaf", ["-c", DEAF]), children.start("parent", ["-c", FAMILY])
    children.wait(deaf, lambda: deaf.log.read_text() == "deaf\n")
    children.wait(parent, lambda: bool(psutil.Process(parent.process.pid).children()))
    started = [psutil.Process(one.process.pid) for one in (deaf, parent)]
    started += started[1].children()
    short = children.start("short", ["-c", "print('out of memory'); raise SystemExit(3)"])
    with pytest.raises(NeverwinterError, match=r"the short ended with code 3: out of memory"):
        children.wait(short, lambda: False)
    children.stop(patience=1)
    assert gone(started)


def test_one_that_was_stopped_or_lost_its_leader_is_ended_with_all_it_started(tmp_path):
    children = Children(tmp_path / "logs", dict(os.environ), lambda: False)
    stopped = children.start("stopped", ["-c", "import time; time.sleep(600)"])
    parent = children.start("parent", ["-c", FAMILY])
    children.wait(parent, lambda: bool(psutil.Process(parent.process.pid).children()))
    (run,) = psutil.Process(parent.process.pid).children()
    stopped.process.send_signal(signal.SIGSTOP)
    run.suspend()
    parent.process.kill()
    children.end(parent, patience=1)
    assert gone([run])
    children.stop(patience=30)
    assert stopped.process.returncode == -signal.SIGTERM  # it was continued, and heard


def test_the_log_of_the_one_before_is_kept_and_a_log_that_cannot_be_is_none(tmp_path):
    children = Children(tmp_path / "logs", dict(os.environ), lambda: False)
    children.finish("one", ["-c", "print('first')"])
    with pytest.raises(NeverwinterError, match="the one was killed by signal 9: second"):
        children.finish("one", ["-c", "import os; print('second', flush=True); os.kill(os.getpid(), 9)"])
    assert (tmp_path / "logs" / "one.previous.log").read_text() == "first\n"
    (tmp_path / "logs" / "two.log").mkdir()
    (tmp_path / "logs" / "two.previous.log").write_text("")  # a folder cannot replace it
    with pytest.raises(NeverwinterError, match=r"the two ended with code 4: it said nothing$"):
        children.finish("two", ["-c", "raise SystemExit(4)"])


def test_a_child_whose_parent_is_gone_before_it_begins_does_not_begin():
    script = ROOT / "nw_platform" / "cli" / "bound_to_parent.py"
    command = [sys.executable, "-I", "-S", str(script), "4194305", sys.executable, "-c", "print('begun')"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")


def test_a_taken_port_is_one_line_and_starts_nothing(site):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        process = start(site, taken.getsockname()[1])
        assert process.wait(60) == 2
    (line,) = (site / "up.err").read_text().splitlines()
    assert line.startswith("nw: port ")
    assert "--port" in line
    assert process.stdout.read() == ""


def test_the_home_is_written_once_and_has_what_the_design_needs(tmp_path):
    home = prepare_home(tmp_path / "work", {})
    assert home == tmp_path / "work" / "dagster"
    settings = yaml.safe_load((home / "dagster.yaml").read_text())
    assert settings["telemetry"]["enabled"] is False
    assert settings["sensors"] == {"use_threads": True, "num_workers": 4}
    assert settings["run_monitoring"]["max_runtime_seconds"] == 900
    assert settings["concurrency"]["pools"] == {"default_limit": 1, "granularity": "run"}
    assert "storage" not in settings
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    prepare_home(tmp_path / "work", {})
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_dagster_accepts_the_settings(tmp_path, monkeypatch):
    import dagster as dg  # noqa: PLC0415  (only here)

    home = prepare_home(tmp_path, {})
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with dg.DagsterInstance.get() as instance:
        assert instance.run_monitoring_enabled
        assert instance.get_settings("sensors")["num_workers"] == 4
        assert not instance.telemetry_enabled
        queue = instance.get_concurrency_config()
        assert queue.run_queue_config.max_concurrent_runs == 6
        assert queue.pool_config.default_pool_limit == 1


def test_postgres_is_a_reference_to_the_environment(tmp_path):
    home = prepare_home(tmp_path, {POSTGRES_VARIABLE: "postgresql://u:secret@h/d"})
    text = (home / "dagster.yaml").read_text()
    assert "secret" not in text
    assert yaml.safe_load(text)["storage"] == {"postgres": {"postgres_url": {"env": POSTGRES_VARIABLE}}}


def test_arrival_hours_are_shown_from_the_first_receipt_on(tmp_path):
    world = World(tmp_path)
    world.write("app/a.log", b"one\n")
    with world.session(format="lines") as session:
        assert _first_arrivals(session.settings) == hour_of(time.time_ns() // 1000)
        world.ingest(session)
        first = hour_of(world.now)
        for _ in range(3):
            world.now += HOUR
            world.write("app/a.log", b"other\n" * (world.now // HOUR % 100))
            world.ingest(session)
        assert _first_arrivals(session.settings) == first
        stream = session.settings.stream("app")
    hours = arrival_hours(stream, datetime.fromisoformat(first).replace(tzinfo=UTC))
    assert hours.get_first_partition_key() == first


def test_a_relative_home_is_refused(tmp_path):
    with pytest.raises(UsageError, match="absolute"):
        prepare_home(tmp_path, {"DAGSTER_HOME": "here"})


def test_one_holder_at_a_time(tmp_path):
    named = rf"\(process {os.getpid()} since noon, http://localhost:1\); stop it"
    with locked(tmp_path, "since noon, http://localhost:1"), pytest.raises(UsageError, match=named), locked(tmp_path):
        pytest.fail("two holders")
    with locked(tmp_path) as held:  # the first let go
        assert held is None


def test_what_a_stale_lock_file_says_keeps_nobody_out(tmp_path):
    (tmp_path / "nw-up.lock").write_text("1 since yesterday, http://localhost:1\n" * 3)
    with locked(tmp_path, "since now"):
        assert (tmp_path / "nw-up.lock").read_text() == f"{os.getpid()} since now"


def test_a_home_on_a_full_disk_is_one_line_with_the_fix(tmp_path):
    prepare_home(tmp_path, {})
    home = tmp_path / "dagster"
    assert home_problem(home) == ""
    assert not (home / ".nw-up-probe").exists()
    (home / ".nw-up-probe").symlink_to("/dev/full")
    problem = (
        f"DAGSTER_HOME {home} cannot be written (No space left on device); the disk is full: free some space there, or "
        "set DAGSTER_HOME to another folder"
    )
    assert home_problem(home) == problem
    with pytest.raises(UsageError) as told:
        prepare_home(tmp_path, {})
    assert str(told.value) == problem


def test_a_disk_that_runs_full_while_all_starts_is_the_reason_that_is_told(site, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("DAGSTER_HOME", str(home))

    def fail(*_):
        (home / ".nw-up-probe").symlink_to("/dev/full")
        raise NeverwinterError("the prepare ended with code 1: ) ] (Background on this error")

    monkeypatch.setattr(up._Platform, "serve", fail)
    settings = load(str(site / "neverwinter.yaml"))
    with pytest.raises(NeverwinterError, match=rf"^DAGSTER_HOME {home} cannot be written .* the disk is full"):
        up.serve(settings, Output(), host="127.0.0.1", port=free_port())


def test_a_home_that_cannot_be_made_or_locked_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"file/home cannot be written \(Not a directory\); set DAGSTER_HOME"):
        prepare_home(tmp_path, {"DAGSTER_HOME": str(tmp_path / "file" / "home")})
    (tmp_path / "nw-up.lock").mkdir()
    with pytest.raises(UsageError, match=r"lock file .* cannot be written \(Is a directory\)"), locked(tmp_path):
        pytest.fail("locked")


def test_a_disk_that_cannot_lock_is_not_taken_for_another_nw_up(tmp_path, monkeypatch):
    def cannot(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", cannot)
    with (
        pytest.raises(UsageError, match=r"cannot be locked \(No locks available\); set DAGSTER_HOME"),
        locked(tmp_path),
    ):
        pytest.fail("locked")
