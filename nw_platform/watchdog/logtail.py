"""The newest state of many Delta tables, at the cost of what is new in them.

Opening a table costs milliseconds, however little changed; a look meets a thousand of them each minute. So a table that
was opened once is followed by its commits: one question to the storage says which tables have a next commit, and what
that commit added and removed is a line of JSON each. Whatever is out of the ordinary opens the table: it was made anew,
its schema changed, an old hour is asked for. What is followed is a hint of this process and is never written down.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.fs as pafs

from nw_platform.errors import LakeError
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import HourState, LakeFile, LakeTable, Snapshot

_PLAIN: Final = frozenset({"add", "remove", "txn", "commitInfo"})
_OPENERS: Final = 4
_MOST_COMMITS: Final = 5000  # more than this is read faster by opening


@dataclass(slots=True)
class Tail:
    """What some commits changed, in order."""

    version: int
    mark: int  # when the newest commit was written, as the storage says; a table made anew has another
    added: dict[str, LakeFile] = field(default_factory=dict)  # by path
    removed: set[str] = field(default_factory=set)
    transactions: dict[str, int] = field(default_factory=dict)  # application id -> version


def commit_marks(lake: Lake, wanted: Iterable[tuple[LakeTable, int]]) -> dict[tuple[str, int], int]:
    """(path of a table, version) -> when that commit was written, of those that are there. One question for all.

    Raises OSError if the storage does not answer.
    """
    asked = [(table.path, version) for table, version in wanted]
    infos = lake.files.get_file_info([_commit(path, version) for path, version in asked]) if asked else []
    found = zip(asked, infos, strict=True)
    return {place: info.mtime_ns or 0 for place, info in found if info.type == pafs.FileType.File}


def read_tail(lake: Lake, table: LakeTable, version: int) -> Tail | None:
    """What was committed after `version`; None if that cannot be told from the commits. Raises OSError."""
    tail = Tail(version, 0)
    while tail.version - version < _MOST_COMMITS:
        marks = commit_marks(lake, [(table, tail.version + n) for n in range(1, 9)])
        for at in range(tail.version + 1, tail.version + 9):
            if (table.path, at) not in marks:
                return tail
            if not _take(lake, table, at, tail):
                return None
            tail.version, tail.mark = at, marks[table.path, at]
    return None


def _take(lake: Lake, table: LakeTable, version: int, tail: Tail) -> bool:
    """Take one commit in; False if it holds more than files."""
    with lake.files.open_input_stream(_commit(table.path, version)) as stream:
        lines = bytes(stream.read()).splitlines()
    for line in lines:
        action: dict[str, Any] = json.loads(line)
        if not action.keys() <= _PLAIN:
            return False
        if "remove" in action:
            path = unquote(action["remove"]["path"])
            tail.added.pop(path, None)
            tail.removed.add(path)
        elif "add" in action:
            file = _file(table, action["add"])
            tail.removed.discard(file.path)
            tail.added[file.path] = file
        elif "txn" in action:
            tail.transactions[str(action["txn"]["appId"])] = int(action["txn"]["version"])
    return True


def _file(table: LakeTable, add: Mapping[str, Any]) -> LakeFile:
    path = unquote(add["path"])
    stats = json.loads(add.get("stats") or "{}")
    low, high = stats.get("minValues", {}), stats.get("maxValues", {})
    return LakeFile(
        path=path,
        url=f"{table.url}/{path}",
        partition=dict(add["partitionValues"]),
        records=int(stats.get("numRecords", 0)),
        size=int(add["size"]),
        statistics={name: (low[name], high[name]) for name in low if name in high},
    )


def _commit(path: str, version: int) -> str:
    return f"{path}/_delta_log/{version:020}.json"


class FollowedLogs:
    """The `logs` of one stream: all hours as of the last opening, the recent ones as of the last commit."""

    def __init__(self, table: LakeTable) -> None:
        self.table = table
        self.version = -1  # of what is known; -1: there is no table
        self.version_before = -1  # of the look before: what `touched` starts from
        self.mark = 0
        self.touched: set[str] | None = None  # hours that changed since the look before; None: compare all of them
        self._recent: dict[str, dict[str, tuple[int, int]]] = {}  # hour -> path -> records, size
        self._from = ""  # hours before this one are known by the snapshot only
        self._schema: pa.Schema | None = None
        self._snapshot: Snapshot | None = None

    def open(self, first_recent: str, mark: int | None) -> None:
        """Open the table. `mark`: of its newest commit, if that was asked for. Raises LakeError."""
        self.version_before = self.version
        self._snapshot = self.table.snapshot()
        self.touched, self._recent, self._schema, self._from = None, {}, None, first_recent
        self.version = -1 if self._snapshot is None else self._snapshot.version
        self.mark = mark or 0
        if self._snapshot is not None:
            self._schema = self._snapshot.schema()
            for file in self._snapshot.files():
                if file.hour >= first_recent:
                    self._recent.setdefault(file.hour, {})[file.path] = (file.records, file.size)

    def follow(self, tail: Tail, first_recent: str) -> bool:
        """Take commits in; False if they concern hours that are not followed: open the table then."""
        hours = {_hour(path) for path in (*tail.added, *tail.removed)}
        if any(hour < self._from for hour in hours):
            return False
        for path in tail.removed:
            self._recent.get(_hour(path), {}).pop(path, None)
        for file in tail.added.values():
            self._recent.setdefault(file.hour, {})[file.path] = (file.records, file.size)
        self.version_before = self.version
        self.version, self.mark, self.touched = tail.version, tail.mark, hours
        self._from = max(self._from, first_recent)
        self._recent = {hour: files for hour, files in self._recent.items() if files and hour >= self._from}
        return True

    def rest(self) -> None:
        """Nothing was committed since the last look."""
        self.version_before, self.touched = self.version, set()

    def release(self) -> None:
        """Let go of the opened table; what is followed is kept."""
        self._snapshot = None

    @property
    def is_there(self) -> bool:
        """Whether there is a table."""
        return self.version >= 0

    def schema(self) -> pa.Schema:
        """The table's columns."""
        return self._schema if self._schema is not None else pa.schema([])

    def states(self, hours: Collection[str] | None = None) -> dict[str, HourState]:
        """What there is of some hours, or of all; an hour without files is left out. Raises LakeError."""
        if hours is None:
            return self._opened().hours() if self.is_there else {}
        found = {}
        for hour in sorted(hours):
            if files := self.hour_files([hour]):
                paths = "\n".join(file.path for file in files)
                found[hour] = HourState(
                    records=sum(file.records for file in files),
                    size=sum(file.size for file in files),
                    files=len(files),
                    token=hashlib.sha256(paths.encode()).hexdigest()[:16],
                )
        return found

    def hour_files(self, hours: Collection[str]) -> list[LakeFile]:
        """The files of some hours, in order of their paths. Raises LakeError."""
        if not self.is_there:
            return []
        old = [hour for hour in hours if hour < self._from]
        found = self._opened().hour_files(old) if old else []
        for hour in {hour for hour in hours if hour >= self._from}:
            day, _, clock = hour.partition("T")
            partition = {"dt": day, "hour": clock}
            for path, (records, size) in self._recent.get(hour, {}).items():
                found.append(LakeFile(path, f"{self.table.url}/{path}", partition, records, size, {}))
        return sorted(found, key=lambda file: file.path)

    def files_of_others(self, hours: Collection[str]) -> list[LakeFile]:
        """The files of all hours but these. Raises LakeError."""
        return [file for file in self._opened().files() if file.hour not in hours] if self.is_there else []

    def _opened(self) -> Snapshot:
        if self._snapshot is None:
            self._snapshot = self.table.snapshot()
        if self._snapshot is None:
            raise LakeError(f"the table {self.table.url} went away; check the storage")
        return self._snapshot


