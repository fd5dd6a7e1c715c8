"""Delta tables as the protocol needs them: a snapshot is read, files are written beside it, one commit names them.

A commit carries application transactions (app id, version). Delta refuses it if another commit made after the
snapshot moved the same app id, so of two runs that plan the same step one wins (P8). This holds only if the version
was read from the very snapshot that commits: hence `Snapshot`, and no way to commit without one.
Facts checked with deltalake 1.6.6; see docs/architecture.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import urllib.parse
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, Field, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from nw_platform.deadlines import Patience
from nw_platform.errors import CommitConflictError, LakeError, SchemaConflictError
from nw_platform.lake.ages import hours_since
from nw_platform.lake.durable import sync_commits
from nw_platform.lake.native import DATA_S, line_of
from nw_platform.lake.parquet import FileWriter, WrittenFile, plain_field
from nw_platform.lake.unreadable import is_damage, repair_of_table

Result = TypeVar("Result")

RECEIPT_KEY: Final = "neverwinter.receipt"
# How deltalake words a failure of the storage during a commit: the commit may have been made, its files are to stay.
_UNKNOWN: Final = ("Log storage error", "Transaction failed", "Error serializing commit log")
LOAD_S: Final = 15.0  # a table's log may be long, but a tick must not wait for a dead server
VACUUM_S: Final = 1800.0  # looks at every folder
_CONFIGURATION: Final = {"delta.logRetentionDuration": "interval 2 days", "delta.checkpointInterval": "50"}


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One Parquet file of a snapshot."""

    path: str  # relative to the table
    url: str  # absolute
    partition: dict[str, str]
    records: int
    size: int  # bytes
    statistics: dict[str, tuple[Any, Any]]

    @property
    def hour(self) -> str:
        """`2026-11-22T05`, for tables partitioned by `dt` and `hour`."""
        return f"{self.partition['dt']}T{self.partition['hour']}"


@dataclass(frozen=True, slots=True)
class HourState:
    """What a snapshot holds of one hour. `token` changes whenever the hour's set of files changes."""

    records: int
    size: int
    files: int
    token: str


