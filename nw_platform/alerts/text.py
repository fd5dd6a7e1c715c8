"""The words of an alert: one place that says it, in one line, in a few, or as a digest of many.

What comes from logs and file names (messages, subjects) is made one line of visible characters here; each channel then
escapes it for itself. Nothing is ever cut out of the middle, and what was cut ends with "...".
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import quote, urlsplit

from nw_platform.alerts.alert import PLATFORM, Event
from nw_platform.alerts.message import Message
from nw_platform.alerts.routing import link_to
from nw_platform.record.hours import to_iso

__all__ = [
    "Group",
    "cut",
    "facts",
    "groups",
    "headline",
    "link_label",
    "link_of",
    "long_text",
    "one_line",
    "repair_of",
    "short_key",
    "short_text",
    "since_of",
    "summary",
]

_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
_DROPPED: Final = frozenset({"Cf"})  # direction marks, zero-width characters: they hide or turn what stands around them
_SUBJECT: Final = {"silence": "host", "expected_files": "file"}  # what the subject of a check is
_SINCE: Final = {"silence": "Last seen"}  # what its time is: the last sign of life; of others, when it went wrong
_GROUPS_SHOWN: Final = 12
_NAMES_SHOWN: Final = 5
_NAME_LIMIT: Final = 60
_VALUE_LIMIT: Final = 500


def one_line(text: str, limit: int | None = None) -> str:
    """The text as one line of visible characters: no control characters, line breaks, direction marks, surrogates."""
    if not text.isprintable():
        text = "".join(map(_visible, text))
    line = " ".join(text.split())
    return line if limit is None else cut(line, limit)


def cut(text: str, limit: int) -> str:
    """At most `limit` characters of a text."""
    if len(text) <= limit:
        return text
    return text[: max(0, limit - 3)].rstrip() + "..."[: max(0, limit)]


def short_key(key: str, most: int) -> str:
    """An alert's key in at most `most` bytes; of a longer one the end is replaced by a hash, so keys stay different."""
    line = one_line(key)
    if len(line.encode()) <= most:
        return line
    mark = hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest()[:16]
    return line.encode()[: most - 17].decode(errors="ignore") + "~" + mark


def headline(message: Message, limit: int = 150) -> str:
    """What happened to what: `[opened, error] silence: app, web-07`. The same for each transition but for the brackets.

    Mail programs put messages into one thread by what comes after the brackets.
    """
    first = message.events[0]
    mark = "resolved" if first.transition == "resolved" else f"{first.transition}, {first.severity}"
    if message.is_test:
        mark = f"test, {mark}"
    if message.is_digest:
        return cut(f"[{mark}] {len(message.events)} alerts: {_digest_subject(message)}", limit)
    return cut(f"[{mark}] {one_line(first.check)}: {one_line(', '.join(_where(first)))}", limit)


def facts(event: Event) -> list[tuple[str, str]]:
    """What is known of an alert, as (label, value), each one line; the message itself and the link are not in it."""
    known = [
        ("Check", event.check),
        ("Stream", event.stream or PLATFORM),
        ("Hour", event.partition),
        (_SUBJECT.get(event.check, "subject").capitalize(), event.subject),
        ("Group", event.group),
        ("Severity", event.severity),
        (_SINCE.get(event.check, "Since"), since_of(event) or ""),
        ("Opened", to_iso(event.opened)),
        (event.transition.capitalize(), "" if event.transition == "opened" else to_iso(event.time)),
        ("Note", event.note),
        ("Repair", repair_of(event)),
    ]
    return [(label, one_line(value, _VALUE_LIMIT)) for label, value in known if value]


def repair_of(event: Event) -> str:
    """What is to be done about an alert: nothing about one that is over."""
    return "" if event.transition == "resolved" else event.repair


def since_of(event: Event) -> str | None:
    """Since when it is wrong (of `silence`: the last sign of life) in ISO 8601; None: not known, or it is over."""
    return None if event.since is None or event.transition == "resolved" else to_iso(event.since)


@dataclass(frozen=True, slots=True)
class Group:
    """Alerts of a digest that are alike: of one check, stream and data centre."""

    check: str
    stream: str
    group: str
    count: int
    names: tuple[str, ...]  # the first few: hosts, files, hours
    repair: str  # of the first

    @property
    def line(self) -> str:
        """`silence of app in fra1: 480 (web-001, web-002, ... and 478 more)`."""
        where = f"{self.check} of {self.stream}" + (f" in {self.group}" if self.group else "")
        more = self.count - len(self.names)
        names = ", ".join(self.names) + (f" and {more} more" if more else "")
        return f"{where}: {self.count} ({names})"


