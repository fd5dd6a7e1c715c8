"""Keeps Dagster's storage from growing without bound: deletes what old runs logged, keeps what assets were told.

Materializations, observations and check evaluations stay: partitions and their history are made of them. The rest of
a finished run (its steps, logs, engine events, captured output and, after longer, the run itself) goes. A tick that has
something to do leaves about forty such events; there may be 1,440 a day.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import sqlalchemy as db
from dagster import DagsterEventType
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._core.storage.event_log.sqlite import SqliteEventLogStorage

from nw_platform.record.hours import to_datetime

KEPT: Final = (
    DagsterEventType.ASSET_MATERIALIZATION,
    DagsterEventType.ASSET_OBSERVATION,
    DagsterEventType.ASSET_CHECK_EVALUATION,
)
DAY_US: Final = 86_400_000_000
KEEP_SUCCESS_US: Final = 2 * DAY_US
KEEP_FAILURE_US: Final = 30 * DAY_US
_CHUNK: Final = 200


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was deleted."""

    runs: int = 0
    events: int = 0


def prune(instance: dg.DagsterInstance, now: int, *, most: int = 20_000) -> Pruned:
    """Delete what finished runs logged: of a success after two days, of others after thirty. Can be repeated.

    Args:
        instance: with SQLite or PostgreSQL storage.
        now: microseconds since the epoch.
        most: runs at most; the rest follows the next time.
    """
    storage = instance.event_log_storage
    if not isinstance(storage, SqlEventLogStorage):
        return Pruned()
    runs = events = 0
    for run_id in _old_runs(instance, now, most):
        events += _delete_events(storage, run_id)
        with contextlib.suppress(NotImplementedError, OSError):
            instance.compute_log_manager.delete_logs(prefix=[run_id])
        instance.run_storage.delete_run(run_id)
        runs += 1
    return Pruned(runs, events)


def _old_runs(instance: dg.DagsterInstance, now: int, most: int) -> Iterator[str]:
    done = [dg.DagsterRunStatus.SUCCESS]
    other = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    left = most
    for statuses, keep in ((done, KEEP_SUCCESS_US), (other, KEEP_FAILURE_US)):
        filters = dg.RunsFilter(statuses=statuses, updated_before=to_datetime(now - keep))
        while left > 0:
            records = instance.get_run_records(filters, limit=min(_CHUNK, left), ascending=True)
            if not records:
                break
            left -= len(records)
            for record in records:
                yield record.dagster_run.run_id


def _delete_events(storage: SqlEventLogStorage, run_id: str) -> int:
    """Delete a run's events that no asset needs; return how many."""
    table = SqlEventLogStorageTable
    kept = [event.value for event in KEPT]
    unneeded = db.and_(
        table.c.run_id == run_id,
        db.or_(table.c.dagster_event_type.is_(None), table.c.dagster_event_type.not_in(kept)),
    )
    with storage.index_connection() as connection:
        deleted = int(connection.execute(table.delete().where(unneeded)).rowcount)
    if isinstance(storage, SqliteEventLogStorage):
        deleted += _delete_shard(storage, run_id)
    return deleted


def _delete_shard(storage: Any, run_id: str) -> int:  # noqa: ANN401  (SqliteEventLogStorage, which is not typed)
    """SQLite keeps a file for each run, and what assets need also in the index: the file can go."""
    shard = Path(storage.path_for_shard(run_id))
    if not shard.is_file():
        return 0
    with storage.run_connection(run_id) as connection:
        count = int(connection.execute(db.select(db.func.count()).select_from(SqlEventLogStorageTable)).scalar() or 0)
    for path in (shard, *(shard.with_name(f"{shard.name}{end}") for end in ("-wal", "-shm", "-journal"))):
        path.unlink(missing_ok=True)
    return count
