"""`nw up` after each of its processes was killed or stopped: it ticks again within two minutes, and loses nothing."""

from __future__ import annotations

import signal
import time

import pytest
from running_platform import PATIENCE, RunningPlatform, is_gone, until

STREAMS = "{web: {path: 'in/web*.log', format: lines, history: {from: 2024-03-10}}}"
TWO_MINUTES = 120
PARTS = ("code-server", "daemon", "webserver")


@pytest.fixture(scope="module")
def platform(tmp_path_factory):
    """One for all tests of this module. Its home has a long name, with spaces in it."""
    folder = tmp_path_factory.mktemp("site")
    made = RunningPlatform(folder, folder / ("a home " + "with a long name " * 8) / "of dagster", STREAMS).up()
    until(lambda: made.ticks() > 0)
    yield made
    made.end()
    assert made.leftovers() == []


def ticks_again(platform, since):
    """A tick that began after the fault came to its end within two minutes of it."""
    before = platform.ticks()
    until(lambda: platform.ticks() > before + 1, TWO_MINUTES - (time.monotonic() - since))
    print(f"ticks again after {time.monotonic() - since:.0f} s")  # noqa: T201  (a figure)


def all_is_in(platform):
    query = "SELECT count(*) AS records, count(DISTINCT message) AS lines FROM web"

    def asked():
        told = platform.query(query)
        return told is not None and told == {"records": platform.lines, "lines": platform.lines}

    until(asked, PATIENCE, pause=2)


def break_part(platform, name, number):
    broken = until_there(lambda: platform.part(name))
    begun = time.monotonic()
    broken.send_signal(number)
    until(lambda: (now := platform.part(name)) is not None and now.pid != broken.pid, TWO_MINUTES)
    ticks_again(platform, begun)
    assert is_gone(broken)


def until_there(find):
    found = []
    until(lambda: found.append(find()) or found[-1])
    return found[-1]


def work(platform):
    """Let a run begin, and return its process."""
    until(lambda: not platform.worker())
    platform.land()
    until(lambda: platform.runs("STARTED") and platform.worker(), pause=0.02)
    return platform.worker()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_code_server_that_stands_still_is_replaced(platform):
    break_part(platform, "code-server", signal.SIGSTOP)
    assert "the code-server is stopped (SIGSTOP); starting it again (1 of 5)" in platform.said()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_while_a_run_works_and_started_again_it_ends_what_was_left_behind(platform):
    worker = work(platform)
    begun = time.monotonic()
    worker.suspend()  # it outlives its parent for sure
    code = platform.part("code-server")
    platform.process.kill()
    platform.process.wait(30)
    assert worker.is_running()
    platform.up()
    assert is_gone(worker)
    assert is_gone(code)
    (told,) = [line for line in platform.said().splitlines() if "left behind when it was killed" in line]
    assert f"process {code.pid} (code server)" in told  # others may be named, too
    assert "(run)" in told
    ticks_again(platform, begun)
    platform.land()
    all_is_in(platform)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["kill", "stop"])
@pytest.mark.parametrize("name", PARTS)
def test_any_process_that_goes_or_stands_still_is_replaced(platform, name, number):
    break_part(platform, name, number)
    platform.land()
    all_is_in(platform)


@pytest.mark.soak
@pytest.mark.timeout(900)
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["kill", "stop"])
def test_a_run_that_goes_or_stands_still_gives_way_to_the_next(platform, number):
    worker = work(platform)
    begun = time.monotonic()
    worker.send_signal(number)
    until(lambda: is_gone(worker), TWO_MINUTES)
    ticks_again(platform, begun)
    all_is_in(platform)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_while_nw_up_itself_stands_still_ticks_go_on_and_afterwards_nothing_is_started_again(platform):
    platform.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    ticks_again(platform, begun)
    until(lambda: time.monotonic() - begun > TWO_MINUTES, TWO_MINUTES + 10)
    before = {name: platform.part(name).pid for name in PARTS}
    said = platform.said()
    platform.process.send_signal(signal.SIGCONT)
    ticks_again(platform, time.monotonic())
    assert {name: platform.part(name).pid for name in PARTS} == before
    assert platform.said() == said


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_it_ends_and_leaves_nothing_behind_though_all_its_processes_stand_still(platform):
    worker = work(platform)
    everything = [worker, *(platform.part(name) for name in PARTS)]
    for process in everything:
        process.suspend()
    assert platform.end() == 0
    assert all(is_gone(process) for process in everything)
    assert platform.leftovers() == []
    platform.up()
    all_is_in(platform)
