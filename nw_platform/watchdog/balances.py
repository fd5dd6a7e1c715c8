"""raw = logs + duplicates for the hours that have to be judged, counted from what is at hand.

The left side comes from the fold over receipts, `logs` from file statistics, and `duplicates` from the days of these
hours only. So it costs what is new; `ingest.completeness` counts the same from the whole history.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import duckdb
import pyarrow as pa

from nw_platform.lake.engine import scan
from nw_platform.lake.tables import HourState, Snapshot
from nw_platform.watchdog.observations import Balanced
from nw_platform.watchdog.receipts import ReceiptFold

_TIME = pa.schema([pa.field("event_time", pa.timestamp("us", tz="UTC"))])


def count_balances(
    fold: ReceiptFold,
    logs: Mapping[str, HourState],
    duplicates: Mapping[str, int],
    hours: Collection[str],
) -> dict[str, Balanced]:
    """Event hour -> balance, for those of `hours` of which anything is known and that retention has not removed."""
    return {
        hour: Balanced(
            raw=fold.event_hours.get(hour, 0),
            logs=logs[hour].records if hour in logs else 0,
            duplicates=duplicates.get(hour, 0),
        )
        for hour in sorted(hours)
        if (hour in fold.event_hours or hour in logs or hour in duplicates)
        and (fold.expired is None or hour > fold.expired)
    }


def count_duplicates(
    connection: duckdb.DuckDBPyConnection, snapshot: Snapshot | None, wanted: Mapping[str, Collection[str]]
) -> dict[str, dict[str, int]]:
    """Stream -> event hour -> dropped duplicates, on the days of the hours that are `wanted` of each stream."""
    days = {stream: {hour[:10] for hour in hours} for stream, hours in wanted.items()}
    files = [
        file
        for file in (snapshot.files() if snapshot else ())
        if file.partition["dt"] in days.get(file.partition["stream"], ())
    ]
    if not files:
        return {}
    source = scan(files, _TIME, partitions=("stream",))
    query = f"SELECT stream, strftime(event_time, '%Y-%m-%dT%H'), count(*) FROM ({source}) GROUP BY 1, 2"
    found: dict[str, dict[str, int]] = {}
    for stream, hour, count in connection.execute(query).fetchall():
        found.setdefault(stream, {})[hour] = count
    return found
