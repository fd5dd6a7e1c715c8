"""Digests: many transitions of one evaluation become one message, and what it says of them in a few words."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from nw_platform.alerts.alert import Event

__all__ = ["Part", "headline", "message_id", "parts"]

_SHOWN = 3  # parts of a headline; the rest is counted


@dataclass(frozen=True, slots=True)
class Part:
    """The alerts of a digest that are alike."""

    check: str
    stream: str  # '' for the platform itself
    group: str  # a data centre; '' where that is not known
    count: int


def message_id(channel: str, events: Sequence[Event]) -> str:
    """The id of the message about these transitions at a channel: the same whenever and wherever it is made."""
    members = sorted((event.key, event.transition, event.time) for event in events)
    return hashlib.sha256(json.dumps([channel, members]).encode()).hexdigest()[:32]


def parts(events: Sequence[Event]) -> list[Part]:
    """What a digest is made of, the largest part first."""
    counts = Counter((event.check, event.stream, event.group) for event in events)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Part(check, stream, group, count) for (check, stream, group), count in ordered]


def headline(events: Sequence[Event]) -> str:
    """One line about a digest: `500 alerts opened: silence of app in east (480), volume of web (20)`."""
    found = parts(events)
    told = [f"{_named(part)} ({part.count})" for part in found[:_SHOWN]]
    rest = sum(part.count for part in found[_SHOWN:])
    if rest:
        told.append(f"and {rest} more")
    return f"{len(events)} alerts {events[0].transition}: {', '.join(told)}"


def _named(part: Part) -> str:
    of = f" of {part.stream}" if part.stream else ""
    return f"{part.check}{of} in {part.group}" if part.group else f"{part.check}{of}"
