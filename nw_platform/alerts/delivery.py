"""Sending what is pending: each message once to its channel, in order, again after a failure, until it is given up.

A message is what has one id at one channel: one transition, or several as a digest. Messages about one alert keep their
order at each channel: `resolved` does not overtake an `opened` that did not get through. A channel that does not answer
keeps no other waiting, and after two failures in a row it is left alone until the next evaluation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Final

from nw_platform.alerts.alert import Delivery
from nw_platform.alerts.message import Channel, Message
from nw_platform.alerts.policy import Policy
from nw_platform.alerts.routing import messages
from nw_platform.alerts.rows import Filed
from nw_platform.alerts.steps import AlertStep
from nw_platform.errors import DeliveryError, NeverwinterError
from nw_platform.ingest.steps import reached

__all__ = ["GIVE_UP_US", "SENDING_US", "Outbound", "backoff", "is_due", "outbound", "send", "settled"]

GIVE_UP_US: Final = 24 * 3_600_000_000  # after the transition
SENDING_US: Final = 20_000_000  # by then no further message is begun: a sensor's look has its end
_MINUTE_US: Final = 60_000_000
_LONGEST: Final = 5  # minutes between two attempts: so late may be what waits for a channel that is there again
_IN_A_ROW: Final = 2  # failures, then a channel is left alone
_MOST_CHANNELS: Final = 8  # at a time

Open = Callable[[str], Channel]
Outcomes = Mapping[tuple[str, str], Delivery]  # (channel, message id) -> how it went


@dataclass(frozen=True, slots=True)
class Outbound:
    """One message that is to go to one channel."""

    channel: str
    message: Message
    delivery: Delivery  # how it went so far
    is_ours: bool  # to send; others only keep later ones about the same alerts waiting

    @property
    def time(self) -> int:
        """Of its first transition."""
        return min(event.time for event in self.message.events)

    def is_due(self, now: int) -> bool:
        """Whether it is to be tried. What waits longer than anything may was put off by a clock that was wrong."""
        return not now < self.delivery.next_try <= now + (_LONGEST + 1) * _MINUTE_US

    @property
    def keys(self) -> frozenset[str]:
        """The alerts it is about."""
        return frozenset(event.key for event in self.message.events)


def outbound(pending: Iterable[Filed], policy: Policy, ours: Callable[[Filed], bool]) -> dict[str, list[Outbound]]:
    """What is to be sent: channel -> messages, oldest first. `ours`: whether we may send what is pending of a row."""
    rows = list(pending)
    events = [filed.event for filed in rows]
    mine = {(one.channel, one.message_id) for row in rows if ours(row) for one in row.event.deliveries}
    states = {(one.channel, one.message_id): one for event in events for one in event.deliveries if _waits(one)}
    found: dict[str, list[Outbound]] = {}
    for channel, message in messages(events, policy):
        found.setdefault(channel, []).append(
            Outbound(channel, message, states[channel, message.id], (channel, message.id) in mine)
        )
    return {channel: sorted(ones, key=lambda one: (one.time, one.message.id)) for channel, ones in found.items()}


def is_due(messages: Sequence[Outbound], now: int) -> bool:
    """Whether one of a channel's messages is to be tried now, by us."""
    return any(one.is_ours and one.is_due(now) for one in messages)


def backoff(attempts: int) -> int:
    """How long to wait after so many attempts: 1, 2, 4, 5, 5 ... minutes, in microseconds."""
    return min(1 << min(attempts - 1, 10), _LONGEST) * _MINUTE_US


def send(
    waiting: Mapping[str, Sequence[Outbound]], opened: Open, *, now: int, clock: Callable[[], int]
) -> dict[tuple[str, str], Delivery]:
    """Send what is due; channels side by side, the messages of one in order. Never raises for a channel.

    Args:
        waiting: channel -> messages, oldest first.
        opened: opens a channel by its name.
        now: microseconds since the epoch, of the evaluation.
        clock: the time, to know when to stop.
    """
    busy = {channel: ones for channel, ones in waiting.items() if is_due(ones, now)}
    if not busy:
        return {}
    until = clock() + SENDING_US
    with ThreadPoolExecutor(max_workers=min(len(busy), _MOST_CHANNELS), thread_name_prefix="alerts") as pool:
        ways = [pool.submit(_send_to, name, ones, opened, now, clock, until) for name, ones in busy.items()]
        return {place: delivery for way in ways for place, delivery in way.result().items()}


def settled(filed: Filed, outcomes: Outcomes, claimant: str) -> Filed:
    """A row after `claimant` sent messages, or did not, and lets go of it. What is done stays done."""
    deliveries = tuple(
        outcomes.get((one.channel, one.message_id), one) if _waits(one) else one for one in filed.event.deliveries
    )
    event = replace(filed.event, deliveries=deliveries)
    return Filed(event) if filed.claimed_by == claimant else replace(filed, event=event)


def _send_to(
    name: str,
    waiting: Sequence[Outbound],
    opened: Open,
    now: int,
    clock: Callable[[], int],
    until: int,
) -> dict[tuple[str, str], Delivery]:
    """Send what is due to one channel."""
    done: dict[tuple[str, str], Delivery] = {}
    held: set[str] = set()  # alerts of which a message is still to come first
    failures = 0
    channel: Channel | None = None
    for one in waiting:
        late = clock() >= until or failures >= _IN_A_ROW
        if late or not one.is_ours or not one.is_due(now) or held & one.keys:
            held |= one.keys
            continue
        try:
            channel = channel or opened(name)
            channel.send(one.message)
        except Exception as error:  # noqa: BLE001  (a channel's library may raise anything, and no channel may stop another)
            result = _failed(one, error, now)
            failures += 1
        else:
            reached(AlertStep.SENT)
            result = replace(one.delivery, state="sent", attempts=one.delivery.attempts + 1, at=now, error="")
            failures = 0
        done[one.channel, one.message.id] = result
        if result.state == "pending":
            held |= one.keys
    _close(channel)
    return done


def _failed(one: Outbound, error: Exception, now: int) -> Delivery:
    """How it went; the text of an error that is not one of ours may hold a secret, so it is not kept."""
    attempts = one.delivery.attempts + 1
    known = isinstance(error, NeverwinterError)
    told = " ".join(str(error).split())[:500] if known else f"the channel failed ({type(error).__name__})"
    is_final = isinstance(error, DeliveryError) and error.is_final
    if is_final or now - one.time >= GIVE_UP_US:
        return replace(one.delivery, state="given_up", attempts=attempts, at=now, error=told)
    return replace(one.delivery, attempts=attempts, next_try=now + backoff(attempts), error=told)


def _close(channel: Channel | None) -> None:
    with contextlib.suppress(Exception):  # what was sent was sent
        if channel is not None:
            channel.close()


def _waits(delivery: Delivery) -> bool:
    return delivery.state == "pending"
