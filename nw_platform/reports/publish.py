"""Report files: one Parquet file a period under a fixed name, replaced as a whole and only if its rows differ.

    reports/<table>/grain=<g>/dt=<first day, or all>/<period>.parquet

A new file is written beside the old one under a name that starts with `_` or `.` (readers skip such names), made
durable, and renamed over it, so a reader sees the old rows or the new ones and never half a file (P7). If the rows are
the same the old file stays as it is (P3). Remote storage does the like when a stream is closed: see lake/native.py.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Protocol, TypeVar

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from nw_platform.errors import LakeError
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.native import local_path
from nw_platform.lake.remote import place
from nw_platform.record.hours import period_directory

Result = TypeVar("Result")

_PERIOD: Final = re.compile(r"all|\d{4}-\d\d-\d\d(T\d\d)?")
_READS: Final = 20  # of a file that is replaced while it is read
_IN_RECOVERY: Final = "RecoveryInProgress"
_RECOVERIES: Final = 15  # waits
_RECOVERY_S: Final = 1.0
_AT_ONCE: Final = 8  # remote files written at a time: each waits for its server, mostly


class ReportFiles(Protocol):
    """The folder of report files. Paths are relative to it."""

    def url(self, path: str) -> str:
        """What DuckDB reads the file as."""

    def there(self, paths: Iterable[str]) -> list[str]:
        """Those of the paths that have a file, in their order."""

    def below(self, folder: str) -> list[str]:
        """The published files in the `dt=` folders of a table's grain, sorted."""

    def foreign(self, folder: str) -> list[str]:
        """What else looks like a published file there: a copy, or a file in another day's folder. Never read."""

    def data(self, path: str) -> bytes | None:
        """A file's bytes; None if there is none."""

    def rows(self, path: str) -> int | None:
        """How many rows a Parquet file has; None if there is none."""

    def replace(self, path: str, data: bytes) -> None:
        """Write a file in the place of the one that may be there, at once and for good."""


def report_files(root: str) -> ReportFiles:
    """The report files below a local path or the address of remote storage."""
    local = local_path(root)
    return _Remote(root) if local is None else _Local(Path(local))


def report_path(table: str, grain: str, period: str) -> str:
    """Where the file of a period is, below the folder of report files."""
    return f"{table}/grain={grain}/dt={period_directory(grain, period)}/{period}.parquet"


def publish(files: ReportFiles, sources: Iterable[tuple[Path, str]]) -> int:
    """Put each source file in the place of the one at the path, unless that has the same rows. How many changed."""

    def one(pair: tuple[Path, str]) -> bool:
        source, path = pair
        new, old = source.read_bytes(), _old(files, path)
        if old is not None and _same_rows(new, old):
            return False
        reached(Step.REPORT_WRITTEN)
        files.replace(path, new)
        reached(Step.REPORT_REPLACED)
        return True

    if isinstance(files, _Local):
        return sum(map(one, sources))
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return sum(pool.map(one, sources))


def _old(files: ReportFiles, path: str) -> bytes | None:
    """The file that is there; None if it cannot be read, since it is to be replaced."""
    try:
        return files.data(path)
    except (OSError, LakeError):
        return None


