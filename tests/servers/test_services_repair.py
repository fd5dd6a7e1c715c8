"""What is found after a crash, and what ends with whom. A process with the mark plays the service: no Java here."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nw_platform.errors import UsageError
from nw_platform.services import processes
from nw_platform.services.kafka import Kafka

ROOT = Path(__file__).resolve().parents[2]
SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


def wait_until(true, seconds=30):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def stranger():
    process = subprocess.Popen(SLEEP)
    yield process
    process.kill()
    process.wait()


# It hears SIGTERM whatever the process that starts it does with signals, and says when.
HEARING = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_DFL);"
    "signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM}); print(1, flush=True); time.sleep(600)"
)


def pretend(service):
    """A process that looks like the service's. Returns once it can be found."""
    service._claim()
    command = [sys.executable, "-c", HEARING, processes.mark(service.folder)]
    process = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE)
    process.stdout.readline()
    wait_until(lambda: processes.find(processes.mark(service.folder)))
    return process


def write_pid(service, pid):
    service.folder.mkdir(parents=True, exist_ok=True)
    written = {"pid": pid, "ports": {"broker": 1, "controller": 2}}
    (service.folder / "process.json").write_text(json.dumps(written))


def test_a_pid_that_is_now_another_process_is_not_ours(tmp_path, stranger):
    service = Kafka(tmp_path)
    write_pid(service, stranger.pid)
    assert service.process() is None
    assert service.status() is None
    assert service.down() is False
    service.kill()
    assert stranger.poll() is None


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": "x", "ports": {}}', '{"pid": 1}', '{"pid": 1, "ports": []}']
)
def test_a_broken_pid_file_is_no_process(tmp_path, content):
    service = Kafka(tmp_path)
    service.folder.mkdir()
    (service.folder / "process.json").write_text(content)
    assert service.process() is None
    assert service.status() is None


def test_a_process_whose_pid_file_is_lost_is_found_and_ended(tmp_path):
    service, neighbour = Kafka(tmp_path / "a"), Kafka(tmp_path / "ab")
    ours, theirs = pretend(service), pretend(neighbour)
    try:
        assert service.down(purge=True) is True
        assert ours.wait(10) == -signal.SIGTERM
        assert theirs.poll() is None
        assert not service.folder.exists()
    finally:
        theirs.kill()
        theirs.wait()


def test_a_folder_of_something_else_is_neither_written_to_nor_deleted(tmp_path):
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    (tmp_path / "kafka" / "data" / "mine").write_text("precious")
    service = Kafka(tmp_path)
    with pytest.raises(UsageError, match=r"holds something else.*--dir"):
        service.up()
    assert service.down(purge=True) is False
    assert {path.name for path in tmp_path.rglob("*")} == {"kafka", "kafka.lock", "data", "mine"}


def test_a_process_that_ignores_sigterm_is_killed(tmp_path):
    mark = processes.mark(tmp_path)
    deaf = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", deaf, mark], stdout=subprocess.PIPE)
    process.stdout.readline()
    processes.stop(process.pid, mark, patience=0.1)
    assert process.wait(10) == -signal.SIGKILL
    process.stdout.close()


def test_free_ports_are_free_and_out_of_the_way_of_outgoing_connections():
    ports = processes.free_ports(8)
    assert len(set(ports)) == 8
    kernel = Path("/proc/sys/net/ipv4/ip_local_port_range")
    lowest = int(kernel.read_text().split()[0]) if kernel.exists() else 49152
    assert all(processes.is_free(port) and not processes.listens(port) and port < lowest for port in ports)


USER = """
import sys
from pathlib import Path
from nw_platform.services.guardian import guarded
with guarded(Path(sys.argv[1])):
    print("using", flush=True)
    sys.stdin.readline()
"""


def user(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", USER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert process.stdout.readline() == b"using\n"
    return process


def leave(process, how):
    if how == "killed":
        process.kill()
        process.wait()
    else:
        process.communicate(b"\n", timeout=30)
        assert process.returncode == 0
    process.stdin.close()
    process.stdout.close()


@pytest.mark.parametrize("how", ["killed", "left"])
def test_services_end_with_their_last_user(tmp_path, how):
    folder = tmp_path / "run"
    first, second = user(folder), user(folder)
    services = [Kafka(folder / "shared"), Kafka(folder / "own" / "0")]
    for service in services:
        with service._locked():
            pass
    running = [pretend(service) for service in services]
    leave(first, how)
    third = user(folder)
    leave(second, how)
    assert [process.poll() for process in running] == [None, None]
    leave(third, how)
    assert [process.wait(30) for process in running] == [-signal.SIGKILL, -signal.SIGKILL]
    wait_until(lambda: not folder.exists())
    leave(user(folder), how)  # whoever comes then begins anew
    wait_until(lambda: not folder.exists())
