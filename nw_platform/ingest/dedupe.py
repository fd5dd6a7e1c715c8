"""Which rows of a batch repeat an id that their event hour already has.

Only ids that senders gave can repeat: ids derived from positions hold the source's incarnation and are disjoint.
What is remembered is a hint in the work folder, valid for exactly one state of the `logs` table (its id and the
number of its last apply); anything else, after a crash or on another machine, is thrown away and built anew from the
table's hours as they are needed. The manifest is removed before the first change and written after the last, so a
crash in between leaves no half-changed hint that looks whole.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from nw_platform.ingest.batch import Parsed
from nw_platform.ingest.idset import Ids, IdSet, New
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.engine import connect, scan
from nw_platform.lake.tables import Snapshot
from nw_platform.record.hours import HOUR_US, hour_of

_ID_SCHEMA: Final = pa.schema(
    [pa.field("event_id", pa.string()), pa.field("session", pa.string()), pa.field("seq", pa.int64())]
)
_KEPT_HOURS: Final = 500  # hours remembered; the oldest are rebuilt if a late record needs them


class Remembered:
    """What is known of the ids in one stream's `logs`, as of one snapshot."""

    def __init__(self, folder: Path | None, table_id: str, apply: int) -> None:
        """Use what `folder` holds if it belongs to this state. None: remember nothing beyond this object."""
        self._folder, self._table_id = folder, table_id
        self._hours: dict[str, IdSet] = {}
        self._saved: set[str] = set()
        self._new: dict[str, New] = {}
        if folder is None:
            return
        with contextlib.suppress(OSError, ValueError, KeyError):
            manifest = json.loads((folder / "manifest.json").read_text())
            if manifest["table"] == table_id and manifest["apply"] == apply:
                self._saved = set(manifest["hours"])
        if not self._saved:
            shutil.rmtree(folder / "hours", ignore_errors=True)

    def repeated(self, parsed: Parsed, snapshot: Snapshot) -> np.ndarray:
        """A bool for each row: it repeats an id of its event hour (in `snapshot`, or in an earlier row)."""
        repeated = np.zeros(parsed.rows.num_rows, dtype=bool)
        self._new = {}
        for hour, at, ids in _by_hour(parsed):
            repeated[at], self._new[hour] = self._hour(hour, snapshot).repeats(ids, len(at))
        return repeated

    def took(self, apply: int) -> None:
        """The batch asked for last is in `logs` as apply number `apply`: remember its ids."""
        touched = []
        if self._folder is not None:
            (self._folder / "manifest.json").unlink(missing_ok=True)
        reached(Step.DEDUPE_MARKED)
        for hour, new in self._new.items():
            self._hours[hour].add(new)
            touched.append(hour)
        if self._folder is None or not (touched or self._saved):
            return
        for hour in touched:
            self._hours[hour].save(self._folder / "hours" / hour)
        kept = sorted(self._saved | set(touched))
        for hour in kept[:-_KEPT_HOURS]:
            shutil.rmtree(self._folder / "hours" / hour, ignore_errors=True)
            self._hours.pop(hour, None)
        self._saved = set(kept[-_KEPT_HOURS:])
        manifest = {"table": self._table_id, "apply": apply, "hours": sorted(self._saved)}
        temporary = self._folder / "manifest.new"
        temporary.write_text(json.dumps(manifest))
        temporary.replace(self._folder / "manifest.json")
        reached(Step.DEDUPE_SAVED)

    def _hour(self, hour: str, snapshot: Snapshot) -> IdSet:
        if hour not in self._hours:
            known = None
            if self._folder is not None and hour in self._saved:
                with contextlib.suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
                    known = IdSet.load(self._folder / "hours" / hour)
            self._hours[hour] = known or _from_table(hour, snapshot)
        return self._hours[hour]


@contextlib.contextmanager
def remembering(folder: Path, snapshot: Snapshot) -> Iterator[Remembered]:
    """The hint of one stream, for one apply on `snapshot`. A second process on this machine works without it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            mine: Path | None = folder
        except OSError:
            mine = None
        yield Remembered(mine, snapshot.table_id, snapshot.transaction("apply"))


def _by_hour(parsed: Parsed) -> list[tuple[str, np.ndarray, Ids]]:
    """(hour, row numbers, ids) of the rows whose ids senders gave, by event hour."""
    if parsed.from_sender is None:
        return []
    mine = np.flatnonzero(parsed.from_sender)
    of_mine = parsed.hours[mine]
    order = mine if (of_mine[1:] >= of_mine[:-1]).all() else mine[np.argsort(of_mine, kind="stable")]
    hours, firsts = np.unique(parsed.hours[order], return_index=True)
    columns = [_flat(parsed.rows[name]) for name in _ID_SCHEMA.names]
    found = []
    for number, (hour, first) in enumerate(zip(hours, firsts, strict=True)):
        at = order[first : firsts[number + 1] if number + 1 < len(firsts) else None]
        if at[-1] - at[0] == len(at) - 1:  # one piece: no copy
            ids = Ids.of(*(column.slice(at[0], len(at)) for column in columns))
        else:
            ids = Ids.of(*(column.take(pa.array(at)) for column in columns))
        found.append((hour_of(int(hour) * HOUR_US), at, ids))
    return found


def _from_table(hour: str, snapshot: Snapshot) -> IdSet:
    """The ids that an hour's files hold; derived ids among them do no harm."""
    known = IdSet()
    files = snapshot.hour_files([hour])
    if not files:
        return known
    with connect() as connection:
        for batch in connection.sql(scan(files, _ID_SCHEMA, partitions=())).to_arrow_reader(500_000):
            ids = Ids.of(*(batch[name] for name in _ID_SCHEMA.names))
            known.add(known.repeats(ids, batch.num_rows)[1])
    return known


def _flat(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
