"""PagerDuty's Events API v2, and servers that take its events.

https://developer.pagerduty.com/docs/events-api-v2/trigger-events/
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from nw_platform.alerts import text
from nw_platform.alerts.alert import PLATFORM, Event
from nw_platform.alerts.channels.attempt import TIMEOUT_S, RefusedError, scrub
from nw_platform.alerts.channels.posting import AnsweredError, PostingOutlet
from nw_platform.alerts.channels.webhook import alert_fields, headers_of
from nw_platform.alerts.message import Message
from nw_platform.record.hours import to_iso
from nw_platform.streams import channels as declared

__all__ = ["PagerDuty", "document", "idempotency_key"]

_ACTIONS: Final = {
    "opened": "trigger",
    "reminded": "trigger",
    "acknowledged": "acknowledge",
    "resolved": "resolve",
}
_SEVERITIES: Final = {"warn": "warning", "error": "error"}
_KEY: Final = 255  # what PagerDuty takes
_SUMMARY: Final = 1024
_AT_ONCE: Final = 8
_DIGESTS_REMEMBERED: Final = 64


class PagerDuty(PostingOutlet[declared.Webhook]):
    """A service that keeps a state for each key.

    So a digest is sent as its members, an event each: a later recovery of one of them finds it. What was taken is not
    sent again by this process when the rest is.
    """

    def _deliver(self, message: Message) -> None:
        url = self._address(self._declaration.url)
        routing_key = self._read(self._declaration.routing_key or "")
        headers = headers_of(self._declaration, self._read)
        poster = self._posting(self._declaration.ca_file)
        taken = _taken(self._name, message)
        refused: list[RefusedError] = []
        stopped = threading.Event()
        deadline = time.monotonic() + TIMEOUT_S * 0.8

        def send(event: Event) -> None:
            if stopped.is_set() or time.monotonic() > deadline:
                return
            try:
                body = {"routing_key": routing_key, **document(event, message, self._link)}
                poster.post(url, body, {**headers, "Idempotency-Key": idempotency_key(event, message)})
            except AnsweredError as error:
                stopped.set()
                refused.append(_refusal(error, routing_key, url))
            except BaseException:
                stopped.set()
                raise
            else:
                taken.add(event.key)

        waiting = [event for event in message.events if event.key not in taken]
        if len(waiting) == 1:
            send(waiting[0])
        else:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="pagerduty") as pool:
                list(pool.map(send, waiting))
        missing = sum(event.key not in taken for event in message.events)
        if refused:
            raise refused[0]
        if missing:
            raise RefusedError(f"{missing} of {len(message.events)} events are still to be sent", is_final=False)


def document(event: Event, message: Message, link: str | None = None) -> dict[str, Any]:
    """The event of one alert, but for the routing key."""
    one = Message(id=message.id, thread=message.thread, events=(event,), links=message.links, is_test=message.is_test)
    address = text.link_of(one, link)
    summary = text.cut(f"{text.headline(one)}: {text.one_line(event.message)}", _SUMMARY)
    return {
        "event_action": _ACTIONS[event.transition],
        "dedup_key": text.short_key(event.key, _KEY),
        "client": "Neverwinter",
        **({"client_url": address, "links": [{"href": address, "text": "Open in Dagster"}]} if address else {}),
        "payload": {
            "summary": summary,
            "source": text.one_line(event.subject or event.stream or PLATFORM, 200),
            "severity": _SEVERITIES[event.severity],
            "timestamp": to_iso(event.time),
            "component": event.stream or PLATFORM,
            "group": text.one_line(event.group, 200),
            "class": event.check,
            "custom_details": {
                **alert_fields(event),
                "idempotency_key": idempotency_key(event, message),
                "thread": message.thread,
            },
        },
    }


def idempotency_key(event: Event, message: Message) -> str:
    """What names one event's request: the same whenever it is repeated, and another for each member of a digest.

    A receiver takes one request of those with the same key, and drops the others.
    """
    if not message.is_digest:
        return message.id
    return hashlib.sha256(f"{message.id}|{event.key}".encode(errors="surrogatepass")).hexdigest()[:32]


def _refusal(error: AnsweredError, *secrets: str) -> RefusedError:
    said = scrub(error.answer, *secrets)
    return RefusedError(f"{error.reason}: {said}" if said else error.reason, is_final=error.is_final)


_LOCK: Final = threading.Lock()
_TAKEN: Final[OrderedDict[tuple[str, str], set[str]]] = OrderedDict()


def _taken(channel: str, message: Message) -> set[str]:
    """The keys of a digest that were taken in earlier attempts of this process. A hint: a repeat changes nothing."""
    if not message.is_digest:
        return set()
    with _LOCK:
        found = _TAKEN.setdefault((channel, message.id), set())
        _TAKEN.move_to_end((channel, message.id))
        while len(_TAKEN) > _DIGESTS_REMEMBERED:
            _TAKEN.popitem(last=False)
        return found