def _hour(path: str) -> str:
    """The hour in a path like `dt=2026-11-22/hour=05/name.parquet`."""
    day, hour, _ = path.split("/", 2)
    return f"{day.partition('=')[2]}T{hour.partition('=')[2]}"


def follow_all(lake: Lake, tables: Sequence[FollowedLogs], first_recent: str) -> dict[str, LakeError]:
    """Bring many tables up to date; returns why some could not be, by their path."""
    known = [logs for logs in tables if logs.is_there]
    try:
        marks = commit_marks(lake, ((logs.table, v) for logs in known for v in (logs.version, logs.version + 1)))
    except OSError:
        marks = {}  # whatever is wrong, opening says what
    to_open = [logs for logs in tables if not logs.is_there]
    for logs in known:
        place = logs.table.path
        if logs.mark == 0 or marks.get((place, logs.version)) != logs.mark:
            to_open.append(logs)
        elif (place, logs.version + 1) not in marks:
            logs.rest()
        elif not _follow(lake, logs, first_recent):
            to_open.append(logs)
    with ThreadPoolExecutor(_OPENERS) as pool:
        problems = list(pool.map(lambda logs: _open(lake, logs, first_recent), to_open))
    return {logs.table.path: problem for logs, problem in zip(to_open, problems, strict=True) if problem is not None}


def _follow(lake: Lake, logs: FollowedLogs, first_recent: str) -> bool:
    try:
        tail = read_tail(lake, logs.table, logs.version)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return tail is not None and logs.follow(tail, first_recent)


def _open(lake: Lake, logs: FollowedLogs, first_recent: str) -> LakeError | None:
    """Open a table; what cannot be read is returned, for each table by itself."""
    try:
        logs.open(first_recent, None)
        place = (logs.table, logs.version)
        logs.mark = next(iter(commit_marks(lake, [place]).values()), 0) if logs.is_there else 0
    except LakeError as error:
        logs.version = -1
        return error
    except OSError:
        logs.mark = 0  # it is opened again at the next look
    return None
