"""The table `alerts`: read as a state, changed by commits of which one wins.

Every change moves the application transaction `alerts` by one, so of two processes that made something of the same
version one commits, and the other reads again and thinks again: an alert is opened once, and a message is claimed by
one process. Files are named by that number. Rows whose deliveries change move into the file of the commit that changed
them; what else their file held moves into one of the old file's name, so that a reader knows by names what is new to
it, and reads nothing else. Compaction may merge closed days meanwhile (file `compacted-<version>`).

What was read is kept in memory and in a local hint file, for the next process. Without one a query reads the table.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from nw_platform.alerts import machine
from nw_platform.alerts.rows import PENDING_MARK, Filed, from_rows, to_rows
from nw_platform.alerts.state import AlertState, ChannelRecord, fold, waiting
from nw_platform.alerts.steps import AlertStep
from nw_platform.errors import CommitConflictError, LakeError
from nw_platform.ingest.steps import reached
from nw_platform.lake.engine import connect, scan
from nw_platform.lake.parquet import WrittenFile
from nw_platform.lake.store import ALERTS_SCHEMA, Lake
from nw_platform.lake.tables import LakeFile, Snapshot, file_name
from nw_platform.record.hours import to_datetime, to_us

__all__ = ["AlertTable", "Reading"]

_APP: Final = "alerts"
_BLUR_US: Final = 1000  # statistics may be in milliseconds
_FORM: Final = 1  # of the hint; another one is not read
_NAME: Final = re.compile(r"(alerts|compacted)-(\d+)-")
_DELIVERIES: Final = '[{"channel":"VARCHAR","state":"VARCHAR","at":"BIGINT","error":"VARCHAR"}]'


@dataclass(frozen=True, slots=True)
class _Known:
    """What was read of the table, and up to where."""

    table_id: str
    version: int  # of the table
    number: int  # of the last change
    state: AlertState


@dataclass(frozen=True, slots=True)
class Reading:
    """The table's state, and the snapshot that a change of it has to start from; None: there is no table yet."""

    state: AlertState
    snapshot: Snapshot | None


