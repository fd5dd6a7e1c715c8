"""Which rows of a batch repeat an id that their event hour already has.

Only ids that senders gave can repeat: ids derived from positions hold the source's incarnation and are disjoint.
What is remembered is a hint in the work folder, hour by hour, of one `logs` table (by its id) as of one of its
applies. What other runs have applied since (other lanes, another machine) is read from the files they added; after a
rebuild, a retention or a crash the hint is thrown away and built anew from the table's hours as they are needed. The
manifest is removed before the first change and written after the last, so a crash in between leaves no half-changed
hint that looks whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import time
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from nw_platform.ingest.batch import Parsed, in_pieces, pieces_by_hour
from nw_platform.ingest.idset import Ids, IdSet, New
from nw_platform.ingest.idtable import IdTable
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.engine import connect, scan
from nw_platform.lake.scratch import say_not_kept
from nw_platform.lake.tables import LakeFile, Snapshot, batch_of
from nw_platform.record.hours import HOUR_US, hour_of

_ID_SCHEMA: Final = pa.schema(
    [pa.field("event_id", pa.string()), pa.field("session", pa.string()), pa.field("seq", pa.int64())]
)
APPLY_APP: Final = "apply"  # `logs`: how often something was applied
REBUILD_APP: Final = "rebuild"  # `logs`: the last apply that was a rebuild
RETENTION_APP: Final = "retention"  # `logs`: the last apply that deleted hours
_PATIENCE_S: Final = 60.0
_LOOK_AGAIN_S: Final = 0.02
_FORMAT: Final = 2  # of what is on disk
_KEPT_HOURS: Final = 500  # hours remembered; the oldest are rebuilt if a late record needs them


@dataclass(frozen=True, slots=True)
class _Known:
    """Which of an hour's files are in what is remembered of it."""

    apply: int  # as of this apply
    lanes: dict[str, int]  # lane -> last batch with a file there
    merged: list[str]  # paths of compacted or rebuilt files