class Snapshot:
    """One version of a table, and the only way to commit to it."""

    def __init__(self, table: LakeTable, handle: DeltaTable) -> None:
        self._table, self._handle = table, handle
        self._files: list[LakeFile] | None = None

    @property
    def version(self) -> int:
        """The Delta version."""
        return int(self._handle.version())

    @property
    def table_id(self) -> str:
        """The table's own id: another one after it was deleted and made again."""
        return str(self._handle.metadata().id)

    def transaction(self, app: str) -> int:
        """The version of an application transaction as of this snapshot; -1 if there never was one."""
        version = self._table.stored("read", lambda: self._handle.transaction_version(app))
        return -1 if version is None else int(version)

    def schema(self) -> pa.Schema:
        """The table's columns, partition columns excluded."""
        whole = pa.schema(self._handle.schema())
        return pa.schema([plain_field(field) for field in whole if field.name not in self._table.partition_by])

    def files(self, **partition: Collection[str]) -> list[LakeFile]:
        """The files whose partition values are among those given, in order of their paths."""
        if self._files is None:
            self._files = self._load_files()
        return [f for f in self._files if all(f.partition[name] in wanted for name, wanted in partition.items())]

    def hour_files(self, hours: Collection[str]) -> list[LakeFile]:
        """The files of some hours, for tables partitioned by `dt` and `hour`."""
        wanted = set(hours)
        return [f for f in self.files(dt={hour[:10] for hour in wanted}) if f.hour in wanted]

    def hours(self) -> dict[str, HourState]:
        """Every hour that has files, for tables partitioned by `dt` and `hour`."""
        grouped: dict[str, list[LakeFile]] = {}
        for file in self.files():
            grouped.setdefault(file.hour, []).append(file)
        return {
            hour: HourState(
                records=sum(f.records for f in files),
                size=sum(f.size for f in files),
                files=len(files),
                token=hashlib.sha256("\n".join(f.path for f in files).encode()).hexdigest()[:16],
            )
            for hour, files in sorted(grouped.items())
        }

    def history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Commits, newest first, as far back as the log goes (two days)."""
        return list(self._table.stored("read", lambda: self._handle.history(limit)))

    def commit(
        self,
        *,
        add: Iterable[WrittenFile] = (),
        remove: Iterable[LakeFile] = (),
        transactions: Mapping[str, int],
        metadata: Mapping[str, str],
        now: int,
        data_change: bool = True,
    ) -> None:
        """Make `add` part of the table and `remove` not, in one commit. The snapshot is used up by it.

        Args:
            add: files that were written with `LakeTable.writer`.
            remove: files of this snapshot.
            transactions: app id -> new version.
            metadata: kept in the commit, for as long as the log (two days).
            now: microseconds since the epoch.
            data_change: False if readers see the same rows before and after (compaction).

        Raises:
            CommitConflictError: another commit came first; nothing was changed by this one.
            LakeError: the storage failed; whether the commit was made is not known, so read again.
        """
        actions: list[AddAction | RemoveAction] = [
            AddAction(
                path=f.path,
                size=f.size,
                partition_values=f.partition,
                modification_time=now // 1000,
                data_change=data_change,
                stats=f.delta_statistics(),
            )
            for f in add
        ]
        actions += [
            RemoveAction(
                path=f.path,
                data_change=data_change,
                deletion_timestamp=now // 1000,
                size=f.size,
                partition_values=dict(f.partition),
            )
            for f in remove
        ]
        properties = CommitProperties(
            custom_metadata=dict(metadata),
            app_transactions=[Transaction(app, version) for app, version in transactions.items()],
        )
        try:
            self._table.patiently(
                lambda: self._handle.create_write_transaction(
                    actions,
                    "append",
                    self._handle.schema(),
                    partition_by=list(self._table.partition_by),
                    commit_properties=properties,
                )
            )
        except (DeltaError, OSError) as error:
            if isinstance(error, CommitFailedError) and not any(text in str(error) for text in _UNKNOWN):
                raise CommitConflictError(
                    f"another run committed to {self._table.url} first ({line_of(error)})"
                ) from error
            raise LakeError(f"cannot commit to {self._table.url}: {line_of(error)}") from error
        self._table.keep(self.version)

    def _load_files(self) -> list[LakeFile]:
        actions = pa.table(self._table.stored("read", lambda: self._handle.get_add_actions(flatten=True)))
        names = actions.schema.names
        watched = sorted(n.removeprefix("min.") for n in names if n.startswith("min.") and f"max.{n[4:]}" in names)
        keep = [n for n in watched if actions[f"min.{n}"].null_count < len(actions)]
        columns = {n: actions[n].to_pylist() for n in ("path", "size_bytes", "num_records")}
        values = {n: actions[f"partition.{n}"].to_pylist() for n in self._table.partition_by}
        low = {n: actions[f"min.{n}"].to_pylist() for n in keep}
        high = {n: actions[f"max.{n}"].to_pylist() for n in keep}
        order = pc.sort_indices(actions["path"]).to_pylist()
        return [
            LakeFile(
                path=columns["path"][i],
                url=self._table.address(f"{self._table.url}/{columns['path'][i]}"),
                partition={n: values[n][i] for n in values},
                records=columns["num_records"][i] or 0,
                size=columns["size_bytes"][i] or 0,
                statistics={n: (low[n][i], high[n][i]) for n in keep},
            )
            for i in order
        ]


class LakeTable:
    """One Delta table of the lake, which may not exist yet."""

    def __init__(
        self,
        url: str,
        files: Callable[[], pafs.FileSystem],
        path: str,
        schema: pa.Schema,
        partition_by: tuple[str, ...],
        storage_options: Mapping[str, str] | None,
        durable_root: str | None,
        patience: Patience | None = None,
    ) -> None:
        """`patience`: what the storage's server is waited for with; None: its client has deadlines of its own."""
        self._patience = patience
        self.url, self.path, self.partition_by = url, path, partition_by
        self._files, self._schema, self._options = files, schema, dict(storage_options or {})
        self._durable_root = durable_root
        self.address: Callable[[str], str] = str  # the URL of a file -> what DuckDB is to call it
        self.before_made: Callable[[], None] = lambda: None  # raises, if the table must not be made

    def exists(self) -> bool:
        """Whether the table was ever created."""
        return self._load() is not None

    def log_is_there(self) -> bool:
        """Whether anything of the table's log is there, readable or not."""
        info = self._files().get_file_info(f"{self.path}/_delta_log")
        return bool(info.type == pafs.FileType.Directory)

    def snapshot(self) -> Snapshot | None:
        """The newest version; None if there is no table yet. Each call returns a handle of its own."""
        handle = self._load()
        return None if handle is None else Snapshot(self, handle)

    def ensure(self, schema: pa.Schema | None = None) -> Snapshot:
        """The newest version, of a table that has at least these columns: creates it, or adds columns.

        Raises:
            SchemaConflictError: a column is there with another type.
        """
        wanted = self._schema if schema is None else schema
        snapshot = self.snapshot()
        if snapshot is None:
            self.before_made()
            whole = pa.schema([*wanted, *(pa.field(n, pa.string()) for n in self.partition_by)])
            try:
                self.patiently(
                    lambda: DeltaTable.create(
                        self.url,
                        schema=whole,
                        mode="ignore",
                        partition_by=list(self.partition_by),
                        configuration=_CONFIGURATION,
                        storage_options=self._options or None,
                    )
                )
            except (DeltaError, OSError) as error:  # another run created it in the same instant
                if self._load() is None:
                    raise LakeError(f"cannot create the table {self.url}: {line_of(error)}") from error
            self.keep(-1)
            snapshot = self.snapshot()
            if snapshot is None:
                raise LakeError(f"the table {self.url} is not there right after it was created; check the storage")
        return self._evolved(snapshot, wanted)

    def writer(self, name: str, schema: pa.Schema, partition: dict[str, str], **options: Any) -> FileWriter:  # noqa: ANN401
        """A writer of one new file: `options` as in FileWriter. The name must be unique; no commit names it yet."""
        folder = "/".join(f"{key}={partition[key]}" for key in self.partition_by)
        return FileWriter(
            self._files(),
            self.path,
            f"{folder}/{name}",
            schema,
            partition=partition,
            durable_root=self._durable_root,
            **options,
        )

    def keep(self, after: int) -> None:
        """Sync the commits newer than a version, where the table is durable. Raises LakeError if the disk fails."""
        if self._durable_root is None:
            return
        try:
            sync_commits(self._durable_root, self.path, after)
        except OSError as error:
            raise LakeError(f"cannot sync the log of the table {self.url}: {line_of(error)}") from error

    def discard(self, written: Iterable[WrittenFile]) -> None:
        """Remove files that certainly no commit names, after a lost race. What cannot be removed is an orphan."""
        for file in written:
            with contextlib.suppress(OSError):
                self._files().delete_file(f"{self.path}/{file.path}")

    def orphans(self) -> list[str]:
        """Files in the table's folder that no commit names, relative to it: left by dead runs, or not ours at all."""
        removed = set(self.vacuum(before=None, full=False, dry_run=True))
        return sorted(set(self.vacuum(before=None, full=True, dry_run=True)) - removed)

    def vacuum(self, *, before: int | None, full: bool, dry_run: bool) -> list[str]:
        """Delete files that were removed before an instant (`full`: also such as no commit ever named).

        `before` is in microseconds since the epoch; None means whenever that was. An age is rounded up to whole hours,
        so a file may stay up to an hour longer. Commits only if there is a file to delete: the log names removed
        files long after they are gone.

        Raises:
            LakeError: the storage fails.
        """
        handle = self._load()
        if handle is None:
            return []
        age = 0 if before is None else hours_since(before)
        options = {"retention_hours": age, "enforce_retention_duration": False, "full": full}
        named = self.stored("vacuum", lambda: handle.vacuum(dry_run=True, **options), VACUUM_S)
        infos = self._files().get_file_info([f"{self.path}/{urllib.parse.unquote(name)}" for name in named])
        there = [name for name, info in zip(named, infos, strict=True) if info.type == pafs.FileType.File]
        if there and not dry_run:
            self.stored("vacuum", lambda: handle.vacuum(dry_run=False, **options), VACUUM_S)
        return there

    def _load(self) -> DeltaTable | None:
        try:
            return self.stored("read", lambda: DeltaTable(self.url, storage_options=self._options or None), LOAD_S)
        except TableNotFoundError:
            return None

    def patiently(self, call: Callable[[], Result], seconds: float = DATA_S) -> Result:
        """Call, and wait for the storage no longer than this if its client would wait for ever."""
        return call() if self._patience is None else self._patience.wait(seconds, call)

    def stored(self, verb: str, call: Callable[[], Result], seconds: float = DATA_S) -> Result:
        """As `patiently`, with the storage's errors as LakeErrors; TableNotFoundError as it is."""
        try:
            return self.patiently(call, seconds)
        except TableNotFoundError:
            raise
        except (DeltaError, OSError) as error:
            advice = f"; run: {repair_of_table(self.path)}" if is_damage(error) else ""
            raise LakeError(f"cannot {verb} the table {self.url}: {line_of(error)}{advice}") from error

    def _evolved(self, snapshot: Snapshot, wanted: pa.Schema) -> Snapshot:
        present = snapshot.schema()
        missing = []
        for field in wanted:
            if field.name not in present.names:
                missing.append(field)
            elif present.field(field.name).type != field.type:
                raise SchemaConflictError(
                    f"column {field.name} of {self.url} is {present.field(field.name).type}, declared now as "
                    f"{field.type}; keep its type, or declare the column under another name"
                )
        if missing:
            delta = pa.schema(missing)
            fields = [Field.from_arrow(f) for f in delta]
            try:
                self.patiently(lambda: snapshot._handle.alter.add_columns(fields))  # noqa: SLF001  (the two classes are one unit)
            except CommitFailedError as error:
                raise CommitConflictError(f"another run changed {self.url} first ({line_of(error)})") from error
            except (DeltaError, OSError) as error:
                raise LakeError(f"cannot add columns to the table {self.url}: {line_of(error)}") from error
            self.keep(snapshot.version)
            fresh = self.snapshot()
            if fresh is None:
                raise LakeError(f"the table {self.url} went away while columns were added; check the storage")
            return fresh
        return snapshot


def file_name(lane: str, sequence: int, part: int = 0) -> str:
    """A new file's name: listing order is batch order, and two runs of one step never write the same file."""
    return f"{lane}-{sequence:012d}-{part:04d}-{uuid.uuid4().hex[:12]}.parquet"


def batch_of(path: str) -> tuple[str, int] | None:
    """(lane, sequence) in the name of a file of one batch; None: it was merged or rebuilt since."""
    lane, sequence, *_ = path.rsplit("/", 1)[-1].split("-")
    return (lane, int(sequence)) if lane[:1].isdigit() and sequence.isdigit() else None
