"""deltalake's own storage client as a pyarrow file system: HDFS, S3 and others, without a JVM or a second client.

A file that is written appears under its name, whole, when its stream is closed: on HDFS the client writes
`.<name>.tmp.<n>` beside it and renames that over what is there, S3 does the like. A run that dies leaves such a file.

The client waits for a silent HDFS server for ever, so calls have deadlines here. A listing cannot be given one: it
keeps the interpreter to itself while it lasts. So it asks first whether the server answers at all.
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

from nw_platform.deadlines import Patience, patience_with

Result = TypeVar("Result")

METADATA_S: Final = 10.0  # a call that moves no data
DATA_S: Final = 60.0  # a piece of a file, a commit, a table's log
_LONG_S: Final = 600.0  # a whole folder removed

_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")
_FRAME: Final = re.compile(r"\d+: \S+|at \S+:\d+:\d+")  # of a stack
_WAITED_FOR: Final = frozenset({"hdfs", "viewfs"})  # the client's other stores have deadlines of their own


def patience_of(url: str) -> Patience | None:
    """What to wait with for a lake's server; None where nothing has to be guarded."""
    parts = urlsplit(url)
    return patience_with(parts.netloc) if parts.scheme in _WAITED_FOR else None


def line_of(error: BaseException) -> str:
    """The error in one line: the client's are several, in colours, with the frames of its stack."""
    lines = (line.strip(" ↳") for line in _COLOUR.sub("", str(error)).splitlines())
    told = (line for line in lines if line and not _FRAME.fullmatch(line))
    return ": ".join(told)[:300] or type(error).__name__


class _Stream:
    """An open file of the client, each call with a deadline; pyarrow asks for more than its stubs have."""

    def __init__(self, stream: Any, wait: Callable[[float, Callable[[], Any]], Any]) -> None:  # noqa: ANN401  (its stubs leave out what files have)
        self._stream, self._wait = stream, wait
        self.closed = False

    def tell(self) -> int:
        return int(self._stream.tell())

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._wait(DATA_S, self._stream.close)


class _Output(_Stream):
    """The client's output stream takes `bytes` only; pyarrow's writers hand out buffers."""

    def writable(self) -> bool:
        return True

    def write(self, data: pa.Buffer | bytes) -> int:
        return int(self._wait(DATA_S, lambda: self._stream.write(bytes(data))))

    def flush(self) -> None:
        self._wait(DATA_S, self._stream.flush)


class _Input(_Stream):
    """Reads at most as many bytes as there are."""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def size(self) -> int:
        return int(self._stream.size())

    def seek(self, position: int, whence: int = 0) -> int:
        return int(self._stream.seek(position, whence))

    def read(self, size: int | None = None) -> bytes:
        return bytes(self._wait(DATA_S, lambda: self._stream.read(size)))


class _Handler(DeltaStorageHandler):  # type: ignore[misc]  # the base is untyped
    """The client, with deadlines, and with streams that pyarrow can use. Methods: see pyarrow.fs.FileSystemHandler."""

    def __init__(self, url: str, options: Mapping[str, str] | None) -> None:
        super().__init__(url, dict(options) if options else None)
        self._patience = patience_of(url)

    def get_file_info(self, paths: list[str]) -> list[pafs.FileInfo]:
        found: list[pafs.FileInfo] = self._wait(
            max(METADATA_S, len(paths) * 0.1), lambda: self._handler.get_file_info(paths)
        )
        return found

    def get_file_info_selector(self, selector: pafs.FileSelector) -> list[pafs.FileInfo]:
        self.get_file_info([selector.base_dir or "_"])
        found: list[pafs.FileInfo] = _plain(
            lambda: self._handler.get_file_info_selector(
                selector.base_dir, selector.allow_not_found, selector.recursive
            )
        )
        return found

    def create_dir(self, path: str, recursive: bool = True) -> None:  # noqa: FBT001, FBT002  (pyarrow's signature)
        self._wait(METADATA_S, lambda: self._handler.create_dir(path, recursive))

    def delete_file(self, path: str) -> None:
        self._wait(METADATA_S, lambda: self._handler.delete_file(path))

    def delete_dir(self, path: str) -> None:
        self._wait(_LONG_S, lambda: self._handler.delete_dir(path))

    def open_input_file(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(self._opened(path), "r")

    def open_input_stream(self, path: str) -> pa.PythonFile:
        return pa.PythonFile(self._opened(path), "r")

    def open_output_stream(self, path: str, metadata: Mapping[str, str] | None = None) -> pa.PythonFile:
        stream = self._wait(METADATA_S, lambda: self._handler.open_output_stream(path, metadata))
        return pa.PythonFile(_Output(stream, self._wait), "w")

    def _opened(self, path: str) -> _Input:
        return _Input(self._wait(METADATA_S, lambda: self._handler.open_input_file(path)), self._wait)

    def _wait(self, seconds: float, call: Callable[[], Result]) -> Result:
        patience = self._patience
        return _plain(call if patience is None else lambda: patience.wait(seconds, call))


def native_files(url: str, options: Mapping[str, str] | None = None) -> pafs.FileSystem:
    """A file system whose root is `url`.

    Every call raises OSError, in one line; FileNotFoundError where there is nothing; DeadlineError (an OSError) where
    the server is silent.
    """
    return pafs.PyFileSystem(_Handler(url, options))


def local_path(url: str) -> str | None:
    """The path of a `file://` URL or plain path; None for anything remote."""
    scheme, _, rest = url.partition("://")
    if not rest:
        return url
    return urllib.parse.unquote(rest) if scheme == "file" else None


def _plain(call: Callable[[], Result]) -> Result:
    try:
        return call()
    except OSError as error:
        raise type(error)(line_of(error)) from None
