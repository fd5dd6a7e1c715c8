"""A folder of its own for what one query does not hold in memory: no other query reads it, and nothing of it stays.

A process that dies leaves its folder behind, without its lock: the next one removes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import uuid
import weakref
from pathlib import Path
from typing import Final

_LOCK: Final = "lock"
_QUERY: Final = "query-"
_IN_USE: Final[weakref.WeakSet[Spill]] = weakref.WeakSet()
_SHARE: Final = 2  # a query may fill this part (one half) of what is free, so that ingestion goes on


class Spill:
    """A temporary folder that goes with this object."""

    def __init__(self, below: Path) -> None:
        """Make a folder in `below`, or in the system's temporary folder if nothing can be written there.

        Raises:
            OSError: neither can be written.
        """
        try:
            self.folder, lock = _made(below)
        except OSError:
            below = Path(tempfile.gettempdir()) / f"neverwinter-spill-{os.getuid()}"
            self.folder, lock = _made(below)
        self.remove = weakref.finalize(self, _removed, self.folder, lock)
        _IN_USE.add(self)
        _remove_abandoned(below)

    @property
    def limit(self) -> str:
        """How much a query may put there, in DuckDB's words."""
        return f"{shutil.disk_usage(self.folder).free // _SHARE} bytes"


def remove_all() -> None:
    """Remove the folders of all queries of this process, which is about to end without an end to its queries."""
    for spill in list(_IN_USE):
        spill.remove()


def _made(below: Path) -> tuple[Path, int]:
    """A new folder, and the open lock file that says it is in use."""
    below.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = below / f"{_QUERY}{uuid.uuid4().hex}"
    folder.mkdir(mode=0o700)
    lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return folder, lock


def _removed(folder: Path, lock: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


def _remove_abandoned(below: Path) -> None:
    """Remove the folders of processes that are gone. One that is just being made has no lock file yet, and stays."""
    for lock_file in below.glob(f"{_QUERY}*/{_LOCK}"):
        with contextlib.suppress(OSError):
            lock = os.open(lock_file, os.O_RDWR | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock_file.parent, ignore_errors=True)
            finally:
                os.close(lock)
