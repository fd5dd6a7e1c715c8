"""Zone names in times (`EST`, `CEST`, `GMT+2`, `+0100`) as offsets from UTC.

Names are no standard but habits, and several mean different zones. RFC 822 (section 5.1) fixes the American ones;
others are taken where the world uses them for one offset only. A name that is ambiguous is known only where the
stream's own zone has it: `IST` with `event_time: {zone: Asia/Kolkata}`.
"""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

import pyarrow as pa

__all__ = ["ZONE", "offsets"]

_OFFSETS: Final = {
    "Z": "+00:00", "UTC": "+00:00", "GMT": "+00:00", "UCT": "+00:00", "WET": "+00:00",
    "EST": "-05:00", "EDT": "-04:00", "CST": "-06:00", "CDT": "-05:00",
    "MST": "-07:00", "MDT": "-06:00", "PST": "-08:00", "PDT": "-07:00",
    "AKST": "-09:00", "AKDT": "-08:00", "HST": "-10:00", "NST": "-03:30", "NDT": "-02:30", "BRT": "-03:00",
    "WEST": "+01:00", "CET": "+01:00", "CEST": "+02:00", "MET": "+01:00", "MEZ": "+01:00", "MEST": "+02:00",
    "MESZ": "+02:00", "EET": "+02:00", "EEST": "+03:00", "MSK": "+03:00", "TRT": "+03:00", "SAST": "+02:00",
    "EAT": "+03:00", "CAT": "+02:00", "WAT": "+01:00", "PKT": "+05:00", "NPT": "+05:45", "WIB": "+07:00",
    "HKT": "+08:00", "SGT": "+08:00", "AWST": "+08:00", "JST": "+09:00", "KST": "+09:00", "ACST": "+09:30",
    "ACDT": "+10:30", "AEST": "+10:00", "AEDT": "+11:00", "ChST": "+10:00", "NZST": "+12:00", "NZDT": "+13:00",
}  # fmt: skip
# Names of several zones. They are no host names either: a time that has one needs the stream's zone.
_AMBIGUOUS: Final = ("AST", "ADT", "BST", "IST", "IDT", "GST", "SST", "ECT", "ART", "CLT", "PYT", "WST", "AMT")

_AREAS: Final = "Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Etc|Europe|Indian|Pacific|US"

# A name as it may stand in a time, for RE2.
ZONE: Final = (
    rf"(?:(?:UTC|GMT)[+-]\d{{1,2}}(?::?\d{{2}})?|{'|'.join((*_OFFSETS, *_AMBIGUOUS))}|(?:{_AREAS})/[A-Za-z0-9_/+-]+)"
)

_NUMERIC: Final = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2}):?(\d{2})?")
_YEARS: Final = range(2000, 2031)
_MOST_HOURS: Final = 15


def offsets(zones: pa.Array, stream_zone: str) -> pa.Array:
    """The offset (`+01:00`) of each zone name or number; null for what is none, and for a name of several zones.

    Args:
        zones: strings, may hold nulls.
        stream_zone: the IANA zone of the stream, whose own names win.
    """
    distinct = zones.dictionary_encode()
    known = [_offset(zone, stream_zone) for zone in distinct.dictionary.to_pylist()]
    return pa.array(known, pa.string()).take(distinct.indices)


def _offset(zone: str, stream_zone: str) -> str | None:
    text = zone.strip()
    if text in ("Z", "z"):
        return "+00:00"
    numeric = _NUMERIC.fullmatch(text)
    if numeric is not None:
        sign, hours, minutes = numeric.groups(default="00")
        return f"{sign}{int(hours):02}:{minutes}" if int(hours) < _MOST_HOURS and int(minutes) < 60 else None  # noqa: PLR2004
    return _names_of(stream_zone).get(text) or _OFFSETS.get(text)


@functools.lru_cache(maxsize=64)
def _names_of(zone: str) -> dict[str, str]:
    """The abbreviations that an IANA zone uses, each with its offset; without those it used for two offsets."""
    found: dict[str, set[str]] = {}
    where = ZoneInfo(zone)
    for year in _YEARS:
        for month in range(1, 13):
            local = datetime(year, month, 15, 12, tzinfo=UTC).astimezone(where)
            name, offset = local.tzname(), local.utcoffset() or timedelta()
            if name is not None and name.isalpha():
                found.setdefault(name, set()).add(_written(offset))
    return {name: written.pop() for name, written in found.items() if len(written) == 1}


def _written(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"
