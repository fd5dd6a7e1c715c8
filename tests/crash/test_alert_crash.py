"""Daemons that evaluate alerts are killed after every step and at any moment: no message is lost, repeats have one id.

The failure is the one that started this project: a file that comes five days late. Processes, lake and SIGKILLs are
real, time is simulated; a daemon that died is started again and is given the same time once more.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from crash.alert_daemon import CAME, DUE, HOUR, MINUTE, START

from nw_platform.alerts.steps import AlertStep

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
FILE = "dialer-2026-11-22.csv"

# An hour is enough to meet every step: opened, reminded, escalated, reminded again, resolved.
SHORT = [DUE - 10 * MINUTE, *range(DUE, DUE + 130 * MINUTE, 10 * MINUTE), CAME, CAME + MINUTE]
# Each minute around what is to happen, each ten minutes of the rest.
LONG = sorted(
    {
        *range(START, START + 8 * 24 * HOUR, 10 * MINUTE),
        *(hour + n * MINUTE for hour in range(DUE, CAME + HOUR, HOUR) for n in range(-2, 3)),
        *(at // MINUTE * MINUTE + n * MINUTE for at in (DUE + 90 * MINUTE, CAME) for n in range(-2, 4)),
    }
)
# Which of the times that a step is reached the kill comes at. At the first look after DUE something is judged first.
STEPS = {
    AlertStep.TABLE_CREATED: (1,),
    AlertStep.JUDGED: (2, 8),
    AlertStep.WRITTEN: (1, 2, 5),
    AlertStep.CLAIMED: (1, 2, 5),
    AlertStep.SENT: (1, 2, 5, 6),
    AlertStep.OUTCOME_WRITTEN: (1, 2, 5),
    AlertStep.OUTCOME_COMMITTED: (1, 2, 5),
    AlertStep.REMEMBERED: (1, 2, 5),
}
REPEATING = {AlertStep.SENT, AlertStep.OUTCOME_WRITTEN}  # between sending and saying so


class Daemon:
    """A process that evaluates when it is told the time."""

    def __init__(self, root: Path, name: str = "a", work: str = "work", crash_at: str = "") -> None:
        environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}", "NW_CRASH_AT": crash_at}
        command = [sys.executable, str(HERE / "alert_daemon.py"), str(root), name, work]
        self.process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.has_started = self.process.stdout.readline() == "ready\n"

    def tell(self, now: int) -> None:
        try:
            self.process.stdin.write(f"{now}\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass

    def has_done(self) -> bool:
        """Whether it evaluated; False: it is dead. Any end but a kill is the test's failure."""
        if self.process.stdout.readline():
            return True
        said = self.process.communicate()[1]
        assert self.process.returncode == -signal.SIGKILL, said[-3000:]
        return False

    def evaluate(self, now: int) -> bool:
        self.tell(now)
        return self.has_done()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def started():
    daemons: list[Daemon] = []

    def start(*arguments, **options) -> Daemon:
        daemons.append(Daemon(*arguments, **options))
        assert daemons[-1].has_started
        return daemons[-1]

    yield start
    for daemon in daemons:
        daemon.end()


def messages(root: Path) -> list[dict]:
    return [json.loads(line) for line in (root / "outbox").read_text(encoding="utf-8").splitlines()]


def told(found: list[dict]) -> list[tuple[str, str, int]]:
    """(transition, channel, when it was sent) of each message, repeats left out."""
    first = {(one["channel"], one["id"]): one for one in reversed(found)}
    kept = sorted(first.values(), key=lambda one: (one["at"], one["transition"], one["channel"] != "ops"))
    assert {one["subject"] for one in kept} == {FILE}
    return [(one["transition"], one["channel"], one["at"]) for one in kept]