class Remembered:
    """What is known of the ids in one stream's `logs`, as of one snapshot."""

    def __init__(self, folder: Path | None, snapshot: Snapshot) -> None:
        """Use what `folder` holds of this table. None: remember nothing beyond this object."""
        self._folder, self._snapshot = folder, snapshot
        self._state = [
            _FORMAT,
            snapshot.table_id,
            snapshot.transaction(REBUILD_APP),
            snapshot.transaction(RETENTION_APP),
        ]
        self._hours: dict[str, IdSet] = {}
        self._saved: dict[str, _Known] = {}
        self._new: dict[str, New] = {}
        self._foreign = apply = snapshot.transaction(APPLY_APP)  # no other run has applied anything since this one
        if folder is None:
            return
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            manifest = json.loads((folder / "manifest.json").read_text())
            # Of more applies than the table has had: it lost commits, and their ids are not in it.
            if manifest["state"] == self._state and manifest["apply"] <= apply:
                self._saved = {hour: _Known(*known) for hour, known in manifest["hours"].items()}
                self._foreign = manifest["foreign"] if manifest["apply"] == apply else apply
        if not self._saved:
            shutil.rmtree(folder / "hours", ignore_errors=True)

    def repeated(self, parsed: Parsed) -> np.ndarray:
        """A bool for each row: it repeats an id of its event hour (in the snapshot, or in an earlier row)."""
        repeated = np.zeros(parsed.rows.num_rows, dtype=bool)
        self._new = {}
        for hour, at, ids in _by_hour(parsed, self._snapshot.table_id):
            repeated[at], self._new[hour] = self._hour(hour).repeats(ids, len(at))
        return repeated

    def took(self, apply: int, lane: str, sequence: int) -> None:
        """The batch asked for last is in `logs` as apply number `apply`: remember its ids."""
        if not self._mark():
            return
        reached(Step.DEDUPE_MARKED)
        for hour, new in self._new.items():
            self._hours[hour].add(new)
        if self._folder is None or not (self._new or self._saved):
            return
        try:
            self._save(self._folder, apply, lane, sequence)
        except OSError as error:  # without a manifest the hint is built anew
            say_not_kept(self._folder.parents[1], error)
            return
        reached(Step.DEDUPE_SAVED)

    def _mark(self) -> bool:
        """Take the manifest away before anything of the hint is changed; False: that cannot be done, so leave it."""
        if self._folder is None:
            return True
        try:
            (self._folder / "manifest.json").unlink(missing_ok=True)
        except OSError as error:
            say_not_kept(self._folder.parents[1], error)
            self._folder = None
            return False
        return True

    def _save(self, folder: Path, apply: int, lane: str, sequence: int) -> None:
        """Write the hours of the last batch, and the manifest. Raises OSError."""
        for hour in self._new:
            self._hours[hour].save(folder / "hours" / hour)
        for hour in self._new:
            files = [file.path for file in self._snapshot.hour_files([hour])]
            batches = [batch for batch in map(batch_of, files) if batch is not None]
            lanes = {of: max(n for name, n in batches if name == of) for of, _ in batches}
            merged = [path for path in files if batch_of(path) is None]
            self._saved[hour] = _Known(apply, {**lanes, lane: sequence}, merged)
        for hour in sorted(self._saved)[:-_KEPT_HOURS]:
            shutil.rmtree(folder / "hours" / hour, ignore_errors=True)
            self._hours.pop(hour, None)
            del self._saved[hour]
        hours = {hour: [known.apply, known.lanes, known.merged] for hour, known in sorted(self._saved.items())}
        manifest = {"state": self._state, "apply": apply, "foreign": self._foreign, "hours": hours}
        temporary = folder / "manifest.new"
        temporary.write_text(json.dumps(manifest))
        temporary.replace(folder / "manifest.json")

    def _hour(self, hour: str) -> IdSet:
        if hour not in self._hours:
            files = self._snapshot.hour_files([hour])
            added = self._added_since(self._saved[hour], files) if hour in self._saved else None
            known = None if added is None else self._load(hour)
            if known is None or added is None:
                known, added = IdSet(table=IdTable(self._folder)), files
            if added and not self._mark():  # what was loaded is written to in place
                known, added = IdSet(table=IdTable(self._folder)), files
            self._hours[hour] = _with_files(known, added, self._snapshot.table_id)
        return self._hours[hour]

    def _load(self, hour: str) -> IdSet | None:
        if self._folder is not None:
            with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                return IdSet.load(self._folder / "hours" / hour)
        return None

    def _added_since(self, known: _Known, files: list[LakeFile]) -> list[LakeFile] | None:
        """The files of an hour that other runs have added; None: that cannot be told."""
        if known.apply >= self._foreign:
            return []
        added = []
        for file in files:
            batch = batch_of(file.path)
            if batch is None and file.path not in known.merged:
                return None
            if batch is not None and batch[1] > known.lanes.get(batch[0], -1):
                added.append(file)
        return added


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[Path | None]:
    """Keep the hint in `folder`, and applying, to one process of this machine at a time; the others wait.

    Appliers of one stream conflict anyway, and who loses has to do its work again. None: whoever has it does not let
    go of it, so work without it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        opened = (folder / "lock").open("w")
    except OSError as error:  # no hint, then
        say_not_kept(folder.parents[1], error)
        yield None
        return
    give_up = time.monotonic() + _PATIENCE_S
    with opened as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                if time.monotonic() < give_up:
                    time.sleep(_LOOK_AGAIN_S)
                    continue
                yield None
                return
            yield folder
            return


def _by_hour(parsed: Parsed, salt: str) -> list[tuple[str, np.ndarray, Ids]]:
    """(hour, row numbers, ids) of the rows whose ids senders gave, by event hour."""
    if parsed.from_sender is None:
        return []
    columns = [_flat(parsed.rows[name]) for name in _ID_SCHEMA.names]
    found = []
    if in_pieces(parsed.hours):
        for hour, pieces in sorted(pieces_by_hour(parsed.hours).items()):
            at = np.concatenate([np.arange(a, b) for a, b in pieces])
            mine = parsed.from_sender[at]
            taken = [pa.concat_arrays([column.slice(a, b - a) for a, b in pieces]) for column in columns]
            if not mine.all():
                at, taken = at[mine], [column.filter(pa.array(mine)) for column in taken]
            if len(at):
                found.append((hour_of(hour * HOUR_US), at, _ids(taken, salt)))
        return found
    mine = np.flatnonzero(parsed.from_sender)
    of_mine = parsed.hours[mine]
    order = mine if (of_mine[1:] >= of_mine[:-1]).all() else mine[np.argsort(of_mine, kind="stable")]
    hours, firsts = np.unique(parsed.hours[order], return_index=True)
    for number, (hour, first) in enumerate(zip(hours, firsts, strict=True)):
        at = order[first : firsts[number + 1] if number + 1 < len(firsts) else None]
        if at[-1] - at[0] == len(at) - 1:  # one piece: no copy
            ids = _ids([column.slice(at[0], len(at)) for column in columns], salt)
        else:
            ids = _ids([column.take(pa.array(at)) for column in columns], salt)
        found.append((hour_of(int(hour) * HOUR_US), at, ids))
    return found


def _with_files(known: IdSet, files: list[LakeFile], salt: str) -> IdSet:
    """What is known, and the ids that files hold; derived ids among them do no harm."""
    if not files:
        return known
    with connect() as connection:
        for batch in connection.sql(scan(files, _ID_SCHEMA, partitions=())).to_arrow_reader(500_000):
            ids = _ids([batch[name] for name in _ID_SCHEMA.names], salt)
            known.add(known.repeats(ids, batch.num_rows)[1])
    return known


def _ids(columns: Sequence[pa.Array], salt: str) -> Ids:
    """Ids of the columns of `_ID_SCHEMA`."""
    event_id, session, seq = columns
    return Ids.of(event_id, session, seq, salt)


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
