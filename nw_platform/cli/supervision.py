"""Restarts processes of `nw up` that have ended or do not answer, reports it, and gives up after too many restarts."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

import psutil

from nw_platform.alerts.processes import ProcessNews
from nw_platform.cli.children import Child, Children
from nw_platform.cli.output import Output, clock
from nw_platform.cli.vital_signs import NoSign, Pace, Sign, stopped_processes
from nw_platform.errors import NeverwinterError
from nw_platform.record.hours import to_iso

__all__ = ["Part", "Supervisor"]

_TURN_S: Final = 0.2  # pause between two turns of the main loop
_END_S: Final = 5.0  # grace period for a process that is asked to end
_GAP_S: Final = 15.0  # a turn that took longer means that this process itself stood still and saw nothing
_HOME_S: Final = 30.0  # between two checks that DAGSTER_HOME can be written
_DAEMON: Final = "daemon"
_REPAIR: Final = "see {name}.log and {name}.previous.log in the folder logs of DAGSTER_HOME"


def _nothing() -> None:
    """Do nothing: the default for a part that needs no look and no preparation."""


@dataclass(slots=True)
class Part:
    """One process that is kept at work.

    Attributes:
        name: `daemon` and so on.
        arguments: returns the command-line arguments for the next start.
        sign: remembers the signs of life and names the problem if they stay away.
        look: asks the process for a sign of life and feeds `sign`; may take as long as `Pace.timeout`.
        prepare: is called before it is started again (after a clock jump, `mend_clock` is called instead).
        child: the running process; None while the part waits to be started.
        restarts: times of the planned restarts (monotonic seconds); those older than `Pace.window` are dropped.
        wait_until: earliest time of the next start (monotonic seconds).
        trouble: the last problem, and when it was seen (microseconds since the epoch).
    """

    name: str
    arguments: Callable[[], Sequence[str]]
    sign: Sign = field(default_factory=NoSign)
    look: Callable[[], None] = _nothing
    prepare: Callable[[], None] = _nothing
    child: Child | None = None
    restarts: list[float] = field(default_factory=list)
    wait_until: float = 0.0
    trouble: tuple[str, int] | None = None


class Supervisor:
    """Looks after the parts until the end is asked for."""

    def __init__(
        self,
        children: Children,
        parts: Sequence[Part],
        pace: Pace,
        out: Output,
        tell: Callable[[Sequence[ProcessNews]], None],
        *,
        home_problem: Callable[[], str],
        mend_clock: Callable[[], None],
    ) -> None:
        self._children, self._parts, self._pace, self._out = children, parts, pace, out
        self._publish, self._home_problem, self._mend_clock = tell, home_problem, mend_clock
        self._told: list[ProcessNews] = []
        self._stopped: dict[psutil.Process, float] = {}  # since when they are seen to be stopped
        self._looked_for_stopped = self._looked_at_home = self._turned = time.monotonic()
        self._wall = time.time()
        self._home_trouble: tuple[str, int] | None = None

    def keep(self) -> None:
        """Check every part each turn, and restart those that do not work, until the end is asked for.

        Raises:
            NeverwinterError: a part failed again after all the restarts that `Pace.waits` allows.
        """
        with self._looking():
            while not self._children.stopping():
                now = time.monotonic()
                self._after_a_clock_jump(self._after_a_gap(now))
                self._look_for_stopped(now)
                for part in self._parts:
                    self._look_after(part, now)
                self._look_at_home(now)
                self._tell(now)
                time.sleep(_TURN_S)

    @contextmanager
    def _looking(self) -> Iterator[None]:
        """Call each part's `look` in a thread of its own, so that a slow answer of one delays no other."""
        done = threading.Event()

        def look_again(part: Part) -> None:
            while not done.is_set():
                time.sleep(self._pace.look)
                with contextlib.suppress(Exception):  # what cannot be seen is no sign of life
                    part.look()

        for part in self._parts:
            threading.Thread(target=look_again, args=(part,), daemon=True, name=f"look-{part.name}").start()
        try:
            yield
        finally:
            done.set()

    def _after_a_gap(self, now: float) -> float:
        """Return how long the last turn took, and forget what was seen if that was long.

        This process was stopped then, or the machine slept: nothing was seen meanwhile, so nothing is late. If the
        monotonic clock went back, which some virtual machines are said to do, that is taken for the same.
        """
        took = now - self._turned
        if not 0 <= took <= _GAP_S:
            for part in self._parts:
                part.sign.reset(now)
                part.restarts = [min(at, now) for at in part.restarts]
                part.wait_until = min(part.wait_until, now)
            self._stopped.clear()
            self._looked_for_stopped = self._looked_at_home = now
        self._turned = now
        return max(0.0, took)

    def _after_a_clock_jump(self, took: float) -> None:
        """Dagster does not tick while its last tick lies in the future: after a clock was set back, that is mended."""
        wall = time.time()
        jump = wall - self._wall - took
        self._wall = wall
        if abs(jump) <= self._pace.clock_jump:
            return
        self._say(f"the clock was set {'back' if jump < 0 else 'forward'} by {abs(jump):.0f} s")
        for part in self._parts:
            if part.name == _DAEMON and jump < 0 and part.child is not None:
                self._children.end(part.child, _END_S)
                part.child = None
                self._try_to_start(part, self._mend_clock)

    def _look_for_stopped(self, now: float) -> None:
        """Take down which processes are stopped, and end runs that are: they would hold their place for ever."""
        if now - self._looked_for_stopped < min(self._pace.look, self._pace.stopped):
            return
        self._looked_for_stopped = now
        leaders = [part.child.process.pid for part in self._parts if part.child is not None]
        seen = [process for pid in leaders for process in stopped_processes(pid)]
        self._stopped = {process: self._stopped.get(process, now) for process in seen}
        for process, since in self._stopped.items():
            if process.pid not in leaders and now - since >= self._pace.stopped:
                self._say(f"a run (process {process.pid}) is stopped (SIGSTOP) and was ended")
                with contextlib.suppress(psutil.Error):
                    process.kill()

    def _is_stopped(self, child: Child, now: float) -> bool:
        since = [at for process, at in self._stopped.items() if process.pid == child.process.pid]
        return bool(since) and now - since[0] >= self._pace.stopped

    def _look_after(self, part: Part, now: float) -> None:
        """Start a part that waits for it; end one that does not work."""
        if part.child is None:
            if now >= part.wait_until:
                self._try_to_start(part, part.prepare)
            return
        problem = self._problem(part, part.child, now)
        if problem and not self._children.stopping():
            self._children.end(part.child, _END_S)
            part.child = None
            self._plan_restart(part, problem)

    def _problem(self, part: Part, child: Child, now: float) -> str:
        """Return one line that says what is wrong with a part, or an empty string if it works."""
        if child.ended():
            return child.last_words()
        if self._is_stopped(child, now):
            return f"the {part.name} is stopped (SIGSTOP)"
        problem = part.sign.problem(now)
        return f"the {part.name} {problem}" if problem else ""

    def _plan_restart(self, part: Part, problem: str) -> None:
        """Record and report the problem, and set when the part is started again.

        Raises:
            NeverwinterError: the part was already restarted as often as `Pace.waits` allows within `Pace.window`.
        """
        now, pace = time.monotonic(), self._pace
        part.restarts = [at for at in part.restarts if now - at < pace.window]
        part.trouble = (problem, clock())
        restart_count = len(part.restarts)
        if restart_count >= len(pace.waits):
            self._tell(now)
            again = f"it was started again {restart_count} times in {pace.window / 60:.0f} minutes"
            raise NeverwinterError(f"{problem}; {again}, and nw up ends{self._because_of_home()}")
        part.restarts.append(now)
        part.wait_until = now + pace.waits[restart_count]
        self._say(f"{problem}; starting it again ({restart_count + 1} of {len(pace.waits)}){self._because_of_home()}")
        self._tell(now)

    def _try_to_start(self, part: Part, prepare: Callable[[], None]) -> None:
        """Start a part; if that is not possible, it is tried again as if it had ended."""
        try:
            prepare()
            if not self._children.stopping():
                part.child = self._children.start(part.name, part.arguments())
        except (NeverwinterError, OSError) as error:
            self._plan_restart(part, f"the {part.name} cannot be started: {' '.join(str(error).split())}")
        part.sign.reset(self._no_gap())

    def _no_gap(self) -> float:
        """Begin the turn anew, so that a slow start does not look like a gap or a clock jump; return the time."""
        now = time.monotonic()
        self._wall += now - self._turned
        self._turned = now
        return now

    def _look_at_home(self, now: float) -> None:
        if now - self._looked_at_home < _HOME_S:
            return
        self._looked_at_home = now
        problem = self._home_problem()
        if problem and self._home_trouble is None:
            self._say(problem)
            self._home_trouble = (problem, clock())
        elif not problem and self._home_trouble is not None:
            self._say("DAGSTER_HOME can be written again")
            self._home_trouble = None

    def _because_of_home(self) -> str:
        problem = self._home_problem()
        return f"; {problem}" if problem else ""

    def _tell(self, now: float) -> None:
        """Publish the state of all parts and of DAGSTER_HOME to the alerts, if it has changed since the last time."""
        news = [self._news(part, now) for part in self._parts]
        home, since = self._home_trouble or ("", None)
        repair = "free some space there, or mount it for writing"
        news.append(ProcessNews("home", not home, home or "DAGSTER_HOME can be written", since, repair, "error"))
        if news != self._told:
            self._told = news
            with contextlib.suppress(OSError):  # alerts come late; the processes are looked after all the same
                self._publish(news)

    def _news(self, part: Part, now: float) -> ProcessNews:
        last = max(part.restarts, default=None)
        if part.trouble is None or last is None or (part.child is not None and now - last > self._pace.calm):
            return ProcessNews(part.name, works=True, message=f"the {part.name} works")
        problem, since = part.trouble
        count = f"{len(part.restarts)} of {len(self._pace.waits)}"
        what = "it is being started again" if part.child is None else "it was started again"
        message = f"{problem}; {what} ({count} since {to_iso(since)})"
        return ProcessNews(part.name, works=False, message=message, since=since, repair=_REPAIR.format(name=part.name))

    def _say(self, text: str) -> None:
        """Print a note, and go on if it cannot be written (a full disk, a closed pipe)."""
        with contextlib.suppress(OSError):
            self._out.note(text)