def expected(times: list[int]) -> list[tuple[str, str, int]]:
    """The messages that these looks have to make: each at the first look that is not before it is due."""

    def first(due: int) -> int:
        return min(at for at in times if at >= due)

    hours = [h for h in range(1, (CAME - DUE) // HOUR + 1) if first(DUE + h * HOUR) < DUE + h * HOUR + 10 * MINUTE]
    found = [("opened", "ops", first(DUE)), ("reminded", "boss", first(DUE + 90 * MINUTE))]
    found += [("reminded", "ops", first(DUE + h * HOUR)) for h in hours]
    found += [("resolved", channel, first(CAME)) for channel in ("ops", "boss")]
    return sorted(found, key=lambda one: (one[2], one[0], one[1] != "ops"))


def repeats(found: list[dict]) -> int:
    """How many messages were sent again; all that says the same has the same id."""
    ids = Counter((one["channel"], one["id"]) for one in found)
    what = {(one["channel"], one["transition"], one["time"]) for one in found}
    assert len(what) == len(ids)
    return len(found) - len(ids)


def test_every_step_has_a_kill():
    assert set(STEPS) == set(AlertStep)


def test_the_expected_messages_are_those_of_the_failure():
    """Opened, an hourly reminder for five days and seven hours, one escalation, resolved: and no others."""
    found = expected(LONG)
    assert Counter(transition for transition, _, _ in found) == {"opened": 1, "reminded": 127 + 1, "resolved": 2}
    assert found[0] == ("opened", "ops", DUE)
    assert CAME <= found[-1][2] < CAME + MINUTE


@pytest.mark.parametrize(("step", "nth"), [(step, nth) for step, nths in STEPS.items() for nth in nths])
def test_a_kill_after_a_step_loses_nothing_and_repeats_at_most_one_message(tmp_path, started, step, nth):
    daemon = started(tmp_path, crash_at=f"{step}:{nth}")
    kills = 0
    for now in SHORT:
        while not daemon.evaluate(now):
            kills += 1
            daemon = started(tmp_path)  # on the same machine: it need not wait for the dead one's claim
    assert kills == 1
    found = messages(tmp_path)
    assert told(found) == expected(SHORT)
    assert repeats(found) == 0 if step not in REPEATING else repeats(found) in {1, 2}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", range(int(os.environ.get("NW_CRASHES", "1"))))
def test_kills_at_any_moment_over_five_days(tmp_path, started, seed):
    chance = random.Random(seed)  # noqa: S311  (a test's dice)
    daemon, kills = started(tmp_path), 0
    due = {at for _, _, at in expected(LONG)}
    for now in LONG:
        will_die = chance.random() < (0.15 if now in due else 0.003)
        killer = threading.Timer(chance.uniform(0, 0.15), daemon.process.kill) if will_die else None
        daemon.tell(now)
        if killer is not None:
            killer.start()
            killer.join()  # it dies in this evaluation, or right after it
            daemon.process.wait(60)
            kills += 1
            daemon = started(tmp_path)
            assert daemon.evaluate(now)
        else:
            assert daemon.has_done()
    found = messages(tmp_path)
    assert kills > 10
    assert told(found) == expected(LONG)
    assert repeats(found) <= kills


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_two_daemons_at_once_tell_each_transition_exactly_once(tmp_path, started):
    daemons = [started(tmp_path, name, f"work-{name}") for name in ("a", "b")]
    times = LONG[LONG.index(DUE) - 4 :]
    for now in times:
        for daemon in daemons:
            daemon.tell(now)
        assert all([daemon.has_done() for daemon in daemons])  # noqa: C419  (each has to be asked)
    found = messages(tmp_path)
    assert told(found) == expected(times)
    assert repeats(found) == 0
    by = Counter(one["by"] for one in found)
    assert min(by["a"], by["b"]) > 0, by  # they did race


def test_what_a_daemon_on_another_machine_left_is_sent_when_its_claim_ends(tmp_path, started):
    dying = started(tmp_path, "a", "work-a", crash_at=f"{AlertStep.CLAIMED}:1")
    other = started(tmp_path, "b", "work-b")
    assert not dying.evaluate(DUE)
    for minute in range(4):
        assert other.evaluate(DUE + minute * MINUTE)
        assert (tmp_path / "outbox").exists() == (minute >= 2)
    assert told(messages(tmp_path)) == [("opened", "ops", DUE + 2 * MINUTE)]
