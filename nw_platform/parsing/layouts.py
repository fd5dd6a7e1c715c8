"""Which PatternLayouts may have written some lines: candidates for the format `log4j`, the most particular first.

A layout is put together from three parts that are met often: the pattern of the time, made from a time that stands in
the lines (its separators, the digits of its fraction, its zone); what stands before and around the time; and what
follows it. Nothing here judges records: parsing/sniff.py tries the candidates with the real parser.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

__all__ = ["candidate_layouts"]

_LINES_LOOKED_AT: Final = 40
_MOST_DATES: Final = 4  # different patterns of times in one sample

_CLOCK: Final = r"\d\d:\d\d:\d\d(?:(?P<point>[.,])(?P<fraction>\d{1,9}))?"
_ZONE: Final = r"(?P<zone> ?(?:Z\b|[+-]\d\d(?::?\d\d)?(?!\d)))?"
# A time as it stands in a line -> the letters of its date, and of what stands between date and clock.
_DATES: Final = (
    (re.compile(rf"\d{{4}}-\d\d-\d\d(?P<between>[ T]){_CLOCK}{_ZONE}"), "yyyy-MM-dd", ""),
    (re.compile(rf"\d{{4}}/\d\d/\d\d(?P<between> ){_CLOCK}{_ZONE}"), "yyyy/MM/dd", ""),
    (re.compile(rf"\d{{4}}\.\d\d\.\d\d(?P<between> ){_CLOCK}{_ZONE}"), "yyyy.MM.dd", ""),
    (re.compile(rf"\d{{8}}(?P<between> ){_CLOCK}{_ZONE}"), "yyyyMMdd", ""),
    (re.compile(rf"\d\d/\d\d/\d\d(?P<between> ){_CLOCK}{_ZONE}"), "yy/MM/dd", ""),
    (re.compile(rf"\d\d [A-Z][a-z]{{2}} \d{{4}}(?P<between> ){_CLOCK}{_ZONE}"), "dd MMM yyyy", ""),
    (re.compile(rf"\d\d-[A-Z][a-z]{{2}}-\d{{4}}(?P<between> ){_CLOCK}{_ZONE}"), "dd-MMM-yyyy", ""),
    (re.compile(rf"\d\d/[A-Z][a-z]{{2}}/\d{{4}}(?P<between>[ :]){_CLOCK}{_ZONE}"), "dd/MMM/yyyy", ""),
    (re.compile(rf"[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} \d\d(?P<between> ){_CLOCK} \d{{4}}"), "EEE MMM dd", " yyyy"),
)
_LOG4J_NAME: Final = re.compile(r"yyyy-MM-dd(?: |'T')HH:mm:ss[.,]SSS")  # what %d{ISO8601} stands for

_LEVEL: Final = r"[A-Za-z]{3,13}"
# What stands before a time at the beginning of a line -> the layout up to and including the time ({} is its pattern).
_HEADS: Final = (
    (re.compile(""), "%d{{{}}}"),
    (re.compile(r"\["), "[%d{{{}}}]"),
    (re.compile(rf" *{_LEVEL} +"), "%-5p %d{{{}}}"),
    (re.compile(rf" *{_LEVEL} +\["), "%-5p [%d{{{}}}]"),
    (re.compile(rf"\[ *{_LEVEL} *\] +"), "[%-5p] %d{{{}}}"),
    (re.compile(rf"\[ *{_LEVEL} *\] +\["), "[%-5p] [%d{{{}}}]"),
)
# What follows a time where the level stands behind it, and where it stands before.
_TAILS: Final = (
    " %p %m (%c)%n",
    " %-5p %m (%c)%n",
    " %5p %pid --- [%X{application}] [%15.15t] %-40.40c : %m%n",
    " %5p %pid --- [%15.15t] %-40.40c : %m%n",
    " [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n",
    " [%t] %-5p %c - %m%n",
    " [%t] %-5p %c: %m%n",
    " %-5p [%t] %c - %m%n",
    " %-5p [%t] %c: %m%n",
    " %-5p %c{1}:%L - %m%n",
    " - %c - %p - %m%n",
    " - %p - %m%n",
    " | %-5p | %t | %c | %m%n",
    " | %-5p | %c | %m%n",
    " | %-5p | %m%n",
    " %-5p %c - %m%n",
    " %-5p %c: %m%n",
    " [%c:%p] [pid %pid] %m%n",
    " [%c:%p] [pid %pid:tid %tid] %m%n",
    " [%c:%p] %m%n",
    " [%p] %pid#%tid: %m%n",
    " [%p] [%t] %c - %m%n",
    " [%p] [%c] %m%n",
    " [%p] %c - %m%n",
    " [%p] %c: %m%n",
    " [%p] %m%n",
    " [%t] %-5p %m%n",
    " %-5p [%t] %m%n",
    " UTC [%pid] %p:  %m%n",
    " [%pid] %p:  %m%n",
    " %p: %m%n",
    " %-5p %m%n",
)
_TAILS_AFTER_LEVEL: Final = (
    " [%t] %c - %m%n",
    " [%t] %c: %m%n",
    " %c - %m%n",
    " %c: %m%n",
    " - %m%n",
    ": %m%n",
    " %m%n",
)


def candidate_layouts(lines: Sequence[str]) -> Iterator[str]:
    """Yield the layouts that may have written `lines`, by the times at the beginning of the first of them."""
    beginnings: dict[tuple[str, str], None] = {}
    for line in lines[:_LINES_LOOKED_AT]:
        for head, before in _HEADS:
            found = head.match(line)
            pattern = _date_pattern(line, found.end()) if found else None
            if pattern is not None:
                beginnings[before, pattern] = None
        if len(beginnings) >= _MOST_DATES:
            break
    for before, pattern in beginnings:
        tails = _TAILS_AFTER_LEVEL if "%-5p" in before else _TAILS
        for tail in tails:
            yield before.format(pattern) + tail


def _date_pattern(line: str, position: int) -> str | None:
    """The Java pattern of the time that stands at `position` of a line; None: there is none that is known."""
    for expression, date, after in _DATES:
        found = expression.match(line, position)
        if found is None:
            continue
        between = found["between"].replace("T", "'T'")
        point, fraction = found["point"] or "", "S" * len(found["fraction"] or "")
        pattern = f"{date}{between}HH:mm:ss{point}{fraction}{_zone_letters(found)}{after}"
        return "ISO8601" if _LOG4J_NAME.fullmatch(pattern) else pattern
    return None


def _zone_letters(found: re.Match[str]) -> str:
    """The letters for the zone of a time, with the blank before it; empty where it has none."""
    zone = found.groupdict().get("zone")
    if not zone:
        return ""
    blank = " " if zone.startswith(" ") else ""
    if zone.endswith("Z") or ":" in zone:
        return f"{blank}XXX"
    has_minutes = len(zone.strip()) > len("+00")
    return f"{blank}Z" if has_minutes else f"{blank}X"
