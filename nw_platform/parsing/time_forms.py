"""Times in the forms that are met where no layout is declared and the text is not ISO 8601.

Regular expressions over whole columns rewrite each form into one of a few layouts. A form is here only if it can be
read in one way: `11/12/2026` is not, for it is November in one country and December in another.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.native import literal, query
from nw_platform.parsing.times import in_zone, sane, with_leap_seconds
from nw_platform.parsing.yearless_times import parse_yearless
from nw_platform.record.envelope import TIMESTAMP

__all__ = ["FORMS", "ZONE_NAMES", "parse_forms", "zone_offsets"]

# An example of every form, as docs/formats.md lists them: all of them are 2026-11-20 10:00:01 local time.
FORMS: Final = (
    "2026/11/20 10:00:01",
    "2026.11.20 10:00:01",
    "2026-11-20-10.00.01",
    "20261120T100001",
    "20261120100001",
    "20.11.2026 10:00:01",
    "20/Nov/2026:10:00:01",
    "20 November 2026 10:00:01",
    "20-Nov-2026 10:00:01",
    "Fri, 20 Nov 2026 10:00:01",
    "Fri Nov 20 10:00:01 2026",
    "Nov 20, 2026, 10:00:01 AM",
    "Nov 20 10:00:01",
)

# Names of zones that mean one offset wherever they are met. CST, IST, BST and others mean several: they are read only
# where they are names of the declared zone.
ZONE_NAMES: Final = {
    **dict.fromkeys(("Z", "UTC", "UT", "GMT", "WET"), "+00:00"),
    **dict.fromkeys(("CET", "WEST"), "+01:00"),
    **dict.fromkeys(("CEST", "EET"), "+02:00"),
    "EEST": "+03:00",
    "EST": "-05:00",
    "EDT": "-04:00",
    "CDT": "-05:00",
    "MST": "-07:00",
    "MDT": "-06:00",
    "PST": "-08:00",
    "PDT": "-07:00",
}

_CLOCK: Final = r"[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: ?[AaPp][Mm])?"
_ZONE: Final = r"[A-Za-z]{1,5}|(?:UTC|GMT)?[+-][0-9]{2}(?::?[0-9]{2})?"
_SURE_OFFSET: Final = r"(?:[+-][0-9]{2}(?::?[0-9]{2})?|Z|UTC|GMT)"
_MONTH: Final = (
    r"(?i)\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:uary|ruary|ch|il|e|y|ust|t|tember|ober|ember)?\b\.?"
)
# RE2 expressions and what replaces their first match, applied in this order; each leaves the other forms alone.
_REWRITES: Final = (
    (r"^ *(.*[^ ]) *$", r"\1"),
    # [Europe/Berlin] of Java and (CET) of mail and JavaScript: a comment behind an offset, else the zone itself
    (rf"(:[0-9]{{2}}[^\[(]*{_SURE_OFFSET}) ?(?:\[[A-Za-z0-9_/+-]+\]|\([^()]*\))$", r"\1"),
    (r" ?(?:\[([A-Za-z]{3,5})\]|\(([A-Za-z]{3,5})\))$", r" \1\2"),
    (r"( [+-][0-9]{4}) [A-Z]{3,5}( m=.*)?$", r"\1"),  # Go's Time.String
    (r"^(?i:mon|tue|wed|thu|fri|sat|sun)[a-z]*,? +", ""),
    (r"(:[0-9]{2})[.,][0-9]{1,12}", r"\1"),  # a fraction; it was taken before
    (r"^([0-9]{4})([0-9]{2})([0-9]{2})[T_ -]?([0-9]{2}):?([0-9]{2}):?([0-9]{2})(?:[.,][0-9]+)?", r"\1-\2-\3 \4:\5:\6"),
    (r"^([0-9]{4})([0-9]{2})([0-9]{2})$", r"\1-\2-\3"),
    (r"^([0-9]{4})[/.]([0-9]{1,2})[/.]([0-9]{1,2})\b", r"\1-\2-\3"),
    (r"^([0-9]{1,2})\.([0-9]{1,2})\.([0-9]{4})\b", r"\3-\2-\1"),
    (r"^([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})-([0-9]{2})\.([0-9]{2})\.([0-9]{2})(?:\.[0-9]{1,12})?", r"\1 \2:\3:\4"),
    (_MONTH, r"\1"),
    (r"^([0-9]{1,2})[/ -]+([A-Za-z]{3})[/ -]([0-9]{4})\b", r"\1 \2 \3"),
    (r"^([A-Za-z]{3}) +([0-9]{1,2}),? ([0-9]{4})\b", r"\2 \1 \3"),
    (rf"^([A-Za-z]{{3}}) +([0-9]{{1,2}}) ({_CLOCK}) ([0-9]{{4}})$", r"\2 \1 \4 \3"),
    (rf"^([A-Za-z]{{3}}) +([0-9]{{1,2}}) ({_CLOCK}) ({_ZONE}) ([0-9]{{4}})$", r"\2 \1 \5 \3 \4"),
    (r"^([A-Za-z]{3}) +([0-9]{1,2}),? ([0-9]{1,2}:)", r"\2 \1 \3"),
    (
        r"^([0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[0-9]{1,2} [A-Za-z]{3} [0-9]{4})(?:,? at |, |: ?|T|_| +)([0-9]{1,2}:)",
        r"\1 \2",
    ),
)
_FRACTION: Final = r"(?:(?::|T[0-9]{4})[0-9]{2}[.,]|-[0-9]{2}\.[0-9]{2}\.[0-9]{2}\.)(?P<digits>[0-9]{1,12})"
_WITH_ZONE: Final = rf"^(?P<local>.*:[0-9]{{2}}(?: ?[AaPp][Mm])?) ?(?P<zone>{_ZONE})$"
_NO_ZONE: Final = r"^(?:|[AaPp][Mm])$"
_OFFSET: Final = re.compile(r"(?:UTC|GMT)?([+-])(\d\d):?(\d\d)?\Z")
_CLOCKS: Final = ("%H:%M:%S", "%H:%M", "%I:%M:%S %p", "%I:%M %p")
_LAYOUTS: Final = tuple(f"{date} {clock}" for date in ("%Y-%m-%d", "%d %b %Y") for clock in _CLOCKS)
_DAYS: Final = ("%Y-%m-%d", "%d %b %Y")
_YEARLESS: Final = "%d %b %H:%M:%S"
_IS_YEARLESS: Final = r"^[0-9]{1,2} [A-Za-z]{3} [0-9]{1,2}:[0-9]{2}:[0-9]{2}$"
_MINUTES: Final = 60
_FURTHEST: Final = 14 * _MINUTES  # no zone is further from UTC
_MINUTE_US: Final = 60_000_000
_NO_TEXT: Final = pa.scalar(None, pa.string())


def zone_offsets(zone: str) -> dict[str, str]:
    """Names of zones and their offsets (`+01:00`): those of ZONE_NAMES, and before them those of the declared zone."""
    where = ZoneInfo(zone)
    own: dict[str, str] = {}
    for month in (1, 7):
        there = datetime(2026, month, 1, tzinfo=UTC).astimezone(where)
        name = there.tzname() or ""
        if name.isalpha():
            own[name] = there.isoformat()[-6:]
    return {**ZONE_NAMES, **own}


def parse_forms(text: pa.Array, received: pa.Array, *, zone: str = "UTC", year: int | None = None) -> pa.Array:
    """Read times in any of the known forms, with fractions of a second and with a zone or without.

    Args:
        text: strings, may hold nulls.
        received: timestamp us UTC, as long as `text`, no nulls: tells the year of times that name none.
        zone: IANA name of the zone of times that name none.
        year: the year of times that name none.

    Returns:
        timestamp us UTC, null where no form fits.
    """
    times = text.dictionary_encode()
    local, offset, readable = _without_zone(_rewritten(times.dictionary), zone)
    moved = pc.subtract(_micros(times.dictionary), pc.fill_null(offset, 0)).take(times.indices)
    local = pc.if_else(readable, local, _NO_TEXT)
    # A clock that has an offset is read as UTC, and moved by that offset.
    absolute = pc.is_valid(offset)
    found = pc.coalesce(
        _by_layouts(pc.if_else(absolute, local, _NO_TEXT), "UTC"),
        _by_layouts(pc.if_else(absolute, _NO_TEXT, local), zone),
    ).take(times.indices)
    yearless = pc.if_else(pc.match_substring_regex(local, _IS_YEARLESS), local, _NO_TEXT)
    if yearless.null_count < len(yearless):
        rows, with_offset = yearless.take(times.indices), absolute.take(times.indices)
        for where, mask in (("UTC", with_offset), (zone, pc.invert(with_offset))):
            of_zone = pc.if_else(mask, rows, _NO_TEXT)
            found = pc.coalesce(found, parse_yearless(of_zone, _YEARLESS, received, zone=where, year=year))
    return sane(pc.add(found.cast(pa.int64()), moved).cast(TIMESTAMP))


def _rewritten(text: pa.Array) -> pa.Array:
    """`text` in one of the layouts that are read, if it is in a known form; fractions are dropped."""
    for pattern, replacement in _REWRITES:
        text = pc.replace_substring_regex(text, pattern, replacement, max_replacements=1)
    return text


def _without_zone(text: pa.Array, zone: str) -> tuple[pa.Array, pa.Array, pa.Array]:
    """The texts without the zone at their end, its offset (us, int64; null: no zone), and if the zone is known."""
    parts = pc.extract_regex(text, _WITH_ZONE)
    named = pc.struct_field(parts, "zone").dictionary_encode()
    is_none = [name is None or name.upper() in ("AM", "PM") for name in named.dictionary.to_pylist()]
    names = zone_offsets(zone)
    offsets = [_offset_us(name, names) for name in named.dictionary.to_pylist()]
    offset = pa.array(offsets, pa.int64()).take(named.indices)
    absent = pc.fill_null(pa.array(is_none, pa.bool_()).take(named.indices), fill_value=True)
    local = pc.if_else(absent, text, pc.struct_field(parts, "local"))
    return local, offset, pc.or_(absent, pc.is_valid(offset))


def _offset_us(name: str, names: dict[str, str]) -> int | None:
    """The offset of a zone (`+0100`, `GMT+1:00`, `EST`) in microseconds; None: it is not known."""
    parts = _OFFSET.match(names.get(name.upper(), name))
    if parts is None:
        return None
    minutes = int(parts[2]) * 60 + int(parts[3] or 0)
    if minutes > _FURTHEST or int(parts[3] or 0) >= _MINUTES:
        return None
    return (-minutes if parts[1] == "-" else minutes) * _MINUTE_US


def _micros(text: pa.Array) -> pa.Array:
    """The fractions of a second in texts as whole microseconds (int64), cut and not rounded."""
    parts = pc.extract_regex(text, _FRACTION)
    digits = pc.fill_null(pc.struct_field(parts, "digits"), "")
    padded = pc.utf8_slice_codeunits(pc.utf8_rpad(digits, 6, padding="0"), 0, 6)
    return padded.cast(pa.int64())


def _by_layouts(text: pa.Array, zone: str) -> pa.Array:
    """Read local times of a zone in the canonical layouts."""

    def read(some: pa.Array) -> pa.Array:
        layouts = ", ".join(literal(layout) for layout in (*_LAYOUTS, *_DAYS))
        found = query(f"SELECT try_strptime(t, [{layouts}]) AS t FROM times", times=pa.table({"t": some}))
        return in_zone(found.column("t").combine_chunks().cast(pa.timestamp("us"), safe=False), zone)

    if text.null_count == len(text):
        return pa.nulls(len(text), TIMESTAMP)
    return with_leap_seconds(text, read)
