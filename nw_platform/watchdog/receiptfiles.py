"""New receipts of many streams, read together: a file each minute and stream is opened a thousand times otherwise."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.lake.engine import scan
from nw_platform.lake.receipts import from_rows
from nw_platform.lake.store import RECEIPTS_SCHEMA, Lake
from nw_platform.lake.tables import LakeFile, Snapshot
from nw_platform.record.spans import Receipt
from nw_platform.watchdog.logtail import Tail, commit_marks, read_tail

_MOST_BYTES: Final = 32 << 20  # of several files in one query
_MOST_FILES: Final = 2000


class FollowedReceipts:
    """The table `receipts`: which files of it are new since the look before."""

    def __init__(self, lake: Lake) -> None:
        self._lake, self._table = lake, lake.receipts()
        self.version = -1
        self._mark = 0
        self._base = -1  # the version that `_added` starts from
        self._added: dict[str, list[LakeFile]] = {}
        self._snapshot: Snapshot | None = None
        self._by_stream: dict[str, list[LakeFile]] | None = None

    def follow(self) -> None:
        """Bring it up to date. Raises LakeError."""
        self._base, self._added, self._by_stream, self._snapshot = self.version, {}, None, None
        tail = self._tail()
        if tail is None:
            self._open()
            return
        if tail.version > self.version:
            self.version, self._mark = tail.version, tail.mark
        for file in tail.added.values():
            self._added.setdefault(file.partition["stream"], []).append(file)

    def files(self, stream: str, since: int = -1) -> Sequence[LakeFile]:
        """The stream's files, in order: those that are new after the version `since`, or more. Raises LakeError."""
        if since == self.version:
            return []
        if since == self._base >= 0:
            return sorted(self._added.get(stream, ()), key=lambda file: file.path)
        if self._by_stream is None:
            if self._snapshot is None:
                self._open()
            self._by_stream = {}
            for file in self._snapshot.files() if self._snapshot else ():
                self._by_stream.setdefault(file.partition["stream"], []).append(file)
        return self._by_stream.get(stream, ())

    def release(self) -> None:
        """Let go of the opened table."""
        self._snapshot, self._by_stream = None, None

    def _open(self) -> None:
        self._snapshot = self._table.snapshot()
        self._base = self._mark = -1
        self.version = -1 if self._snapshot is None else self._snapshot.version
        if self._snapshot is not None:
            self._mark = self._mark_of(self.version)

    def _mark_of(self, version: int) -> int:
        try:
            return next(iter(commit_marks(self._lake, [(self._table, version)]).values()), 0)
        except OSError:
            return 0

    def _tail(self) -> Tail | None:
        if self.version < 0 or self._mark <= 0 or self._mark_of(self.version) != self._mark:
            return None
        try:
            return read_tail(self._lake, self._table, self.version)
        except (OSError, ValueError, KeyError, TypeError):
            return None


def read_new(
    connection: duckdb.DuckDBPyConnection, files: Mapping[str, Sequence[LakeFile]]
) -> dict[str, list[Receipt]]:
    """The receipts in some files of several streams: stream -> receipts. Streams that cannot be read are left out."""
    found: dict[str, list[Receipt]] = {}
    for streams in _parts(files):
        chosen = [file for stream in streams for file in files[stream]]
        sql = scan(chosen, RECEIPTS_SCHEMA, partitions=("stream",))
        try:
            rows: pa.Table = connection.sql(sql).to_arrow_table()
        except duckdb.Error:
            continue  # whose fault it is, is found out one by one
        rows = rows.take(pc.sort_indices(rows, sort_keys=[("stream", "ascending")])).combine_chunks()
        at = 0
        for stream, mine in groupby(rows["stream"].to_pylist()):
            count = len(list(mine))
            with contextlib.suppress(TypeError, ValueError, KeyError):  # a foreign file: found out one by one
                found[stream] = from_rows(rows.slice(at, count), stream)
            at += count
    return found


def _parts(files: Mapping[str, Sequence[LakeFile]]) -> Iterator[list[str]]:
    """Streams whose files together are not too many for one query. What is large by itself is read by itself."""
    part: list[str] = []
    count = size = 0
    for stream, mine in files.items():
        weight = sum(file.size for file in mine)
        if not mine or weight > _MOST_BYTES:
            continue
        if part and (count + len(mine) > _MOST_FILES or size + weight > _MOST_BYTES):
            yield part
            part, count, size = [], 0, 0
        part.append(stream)
        count, size = count + len(mine), size + weight
    if part:
        yield part
