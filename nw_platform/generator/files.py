"""Files of a landing zone: written under a name that is not ready, then renamed."""

from __future__ import annotations

import os
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import SourceError


class LandingFolder:
    """A folder or fsspec URL to write files into."""

    def __init__(self, url: str, storage_options: dict[str, Any] | None = None) -> None:
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url, **(storage_options or {}))
        except (ImportError, ValueError, OSError) as error:
            raise SourceError(f"cannot write to {url}: {error}") from error
        self._is_local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))
        self._made: set[str] = set()

    def write(self, path: str, content: bytes, modified_us: int | None = None) -> None:
        """Put a whole file under `path`, replacing one of that name.

        `modified_us` becomes its modification time where the file system lets us say so (local disk).

        Raises:
            SourceError: the file system refuses.
        """
        folder, _, name = f"{self._root}/{path}".rpartition("/")
        unready, ready = f"{folder}/.{name}.part", f"{folder}/{name}"
        try:
            if folder not in self._made:
                self._fs.makedirs(folder, exist_ok=True)
                self._made.add(folder)
            self._fs.pipe_file(unready, content)
            if self._is_local:
                if modified_us is not None:
                    os.utime(unready, ns=(modified_us * 1000, modified_us * 1000))
                os.replace(unready, ready)  # noqa: PTH105  (a path of fsspec's, atomic where its own move is not)
            else:
                self._fs.mv(unready, ready)
        except OSError as error:
            raise SourceError(f"cannot write {ready}: {error}") from error


def join_lines(lines: pa.Array) -> bytes:
    """The bytes of a file that has these lines (large_string, not null), each ended by a line feed."""
    ended = pc.binary_join_element_wise(lines, pa.scalar("\n", pa.large_string()), pa.scalar("", pa.large_string()))
    _, offsets, data = ended.buffers()
    if not len(ended) or data is None:
        return b""
    bounds = np.frombuffer(offsets, np.int64)
    return bytes(memoryview(data)[bounds[ended.offset] : bounds[ended.offset + len(ended)]])
