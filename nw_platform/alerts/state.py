"""What the table `alerts` says as of one version: which alerts are open, and what is still to be sent.

It is a fold over the table's rows in order of time. Nothing in it grows with history: of an alert that was resolved,
the time of its last transition is kept for two days, so that a clock that is set back does not repeat one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

from nw_platform.alerts import machine
from nw_platform.alerts.alert import Delivery, Event, OpenAlert
from nw_platform.alerts.rows import Filed, event_of_json, event_to_json
from nw_platform.record.hours import HOUR_US

__all__ = ["KEPT_US", "AlertState", "ChannelRecord", "fold", "recorded", "waiting"]

KEPT_US: Final = 48 * HOUR_US


@dataclass(frozen=True, slots=True)
class ChannelRecord:
    """How the last deliveries to a channel ended. Times in microseconds since the epoch."""

    sent: int | None = None  # when something last arrived
    given_up: int | None = None  # when something was last given up
    error: str = ""  # why that was


@dataclass(frozen=True, slots=True)
class AlertState:
    """The fold. Mappings are not to be changed."""

    open: Mapping[str, OpenAlert] = field(default_factory=dict)  # by key
    pending: Mapping[tuple[str, int], Filed] = field(default_factory=dict)  # by key and time, oldest first
    closed: Mapping[str, int] = field(default_factory=dict)  # key -> time of `resolved`, of the last two days
    channels: Mapping[str, ChannelRecord] = field(default_factory=dict)
    newest: int = 0  # time of the newest row

    @property
    def waiting(self) -> int:
        """How many messages are still to be sent."""
        rows = [filed.event.deliveries for filed in self.pending.values()]
        return len({(one.channel, one.message_id) for row in rows for one in row if one.state == "pending"})

    @property
    def reasons(self) -> tuple[str, ...]:
        """A line for each channel at which messages wait: how many, and why the last attempt failed."""
        rows = [filed.event.deliveries for filed in self.pending.values()]
        pending = [one for row in rows for one in row if one.state == "pending"]
        found = []
        for channel in sorted({one.channel for one in pending}):
            mine = [one for one in pending if one.channel == channel]
            errors = [one.error for one in sorted(mine, key=lambda one: one.attempts) if one.error]
            count = len({one.message_id for one in mine})
            why = errors[-1] if errors else "not tried yet"
            found.append(f"channel {channel}: {count} waiting: {why}")
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "open": [_open_to_json(alert) for alert in self.open.values()],
            "pending": [
                {"event": event_to_json(one.event), "claimed_by": one.claimed_by, "claimed_until": one.claimed_until}
                for one in self.pending.values()
            ],
            "closed": dict(self.closed),
            "channels": {name: asdict(record) for name, record in self.channels.items()},
            "newest": self.newest,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> AlertState:
        """What `as_json` wrote."""
        alerts = [_open_of_json(one) for one in data["open"]]
        filed = [Filed(**{**one, "event": event_of_json(one["event"])}) for one in data["pending"]]
        return cls(
            open={alert.key: alert for alert in alerts},
            pending={one.place: one for one in filed},
            closed={str(key): int(time) for key, time in data["closed"].items()},
            channels={name: ChannelRecord(**record) for name, record in data["channels"].items()},
            newest=int(data["newest"]),
        )


def fold(state: AlertState, rows: Iterable[Filed]) -> AlertState:
    """The state after more rows: new ones, or ones whose deliveries changed since. Their order does not matter."""
    found = {filed.place: filed for filed in rows}
    new = [filed.event for place, filed in found.items() if place not in state.pending and _is_new(filed.event, state)]
    alerts, closed = machine.fold(state.open, new), dict(state.closed)
    for event in new:
        if event.transition == "resolved":
            closed[event.key] = max(event.time, closed.get(event.key, 0))
    for (key, time), filed in found.items():
        if key in alerts and alerts[key].last.time == time:
            alerts[key] = replace(alerts[key], last=filed.event)  # its deliveries are newer
    newest = max((state.newest, *(time for _, time in found)))
    return AlertState(
        open=alerts,
        pending=waiting([*(one for place, one in state.pending.items() if place not in found), *found.values()]),
        closed={key: time for key, time in closed.items() if time > newest - KEPT_US and key not in alerts},
        channels=recorded(state.channels, found.values()),
        newest=newest,
    )


def waiting(rows: Iterable[Filed]) -> dict[tuple[str, int], Filed]:
    """Those of the rows that have something to send, oldest first."""
    return {filed.place: filed for filed in sorted(rows, key=lambda one: one.place[::-1]) if filed.is_pending}


def recorded(channels: Mapping[str, ChannelRecord], rows: Iterable[Filed]) -> dict[str, ChannelRecord]:
    """How the last deliveries to each channel ended, after more rows."""
    known = dict(channels)
    for filed in rows:
        for delivery in filed.event.deliveries:
            _record(known, delivery)
    return known


def _is_new(event: Event, state: AlertState) -> bool:
    """Whether a transition came after all that the state knows of its key."""
    alert = state.open.get(event.key)
    return event.time > (state.closed.get(event.key, -1) if alert is None else alert.last.time)


def _record(channels: dict[str, ChannelRecord], delivery: Delivery) -> None:
    record, at = channels.get(delivery.channel, ChannelRecord()), delivery.at
    if at is None:
        return
    if delivery.state == "sent" and at > (record.sent or 0):
        channels[delivery.channel] = replace(record, sent=at)
    elif delivery.state == "given_up" and at > (record.given_up or 0):
        channels[delivery.channel] = replace(record, given_up=at, error=delivery.error)


def _open_to_json(alert: OpenAlert) -> dict[str, Any]:
    return {
        **{name: getattr(alert, name) for name in ("opened", "told", "acknowledged")},
        "last": event_to_json(alert.last),
        "escalated": sorted(alert.escalated),
        "threads": dict(alert.threads),
    }


def _open_of_json(data: Mapping[str, Any]) -> OpenAlert:
    return OpenAlert(
        **{**data, "last": event_of_json(data["last"]), "escalated": frozenset(data["escalated"])},
    )
