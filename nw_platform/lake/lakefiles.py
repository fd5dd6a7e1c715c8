"""The Parquet files that a stream's tables name, each by itself: is it there, is it Parquet, is it of this table?

Only footers are read. What is in a file is for digests and positions to prove; they need files that can be read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from nw_platform.errors import LakeError
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeFile, LakeTable, Snapshot
from nw_platform.lake.unreadable import repair

# Columns that every file of a table has, whatever the version that wrote it.
_NEEDED: Final = {
    "raw": ("lane", "sequence", "source", "source_start", "value"),
    "logs": ("event_time", "event_id", "source", "source_start"),
    "receipts": ("lane", "sequence", "digest", "previous_digest"),
    "duplicates": ("event_time", "event_id", "source", "source_start", "lane", "sequence"),
    "alerts": ("time", "key", "transition"),
}


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that a table names and that cannot be what was written."""

    table: str  # raw | logs | receipts | duplicates | alerts
    file: LakeFile
    reason: str
    repair: str  # the command that makes it anew

    def told(self) -> str:
        """What is wrong, and what to do."""
        return f"{self.reason}; run: {self.repair}"


def bad_files(lake: Lake, stream: str) -> Iterator[BadFile]:
    """Those of one stream's tables.

    Raises:
        LakeError: a table cannot be read.
    """
    for name, table in (("raw", lake.raw(stream)), ("logs", lake.logs(stream))):
        snapshot = table.snapshot()
        for file, reason in _bad(lake, table, snapshot, snapshot.files() if snapshot is not None else []):
            yield BadFile(name, file, reason, repair(stream, name, file.hour))
    for name, table in (("receipts", lake.receipts()), ("duplicates", lake.duplicates())):
        snapshot = table.snapshot()
        mine = snapshot.files(stream=[stream]) if snapshot is not None else []
        for file, reason in _bad(lake, table, snapshot, mine):
            yield BadFile(name, file, reason, f"nw repair {stream}")


def bad_receipt_files(lake: Lake, stream: str) -> set[str]:
    """The paths of those of one stream's receipts. Raises LakeError."""
    table = lake.receipts()
    snapshot = table.snapshot()
    mine = snapshot.files(stream=[stream]) if snapshot is not None else []
    return {file.path for file, _ in _bad(lake, table, snapshot, mine)}


def bad_alert_files(lake: Lake) -> Iterator[BadFile]:
    """Those of the table `alerts`, which belongs to no stream. Raises LakeError."""
    table = lake.alerts()
    snapshot = table.snapshot()
    for file, reason in _bad(lake, table, snapshot, snapshot.files() if snapshot is not None else []):
        yield BadFile("alerts", file, reason, "nw repair")


def _bad(
    lake: Lake, table: LakeTable, snapshot: Snapshot | None, files: Iterable[LakeFile]
) -> Iterator[tuple[LakeFile, str]]:
    if snapshot is None:
        return
    schema = snapshot.schema()
    needed = _NEEDED[table.path.partition("/")[0]]
    for file in files:
        reason = _why_bad(lake, f"{table.path}/{file.path}", file, schema, needed)
        if reason:
            yield file, reason


def _why_bad(lake: Lake, path: str, file: LakeFile, schema: pa.Schema, needed: Iterable[str]) -> str:
    """Why a file cannot be the one that was written; '' if it can."""
    try:
        kind = lake.files.get_file_info(path).type
        if kind != pafs.FileType.File:
            return "is gone" if kind == pafs.FileType.NotFound else "is no file, but a folder"
        with lake.files.open_input_file(path) as handle:
            footer = pq.ParquetFile(handle)
            rows, columns = footer.metadata.num_rows, footer.schema_arrow
    except (OSError, pa.ArrowException) as error:
        return f"{file.path.rsplit('/', 1)[-1]} cannot be read ({' '.join(str(error).split())[:120]})"
    missing = [name for name in needed if name not in columns.names]
    if missing:
        return f"is no file of this table: it has no column {', '.join(missing)}"
    for field in columns:
        if field.name in schema.names and not _alike(field.type, schema.field(field.name).type):
            return f"is no file of this table: its column {field.name} is {field.type}"
    if rows != file.records:
        return f"is not the file that was written: it holds {rows} records, its commit says {file.records}"
    return ""


def _alike(found: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether two types are one for a reader; what a map's items are called is the writer's matter."""
    if pa.types.is_map(wanted):
        return bool(pa.types.is_map(found))
    if pa.types.is_timestamp(wanted):
        return bool(pa.types.is_timestamp(found))
    return bool(found == wanted)


def named(lake: Lake, stream: str, error: Exception) -> LakeError:
    """What to raise where reading a stream failed in a way that only a foreign file explains: it is looked for."""
    bad = next(bad_files(lake, stream), None)
    if bad is None:
        return LakeError(f"the tables of stream {stream} cannot be read: {' '.join(str(error).split())[:200]}")
    return LakeError(f"{bad.table}: {bad.file.path} {bad.told()}")
