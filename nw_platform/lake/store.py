"""The lake as a whole: which tables there are, and where.

raw/stream=<s>/    Delta, by arrival hour        logs/stream=<s>/   Delta, by event hour
receipts/ duplicates/                            Delta, by stream and day
alerts/                                          Delta, by day
_identity/                                       Delta, empty: its id is the lake's
reports/<table>/grain=<g>/dt=<d>/<period>.parquet
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.fs as pafs

from nw_platform.errors import LakeError, UnreachableLakeError
from nw_platform.lake.identity import KnownLake, LakeMemory, refuse_gone_streams, refuse_other_lake
from nw_platform.lake.native import local_path, native_files, patience_of
from nw_platform.lake.remote import REPORTS, know
from nw_platform.lake.scratch import scratch
from nw_platform.lake.tables import LakeTable, Snapshot
from nw_platform.record.envelope import ENVELOPE_FIELDS, PARTITION_COLUMNS, RAW_SCHEMA, TIMESTAMP, logs_schema

IDENTITY: Final = "_identity"

RECEIPTS_SCHEMA: Final = pa.schema(
    [
        pa.field("lane", pa.string()),
        pa.field("sequence", pa.int64()),
        pa.field("kind", pa.string()),
        pa.field("arrival_hour", pa.string()),
        pa.field("spans", pa.string()),  # JSON
        pa.field("positions", pa.string()),  # JSON
        pa.field("records", pa.int64()),
        pa.field("bytes", pa.int64()),
        pa.field("skipped_lines", pa.int64()),
        pa.field("digest", pa.string()),
        pa.field("previous_digest", pa.string()),
        pa.field("event_hours", pa.string()),  # JSON: hour -> records
        pa.field("planned_time", TIMESTAMP),
        pa.field("replaces", pa.int64()),
        pa.field("detail", pa.string()),  # JSON
    ]
)

# One row = one dropped duplicate, with the batch it came in. `stream` and `dt` (of the event) are partition columns.
DUPLICATES_SCHEMA: Final = pa.schema(
    [
        *ENVELOPE_FIELDS,
        pa.field("source", pa.string()),
        pa.field("source_partition", pa.int32()),
        pa.field("source_start", pa.int64()),
        pa.field("source_end", pa.int64()),
        pa.field("lane", pa.string()),
        pa.field("sequence", pa.int64()),
    ]
)

# One row = one transition of an alert. `dt` (of its time) is the partition column.
ALERTS_SCHEMA: Final = pa.schema(
    [
        pa.field("time", TIMESTAMP),
        *(
            pa.field(name, pa.string())
            for name in ("key", "check", "stream", "partition", "subject", "severity", "transition", "message")
        ),
        pa.field("channels", pa.string()),
        pa.field("asset", pa.string()),
        pa.field("repair", pa.string()),
        pa.field("since", TIMESTAMP),
        pa.field("opened", TIMESTAMP),
        pa.field("note", pa.string()),
        pa.field("grouped_by", pa.string()),
        pa.field("deliveries", pa.string()),  # JSON: channel, message_id, thread_id, state, attempts, ...
        pa.field("claimed_by", pa.string()),  # the process that is about to send what is pending ...
        pa.field("claimed_until", TIMESTAMP),  # ... unless it died
    ]
)


class Lake:
    """Names the tables of one lake. Construction does no I/O."""

    def __init__(
        self,
        url: str,
        *,
        work: Path,
        storage_options: Mapping[str, str] | None = None,
        native: bool = False,
        memory: LakeMemory | None = None,
    ) -> None:
        """Take the lake at `url` (absolute path, hdfs://, s3://...). `work` is a local folder for hints.

        `native`: use the storage client that remote lakes use for a `file://` one too. `memory`: of which lake was met
        before; None: any will do.
        """
        self._memory = memory
        self.local_root = None if native else local_path(url)
        self.url = (self.local_root or url).rstrip("/")
        self.work = work
        self._options = dict(storage_options or {})
        self._files: pafs.FileSystem | None = None
        self._patience = patience_of(self.url)
        self.address: Callable[[str], str] = str  # the URL of a file -> what DuckDB is to call it
        if local_path(url) is None:
            know(self.url, self._options)

    @property
    def files(self) -> pafs.FileSystem:
        """A file system whose root is the lake."""
        if self._files is None:
            if self.local_root is not None:
                Path(self.url).mkdir(parents=True, exist_ok=True)
                self._files = pafs.SubTreeFileSystem(self.url, pafs.LocalFileSystem())
            else:
                self._files = native_files(self.url, self._options or None)
        return self._files

    def addressed(self, address: Callable[[str], str]) -> Lake:
        """The same lake, for a reader that has an `address` of its own for each file's URL."""
        other = copy.copy(self)
        other.address = address
        return other

    def require(self, *, is_there: bool = False, adopts: bool = True) -> None:
        """Stop, unless the lake is the one that is known; remember it.

        Args:
            adopts: give an id to a lake that has none, for a version without ids made it; if it can be written.
            is_there: stop as well, if there never was a lake.

        Raises:
            UnreachableLakeError: its identity cannot be read.
            LakeError: it is gone, or another one, or it lost all tables of a stream.
        """
        if self._memory is None:
            return
        identity, known = self._read_identity(), self._memory.known()
        receipts, is_read = self._receipts_if_readable()
        if adopts and identity is None and not known and (receipts is not None or not is_read):
            with contextlib.suppress(LakeError):  # a lake that is only read is left without
                identity = self.identity().ensure()
        if is_there and identity is None and receipts is None and not known:
            raise LakeError(f"there is no lake at {self.url}: nothing was ingested yet (nw ingest), or `lake` is wrong")
        found = None if identity is None else identity.table_id
        refuse_other_lake(self.url, found, known)
        remembered = {name for lake in known if lake.id == found for name in lake.streams}
        names = sorted(remembered | set(self._memory.streams))
        # The genesis of a stream's first lane is its first receipt.
        begun = [name for name in names if receipts is not None and receipts.transaction(f"{name}/0.0") >= 0]
        if is_read:
            refuse_gone_streams(self.url, (name for name in remembered - set(begun) if not self._has_tables(name)))
        if found is not None:
            self._memory.remember(KnownLake(found, self.url, tuple(sorted(remembered | set(begun)))))

    def renew(self) -> str:
        """Take what is at the lake's place from now on, and begin a new lake if there is none; returns the id.

        Raises:
            LakeError: the lake cannot be read or written.
        """
        if self._memory is not None:
            self._memory.remember(None)
        identity = self.identity().ensure()
        self.require()
        return identity.table_id

    def _read_identity(self) -> Snapshot | None:
        try:
            return self.identity().snapshot()
        except LakeError as error:
            raise UnreachableLakeError(str(error)) from error

    def _receipts_if_readable(self) -> tuple[Snapshot | None, bool]:
        """The table of receipts; and False if it is damaged: what is wrong with it is said by whoever needs it."""
        try:
            return self.receipts().snapshot(), True
        except LakeError:
            return None, False

    def _has_tables(self, stream: str) -> bool:
        """Whether a stream has a table, readable or not: if it has, what it lacks is found by holding it against it."""
        return self.raw(stream).log_is_there() or self.logs(stream).log_is_there()

    def identity(self) -> LakeTable:
        """An empty table, for its id."""
        url = f"{self.url}/{IDENTITY}"
        root = self.url if self.local_root is not None else None
        schema = pa.schema([pa.field("id", pa.string())])
        return LakeTable(url, lambda: self.files, IDENTITY, schema, (), self._options, root, self._patience)

    def _begin(self) -> None:
        """Before a table is made: not in a place where the lake is gone. A new lake is given its id."""
        if self._memory is not None:
            self.require()
            self.identity().ensure()
            self.require()  # remembers it

    def scratch(self, name: str) -> Path:
        """A local folder that can be written. Raises LakeError if there is none."""
        return scratch(self.work, name)

    @property
    def reports_root(self) -> str:
        """Where report files are."""
        return f"{self.url}/{REPORTS}"

    def raw(self, stream: str) -> LakeTable:
        """Exact bytes by arrival hour."""
        return self._table(f"raw/stream={stream}", RAW_SCHEMA, PARTITION_COLUMNS, durable=True)

    def logs(self, stream: str, columns: Mapping[str, pa.DataType] | None = None) -> LakeTable:
        """Parsed and deduplicated records by event hour. `columns`: the stream's own."""
        return self._table(f"logs/stream={stream}", logs_schema(dict(columns or {})), PARTITION_COLUMNS)

    def receipts(self) -> LakeTable:
        """What is known of each batch; kept for ever."""
        return self._table("receipts", RECEIPTS_SCHEMA, ("stream", "dt"), durable=True)

    def duplicates(self) -> LakeTable:
        """What was dropped because its id was there already."""
        return self._table("duplicates", DUPLICATES_SCHEMA, ("stream", "dt"))

    def alerts(self) -> LakeTable:
        """Transitions of alerts. By day only: a storm over a thousand streams is one file."""
        return self._table("alerts", ALERTS_SCHEMA, ("dt",), durable=True)

    def _table(
        self, path: str, schema: pa.Schema, partition_by: tuple[str, ...], *, durable: bool = False
    ) -> LakeTable:
        """`durable`: on local disk, sync each file before it is committed; what can be computed again goes without."""
        root = self.url if self.local_root is not None and durable else None
        url = f"{self.url}/{path}"
        table = LakeTable(url, lambda: self.files, path, schema, partition_by, self._options, root, self._patience)
        table.address = self.address
        table.before_made = self._begin
        return table
