"""Which processes that said they would send something are dead.

A claim in the table ends by itself after two minutes. Among processes that share a work folder nobody has to wait for
that: each holds a lock there for as long as it lives, and the kernel lets go of it however it dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import uuid
from pathlib import Path
from typing import Final

__all__ = ["CLAIM_US", "Claimant"]

CLAIM_US: Final = 120_000_000  # longer than an evaluation sends
_LONGEST_US: Final = 3_600_000_000  # that, and what clocks of two machines may differ by


class Claimant:
    """One who claims. Its name is in the table; its lock, in the folder."""

    def __init__(self, folder: Path) -> None:
        """`folder`: local, shared by the processes of this machine. Made when it is first needed."""
        self.name = uuid.uuid4().hex[:16]
        self._folder = folder
        self._handle: int | None = None

    def hold(self) -> None:
        """Be seen to live. A folder that cannot be written costs time after a crash, nothing else."""
        if self._handle is not None:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self._folder / self.name, os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._handle = handle

    def may_take(self, claimed_by: str, claimed_until: int, now: int) -> bool:
        """Whether what somebody claimed is free: it is our own, the claim has ended, or who made it is dead.

        A claim of the far future was made by a clock that was wrong, and holds nobody up.
        """
        holds = now < claimed_until <= now + _LONGEST_US
        return claimed_by in {"", self.name} or not holds or self._is_dead(claimed_by)

    def close(self) -> None:
        """Be dead. May be called twice."""
        if self._handle is not None:
            with contextlib.suppress(OSError):
                (self._folder / self.name).unlink()
            os.close(self._handle)
            self._handle = None

    def _is_dead(self, name: str) -> bool:
        """Whether a process of this machine had this name; False if that is not known."""
        path = self._folder / Path(name).name
        try:
            handle = os.open(path, os.O_RDWR)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        else:
            with contextlib.suppress(OSError):
                path.unlink()
            return True
        finally:
            os.close(handle)
