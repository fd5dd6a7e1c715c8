"""Who hears of a transition: routes, escalations, digests. Pure.

`opened` and `reminded` go where the routes that are in effect say; `acknowledged` and `resolved` go to every channel
that has heard of the alert, and to no other.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from nw_platform.alerts.alert import CHANNEL, PLATFORM, Delivery, Event, OpenAlert
from nw_platform.alerts.digest import message_ids
from nw_platform.alerts.machine import escalations_of, is_repeated
from nw_platform.alerts.message import Message
from nw_platform.alerts.policy import Policy, Route

__all__ = ["link_to", "messages", "route"]

# Pages of the Dagster UI about the platform itself, by check.
_PAGES: Final = {
    "run": "runs",
    "tick": "automation",
    "daemon": "deployment/daemons",
    "code_location": "deployment/locations",
}
# The repair of a failed run names it: an event has no place of its own for that.
_RUN: Final = re.compile(r"\brun ([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\b")


def route(events: Sequence[Event], open_alerts: Mapping[str, OpenAlert], policy: Policy, now: int) -> list[Event]:
    """The events of one evaluation with their deliveries, all pending, in the same order.

    Args:
        events: as `machine.step` and `machine.acknowledge` give them, each key once.
        open_alerts: what was open before them.
        policy: what the configuration says. Channels it does not have (any more) get nothing.
        now: microseconds since the epoch: which routes are in effect.
    """
    routes = policy.routes_at(now)
    fitting: dict[tuple[str, str, str], list[Route]] = {}
    told: dict[str, list[Event]] = {}
    for event in events:
        kind = (event.severity, event.stream, event.check)
        if kind not in fitting:
            fitting[kind] = [
                r for r in routes if r.takes(severity=event.severity, stream=event.stream, check=event.check)
            ]
        for channel in _channels(event, fitting[kind], open_alerts.get(event.key), policy):
            told.setdefault(channel, []).append(event)
    deliveries: dict[str, list[Delivery]] = {}
    for (channel, key), identity in message_ids(told, policy.digest_over).items():
        threads = open_alerts[key].threads if key in open_alerts else {}
        deliveries.setdefault(key, []).append(Delivery(channel, identity, threads.get(channel, identity)))
    return [replace(event, deliveries=tuple(deliveries.get(event.key, ()))) for event in events]


def messages(events: Iterable[Event], policy: Policy) -> list[tuple[str, Message]]:
    """(channel, message) for all deliveries that are pending; those with one id at a channel are one message."""
    found: dict[tuple[str, str], list[Event]] = {}
    threads: dict[tuple[str, str], set[str]] = {}
    for event in events:
        for delivery in event.deliveries:
            if delivery.state == "pending":
                name = (delivery.channel, delivery.message_id)
                found.setdefault(name, []).append(event)
                threads.setdefault(name, set()).add(delivery.thread_id)
    return [
        (channel, _message(identity, members, threads[channel, identity], policy))
        for (channel, identity), members in found.items()
    ]


def link_to(event: Event, base: str) -> str:
    """Where the Dagster UI at `base` shows what an alert is about: the partition of the asset, else its check."""
    if event.asset == PLATFORM:
        run = _RUN.search(event.repair) if event.check == "run" else None
        page = _PAGES.get(event.check, "")
        return f"{base}/{page}/{run[1]}" if run else f"{base}/{page}".rstrip("/")
    place = f"{base}/assets/{quote(event.asset)}"
    if event.partition:
        return f"{place}?view=partitions&partition={quote(event.partition, safe='')}"
    return f"{place}?view=checks&checkDetail={quote(event.check, safe='')}"


def _channels(event: Event, routes: Sequence[Route], alert: OpenAlert | None, policy: Policy) -> list[str]:
    """The channels an event goes to, each once."""
    if event.transition in {"resolved", "acknowledged"}:
        names = list(alert.threads) if alert is not None else []
    elif event.asset == PLATFORM and event.check == CHANNEL:
        names = [name for name in policy.channels if name != event.subject]  # whatever the routes: it may be their only
    else:
        names = []
        if event.transition == "opened" or is_repeated(event):
            names += [name for r in routes for name in r.to]
        due = escalations_of(event)
        names += [name for r in routes if r.escalation and r.escalation.name in due for name in r.escalation.to]
    return [name for name in dict.fromkeys(names) if name in policy.channels]


def _message(identity: str, events: Sequence[Event], threads: set[str], policy: Policy) -> Message:
    """A digest about alerts of several threads begins one of its own."""
    ordered = sorted(events, key=lambda event: (event.severity != "error", event.time, event.key))
    thread = next(iter(threads)) if len(threads) == 1 else identity
    links = {event.key: link_to(event, policy.link) for event in ordered} if policy.link else {}
    return Message(id=identity, thread=thread, events=tuple(ordered), links=links)
