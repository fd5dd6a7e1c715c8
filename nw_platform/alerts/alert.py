"""What is known of alerts: transitions, which are rows of the table `alerts`, and what is open because of them.

Nothing here reads a clock, a table or a network. Times are microseconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from nw_platform.watchdog.findings import Severity

__all__ = ["CHANNEL", "PLATFORM", "Delivery", "Event", "OpenAlert", "Scope", "State", "Transition"]

Transition = Literal["opened", "reminded", "acknowledged", "resolved"]
State = Literal["pending", "sent", "given_up"]

PLATFORM: Final = "platform"  # the asset of findings about the platform itself; their stream is ''
CHANNEL: Final = "channel"  # the check that a channel (its subject) takes messages: all others hear of it


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message to one channel that a transition is part of.

    `message_id` is made once, with the transition, and stays: whoever hears twice can tell. Several transitions with
    one `message_id` at one channel are one message, a digest.
    """

    channel: str
    message_id: str
    thread_id: str  # of the first message about this alert at this channel; its own for the first
    state: State = "pending"
    attempts: int = 0
    next_try: int = 0  # not before
    at: int | None = None  # when it was sent, or given up
    error: str = ""  # why the last attempt failed, without secrets


@dataclass(frozen=True, slots=True)
class Event:
    """One transition of one alert: a row of the table `alerts`."""

    time: int  # grows from transition to transition of a key, whatever the clock does
    key: str
    check: str
    asset: str  # raw/<stream>, logs/<stream>, or PLATFORM
    stream: str  # '' for the platform itself
    partition: str  # an hour; '' for a standing condition
    subject: str
    severity: Severity
    transition: Transition
    message: str  # of the finding, one line
    opened: int  # time of the transition `opened` that it belongs to
    repair: str = ""
    since: int | None = None  # when what is wrong began
    note: str = ""  # why it was resolved (withdrawn, paused, ...), who acknowledged and what they said
    group: str = ""  # what a digest may put together with it: a data centre, for hosts
    deliveries: tuple[Delivery, ...] = ()

    @property
    def channels(self) -> str:
        """Names of the channels it goes to, as the table shows them."""
        return ", ".join(delivery.channel for delivery in self.deliveries)


@dataclass(frozen=True, slots=True)
class OpenAlert:
    """An alert that was opened and not resolved: the fold of its transitions."""

    last: Event  # of the transition that came last, whichever it was
    opened: int
    told: int  # time of the last transition opened or reminded
    acknowledged: int | None = None
    escalated: frozenset[str] = frozenset()  # names of escalations that were made
    threads: Mapping[str, str] = field(default_factory=dict)  # channel that heard of it -> thread_id

    @property
    def key(self) -> str:
        """What the alert is about."""
        return self.last.key


@dataclass(frozen=True, slots=True)
class Scope:
    """What was judged: the absence of a finding means something only there."""

    declared: frozenset[str] | None  # streams of the configuration; None: whoever looks judges no stream
    streams: frozenset[str]  # those whose tables could be read and that were judged in full
    paused: frozenset[str] = frozenset()  # of them nothing is expected now
    platform_checks: frozenset[str] = frozenset()  # checks of the platform itself that were judged
