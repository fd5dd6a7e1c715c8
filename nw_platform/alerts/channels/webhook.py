"""Webhooks: JSON of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from nw_platform.alerts import text
from nw_platform.alerts.alert import PLATFORM, Event
from nw_platform.alerts.channels.attempt import RefusedError
from nw_platform.alerts.channels.posting import PostingOutlet
from nw_platform.alerts.message import Message
from nw_platform.record.hours import to_iso
from nw_platform.streams import channels as declared
from nw_platform.streams.secrets import Secret

__all__ = ["Webhook", "alert_fields", "document", "headers_of"]

_TEXT: Final = 4000
_OURS: Final = frozenset({"content-type", "idempotency-key"})
_MEMBERS: Final = 1000  # alerts of a digest that are listed one by one


class Webhook(PostingOutlet[declared.Webhook]):
    """An HTTP endpoint that takes JSON of ours."""

    def _deliver(self, message: Message) -> None:
        url = self._address(self._declaration.url)
        headers = headers_of(self._declaration, self._read)
        self._posting(self._declaration.ca_file).post(
            url, document(message, self._link), {**headers, "Idempotency-Key": message.id}
        )


def headers_of(declaration: declared.Webhook, read: Callable[[str | Secret], str]) -> dict[str, str]:
    """Declared headers as they are sent, but for those that are ours.

    Raises:
        RefusedError: one cannot be a header's value; which is said, and not what it holds.
    """
    made = {}
    for key, value in declaration.headers.items():
        said = read(value)
        if not (key.isascii() and key.isprintable() and said.isascii() and said.isprintable()):
            raise RefusedError(f"the header {text.one_line(key)} holds a character that no header may", is_final=True)
        if key.lower() not in _OURS:
            made[key] = said.strip()
    return made


def document(message: Message, link: str | None = None) -> dict[str, Any]:
    """The JSON of a message. A digest has the same keys, `alerts` with each, and `groups` that count them."""
    first = message.events[0]
    if not message.is_digest:
        return {**alert_fields(first), "link": text.link_of(message, link), "test": message.is_test, **_ids(message)}
    members = [alert_fields(event) for event in message.events]
    same = {
        key: values.pop() if len(values) == 1 else ""
        for key in ("check", "stream", "partition", "subject", "repair")
        for values in [{member[key] for member in members}]
    }
    return {
        **alert_fields(first),
        **same,
        "key": f"digest|{message.id}",
        "message": text.cut(f"{text.headline(message)}: {'; '.join(text.summary(message))}", _TEXT),
        "link": "",
        "test": message.is_test,
        "count": len(message.events),
        "groups": [
            {"check": group.check, "stream": group.stream, "group": group.group, "count": group.count}
            for group in text.groups(message.events)
        ],
        "alerts": members[:_MEMBERS],
        **_ids(message),
    }


def _ids(message: Message) -> dict[str, str]:
    return {"idempotency_key": message.id, "thread": message.thread}


def alert_fields(event: Event) -> dict[str, Any]:
    """What is said of one alert."""
    return {
        "key": event.key,
        "transition": event.transition,
        "severity": event.severity,
        "check": event.check,
        "stream": event.stream or PLATFORM,
        "partition": event.partition,
        "subject": event.subject,
        "message": text.one_line(event.message, _TEXT),
        "repair": text.one_line(text.repair_of(event), _TEXT),
        "note": text.one_line(event.note, _TEXT),
        "group": event.group,
        "time": to_iso(event.time),
        "opened": to_iso(event.opened),
        "since": text.since_of(event),
    }
