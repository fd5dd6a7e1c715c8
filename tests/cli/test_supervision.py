"""What `nw up` does about a process that does not work, with processes that are none."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import pairwise

import pytest

from nw_platform.cli import supervision
from nw_platform.cli.output import Output
from nw_platform.cli.supervision import Part, Supervisor
from nw_platform.cli.vital_signs import Pace
from nw_platform.errors import NeverwinterError


class FakeProcess:
    pid = 4_194_305  # more than the largest there is

    def __init__(self):
        self.returncode = None


class FakeChild:
    def __init__(self, name):
        self.name, self.process, self.words = name, FakeProcess(), ""

    def ended(self):
        return bool(self.words)

    def last_words(self):
        return f"the {self.name} ended with code 1: {self.words}"


class FakeChildren:
    """Starts and ends nothing, and writes down what it was asked for. Time goes on with every turn."""

    def __init__(self, world):
        self.world, self.log, self.refuse = world, [], ""

    def stopping(self):
        return self.world.turn()

    def start(self, name, arguments):
        assert arguments == [name]
        if self.refuse:
            raise NeverwinterError(self.refuse)
        self.log.append(("start", name, self.world.now))
        return FakeChild(name)

    def end(self, child, patience):
        assert patience < 15
        self.log.append(("end", child.name, self.world.now))


class FakeSign:
    def __init__(self):
        self.wrong, self.resets = "", 0

    def reset(self, now):
        del now
        self.wrong, self.resets = "", self.resets + 1

    def problem(self, now):
        del now
        return self.wrong


class NoThread:
    """What would look for signs: the tests say what is seen."""

    def start(self):
        pass


class World:
    """A supervisor with two parts, a clock of its own, and events at some of its seconds."""

    def __init__(self, monkeypatch, pace=None):
        self.now, self.wall, self.events, self.until, self.home = 1000.0, 1_800_000_000.0, {}, 3000.0, ""
        monkeypatch.setattr(supervision.time, "monotonic", lambda: self.now)
        monkeypatch.setattr(supervision.time, "time", lambda: self.wall + self.now)
        monkeypatch.setattr(supervision.time, "sleep", self.sleep)
        monkeypatch.setattr(supervision.threading, "Thread", lambda **_: NoThread())
        monkeypatch.setattr(supervision, "clock", lambda: int((self.wall + self.now) * 1e6))
        self.children, self.signs, self.news, self.mended = FakeChildren(self), {}, [], 0
        self.parts = [self.part(name) for name in ("code-server", "daemon")]
        self.errors = io.StringIO()
        self.supervisor = Supervisor(
            self.children, self.parts, pace or Pace(look=1e9), Output(stderr=self.errors), self.news.append,
            home_problem=lambda: self.home, mend_clock=self.mend,
        )  # fmt: skip

    def part(self, name):
        sign = self.signs[name] = FakeSign()
        return Part(name, lambda: [name], sign, child=FakeChild(name))

    def mend(self):
        self.mended += 1

    def sleep(self, seconds):
        self.now += seconds

    def turn(self):
        for at in [at for at in self.events if at <= self.now]:
            self.events.pop(at)()
        return self.now >= self.until

    def at(self, second, event):
        self.events[1000.0 + second] = event

    def kill(self, name, words="it burns"):
        for part in self.parts:
            if part.name == name and part.child is not None:
                part.child.words = words

    def keep(self):
        self.supervisor.keep()
        return [(what, name, round(at - 1000)) for what, name, at in self.children.log]

    def state(self, name):
        return next(one for one in self.news[-1] if one.name == name)


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def test_while_all_work_nothing_is_done_or_said(world):
    assert world.keep() == []
    assert world.errors.getvalue() == ""
    (told,) = world.news
    assert all(one.works for one in told)
    assert [one.name for one in told] == ["code-server", "daemon", "home"]


def test_one_that_died_is_started_again_at_once_and_the_alert_ends_after_a_while(world):
    world.at(100, lambda: world.kill("daemon"))
    assert world.keep() == [("end", "daemon", 100), ("start", "daemon", 100)]
    assert world.errors.getvalue() == "the daemon ended with code 1: it burns; starting it again (1 of 5)\n"
    states = [next(one for one in news if one.name == "daemon") for news in world.news]
    assert [one.works for one in states] == [True, False, False, True]
    assert "it is being started again (1 of 5 since 20" in states[1].message
    assert "it was started again (1 of 5 since 20" in states[2].message
    assert states[2].severity == "warn"
    assert abs(states[2].since - int((world.wall + 1100) * 1e6)) < 1_000_000
    assert world.state("code-server").works


def test_one_that_does_not_answer_is_ended_first(world):
    def silence():
        world.signs["code-server"].wrong = "has not answered for 61 s"

    world.at(100, silence)
    assert world.keep() == [("end", "code-server", 100), ("start", "code-server", 100)]
    assert "the code-server has not answered for 61 s; starting it again" in world.errors.getvalue()


def test_one_that_dies_again_and_again_waits_longer_each_time_and_then_all_ends(world):
    for second in range(10, 400):
        world.at(second, lambda: world.kill("daemon", "no memory"))
    with pytest.raises(NeverwinterError) as told:
        world.keep()
    assert str(told.value) == (
        "the daemon ended with code 1: no memory; it was started again 5 times in 15 minutes, and nw up ends"
    )
    starts = [at - 1000 for what, _, at in world.children.log if what == "start"]
    waits = [later - earlier for earlier, later in pairwise(starts)]
    assert len(starts) == 5
    assert waits == sorted(waits)
    assert waits[-1] >= 30
    assert not world.state("daemon").works


def test_deaths_that_are_far_apart_do_not_add_up(world):
    world.until = 12_000.0
    for second in range(100, 11_000, 300):
        world.at(second, lambda: world.kill("daemon"))
    assert len([one for one in world.keep() if one[0] == "start"]) == len(range(100, 11_000, 300))


def test_one_that_cannot_be_started_is_tried_again_and_named_in_the_end(world):
    def refuse():
        world.children.refuse = "the prepare ended with code 2: neverwinter.yaml: line 3: no such key"
        world.kill("code-server")

    world.at(100, refuse)
    with pytest.raises(NeverwinterError, match=r"the code-server cannot be started: .* line 3: no such key; it was"):
        world.keep()
    assert ("end", "daemon", 100) not in world.children.log


def test_and_goes_on_when_it_can(world):
    def refuse():
        world.children.refuse = "the configuration is broken"
        world.kill("code-server")

    def mend():
        world.children.refuse = ""

    world.at(100, refuse)
    world.at(110, mend)
    assert [what for what, name, _ in world.keep() if name == "code-server"] == ["end", "start"]


def test_after_a_standstill_of_its_own_nothing_is_late(world):
    def sleep():
        world.now += 500
        for sign in world.signs.values():
            sign.wrong = "has not answered for 500 s"

    world.at(100, sleep)
    assert world.keep() == []


def test_a_clock_that_was_set_back_is_mended_before_the_daemon_starts_again(world):
    def back():
        world.wall -= 10_800

    world.at(100, back)
    assert world.keep() == [("end", "daemon", 100), ("start", "daemon", 100)]
    assert world.mended == 1
    assert world.errors.getvalue() == "the clock was set back by 10800 s\n"
    assert world.state("daemon").works  # the daemon did nothing wrong


def test_a_clock_that_takes_the_monotonic_one_back_with_it_is_mended_too(world):
    def back():
        world.now -= 700

    world.until = 2000.0
    world.at(500, back)
    world.at(600, lambda: world.kill("daemon"))
    assert world.keep() == [
        ("end", "daemon", -200),
        ("start", "daemon", -200),
        ("end", "daemon", 600),
        ("start", "daemon", 600),
    ]
    assert world.mended == 1
    assert "the clock was set back by 700 s" in world.errors.getvalue()


def test_a_clock_that_was_set_forward_is_said_and_a_small_step_is_not(world):
    def forward():
        world.wall += 172_800

    def step():
        world.wall -= 30

    world.at(100, forward)
    world.at(200, step)
    assert world.keep() == []
    assert world.mended == 0
    assert world.errors.getvalue() == "the clock was set forward by 172800 s\n"


def test_a_home_that_cannot_be_written_is_said_once_and_told_and_so_is_its_end(world):
    def full():
        world.home = "DAGSTER_HOME /home cannot be written (No space left on device); the disk is full"

    def free():
        world.home = ""

    world.at(100, full)
    world.at(500, free)
    world.keep()
    first, last = world.errors.getvalue().splitlines()
    assert "No space left" in first
    assert last == "DAGSTER_HOME can be written again"
    states = [next(one for one in news if one.name == "home") for news in world.news]
    assert [(one.works, one.severity) for one in states] == [(True, "error"), (False, "error"), (True, "error")]


def test_what_a_full_home_does_to_a_process_is_said_with_its_end(world):
    def full():
        world.home = "DAGSTER_HOME /home cannot be written"
        world.kill("daemon")

    world.at(100, full)
    world.keep()
    assert "starting it again (1 of 5); DAGSTER_HOME /home cannot be written" in world.errors.getvalue()


def test_output_that_goes_nowhere_ends_nothing(monkeypatch):
    class Closed(io.StringIO):
        def write(self, _):
            raise BrokenPipeError

    world = World(monkeypatch)
    world.supervisor._out = Output(stderr=Closed())
    world.at(100, lambda: world.kill("daemon"))
    assert world.keep() == [("end", "daemon", 100), ("start", "daemon", 100)]


class StoppedProcess:
    def __init__(self, pid):
        self.pid, self.killed = pid, 0

    def kill(self):
        self.killed += 1


def test_what_is_stopped_for_long_is_ended(monkeypatch):
    world = World(monkeypatch, replace(Pace(), look=5.0, stopped=15.0))
    world.until = 1072.0
    run, leader, seen = StoppedProcess(7), StoppedProcess(FakeProcess.pid), []
    monkeypatch.setattr(supervision, "stopped_processes", lambda _: list(seen))
    world.parts[:] = world.parts[1:]
    world.at(20, lambda: seen.append(run))
    world.at(30, seen.clear)  # it was continued
    world.at(50, lambda: seen.append(leader))
    log = world.keep()
    assert run.killed == 0
    assert log[0][:2] == ("end", "daemon")
    assert 65 <= log[0][2] <= 71
    assert "the daemon is stopped (SIGSTOP); starting it again (1 of 5)" in world.errors.getvalue()


def test_a_run_that_is_stopped_for_long_is_ended_and_its_parent_stays(monkeypatch):
    world = World(monkeypatch, replace(Pace(), look=5.0, stopped=15.0))
    world.until = 1060.0
    run = StoppedProcess(7)
    monkeypatch.setattr(supervision, "stopped_processes", lambda _: [run])
    assert world.keep() == []
    assert run.killed
    assert "a run (process 7) is stopped (SIGSTOP) and was ended" in world.errors.getvalue()


def test_the_default_pace_finds_what_does_not_work_in_time_for_ticks_within_two_minutes():
    pace = Pace()
    assert max(pace.stopped, pace.silent) + pace.look <= 75
    assert pace.heartbeat + pace.look <= 100
