"""Remote lakes as DuckDB reads them: ranges of files, through the storage client of `native.py`.

DuckDB has no client for HDFS, and its others are downloads. A lake that is opened makes itself known here, and every
connection of this process (engine.py) then reads its files under their own addresses: `hdfs://namenode:8020/lake/...`.

Data files never change. A report file may be replaced between two reads of it, and on remote storage the second one
would then be of the new file: so a connection remembers which file it began with, and says so if it is another now.
"""

from __future__ import annotations

import datetime as dt
import io
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import duckdb
import pyarrow as pa
import pyarrow.fs as pafs
from fsspec import AbstractFileSystem

from nw_platform.lake.native import native_files

REPORTS: Final = "reports"  # the folder of the lake whose files are replaced
REPLACED: Final = "was replaced while it was read"

_SINCE: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_KNOWN: Final[dict[str, pafs.FileSystem]] = {}  # address of a lake -> its files


def know(url: str, options: Mapping[str, str] | None) -> None:
    """From now on, connections can read what is below `url`."""
    root = url.rstrip("/")
    if root not in _KNOWN:
        _KNOWN[root] = native_files(root, options)


def register(connection: duckdb.DuckDBPyConnection) -> None:
    """Let a connection read every remote lake that is known; nothing, if none is."""
    schemes = sorted({url.partition("://")[0] for url in _KNOWN})
    if schemes:
        # A report file that was replaced has its old name: nothing that was read may be taken for what is there.
        connection.execute("SET enable_external_file_cache = false")
    for scheme in schemes:
        if not connection.filesystem_is_registered(scheme):
            connection.register_filesystem(remote_reads(scheme))


def remote_reads(scheme: str) -> AbstractFileSystem:
    """The files of the remote lakes that are known, under their own addresses, only for reading."""
    return _Reads(scheme)


def was_replaced(error: duckdb.Error) -> bool:
    """Whether a query failed because a report file was replaced meanwhile: on a new connection it goes through."""
    return REPLACED in str(error)


class _Reads(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """What DuckDB asks of a file system, for reading."""

    cachable = False

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.protocol = scheme
        self._begun: dict[str, tuple[int, int | None]] = {}  # report file -> size and time of the one that is read

    def open(self, path: str, mode: str = "rb", **_: Any) -> _File:  # noqa: ANN401  (fsspec's signature)
        """A file for reading."""
        if mode != "rb":
            raise PermissionError(f"{path}: a lake's files are only read here")
        files, inside = place(path)
        changes = inside.startswith(f"{REPORTS}/")
        return _File(files, inside, (lambda: self._same(path)) if changes else None)

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401  (fsspec's signature)
        """Size in bytes, and type."""
        return {"name": path, "size": self._same(path), "type": "file"}

    def _same(self, path: str) -> int:
        """The size of a file, which is the one that this connection has read from before."""
        files, inside = place(path)
        found = files.get_file_info(inside)
        if found.type != pafs.FileType.File:
            raise FileNotFoundError(path)
        if inside.startswith(f"{REPORTS}/"):
            now = (int(found.size), found.mtime_ns)
            if self._begun.setdefault(path, now) != now:
                raise OSError(f"{path} {REPLACED}; run the query again")
        return int(found.size)

    def size(self, path: str) -> int:
        """Bytes."""
        return self._same(path)

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401  (fsspec's signature)
        """The path itself: files are always named, by a snapshot or a listing, and never searched for."""
        return [path]

    def exists(self, path: str, **_: Any) -> bool:  # noqa: ANN401  (fsspec's signature)
        """As `glob`: opening says what is not there."""
        return bool(path)

    def modified(self, path: str) -> dt.datetime:
        """One that changes nothing: what has changed is found out by `_same`."""
        del path
        return _SINCE


class _File(io.RawIOBase):
    """An open file. DuckDB's threads share it, each seeks and then reads: so each has a position and a handle."""

    def __init__(self, files: pafs.FileSystem, path: str, check: Callable[[], object] | None) -> None:
        """`check` raises if what was just read may be of another file of the same name."""
        super().__init__()
        self._files, self._path, self._check = files, path, check
        self._mine = threading.local()
        self._handles: list[pa.NativeFile] = []

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, position: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            position += self.tell() if whence == io.SEEK_CUR else self._handle().size()
        self._mine.position = position
        return position

    def tell(self) -> int:
        return int(getattr(self._mine, "position", 0))

    def read(self, size: int = -1) -> bytes:
        handle = self._handle()
        handle.seek(self.tell())
        data: bytes = handle.read(None if size < 0 else size)
        if self._check is not None:
            self._check()
        self._mine.position = self.tell() + len(data)
        return data

    def close(self) -> None:
        while self._handles:
            self._handles.pop().close()
        super().close()

    def _handle(self) -> pa.NativeFile:
        handle = getattr(self._mine, "handle", None)
        if handle is None:
            handle = self._mine.handle = self._files.open_input_file(self._path)
            self._handles.append(handle)
        return handle


def place(url: str) -> tuple[pafs.FileSystem, str]:
    """The lake that an address is in, and the path inside it."""
    for root, files in _KNOWN.items():
        if url.startswith(f"{root}/"):
            return files, url[len(root) + 1 :]
    root, _, name = url.rpartition("/")
    return native_files(root), name
