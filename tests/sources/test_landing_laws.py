"""Whatever is done to growing logs, and however often the reader dies: every line comes exactly once."""

from __future__ import annotations

import gzip
import itertools
import os
import shutil
import tempfile
from pathlib import Path

import zstandard
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nw_platform.sources.contract import Budget
from nw_platform.sources.registry import open_source
from tests.sources.lane import Lane

NOW = 4_000_000_000_000_000
PACK = {".gz": gzip.compress, ".zst": zstandard.compress}
NAMES = st.sampled_from(["a.log", "b.log"])


class RotatedLogs(RuleBasedStateMachine):
    """Two logs that are written, rotated, packed, copied and truncated, touched and deleted."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="zone"))
        self.hint = self.folder / ".hint"
        self.expected: list[bytes] = []
        self.open_line: dict[str, bytes] = {}
        self.numbers = itertools.count()
        self.clock = itertools.count(1_700_000_000)
        self.stale: bytes | None = None

    @initialize(
        glob=st.sampled_from(["*.log", "*.log*", "**"]),
        size=st.sampled_from([20, 1000, 1 << 20]),
        hinted=st.booleans(),
    )
    def begin(self, glob, size, hinted):
        self.glob = glob
        cache = self.hint if hinted else None
        self.lane = Lane(
            lambda: open_source("landing", url=str(self.folder), path=glob, growing=True, cache=cache),
            budget=Budget(bytes=size, records=1000, spans=3),
        )

    @rule(name=NAMES, count=st.integers(1, 5), long=st.sampled_from([0, 10, 300]), ended=st.booleans())
    def write(self, name, count, long, ended):
        lines = [b"%d %s" % (next(self.numbers), b"x" * long) for _ in range(count)]
        text = b"\n".join(lines) + (b"\n" if ended else b"")
        with (self.folder / name).open("ab") as file:
            file.write(text)
        lines[0] = self.open_line.pop(name, b"") + lines[0]
        if not ended:
            self.open_line[name] = lines.pop()
        self.expected += lines
        self.tick(name)

    @rule(name=NAMES, pack=st.sampled_from(["", "", ".gz", ".zst"]), copy=st.booleans(), late=st.booleans())
    def rotate(self, name, pack, copy, late):
        path = self.folder / name
        content = path.read_bytes() if path.exists() else b""
        if not content or (self.glob == "*.log" and b"\n" not in content):
            return
        if self.glob == "*.log":  # what leaves the glob is only looked for if it was known before
            self.lane.drain(NOW)
            if late:
                self.write(name, 2, 10, ended=True)
        self.shift(name)
        first = self.folder / f"{name}.1"
        if copy:
            shutil.copy(path, first)
            path.write_bytes(b"")
            self.tick(name)
        else:
            path.rename(first)
        if pack:
            (self.folder / f"{name}.1{pack}").write_bytes(PACK[pack](first.read_bytes()))
            first.unlink()
        if name in self.open_line:
            self.expected.append(self.open_line.pop(name))

    def shift(self, name):
        for number in range(8, 0, -1):
            for suffix in ("", *PACK):
                old = self.folder / f"{name}.{number}{suffix}"
                if old.exists():
                    old.rename(self.folder / f"{name}.{number + 1}{suffix}")

    @rule(name=NAMES)
    def touch(self, name):
        if (self.folder / name).exists():
            self.tick(name)

    @rule(name=NAMES)
    def replace_what_was_read(self, name):
        if (self.folder / name).exists() and name not in self.open_line:
            self.lane.drain(NOW)
            line = b"%d" % next(self.numbers)
            (self.folder / name).write_bytes(line + b"\n")
            self.expected.append(line)
            self.tick(name)

    @rule()
    def delete_what_was_read(self):
        for name in ("a.log", "b.log"):  # with the original beside it, a rotated file is known to be one
            self.write(name, 1, 0, ended=True)
        self.lane.drain(NOW)
        for path in self.folder.glob("*.log.*"):
            path.unlink()

    @rule()
    def ingest(self):
        self.lane.step(NOW)

    @rule()
    def plan_only(self):
        self.lane.source.plan(NOW, self.lane.budget)

    @rule(hint=st.sampled_from(["kept", "saved", "deleted", "stale", "damaged"]))
    def crash(self, hint):
        if hint == "saved":
            self.lane.source.close()
        if hint == "deleted":
            self.hint.unlink(missing_ok=True)
        if hint == "stale" and self.stale is not None:
            self.hint.write_bytes(self.stale)
        if hint == "damaged" and self.hint.exists():
            self.hint.write_bytes(self.hint.read_bytes()[:-7])
        elif self.hint.exists():
            self.stale = self.hint.read_bytes()
        self.lane.crash()

    @precondition(lambda self: hasattr(self, "lane"))
    @invariant()
    def nothing_twice(self):
        assert len(set(self.lane.values)) == len(self.lane.values)
        self.lane.check()

    def teardown(self):
        if not hasattr(self, "lane"):
            return
        for name in ("a.log", "b.log"):  # ends the last line, and shows that all others were rotated
            self.write(name, 1, 0, ended=True)
        self.lane.drain(NOW)
        assert self.lane.problems == []
        assert sorted(self.lane.values) == sorted(self.expected)
        self.lane.check()
        assert self.lane.source.positions()["bytes"] == sum(span.end - span.start for span in self.lane.spans)
        shutil.rmtree(self.folder)

    def tick(self, name):
        at = next(self.clock)
        os.utime(self.folder / name, (at, at))


RotatedLogs.TestCase.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestEveryLineOfAGrowingLogComesOnce = RotatedLogs.TestCase
