"""raw = logs + duplicates, for every event hour: what the check `completeness` says and the report builder obeys.

The left side is counted by receipts (records of each batch per event hour, repeats included), the right side by the
tables' file statistics; no record is read, except of `duplicates`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa

from nw_platform.ingest.batches import current_batches
from nw_platform.lake.engine import connect, scan
from nw_platform.lake.lakefiles import named
from nw_platform.lake.receipts import load_receipts
from nw_platform.lake.store import Lake

_TIME = pa.schema([pa.field("event_time", pa.timestamp("us", tz="UTC"))])


@dataclass(frozen=True, slots=True)
class Balance:
    """Records of one event hour."""

    raw: int
    logs: int
    duplicates: int

    @property
    def whole(self) -> bool:
        """Whether every record that arrived is in `logs` or `duplicates`, and nothing else is."""
        return self.raw == self.logs + self.duplicates


def hour_balances(lake: Lake, stream: str) -> dict[str, Balance]:
    """Event hour -> balance, for every hour that any of the three knows. Hours that retention removed are left out."""
    raw: dict[str, int] = {}
    receipts = load_receipts(lake, stream, spans=False)
    for batch in current_batches(receipts):
        for hour, count in batch.event_hours.items():
            raw[hour] = raw.get(hour, 0) + count
    removed = {hour for r in receipts if r.kind == "retention" for hour in r.detail.get("logs", [])}
    logs_snapshot = lake.logs(stream).snapshot()
    logs = {hour: state.records for hour, state in logs_snapshot.hours().items()} if logs_snapshot else {}
    duplicates = duplicates_by_hour(lake, stream)
    return {
        hour: Balance(raw.get(hour, 0), logs.get(hour, 0), duplicates.get(hour, 0))
        for hour in sorted(raw.keys() | logs.keys() | duplicates.keys())
        if hour not in removed
    }


def duplicates_by_hour(lake: Lake, stream: str) -> dict[str, int]:
    """Event hour -> dropped duplicates. Raises LakeError where a file of them is a foreign one."""
    snapshot = lake.duplicates().snapshot()
    files = snapshot.files(stream=[stream]) if snapshot else []
    if not files:
        return {}
    query = (
        f"SELECT strftime(event_time, '%Y-%m-%dT%H'), count(*) FROM ({scan(files, _TIME, partitions=())}) GROUP BY 1"
    )
    with connect() as connection:
        counts: dict[str | None, int] = dict(connection.execute(query).fetchall())
    if None in counts:  # records without a time are of a foreign file
        raise named(lake, stream, ValueError("records without a time in duplicates"))
    return {str(hour): count for hour, count in counts.items()}
