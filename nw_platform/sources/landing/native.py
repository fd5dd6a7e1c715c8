"""HDFS by its own protocol, with the storage client that the lake uses too: no Java, no WebHDFS, no second package.

`hdfs://namenode:port/path`, or `hdfs://nameservice/path` with HADOOP_CONF_DIR. The user is HADOOP_USER_NAME, or the
ticket of Kerberos where the cluster asks for one. The client gives sizes and times but no file ids, so a renamed file
is known by its content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

from nw_platform.deadlines import Patience, patience_with
from nw_platform.errors import ConfigError
from nw_platform.sources.landing.files import RawFile, Stamp
from nw_platform.sources.landing.tree import Entry, TreeFiles

Result = TypeVar("Result")

TIMEOUT_S: Final = 8.0  # of one call
_AHEAD: Final = 256 << 10  # read at least so much in one call
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


def hdfs_files(url: str, options: Mapping[str, Any]) -> TreeFiles:
    """The landing zone at `hdfs://...`.

    Args:
        url: the landing zone.
        options: timeout (seconds, of one call). All else is in HADOOP_CONF_DIR and HADOOP_USER_NAME.

    Raises:
        ConfigError: an option is unknown.
    """
    unknown = sorted(set(options) - {"timeout"})
    if unknown:
        raise ConfigError(
            f"landing zone {url}: hdfs:// has no option {unknown[0]!r}; it takes its settings from HADOOP_CONF_DIR and "
            "its user from HADOOP_USER_NAME (webhdfs:// has options)"
        )
    parts = urlsplit(url)
    server = f"{parts.scheme}://{parts.netloc}"
    root = url[len(server) :]
    return TreeFiles(_Hdfs(server, patience_with(parts.netloc), float(options.get("timeout", TIMEOUT_S))), root, url)


class _Hdfs:
    """See Tree."""

    def __init__(self, server: str, patience: Patience, timeout: float) -> None:
        self._server, self._patience, self._timeout = server, patience, timeout
        self._opened: pafs.FileSystem | None = None

    def entries(self, folder: str) -> Iterable[Entry]:
        """See Tree."""
        path = folder.strip("/")
        if path:
            info = self._info(path)
            if info.type == pafs.FileType.NotFound:
                raise FileNotFoundError(f"there is no {folder}")
            if info.type == pafs.FileType.File:
                raise NotADirectoryError(f"{folder} is no folder")
        else:
            self._info("nothing")  # a listing cannot be left behind: see first whether the server answers
        # The client's listing keeps the interpreter to itself, so no deadline can help it once it has begun.
        found = _plain(lambda: self._files.get_file_info(pafs.FileSelector(path, recursive=False)))
        return [Entry(info.base_name, _stamp(info) if info.type == pafs.FileType.File else None) for info in found]

    def stamp(self, path: str) -> Stamp:
        """See Tree."""
        info = self._info(path.strip("/"))
        if info.type != pafs.FileType.File:
            raise FileNotFoundError("there is no such file")
        return _stamp(info)

    def open(self, path: str) -> RawFile:
        """See Tree."""
        file = self._wait(lambda: self._files.open_input_file(path.strip("/")))
        return _Pieces(file, self._wait)

    @property
    def _files(self) -> pafs.FileSystem:
        if self._opened is None:
            self._opened = pafs.PyFileSystem(DeltaStorageHandler(self._server))
        return self._opened

    def _info(self, path: str) -> pafs.FileInfo:
        return self._wait(lambda: self._files.get_file_info(path))

    def _wait(self, call: Callable[[], Result]) -> Result:
        return _plain(lambda: self._patience.wait(self._timeout, call))


class _Pieces:
    """An open file: a call for each piece that is read."""

    def __init__(self, file: Any, wait: Callable[[Callable[[], bytes]], bytes]) -> None:  # noqa: ANN401  (pyarrow has no types)
        self._file, self._wait = file, wait
        self._ahead = b""
        self._position = 0  # of `_ahead`

    def read(self, size: int) -> bytes:
        """See RawFile."""
        if not self._ahead and size:
            self._ahead = self._wait(lambda: bytes(self._file.read(max(size, _AHEAD))))
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        self._position += len(data)
        return data

    def seek(self, position: int) -> None:
        """See RawFile."""
        if position != self._position:
            self._wait(lambda: self._file.seek(position) and b"")
            self._position, self._ahead = position, b""

    def close(self) -> None:
        """See RawFile."""
        self._file.close()


def _stamp(info: pafs.FileInfo) -> Stamp:
    return Stamp(int(info.size), int(info.mtime_ns or 0), "")


def _plain(call: Callable[[], Result]) -> Result:
    """The client's errors are several lines, in colours; the last says the most."""
    try:
        return call()
    except OSError as error:
        lines = [line.strip(" ↳") for line in _COLOUR.sub("", str(error)).splitlines() if line.strip(" ↳")]
        text = lines[-1] if lines else type(error).__name__
        kind = PermissionError if "AccessControlException" in str(error) else type(error)
        raise kind(text) from None
