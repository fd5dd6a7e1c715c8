"""Transitions as rows of the table `alerts`, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import pyarrow as pa

from nw_platform.alerts.alert import Delivery, Event
from nw_platform.lake.store import ALERTS_SCHEMA
from nw_platform.record.hours import to_datetime, to_us

__all__ = ["PENDING_MARK", "Filed", "event_of_json", "event_to_json", "from_rows", "to_rows"]

PENDING_MARK = '"state":"pending"'  # what `deliveries` of a row hold that has something to send

_EVENT: Final = tuple(field.name for field in fields(Event))
_DELIVERY: Final = tuple(field.name for field in fields(Delivery))


@dataclass(frozen=True, slots=True)
class Filed:
    """A transition as it is in the table, with who is about to send what is pending of it."""

    event: Event
    claimed_by: str = ""
    claimed_until: int = 0  # microseconds since the epoch

    @property
    def place(self) -> tuple[str, int]:
        """What names the row: time grows from transition to transition of a key."""
        return self.event.key, self.event.time

    @property
    def is_pending(self) -> bool:
        """Whether a channel has not heard of it yet, and will."""
        return any(delivery.state == "pending" for delivery in self.event.deliveries)


def to_rows(filed: Iterable[Filed]) -> pa.Table:
    """Rows of ALERTS_SCHEMA; what there is none of is null."""
    return pa.Table.from_pylist([_row(one) for one in filed], schema=ALERTS_SCHEMA)


def from_rows(rows: Iterable[Mapping[str, Any]]) -> list[Filed]:
    """What `to_rows` wrote; columns that are not there, or null, are as if there was nothing."""
    return [_filed(row) for row in rows]


def event_to_json(event: Event) -> dict[str, Any]:
    """A JSON object; `event_of_json` is its inverse."""
    data = {name: getattr(event, name) for name in _EVENT}  # `asdict` copies deeply, which takes ten times as long
    return {**data, "deliveries": [_delivery_to_json(delivery) for delivery in event.deliveries]}


def event_of_json(data: Mapping[str, Any]) -> Event:
    """The event of a JSON object."""
    return Event(**{**data, "deliveries": tuple(Delivery(**one) for one in data["deliveries"])})


def _delivery_to_json(delivery: Delivery) -> dict[str, Any]:
    return {name: getattr(delivery, name) for name in _DELIVERY}


def _row(filed: Filed) -> dict[str, Any]:
    event = filed.event
    deliveries = [_delivery_to_json(delivery) for delivery in event.deliveries]
    return {
        "time": to_datetime(event.time),
        "key": event.key,
        "check": event.check,
        "stream": event.stream or None,
        "partition": event.partition or None,
        "subject": event.subject,
        "severity": event.severity,
        "transition": event.transition,
        "message": event.message,
        "channels": event.channels,
        "asset": event.asset,
        "repair": event.repair or None,
        "since": None if event.since is None else to_datetime(event.since),
        "opened": to_datetime(event.opened),
        "note": event.note or None,
        "grouped_by": event.group or None,
        "deliveries": json.dumps(deliveries, separators=(",", ":"), ensure_ascii=False),
        "claimed_by": filed.claimed_by or None,
        "claimed_until": to_datetime(filed.claimed_until) if filed.claimed_by else None,
    }


def _filed(row: Mapping[str, Any]) -> Filed:
    time = to_us(row["time"])
    event = Event(
        time=time,
        opened=_us(row, "opened", time),
        since=None if row.get("since") is None else to_us(row["since"]),
        group=row.get("grouped_by") or "",
        severity=row["severity"],
        transition=row["transition"],
        deliveries=tuple(Delivery(**one) for one in json.loads(row.get("deliveries") or "[]")),
        **{
            name: row.get(name) or ""
            for name in ("key", "check", "asset", "stream", "partition", "subject", "message", "repair", "note")
        },
    )
    return Filed(event, row.get("claimed_by") or "", _us(row, "claimed_until", 0))


def _us(row: Mapping[str, Any], name: str, default: int) -> int:
    return default if row.get(name) is None else to_us(row[name])
