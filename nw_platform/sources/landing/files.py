"""What a landing zone needs of a file system: list, look at one file, open one.

Errors of a file system become SourceError here; nothing above knows which file system it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol, TypeVar

from nw_platform.errors import SourceError
from nw_platform.sources.contract import Problem
from nw_platform.sources.landing.globs import Glob

Result = TypeVar("Result")


class Stamp(NamedTuple):
    """What a listing says of a file. As long as it is the same, so is the content."""

    size: int  # bytes on disk: of a packed file the packed ones
    mtime_ns: int  # since the epoch; 0 where the file system has none
    tag: int | str  # inode, ETag; empty where there is none


class Identity(NamedTuple):
    """What a file system says of a file beside its stamp."""

    id: str  # see nw_platform/files/evidence.py; empty where there is none
    came_by_rename: bool = False  # it was complete when it got its name


class RawFile(Protocol):
    """An open file. Every call raises SourceError where the file system fails."""

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""

    def seek(self, position: int) -> None:
        """Go to a position, in bytes from the beginning."""

    def close(self) -> None:
        """Release it."""


@dataclass(slots=True)
class Listing:
    """Ready files of a landing zone. `others` are ready files beside them whose names do not match.

    `ignored` are names that match, or would without what says that they are not ready (`.`, `_`, `._COPYING_`).
    """

    files: dict[str, Stamp] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    other_stamps: dict[str, Stamp] = field(default_factory=dict)  # of some of `others`, where they cost nothing
    ignored: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    twins: list[tuple[str, tuple[int, int]]] = field(default_factory=list)  # files with several hard links: path, id


class Files(Protocol):
    """A file system below one root. Paths are relative to the root, or absolute where the root is empty."""

    local: bool
    tags_are_ids: bool  # a stamp's tag stays the same while the file grows

    def listing(self, glob: Glob) -> Listing:
        """All ready files that match.

        Raises:
            SourceError: the root cannot be listed.
        """

    def stat(self, path: str) -> Stamp:
        """The stamp of one file."""

    def identify(self, path: str, stamp: Stamp) -> Identity:
        """What is known of a file that has this stamp. No error: what cannot be found out is unknown."""

    def open(self, path: str) -> RawFile:
        """Open one file for reading."""


class GuardedFile:
    """An open file whose errors are SourceErrors."""

    def __init__(self, path: str, file: Any) -> None:  # noqa: ANN401  (any binary file)
        self._path = path
        self._file = file

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        data: bytes = guarded(self._path, lambda: self._file.read(size))
        return data

    def seek(self, position: int) -> None:
        """Go to a position."""
        guarded(self._path, lambda: self._file.seek(position))

    def close(self) -> None:
        """Release the file."""
        guarded(self._path, self._file.close)


def guarded(path: str, call: Callable[[], Result]) -> Result:
    """Call, with errors of the file system as SourceErrors."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001  (every file system raises its own kinds)
        raise SourceError(f"{path} cannot be read: {reason_of(error)}") from None


def reason_of(error: Exception) -> str:
    """Why a file system refused, in one line."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].lower() if isinstance(error, OSError) else text.splitlines()[0]


def unreadable(path: str, error: OSError) -> Problem:
    """A file or folder that cannot be read."""
    return Problem("unreadable", path, 0, f"{path} cannot be read: {reason_of(error)}; check its permissions")


def no_file(path: str, what: str) -> Problem:
    """A name that matches and is no file."""
    return Problem("not_a_file", path, 0, f"{path} is {what}: move it away or narrow the stream's path")
