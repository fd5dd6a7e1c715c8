"""Which transitions of one evaluation are one message, and the ids of messages."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from nw_platform.alerts.alert import Event

__all__ = ["message_id", "message_ids"]


def message_id(channel: str, events: Iterable[Event]) -> str:
    """The id of the message about these transitions at a channel: the same whenever and wherever it is made."""
    members = sorted((event.key, event.transition, event.time) for event in events)
    return hashlib.sha256(json.dumps([channel, members]).encode()).hexdigest()[:32]


def message_ids(told: Mapping[str, Sequence[Event]], digest_over: int) -> dict[tuple[str, str], str]:
    """The message that each transition is told by, by channel and the event's key.

    Args:
        told: what each channel is told in one evaluation, each key once.
        digest_over: more than so many of one transition are one message.
    """
    ids = {}
    for channel, events in told.items():
        kinds: dict[str, list[Event]] = {}
        for event in events:
            kinds.setdefault(event.transition, []).append(event)
        for members in kinds.values():
            whole = message_id(channel, members) if len(members) > digest_over else ""
            for event in members:
                ids[channel, event.key] = whole or message_id(channel, [event])
    return ids
