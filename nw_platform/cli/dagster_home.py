"""DAGSTER_HOME: the folder, the `dagster.yaml` in it, and the lock that keeps a second `nw up` out.

Written once and never touched again: whoever wants other settings edits the file.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from nw_platform.errors import UsageError

POSTGRES_VARIABLE: Final = "NW_DAGSTER_POSTGRES_URL"
_PROBE_BYTES: Final = 65_536
_FIXES: Final = {
    errno.ENOSPC: "the disk is full: free some space there",
    errno.EDQUOT: "the quota is used up: free some space there",
    errno.EROFS: "the file system is read-only: mount it for writing",
    errno.EIO: "the disk has errors: see the kernel's log",
}
_SETTINGS: Final = """\
# Written by `nw up` because there was none; yours to change: it is not written again.
telemetry:
  enabled: false   # on by default, and calls out
nux:
  enabled: false
{storage}
sensors:
  use_threads: true   # one after the other by default: a slow one would hold up the minute tick
  num_workers: 4
schedules:
  use_threads: true
  num_workers: 4

run_monitoring:
  enabled: true   # a run that was killed stays "started" for ever without it
  max_runtime_seconds: 900   # runs of raw, logs and reports raise it for themselves: a backfill may take long
  start_timeout_seconds: 180
  poll_interval_seconds: 60
  free_slots_after_run_end_seconds: 60

concurrency:
  runs:
    max_concurrent_runs: 6   # ticks have priority 10, reports 5, upkeep 2, backfills 0
    tag_concurrency_limits:
      - {{key: dagster/backfill, limit: 2}}
  pools:
    default_limit: 1   # the pools `reports` and `maintain`: one run of each at a time
    granularity: run

retention:   # of ticks; the job `prune` deletes the events of old runs
  sensor:
    purge_after_days: {{skipped: 1, success: 7, failure: 30, started: 7}}
  schedule:
    purge_after_days: {{skipped: 1, success: 30, failure: 30, started: 7}}
"""
_SQLITE: Final = """
# SQLite, in this folder. PostgreSQL: storage: {postgres: {postgres_url: {env: NW_DAGSTER_POSTGRES_URL}}}
"""
_POSTGRES: Final = """
storage:
  postgres:
    postgres_url: {env: NW_DAGSTER_POSTGRES_URL}   # postgresql://user:password@host:port/database
"""


def prepare_home(work: Path, environ: Mapping[str, str]) -> Path:
    """The folder for Dagster: DAGSTER_HOME, else `<work>/dagster`. Writes its `dagster.yaml` if there is none.

    Raises:
        UsageError: DAGSTER_HOME is relative, or the folder cannot be written.
    """
    chosen = environ.get("DAGSTER_HOME")
    home = Path(chosen).expanduser() if chosen else (work / "dagster").absolute()
    if not home.is_absolute():
        raise UsageError(f"DAGSTER_HOME is {chosen!r}; it has to be an absolute path")
    settings = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            storage = _POSTGRES if environ.get(POSTGRES_VARIABLE) else _SQLITE
            settings.write_text(_SETTINGS.format(storage=storage), encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the folder {home} cannot be written ({error.strerror}); set DAGSTER_HOME to another"
        ) from error
    if problem := home_problem(home):
        raise UsageError(problem)
    return home


def postgres_url(url: str) -> str:
    """The URL with its driver named: SQLAlchemy 2.1 takes one by default that Dagster does not install."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg2://{rest}" if separator and scheme in {"postgres", "postgresql"} else url


def home_problem(home: Path) -> str:
    """Try to write to the home; say what is wrong and what helps, in one line, or nothing if all is well."""
    probe = home / ".nw-up-probe"
    try:
        with probe.open("wb") as file:
            file.write(b"\0" * _PROBE_BYTES)
            file.flush()
            os.fsync(file.fileno())
        probe.unlink()
    except OSError as error:
        fix = _FIXES.get(error.errno or 0, "make it writable")
        return f"DAGSTER_HOME {home} cannot be written ({error.strerror}); {fix}, or set DAGSTER_HOME to another folder"
    return ""


@contextmanager
def locked(home: Path, holder: str = "") -> Iterator[None]:
    """Hold the home for this process; the kernel lets go of it however the process ends.

    Args:
        home: from `prepare_home`.
        holder: is told to others beside the process id: since when, and where the UI is.

    Raises:
        UsageError: another process holds it, or there can be no lock file in it.
    """
    place = home / "nw-up.lock"
    try:
        file = place.open("a+", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the lock file {place} cannot be written ({error.strerror}); make it writable, or set DAGSTER_HOME to "
            "another folder"
        ) from error
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES}:
                raise UsageError(
                    f"{home} cannot be locked ({error.strerror}); set DAGSTER_HOME to a folder on a local disk"
                ) from error
            file.seek(0)
            told = " ".join(file.read().split()) or "unknown"
            raise UsageError(
                f"`nw up` runs already on {home} (process {told}); stop it, or set DAGSTER_HOME to another folder"
            ) from None
        with contextlib.suppress(OSError):  # a full disk: the lock holds, and nobody learns whose it is
            file.truncate(0)
            file.write(f"{os.getpid()} {holder}".strip())
            file.flush()
        yield
