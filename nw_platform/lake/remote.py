"""Remote lakes as DuckDB reads them: ranges of files, through the storage client of `native.py`.

DuckDB has no client for HDFS, and its others are downloads. A lake that is opened makes itself known here, and every
connection of this process (engine.py) then reads its files under their own addresses: `hdfs://namenode:8020/lake/...`.
"""

from __future__ import annotations

import datetime as dt
import io
import threading
from collections.abc import Mapping
from typing import Any, Final, NoReturn

import duckdb
import pyarrow as pa
import pyarrow.fs as pafs
from fsspec import AbstractFileSystem

from nw_platform.lake.native import native_files

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
            connection.register_filesystem(_Reads(scheme))


class _Reads(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """What DuckDB asks of a file system, for reading."""

    cachable = False

    def __init__(self, scheme: str) -> None:
        super().__init__()
        self.protocol = scheme

    def open(self, path: str, mode: str = "rb", **_: Any) -> _File:  # noqa: ANN401  (fsspec's signature)
        """A file for reading."""
        if mode != "rb":
            _refuse(path)
        return _File(*place(path))

    def info(self, path: str, **_: Any) -> dict[str, Any]:  # noqa: ANN401  (fsspec's signature)
        """Size in bytes, and type."""
        files, inside = place(path)
        found = files.get_file_info(inside)
        if found.type != pafs.FileType.File:
            raise FileNotFoundError(path)
        return {"name": path, "size": found.size, "type": "file"}

    def size(self, path: str) -> int:
        """Bytes."""
        return int(self.info(path)["size"])

    def glob(self, path: str, **_: Any) -> list[str]:  # noqa: ANN401  (fsspec's signature)
        """The path itself: files are always named, by a snapshot or a listing, and never searched for."""
        return [path]

    def exists(self, path: str, **_: Any) -> bool:  # noqa: ANN401  (fsspec's signature)
        """As `glob`: opening says what is not there."""
        return bool(path)

    def modified(self, path: str) -> dt.datetime:
        """Files of a lake never change."""
        del path
        return _SINCE


class _File(io.RawIOBase):
    """An open file. DuckDB's threads share it, each seeks and then reads: so each has a position and a handle."""

    def __init__(self, files: pafs.FileSystem, path: str) -> None:
        super().__init__()
        self._files, self._path = files, path
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


def _refuse(path: str) -> NoReturn:
    raise PermissionError(f"{path}: a lake's files are only read here")
