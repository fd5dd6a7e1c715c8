"""The lines of syslog that are not RFC 5424: RFC 3164, and what daemons, rsyslog and Cisco's systems make of it.

    <34>Oct 11 22:14:15 host app[123]: message
    Oct 11 22:14:15 host app[123]: message                   as it stands in /var/log
    2003-10-11T22:14:15.003+02:00 host app[123]: message     as rsyslog writes it now

Lines that have all of this without doubt are matched here; the others are left to `syslog_odd`, whose expression knows
every habit and takes several times as long.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.groups import Mask, blank_to_null, match_groups, scatter
from nw_platform.parsing.syslog_odd import CLOCK, MONTH, NO_HOST, TIMES, is_word, read_odd
from nw_platform.parsing.text_times import parse_yearless
from nw_platform.parsing.times import parse_iso, parse_layout
from nw_platform.parsing.zone_names import offsets

__all__ = ["read_lines"]

_LAYOUT: Final = "%b %d %H:%M:%S.%f"

_ISO: Final = r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d{1,12})?(?:Z|[+-]\d{2}:?\d{2})"
_LINE: Final = (
    rf"(?s)^(?:<(?P<priority>\d{{1,3}})>)?(?:(?P<iso>{_ISO})|(?P<day>{MONTH} {{1,2}}\d{{1,2}}) (?P<clock>{CLOCK})) "
    rf"(?P<host>[^{NO_HOST}]*[^{NO_HOST}:]) "
    r"(?P<process>[^\s:\[\]]+)(?:\[(?P<procid>[^\]\s]*)\](?:: ?| |$)|:(?: |$))(?P<message>.*)$"
)
# Words that may be a zone or a year, and tags that may be a sequence number.
_ODD_HOST: Final = r"^(?:[A-Z]{1,5}|[A-Za-z]|(?i:am|pm)|\d{1,7}|ChST|-|[+-]\d.*|(?:UTC|GMT)[+-].*|.*/.*)$"
_ODD_TAG: Final = r"^(?:\d+|[A-Z]{3,5})$"

_NULL: Final = pa.scalar(None, pa.string())


def read_lines(
    text: pa.Array, received: pa.Array, *, zone: str, year: int | None
) -> tuple[pa.Array, Mask, dict[str, pa.Array]]:
    """Take lines apart.

    Returns:
        Their times (null where there is none that can be read), the rows that are syslog, and strings that are null
        where missing: priority, sequence, host, process, procid and message.
    """
    parts, usual = match_groups(text, _LINE)
    usual &= ~_may_be(parts["host"], _ODD_HOST) & ~_may_be(parts["process"], _ODD_TAG)
    nothing = pa.nulls(len(text), pa.string())
    parts |= {name: nothing for name in (*TIMES, "sequence") if name not in parts}
    parts = {name: blank_to_null(values) for name, values in parts.items()}
    found, zoneless = usual, np.zeros(len(text), dtype=np.bool_)
    if not usual.all():
        odd = read_odd(text.filter(pa.array(~usual)))
        parts = {name: scatter(odd.parts[name], ~usual, values) for name, values in parts.items()}
        found = usual.copy()
        found[~usual] = odd.found
        zoneless[~usual] = odd.unknown_zone
    times = _read_times({name: parts.pop(name) for name in TIMES}, received, zone, year)
    if zoneless.any():
        times = pc.if_else(pa.array(zoneless), pa.scalar(None, times.type), times)
    return times, found, parts


def _may_be(values: pa.Array, pattern: str) -> Mask:
    """The rows whose value matches, or is the name of a level; each distinct value is looked at once."""
    distinct = values.dictionary_encode()
    odd = pc.or_(pc.match_substring_regex(distinct.dictionary, pattern), is_word(distinct.dictionary))
    mask: Mask = pc.fill_null(odd.take(distinct.indices), fill_value=False).to_numpy(zero_copy_only=False)
    return mask


def _read_times(given: dict[str, pa.Array], received: pa.Array, zone: str, year: int | None) -> pa.Array:
    """The times: month and day, with a year or without one, or ISO 8601; each with an offset, a zone's name or none."""
    zones = pc.coalesce(given["zone"], given["offset"])
    years = pc.coalesce(given["year_first"], given["year_before"], given["year_after"])
    clock = pc.binary_join_element_wise(given["day"], given["clock"], " ")
    clock = pc.if_else(pc.match_substring(clock, "."), clock, pc.binary_join_element_wise(clock, "0", "."))
    iso = given["iso"]
    if zones.null_count == len(zones):
        times = _read_clock(clock, years, _LAYOUT, received, zone, year)
    else:
        offset = offsets(zones, zone)
        zoned = pc.binary_join_element_wise(clock, offset, " ")
        clock = pc.if_else(zones.is_valid(), _NULL, clock)
        iso = pc.if_else(zones.is_valid(), pc.binary_join_element_wise(iso, offset, ""), iso)
        times = pc.coalesce(
            _read_clock(clock, years, _LAYOUT, received, zone, year),
            _read_clock(zoned, years, f"{_LAYOUT} %z", received, zone, year),
        )
    return times if iso.null_count == len(iso) else pc.coalesce(parse_iso(iso, zone), times)


def _read_clock(
    clock: pa.Array, years: pa.Array, layout: str, received: pa.Array, zone: str, year: int | None
) -> pa.Array:
    """Read times of `layout`, which names no year, where `clock` is not null; in the year of `years` if that is not."""
    if years.null_count == len(years):
        return parse_yearless(clock, layout, received, zone=zone, year=year)
    whole = pc.binary_join_element_wise(years, clock, " ")
    yearless = pc.if_else(pc.is_null(years), clock, _NULL)
    return pc.coalesce(
        parse_layout(whole, f"%Y {layout}", zone),
        parse_yearless(yearless, layout, received, zone=zone, year=year),
    )
