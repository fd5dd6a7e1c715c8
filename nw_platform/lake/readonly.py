"""The files of a lake as a query sees them: under an address of their own, each named beforehand, and only for reading.

DuckDB allows a connection a folder or a file for reading and writing alike. A connection that can do no more than read
is therefore one that has no file system of its own left: what it may read is behind the address `nwlake://`, and what
answers there opens no file for writing and none that was not named before the query came.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import threading
from pathlib import Path
from typing import Any, Final

import duckdb
from fsspec import AbstractFileSystem

from nw_platform.lake.native import local_path
from nw_platform.lake.remote import REPLACED, REPORTS, remote_reads
from nw_platform.lake.spill import Spill

SCHEME: Final = "nwlake"
_PREFIX: Final = f"{SCHEME}://"
_SINCE: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_LOCKED: Final = (
    f"SET allowed_directories = ['{_PREFIX}']",
    "SET enable_external_file_cache = false",  # a report file that was replaced has its old name
    "SET python_enable_replacements = false",  # no variable of this program is a table
    "SET http_proxy = ''",  # DuckDB takes it from the environment, password included
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


class ReadOnlyFiles(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """What DuckDB asks of a file system, answered for the files that `address` was called with."""

    cachable = False
    protocol = SCHEME

    def __init__(self, spill: Spill | None = None) -> None:
        """`spill` is kept for as long as this object, which is as long as the connection that it is registered with."""
        super().__init__()
        self._spill = spill
        self._named: set[str] = set()
        self._remote: dict[str, AbstractFileSystem] = {}  # scheme -> what reads files of remote lakes
        self._begun: dict[str, tuple[int, int, int]] = {}  # local report file -> inode, size and time when first read

    def address(self, url: str) -> str:
        """Let the connection read the file `url` from now on; returns what it is called there."""
        self._named.add(url)
        return f"{_PREFIX}{url}"

    def open(self, path: str, mode: str = "rb", **_: Any) -> io.RawIOBase:  # noqa: ANN401  (fsspec's signature)
        """A file for reading.

        Raises:
            PermissionError: it is to be written, or is none of the named ones.
            OSError: it cannot be opened, or was replaced since it was first read.
        """
        url = self._url(path)
        if mode != "rb":
            raise PermissionError(f"{url}: a lake's files are only read here")
        if local_path(url) is None:
            file: io.RawIOBase = self._remote_of(url).open(url)
            return file
        opened = _LocalFile(url)
        try:
            self._same(url, opened.status)
        except OSError:
            opened.close()
            raise
        return opened

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401  (fsspec's signature)
        """Size in bytes, and type."""
        return {"name": path, "size": self.size(path), "type": "file"}

    def size(self, path: str) -> int:
        """Bytes."""
        url = self._url(path)
        if local_path(url) is None:
            return int(self._remote_of(url).size(url))
        status = Path(url).stat()
        self._same(url, status)
        return status.st_size

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401  (fsspec's signature)
        """The path itself: files are always named, and never searched for."""
        return [path]

    def exists(self, path: str, **_: Any) -> bool:  # noqa: ANN401  (fsspec's signature)
        """Return True for every file that was named: opening says what is not there."""
        return path.removeprefix(_PREFIX) in self._named

    def modified(self, path: str) -> dt.datetime:
        """Return the same time for every file: `_same` finds out what has changed."""
        del path
        return _SINCE

    def _url(self, path: str) -> str:
        url = path.removeprefix(_PREFIX)
        if url not in self._named:
            raise PermissionError(f"{url}: Cannot access a file that is no part of the lake's tables")
        return url

    def _remote_of(self, url: str) -> AbstractFileSystem:
        scheme = url.partition("://")[0]
        if scheme not in self._remote:
            self._remote[scheme] = remote_reads(scheme)
        return self._remote[scheme]

    def _same(self, url: str, status: os.stat_result) -> None:
        """Refuse a report file that is another one than this connection has read from before."""
        if REPORTS not in Path(url).parts:
            return
        now = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._begun.setdefault(url, now) != now:
            raise OSError(f"{url} {REPLACED}; run the query again")


class _LocalFile(io.RawIOBase):
    """An open local file. DuckDB's threads share it, each seeks and then reads: so each has a position of its own."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self.status = os.fstat(self._descriptor)
        self._mine = threading.local()

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            position += self.tell() if whence == io.SEEK_CUR else self.status.st_size
        self._mine.position = position
        return position

    def tell(self) -> int:
        return int(getattr(self._mine, "position", 0))

    def read(self, size: int = -1) -> bytes:
        data = os.pread(self._descriptor, self.status.st_size if size < 0 else size, self.tell())
        self._mine.position = self.tell() + len(data)
        return data

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """Take from a connection every way out but the address of its `ReadOnlyFiles`, for good."""
    for statement in _LOCKED:
        connection.execute(statement)
