"""Check evaluations that no run makes: what the watchdog writes when nothing arrives and nothing runs.

Dagster 1.13 has room for one of them for each check and partition: they all have the empty run id, and its table of
evaluations is unique by check, run id and partition. A second one is refused. So the one that is there gets a run id of
its own first; it stays in the check's history.
"""

from __future__ import annotations

from typing import Final

import dagster as dg
import sqlalchemy as db
from dagster._core.storage.event_log.schema import AssetCheckExecutionsTable
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage

_RUNLESS: Final = ""  # the run id of what no run reports


def report_evaluation(instance: dg.DagsterInstance, evaluation: dg.AssetCheckEvaluation) -> None:
    """Store an evaluation without a run, whatever was stored before."""
    storage = instance.event_log_storage
    if isinstance(storage, SqlEventLogStorage):
        _make_room(storage, evaluation)
    instance.report_runless_asset_event(evaluation)


def _make_room(storage: SqlEventLogStorage, evaluation: dg.AssetCheckEvaluation) -> None:
    table = AssetCheckExecutionsTable
    there = db.and_(
        table.c.asset_key == evaluation.asset_key.to_string(),
        table.c.check_name == evaluation.check_name,
        table.c.partition == evaluation.partition,
        table.c.run_id == _RUNLESS,
    )
    with storage.index_connection() as connection:
        connection.execute(
            table.update().where(there).values(run_id=db.literal("runless-") + db.cast(table.c.id, db.Text))
        )