class AlertTable:
    """Reads and changes the table of one lake. For one thread at a time."""

    def __init__(self, lake: Lake) -> None:
        """Does no I/O."""
        self._lake, self._table = lake, lake.alerts()
        self._hint = lake.work / "alerts" / "state.json"
        self._known: _Known | None = None

    def read(self) -> Reading:
        """The newest version. Costs what is new since the last look, however long the history is.

        Raises:
            LakeError: it cannot be read.
        """
        snapshot = self._table.snapshot()
        if snapshot is None:
            return Reading(AlertState(), None)
        known = self._known or self._recall()
        if known is None or known.table_id != snapshot.table_id or known.version > snapshot.version:
            known = self._rebuild(snapshot)
        elif known.version < snapshot.version:
            known = self._catch_up(known, snapshot)
        if known is not self._known:
            self._known = known
            self._remember(known)
        return Reading(known.state, snapshot)

    def append(self, reading: Reading, new: Sequence[Filed], changed: Sequence[Filed], now: int) -> None:
        """Add rows, and change the deliveries and claims of rows that are there, in one commit.

        Args:
            reading: what was read, and nothing was made of yet.
            new: rows to add.
            changed: rows that are there by key and time, as they are to be.
            now: microseconds since the epoch.

        Raises:
            CommitConflictError: somebody else changed the table first; nothing was changed by this.
            LakeError: the storage failed; whether the rows are there is not known.
        """
        snapshot = reading.snapshot
        if snapshot is None or set(ALERTS_SCHEMA.names) - set(snapshot.schema().names):
            was = -1 if snapshot is None else snapshot.transaction(_APP)
            snapshot = self._table.ensure()
            reached(AlertStep.TABLE_CREATED)
            if snapshot.transaction(_APP) != was:
                raise CommitConflictError(f"another process changed {self._table.url} first; read it again")
        number = snapshot.transaction(_APP) + 1
        written: list[WrittenFile] = []
        try:
            removed = self._take(snapshot, changed, written)
            rows: dict[str, list[Filed]] = {}
            for filed in (*new, *changed):
                rows.setdefault(_day(filed), []).append(filed)
            for day, of_day in sorted(rows.items()):
                written.append(self._write(file_name(_APP, number), day, to_rows(of_day)))
            reached(AlertStep.WRITTEN if new else AlertStep.OUTCOME_WRITTEN)
            snapshot.commit(add=written, remove=removed, transactions={_APP: number}, metadata={}, now=now)
        except CommitConflictError:
            self._table.discard(written)
            raise
        except (OSError, pa.ArrowException) as error:
            raise LakeError(f"cannot write to {self._table.url}: {_line(error)}") from error

    def _take(self, snapshot: Snapshot, changed: Sequence[Filed], written: list[WrittenFile]) -> list[LakeFile]:
        """The files that hold the rows to change; what else they hold is written anew."""
        missing = {filed.place for filed in changed}
        removed = []
        for file in snapshot.files(dt={_day(filed) for filed in changed}):
            if not missing:
                break
            if not any(_may_hold(file, time) for _, time in missing):
                continue
            rows = self._rows(file)
            places = [filed.place for filed in rows]
            if not missing.intersection(places):
                continue
            removed.append(file)
            rest = [filed for filed, place in zip(rows, places, strict=True) if place not in missing]
            if rest:
                name = _name(file)
                if name is None:
                    raise LakeError(f"{file.url} is no file of ours; take it out of the table")
                written.append(self._write(file_name(*name), file.partition["dt"], to_rows(rest)))
            missing.difference_update(places)
        if missing:
            raise CommitConflictError(f"rows of {self._table.url} went away; read it again")
        return removed

    def _write(self, name: str, day: str, rows: pa.Table) -> WrittenFile:
        with self._table.writer(name, ALERTS_SCHEMA, {"dt": day}, statistics=("time",)) as writer:
            writer.write(rows)
            return writer.close()

    def _rows(self, file: LakeFile) -> list[Filed]:
        try:
            with self._lake.files.open_input_file(f"{self._table.path}/{file.path}") as handle:
                return from_rows(pq.ParquetFile(handle).read().to_pylist())
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException) as error:
            raise LakeError(f"cannot read {file.url}: {_line(error)}") from error

    def _catch_up(self, known: _Known, snapshot: Snapshot) -> _Known:
        """Read what is new since `known`."""
        number = snapshot.transaction(_APP)
        new: list[LakeFile] = []
        for file in snapshot.files() if number > known.number else ():
            kind, at = _name(file) or ("", 0)
            if kind == _APP:
                if at > known.number:
                    new.append(file)
            elif kind != "compacted" or at > known.version:
                return self._rebuild(snapshot)  # it may hold rows that are new, among many that are not
        rows = [filed for file in new for filed in self._rows(file)]
        return _Known(known.table_id, snapshot.version, number, fold(known.state, rows))

    def _rebuild(self, snapshot: Snapshot) -> _Known:
        """Read the whole table by one query: what is open, what is pending, what was resolved lately."""
        files = snapshot.files()
        rows: list[tuple[Filed, str]] = []
        channels: dict[str, ChannelRecord] = {}
        if files:
            source = scan(files, ALERTS_SCHEMA, partitions=())
            try:
                with connect() as connection:
                    read = connection.sql(_EPISODES.format(source, PENDING_MARK)).to_arrow_table().to_pylist()
                    found = connection.execute(_CHANNELS.format(source, _DELIVERIES)).fetchall()
                rows = [(filed, row["kind"]) for filed, row in zip(from_rows(read), read, strict=True)]
                channels = {name: ChannelRecord(sent, given_up, why or "") for name, sent, given_up, why in found}
            except (duckdb.Error, ValueError, KeyError, TypeError) as error:
                raise LakeError(f"cannot read the table {self._table.url}: {_line(error)}") from error
        state = AlertState(
            open=machine.fold({}, [filed.event for filed, kind in rows if kind == "open"]),
            pending=waiting(filed for filed, _ in rows),
            closed={filed.event.key: filed.event.time for filed, kind in rows if kind == "closed"},
            channels=channels,
            newest=max((filed.event.time for filed, _ in rows), default=0),
        )
        return _Known(snapshot.table_id, snapshot.version, snapshot.transaction(_APP), state)

    def _recall(self) -> _Known | None:
        """What the last process left; None if there is nothing that can be used."""
        try:
            data = json.loads(self._hint.read_text(encoding="utf-8"))
            if data.pop("form") != _FORM or data.pop("table") != self._table.url:
                return None
            return _Known(**{**data, "state": AlertState.from_json(data["state"])})
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _remember(self, known: _Known) -> None:
        """Leave the state to the next process. A folder that cannot be written costs time, not correctness."""
        data = {
            "form": _FORM,
            "table": self._table.url,
            **{name: getattr(known, name) for name in ("table_id", "version", "number")},
            "state": known.state.as_json(),
        }
        with contextlib.suppress(OSError):
            self._hint.parent.mkdir(parents=True, exist_ok=True)
            fresh = self._hint.with_name(f".state.{os.getpid()}-{id(self)}")
            fresh.write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")
            fresh.replace(self._hint)


_EPISODES: Final = """
    WITH rows AS MATERIALIZED ({0}),
    latest AS (
        SELECT key, max(time) AS time, arg_max(transition, time) AS transition, arg_max(opened, time) AS opened
        FROM rows GROUP BY key),
    found AS (
        SELECT r.*, CASE WHEN l.transition <> 'resolved' AND r.opened = l.opened THEN 'open'
            WHEN r.time = l.time AND r.time > (SELECT max(time) FROM latest) - INTERVAL 48 HOUR THEN 'closed'
            WHEN contains(r.deliveries, '{1}') THEN 'old' END AS kind
        FROM rows AS r JOIN latest AS l USING (key))
    SELECT * FROM found WHERE kind IS NOT NULL"""
_CHANNELS: Final = """
    SELECT d.channel, max(d.at) FILTER (d.state = 'sent'), max(d.at) FILTER (d.state = 'given_up'),
        arg_max(d.error, d.at) FILTER (d.state = 'given_up')
    FROM (SELECT unnest(from_json(deliveries, '{1}')) AS d FROM ({0})) WHERE d.at IS NOT NULL GROUP BY 1"""


def _day(filed: Filed) -> str:
    return to_datetime(filed.event.time).strftime("%Y-%m-%d")


def _name(file: LakeFile) -> tuple[str, int] | None:
    """(`alerts`, number of the change) or (`compacted`, version it was merged from); None: not a file of ours."""
    match = _NAME.match(file.path.rsplit("/", 1)[-1])
    return (match[1], int(match[2])) if match else None


def _may_hold(file: LakeFile, time: int) -> bool:
    """Whether a row of this time may be in a file, as far as its statistics tell."""
    low, high = file.statistics.get("time", (None, None))
    if not isinstance(low, datetime) or not isinstance(high, datetime):
        return True
    return to_us(low) - _BLUR_US <= time <= to_us(high) + _BLUR_US


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
