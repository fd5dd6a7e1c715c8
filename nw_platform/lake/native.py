"""deltalake's own storage client as a pyarrow file system: HDFS, S3 and others, without a JVM or a second client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler


class _Output:
    """The client's output stream takes `bytes` only; pyarrow's writers hand out buffers."""

    def __init__(self, stream: Any) -> None:  # noqa: ANN401  (its stubs leave out what files have)
        self._stream = stream
        self.closed = False

    def writable(self) -> bool:
        return True

    def write(self, data: pa.Buffer | bytes) -> int:
        return int(self._stream.write(bytes(data)))

    def tell(self) -> int:
        return int(self._stream.tell())

    def flush(self) -> None:
        self._stream.flush()

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._stream.close()


class _Handler(DeltaStorageHandler):  # type: ignore[misc]  # the base is untyped
    """The client, with output streams that pyarrow's writers can use."""

    def open_output_stream(self, path: str, metadata: Mapping[str, str] | None = None) -> pa.PythonFile:
        """See pyarrow.fs.FileSystemHandler."""
        return pa.PythonFile(_Output(self._handler.open_output_stream(path, metadata)), "w")


def native_files(url: str, options: Mapping[str, str] | None = None) -> pafs.FileSystem:
    """A file system whose root is `url`."""
    return pafs.PyFileSystem(_Handler(url, dict(options) if options else None))