class _Local:
    """On a local disk."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def url(self, path: str) -> str:
        return str(self._root / path)

    def there(self, paths: Iterable[str]) -> list[str]:
        return [path for path in paths if (self._root / path).exists()]

    def below(self, folder: str) -> list[str]:
        return [path for path in self._visible(folder) if _is_published(path)]

    def foreign(self, folder: str) -> list[str]:
        return [path for path in self._visible(folder) if not _is_published(path)]

    def _visible(self, folder: str) -> list[str]:
        found = sorted((self._root / folder).glob("dt=*/[!_.]*"))
        return [path.relative_to(self._root).as_posix() for path in found]

    def data(self, path: str) -> bytes | None:
        try:
            return (self._root / path).read_bytes()
        except FileNotFoundError:
            return None

    def rows(self, path: str) -> int | None:
        full = self._root / path
        return int(pq.read_metadata(full).num_rows) if full.is_file() else None

    def replace(self, path: str, data: bytes) -> None:
        target = self._root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_name(f"_{target.name.lstrip('_')}.{os.getpid()}.tmp")
        with beside.open("wb") as written:
            written.write(data)
            written.flush()
            os.fsync(written.fileno())
        try:
            beside.replace(target)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise LakeError(f"report file {target} cannot be replaced: {error}; move what is there away") from error
        folder = os.open(target.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class _Remote:
    """On remote storage. Every method raises LakeError where that fails."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._files, self._inside = place(root)

    def url(self, path: str) -> str:
        return f"{self._root}/{path}"

    def there(self, paths: Iterable[str]) -> list[str]:
        wanted = list(paths)
        infos = self._stored(lambda: self._files.get_file_info([self._full(path) for path in wanted]))
        return [path for path, info in zip(wanted, infos, strict=True) if info.type == pafs.FileType.File]

    def below(self, folder: str) -> list[str]:
        return [path for path in self._visible(folder) if _is_published(path)]

    def foreign(self, folder: str) -> list[str]:
        return [path for path in self._visible(folder) if not _is_published(path)]

    def _visible(self, folder: str) -> list[str]:
        selector = pafs.FileSelector(self._full(folder), allow_not_found=True, recursive=True)
        infos = self._stored(lambda: self._files.get_file_info(selector))
        names = (info.path[len(self._inside) + 1 :] for info in infos if info.type == pafs.FileType.File)
        return sorted(name for name in names if _is_visible(name[len(folder) + 1 :]))

    def data(self, path: str) -> bytes | None:
        return self._read(path, lambda file: bytes(file.read()))

    def rows(self, path: str) -> int | None:
        return self._read(path, lambda file: int(pq.ParquetFile(file).metadata.num_rows))

    def replace(self, path: str, data: bytes) -> None:
        def write() -> None:
            for left in range(_RECOVERIES, -1, -1):
                try:
                    with self._files.open_output_stream(self._full(path)) as file:
                        file.write(data)
                except OSError as error:
                    # HDFS takes a killed writer's temporary file, which has the same name, away from it: some seconds.
                    if not left or _IN_RECOVERY not in str(error):
                        raise
                    time.sleep(_RECOVERY_S)
                else:
                    return

        self._stored(write)

    def _read(self, path: str, how: Callable[[pa.NativeFile], Result]) -> Result | None:
        """Read again if the file was replaced meanwhile: the client opens it anew for each piece."""
        for _ in range(_READS):
            before = self._stored(lambda: self._files.get_file_info(self._full(path)))
            if before.type != pafs.FileType.File:
                return None
            result, failure = self._once(path, how)
            after = self._stored(lambda: self._files.get_file_info(self._full(path)))
            if (after.size, after.mtime_ns) == (before.size, before.mtime_ns):
                if failure is not None:
                    raise failure
                return result
        raise LakeError(f"{self._root}/{path} is replaced all the time; try again later")

    def _once(self, path: str, how: Callable[[pa.NativeFile], Result]) -> tuple[Result | None, Exception | None]:
        try:
            with self._files.open_input_file(self._full(path)) as file:
                return how(file), None
        except (OSError, pa.ArrowException) as error:
            return None, LakeError(f"{self._root}/{path} cannot be read: {error}")

    def _full(self, path: str) -> str:
        return f"{self._inside}/{path}"

    def _stored(self, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except OSError as error:
            raise LakeError(f"report files of {self._root}: {error}") from None


def _is_visible(name: str) -> bool:
    """`dt=2026-11-22/anything`, and no file in the making."""
    folder, _, file = name.partition("/")
    return folder.startswith("dt=") and not file.startswith(("_", "."))


def _is_published(path: str) -> bool:
    """Return True if a path is that of a period's file; a copy beside it, under another name, is not."""
    table, grain, _, name = path.split("/", 3)
    period = name.removesuffix(".parquet")
    if not _PERIOD.fullmatch(period) or (period == "all") != (grain == "grain=all"):
        return False
    return path == report_path(table, grain.removeprefix("grain="), period)


def _same_rows(one: bytes, other: bytes) -> bool:
    """Equal bytes, or equal rows: the same rows may be cut into pages in different ways. A damaged file has none."""
    if one == other:
        return True
    first = pq.ParquetFile(pa.BufferReader(one))
    try:
        second = pq.ParquetFile(pa.BufferReader(other))
        if first.metadata.num_rows != second.metadata.num_rows or not first.schema_arrow.equals(second.schema_arrow):
            return False
        return bool(first.read().equals(second.read()))
    except (OSError, pa.ArrowException):
        return False
