"""Where the code server listens: a socket of its own for every start, behind a name that stays.

A gRPC server removes the file of its socket when it ends. Were that the same file for all, one that ends late would
remove that of its successor. Dagster, on the other hand, remembers under which name a code server was reached, so the
name has to stay: it is a symbolic link to the socket of the newest.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import tempfile
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final, Self

from nw_platform.errors import UsageError

__all__ = ["CodeSocket"]

_LONGEST: Final = 107  # bytes that the kernel takes for the path of a socket
_SPARE: Final = len("/code-4194304-9999.sock")
_numbers: Final = count(1)


@dataclass(frozen=True, slots=True)
class CodeSocket:
    """The folder of one home, on a local disk and with a short name, whatever the home's is."""

    folder: Path

    @classmethod
    def of(cls, home: Path) -> Self:
        """The folder for a home; it need not be there yet."""
        name = hashlib.sha256(f"{platform.node()}:{home}".encode()).hexdigest()[:12]
        folders = (Path(base) / f"nw-{os.getuid()}-{name}" for base in (tempfile.gettempdir(), "/tmp"))  # noqa: S108  (its owner is checked)
        short = (folder for folder in folders if len(os.fsencode(folder)) + _SPARE <= _LONGEST)
        return cls(next(short))

    @property
    def link(self) -> Path:
        """The name that stays."""
        return self.folder / "code.sock"

    @property
    def told(self) -> Path:
        """The file for `alerts.processes`, which lives as long as the sockets do."""
        return self.folder / "processes.json"

    def open(self) -> None:
        """Make the folder anew, empty and for this user only.

        Raises:
            UsageError: somebody else made one of this name, or it cannot be written.
        """
        self.close()
        try:
            self.folder.mkdir(mode=0o700)
        except OSError as error:
            raise UsageError(
                f"the folder {self.folder} for sockets cannot be made ({error.strerror}); remove it, or set TMPDIR to "
                "a folder that can be written"
            ) from error

    def renew(self) -> Path:
        """Let the name lead to a new socket, and return its path: for a server that is about to start."""
        self.folder.mkdir(mode=0o700, exist_ok=True)  # what cleans temporary folders may have removed it
        new = self.folder / f"code-{os.getpid()}-{next(_numbers)}.sock"
        beside = self.link.with_suffix(".new")
        beside.unlink(missing_ok=True)
        beside.symlink_to(new.name)
        beside.replace(self.link)
        return new

    def close(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
