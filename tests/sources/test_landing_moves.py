"""Whatever is done to the names of logs: no line is lost without a finding, and none is repeated without one."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from nw_platform.sources.registry import open_source
from tests.sources.lane import Lane

NOW = 4_000_000_000_000_000
NAMES = st.sampled_from(["a.log", "b.log"])


class MovedLogs(RuleBasedStateMachine):
    """Two logs with equal beginnings that are renamed, moved, recreated, linked and replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="zone"))
        self.expected: Counter[bytes] = Counter()
        self.kinds: set[str] = set()
        self.numbers = itertools.count()
        self.clock = itertools.count(1_700_000_000)
        self.away = 0  # files moved to where nobody looks

    @initialize(glob=st.sampled_from(["[ab].log", "*.log", "*.log*"]), declared=st.booleans(), hinted=st.booleans())
    def begin(self, glob, declared, hinted):
        rotated = ["old/*"] if declared else []
        cache = self.folder / ".hint" if hinted else None
        self.declared = declared
        self.lane = Lane(
            lambda: open_source("landing", url=str(self.folder), path=glob, growing=True, rotated=rotated, cache=cache)
        )
        (self.folder / "old").mkdir()
        for name in ("a.log", "b.log"):
            self.append(name, b"banner")
        self.drain()

    def append(self, name, *lines):
        with (self.folder / name).open("ab") as file:
            file.writelines(line + b"\n" for line in lines)
        self.expected.update(lines)
        at = next(self.clock)
        os.utime(self.folder / name, (at, at))

    def number(self):
        return b"%d" % next(self.numbers)

    def drain(self):
        self.lane.drain(NOW)
        self.kinds |= {problem.kind for problem in self.lane.problems}
        self.kinds |= {p["kind"] for receipt in self.lane.receipts for p in receipt.detail.get("problems", ())}

    def begin_again(self, name):
        self.append(name, b"banner", self.number())

    @rule(name=NAMES, count=st.integers(1, 3))
    def write(self, name, count):
        self.append(name, *(self.number() for _ in range(count)))

    @rule(
        name=NAMES, late=st.booleans(), form=st.sampled_from(["{0}-{1}.log", "{0}.{1}.log", "{0}.log.{1}", "x{1}.txt"])
    )
    def rename(self, name, late, form):
        self.drain()
        if late:
            self.write(name, 1)
        (self.folder / name).rename(self.folder / form.format(name[0], next(self.clock)))
        self.begin_again(name)
        self.drain()

    @rule(name=NAMES, late=st.booleans())
    def move_to_another_folder(self, name, late):
        self.drain()
        if late:
            self.write(name, 1)
        (self.folder / name).rename(self.folder / "old" / f"{name}.{next(self.clock)}")
        self.begin_again(name)
        self.drain()
        if not self.declared:
            assert self.kinds & {"missing", "vanished"}

    @rule(name=NAMES, keep_inode=st.booleans())
    def recreate_with_the_same_beginning(self, name, keep_inode):
        self.drain()
        content = (self.folder / name).read_bytes()
        if keep_inode:  # somebody else has the inode: the new file gets another one
            os.link(self.folder / name, self.folder / f".held{next(self.clock)}")
        (self.folder / name).unlink()  # usually the new file gets the inode of the old one
        self.append(name, *content.splitlines(), self.number())
        self.drain()

    @rule(name=NAMES)
    def link(self, name):
        link = self.folder / f"{name[0]}-link.log"
        if not link.exists():
            os.link(self.folder / name, link)

    @rule(name=NAMES)
    def replace_by_rename(self, name):
        self.drain()
        copy = self.folder / ".tmp"
        shutil.copy2(self.folder / name, copy)
        line = self.number()
        with copy.open("ab") as file:
            file.write(line + b"\n")
        self.expected[line] += 1
        at = next(self.clock)
        os.utime(copy, (at, at))
        copy.rename(self.folder / name)
        self.drain()

    @rule()
    def ingest(self):
        self.drain()

    @rule()
    def crash(self):
        self.lane.crash()

    def teardown(self):
        if not hasattr(self, "lane"):
            return
        self.drain()
        read = Counter(self.lane.values)
        lost, repeated = self.expected - read, read - self.expected
        assert not lost or self.kinds & {"missing", "vanished"}, lost
        assert not repeated or "repeat" in self.kinds, repeated
        self.lane.check()
        shutil.rmtree(self.folder)


MovedLogs.TestCase.settings = settings(
    max_examples=40, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
)
TestNothingIsLostOrRepeatedInSilence = MovedLogs.TestCase