def groups(events: Iterable[Event]) -> list[Group]:
    """Alerts by check, stream and data centre; the largest group first."""
    gathered: dict[tuple[str, str, str], list[Event]] = {}
    for event in events:
        gathered.setdefault((event.check, event.stream or PLATFORM, event.group), []).append(event)
    made = []
    for (check, stream, group), members in gathered.items():
        names = dict.fromkeys(
            one_line(event.subject or event.partition or "all of it", _NAME_LIMIT) for event in members[:_NAMES_SHOWN]
        )
        made.append(
            Group(
                one_line(check, _NAME_LIMIT),
                one_line(stream, _NAME_LIMIT),
                one_line(group, _NAME_LIMIT),
                len(members),
                tuple(names),
                one_line(repair_of(members[0]), _VALUE_LIMIT),
            )
        )
    return sorted(made, key=lambda group: -group.count)


def summary(message: Message) -> list[str]:
    """A digest's lines, one a group; what is not shown is counted."""
    made = groups(message.events)
    lines = [group.line for group in made[:_GROUPS_SHOWN]]
    rest = made[_GROUPS_SHOWN:]
    if rest:
        lines.append(f"and {len(rest)} more groups with {sum(group.count for group in rest)} alerts")
    return lines


def long_text(message: Message, link: str | None = None, *, headed: bool = True) -> str:
    """The whole of it as plain text of several lines, which ends with the id.

    Args:
        message: what is told.
        link: the address of the Dagster UI, for messages that bring no link of their own.
        headed: begin with the headline.
    """
    first = message.events[0]
    lines = [headline(message), ""] if headed else []
    if message.is_digest:
        lines += summary(message)
        lines += ["", *_repairs(message), "All of them: nw alerts list"]
    else:
        lines += [one_line(first.message, 2000), ""]
        lines += [f"{label}: {value}" for label, value in facts(first)]
    address = link_of(message, link)
    if address:
        lines += ["", address]
    return "\n".join([*lines, "", f"id {message.id}"])


def short_text(message: Message, limit: int, link: str | None = None) -> str:
    """One line of at most `limit` characters that ends with the id; the link comes before it if there is room."""
    first = message.events[0]
    tail = f" id {message.id}"
    said = "; ".join(summary(message)) if message.is_digest else one_line(first.message)
    repair = "" if message.is_digest else one_line(repair_of(first))
    text = f"{headline(message)}: {said}"
    if repair and repair not in text:
        text += f" Repair: {repair}"
    address = link_of(message, link)
    with_link = f" {address}" if address else ""
    if len(text) + len(with_link) + len(tail) > limit:
        with_link = ""
    return cut(text, limit - len(with_link) - len(tail)) + with_link + tail


def link_of(message: Message, base: str | None = None) -> str:
    """The address a message leads to; '' if none is known. Always http(s), without characters that end a link."""
    known: Mapping[str, str] = message.links
    first = message.events[0]
    address = known.get(first.key, "")
    if base and not address:
        named = replace(first, asset=one_line(first.asset), check=one_line(first.check))
        address = link_to(named, base.rstrip("/"))
    if urlsplit(address).scheme not in {"http", "https"}:
        return ""
    return quote(address, safe=":/?#[]@!$&()*+,;=%-._~")


def link_label(message: Message) -> str:
    """What a link is called."""
    return "The first of them in Dagster" if message.is_digest else "Open in Dagster"


def _where(event: Event) -> list[str]:
    """What an alert is about: its stream, partition and subject."""
    return [part for part in (event.stream or PLATFORM, event.partition, event.subject) if part]


def _digest_subject(message: Message) -> str:
    made = groups(message.events)
    said = [
        f"{group.count} {group.check} of {group.stream}" + (f" in {group.group}" if group.group else "")
        for group in made[:3]
    ]
    return ", ".join(said) + (" and others" if len(made) > len(said) else "")


def _repairs(message: Message) -> list[str]:
    found = dict.fromkeys(group.repair for group in groups(message.events) if group.repair)
    return [f"Repair: {repair}" for repair in list(found)[:3]]


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category not in _INVISIBLE:
        return character
    if category in _DROPPED:
        return ""
    return " " if category in {"Cc", "Zl", "Zp"} else "\ufffd"
