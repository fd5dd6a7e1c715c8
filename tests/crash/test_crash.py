"""SIGKILL after every step of the protocol, and at any moment: nothing is lost, nothing is there twice.

Each test kills a run, lets the same command run again, and compares the lake with one that nobody disturbed.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from crash.driver import act
from world import HOUR, START, World, sent, wire

from nw_platform.ingest.completeness import hour_balances
from nw_platform.ingest.steps import Step
from nw_platform.ingest.verify import verify

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]

# Which command reaches which steps.
STEPS = {
    "ingest": (
        Step.TABLE_CREATED, Step.GENESIS_COMMITTED, Step.PLANNED, Step.SPAN_READ, Step.RAW_WRITTEN, Step.RAW_COMMITTED,
        Step.RECEIPT_APPENDED, Step.DUPLICATES_WRITTEN, Step.DUPLICATES_COMMITTED, Step.LOGS_WRITTEN,
        Step.LOGS_COMMITTED, Step.DEDUPE_MARKED, Step.DEDUPE_SAVED, Step.SOURCE_ADVANCED,
    ),
    "compact": (Step.COMPACTION_WRITTEN, Step.COMPACTION_COMMITTED),
    "replay": (Step.REPLAY_WRITTEN, Step.REPLAY_COMMITTED, Step.REBUILD_WRITTEN, Step.REBUILD_COMMITTED),
    "rebuild": (Step.REPLAY_COMMITTED, Step.RECEIPT_APPENDED, Step.DUPLICATES_REPLACED, Step.REBUILD_WRITTEN,
                Step.REBUILD_COMMITTED),
    "repair": (Step.REPAIR_WRITTEN, Step.REPAIR_COMMITTED, Step.REPAIR_CAUGHT_UP),
    "build": (Step.REPORT_WRITTEN, Step.REPORT_REPLACED),
    "retention": (Step.RETENTION_RAW_COMMITTED, Step.RETENTION_LOGS_COMMITTED),
}  # fmt: skip
EVERY = [
    (action, step, nth)
    for action, steps in STEPS.items()
    for step in steps
    for nth in (1, 2)[: 1 + (action == "ingest")]
]


def fill(world: World) -> None:
    """Repeats within and across files and hours, rejects, late records; about ten batches."""
    for part in range(6):
        at = START - (part % 3) * HOUR
        lines = []
        for i in range(300):
            fields = {"n": i, "pad": "x" * 40}
            lines.append(sent("s", part * 300 + i, at + i * 1000, fields=fields, at=(at - 5 * HOUR) // 1_000_000))
        lines += [sent("s", part * 300 - i, at, at=at // 1_000_000) for i in range(1, 8) if part]
        lines += [wire(at, id=f"id {part}", at=at // 1_000_000), wire(at, id="id 0"), b"broken\n", b"\xff\n"]
        path = world.write(f"app/{part}.log", b"".join(lines))
        os.utime(path, (START // 1_000_000, START // 1_000_000))


def killed(root: Path, action: str, crash_at: str | None = None, *, after: float | None = None) -> bool:
    """Start a command in a process of its own; kill it at a step, or after so many seconds."""
    environment = {**os.environ, "PYTHONPATH": f"{REPOSITORY}:{REPOSITORY / 'tests'}"}
    environment.update({"NW_CRASH_AT": crash_at} if crash_at else {})
    command = [sys.executable, str(HERE / "driver.py"), str(root), action]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            _, said = process.communicate(timeout=after or 240)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
        assert process.returncode in {0, -signal.SIGKILL}, said[-3000:]
        return process.returncode != 0


def damage(root: Path) -> None:
    """Lose one raw file, so that a replay has something to mend; which one is the same every time."""
    world = World(root)
    with world.session() as session:
        files = session.lake.raw("app").snapshot().files()
        (root / "lake" / "raw" / "stream=app" / files[2].path).unlink()


def lose_commits(root: Path) -> None:
    """Take the newest commits of raw away, and what one in the middle says."""
    commits = sorted((root / "lake" / "raw" / "stream=app" / "_delta_log").glob("*.json"))
    for commit in commits[-2:]:
        commit.unlink()
    commits[3].write_bytes(b"")


def prepare(root: Path, action: str) -> None:
    fill(World(root))
    if action != "ingest":
        act(root, "ingest")
    if action == "replay":
        damage(root)
    if action == "repair":
        lose_commits(root)


def state(root: Path) -> dict[str, object]:
    """All that a user can see, and that it is whole."""
    world = World(root)
    with world.session() as session:
        report = verify(session)
        order = "source, source_partition, source_start"
        logs, repeats = world.rows(session, order=order), world.rows(session, "duplicates", order=order)
        receipts = sorted(hour_balances(session.lake, "app").items())
        assert report.findings == []
        assert all(balance.whole for _, balance in receipts)
        reports = {
            path.relative_to(root).as_posix(): pq.read_table(path).to_pylist()
            for path in sorted((root / "lake" / "reports").glob("*/grain=*/dt=*/[!_.]*.parquet"))
        }
        return {
            "reports": reports,
            "logs": logs,
            "duplicates": repeats,
            "hours": receipts,
            "raw": len(world.rows(session, "raw")),
        }


@pytest.fixture(scope="session")
def prepared(tmp_path_factory):
    """For each action: a world before it, and what it looks like after an undisturbed run."""
    made: dict[str, tuple[Path, dict[str, object]]] = {}

    def of(action: str) -> tuple[Path, dict[str, object]]:
        if action not in made:
            before = tmp_path_factory.mktemp(f"before-{action}")
            prepare(before, action)
            calm = tmp_path_factory.mktemp(f"calm-{action}") / "world"
            copied(before, calm)
            act(calm, action)
            made[action] = (before, state(calm))
        return made[action]

    return of


def copied(before: Path, to: Path) -> None:
    shutil.copytree(before, to, dirs_exist_ok=True, copy_function=shutil.copy2)


def test_every_step_has_a_crash_test():
    assert {step for steps in STEPS.values() for step in steps} == set(Step)


@pytest.mark.parametrize(("action", "step", "nth"), EVERY, ids=[f"{a}-{s}-{n}" for a, s, n in EVERY])
def test_a_crash_after_a_step_loses_and_repeats_nothing(prepared, tmp_path, action, step, nth):
    before, expected = prepared(action)
    root = tmp_path / "world"
    copied(before, root)
    # A step that happens only once cannot be killed at its second time.
    assert killed(root, action, f"{step}:{nth}") or nth > 1
    act(root, action)
    assert state(root) == expected


@pytest.mark.parametrize(
    ("applied", "read"),
    [
        (Step.DUPLICATES_COMMITTED, Step.RAW_WRITTEN),
        (Step.LOGS_WRITTEN, Step.RAW_COMMITTED),
        (Step.LOGS_WRITTEN, Step.RECEIPT_APPENDED),
        (Step.LOGS_COMMITTED, Step.RAW_COMMITTED),
        (Step.DEDUPE_MARKED, Step.RAW_COMMITTED),
    ],
)
def test_a_crash_while_a_batch_is_applied_and_the_next_one_is_read(prepared, tmp_path, applied, read):
    before, expected = prepared("ingest")
    root = tmp_path / "world"
    copied(before, root)
    assert killed(root, "ingest", f"{applied}:2+{read}:3")
    act(root, "ingest")
    assert state(root) == expected


@pytest.mark.parametrize("seed", range(int(os.environ.get("NW_CRASHES", "3"))))
def test_crashes_at_any_moment_lose_and_repeat_nothing(prepared, tmp_path, seed):
    before, expected = prepared("ingest")
    root = tmp_path / "world"
    copied(before, root)
    chance = random.Random(seed)  # noqa: S311  (a test's dice)
    for _ in range(6):
        killed(root, "ingest", after=chance.uniform(0.5, 4.0))
    act(root, "ingest")
    assert state(root) == expected
