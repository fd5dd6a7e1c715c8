"""What is sent to a channel: one alert's transition, or many as a digest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from nw_platform.alerts.alert import Event

__all__ = ["Channel", "Message"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one channel. Its texts come from logs and file names: each channel escapes them for itself."""

    id: str  # the same when it is sent again
    thread: str  # id of the first message about the alert at this channel
    events: tuple[Event, ...]  # one, or several of one transition: a digest; most severe first
    links: Mapping[str, str] = field(default_factory=dict)  # key of an event -> address in the Dagster UI
    is_test: bool = False  # `nw alerts test`

    @property
    def is_digest(self) -> bool:
        """Whether it speaks of several alerts."""
        return len(self.events) > 1


class Channel(Protocol):
    """Something that takes messages. Opened for one evaluation, used by one thread."""

    def send(self, message: Message) -> None:
        """Send it, with a timeout of the channel's own (10 s).

        Raises:
            DeliveryError: it did not arrive, or that is not known; the text holds no secret. `is_final` says that
                trying again is useless (a refused address, a wrong token).
        """

    def close(self) -> None:
        """Hang up. May be called twice."""
