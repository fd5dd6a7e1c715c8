"""`nw up` under what takes minutes to show: clocks that are set, backfills cut off, configurations that break."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest
from running_platform import PATIENCE, RunningPlatform, is_gone, until

pytestmark = [pytest.mark.soak, pytest.mark.timeout(1800)]
COMPILER = shutil.which("cc")
SOURCE = Path(__file__).with_name("set_clock.c")
TWO_MINUTES = 120
LINES = "{web: {path: 'in/web*.log', format: lines, history: {from: 2024-03-10}}}"
TIMED = (
    "{web: {path: 'in/web*.log', format: json, late_after: never, history: {from: 2024-03-10, until: 2024-03-14}, "
    "event_time: {field: t, layout: '%Y-%m-%dT%H:%M:%SZ'}}}"
)
HOURS = [f"2024-03-{day}T{hour:02}" for day in (11, 12) for hour in range(24)]
COUNT = "SELECT count(*) AS records, count(DISTINCT message) AS lines FROM web"
DONE = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "CANCELED", "FAILED"}


@pytest.fixture
def platform(tmp_path, request):
    streams, environ = request.param
    made = RunningPlatform(tmp_path, tmp_path / "home", streams, environ={**environ, **faked(tmp_path, environ)})
    made.up()
    yield made
    made.end()
    assert made.leftovers() == []


def faked(folder, environ):
    """The variables of a clock that `folder/clock` sets, as seconds from the true one."""
    if "SET_CLOCK_FILE" not in environ:
        return {}
    library = folder / "set_clock.so"
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True)
    (folder / "clock").write_text("+0")
    return {"SET_CLOCK_FILE": str(folder / "clock"), "LD_PRELOAD": str(library)}


CLOCK = {"SET_CLOCK_FILE": ""}


@pytest.mark.skipif(not COMPILER, reason="a C compiler is needed: the clock is set by a library of the test's own")
@pytest.mark.parametrize("platform", [(LINES, CLOCK)], indirect=True)
def test_ticks_go_on_after_the_clock_was_set_back_by_hours_and_forward_by_days(platform):
    until(lambda: platform.ticks() > 2)
    for seconds in ("-10800", "+172800", "+0"):
        before, begun = platform.ticks(), time.monotonic()
        (platform.folder / "clock").write_text(seconds)
        until(lambda before=before: platform.ticks() > before + 2, TWO_MINUTES)
        print(f"clock {seconds} s: ticks again after {time.monotonic() - begun:.0f} s")  # noqa: T201  (a figure)
        platform.land()
        until(lambda: platform.query(COUNT) == {"records": platform.lines, "lines": platform.lines}, 2 * PATIENCE)
    assert "the clock was set back by" in platform.said()
    assert "starting it again" not in platform.said()


def asked(platform, query, **variables):
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{platform.port}/graphql", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  (our own address)
        return json.load(answer)["data"]


def backfill(platform):
    query = (
        "mutation B($p: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $p) {__typename "
        "... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}"
    )
    wanted = {"assetSelection": [{"path": ["logs", "web"]}], "partitionNames": HOURS}
    done = asked(platform, query, p=wanted)["launchPartitionBackfill"]
    assert done["__typename"] == "LaunchBackfillSuccess", done
    return done["backfillId"]


def status(platform, backfill_id):
    query = "query S($b: String!) {partitionBackfillOrError(backfillId: $b) {... on PartitionBackfill {status}}}"
    return asked(platform, query, b=backfill_id)["partitionBackfillOrError"]["status"]


@pytest.mark.parametrize("platform", [(TIMED, {})], indirect=True)
def test_a_backfill_of_48_hours_that_is_cut_off_can_be_cancelled_and_made_again(platform):
    lines = "".join(
        f'{{"t": "{hour}:00:00Z", "message": "{hour} {n}", "host": "a"}}\n' for hour in HOURS for n in range(50)
    )
    (platform.folder / "in" / "web1.log").write_text(lines)
    everything = {"records": 2400, "lines": 2400}
    until(lambda: platform.query(COUNT) == everything, pause=2)
    until(lambda: not platform.worker())

    first = backfill(platform)
    until(lambda: platform.runs("STARTED") and platform.worker(), pause=0.02)
    worker = platform.worker()
    platform.process.kill()
    platform.process.wait(30)
    begun = time.monotonic()
    platform.up()
    assert is_gone(worker)
    asked(platform, "mutation C($b: String!) {cancelPartitionBackfill(backfillId: $b) {__typename}}", b=first)
    until(lambda: status(platform, first) in DONE)
    print(f"cut off and cancelled: {status(platform, first)} after {time.monotonic() - begun:.0f} s")  # noqa: T201

    begun = time.monotonic()
    again = backfill(platform)
    until(lambda: status(platform, again) in DONE, 2 * PATIENCE)
    assert status(platform, again) in {"COMPLETED", "COMPLETED_SUCCESS"}
    print(f"the same again: done after {time.monotonic() - begun:.0f} s")  # noqa: T201
    assert platform.query(COUNT) == everything


@pytest.mark.parametrize("platform", [(LINES, {})], indirect=True)
def test_a_configuration_that_breaks_while_it_runs_ends_nothing_until_it_is_needed(platform):
    until(lambda: platform.ticks() > 2)
    path = platform.folder / "neverwinter.yaml"
    whole = path.read_text()
    path.write_text("streams: {web: {path: [}}")
    before = platform.ticks()
    until(lambda: platform.ticks() > before + 3, TWO_MINUTES)  # what was loaded goes on
    platform.part("code-server").send_signal(signal.SIGKILL)
    until(lambda: "the code-server cannot be started" in platform.said())
    path.write_text(whole)
    before = platform.ticks()
    until(lambda: platform.ticks() > before + 1)
    platform.part("code-server").send_signal(signal.SIGKILL)
    path.write_text("streams: {web: {path: [}}")
    assert platform.process.wait(PATIENCE) == 1
    last = platform.said().splitlines()[-1]
    assert last.startswith("nw: the code-server cannot be started: ")
    assert "neverwinter.yaml" in last
    assert last.endswith("and nw up ends")
    assert platform.leftovers() == []
