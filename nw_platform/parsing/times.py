"""Event times: by strptime layout and zone, by unit, or ISO 8601. What is not a sane time becomes null.

Sane are the years 1970 to 2262. A local time that a change of the clocks skips or repeats is read with the offset
that held before the change, as Python's `fold=0` does.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.native import literal, query
from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hours import to_us

__all__ = ["check_layout", "check_zone", "parse_iso", "parse_layout", "parse_unit", "sane"]

_LAST_US: Final = to_us(datetime(2262, 1, 1, tzinfo=UTC))
_NAIVE: Final = pa.timestamp("us")
_PER_SECOND: Final = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_ISO_ZONE: Final = r"(Z|z|[+-][0-9]{2}(:?[0-9]{2})?)"
_ISO_CLOCK: Final = r"[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]{1,12})?)?"
_ISO: Final = rf"^[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}([T ]{_ISO_CLOCK}( ?{_ISO_ZONE})?)?$"
_OFFSET: Final = rf":.*{_ISO_ZONE}$"


def check_zone(zone: str) -> str:
    """An IANA zone name, as it was given.

    Raises:
        ConfigError: there is no such zone.
    """
    try:
        ZoneInfo(zone)
        pc.assume_timezone(pa.array([0], _NAIVE), zone)
    except Exception as error:
        raise ConfigError(
            f"event_time.zone: {zone!r} is no IANA time zone; write for example Europe/Berlin or UTC"
        ) from error
    return zone


def check_layout(layout: str) -> str:
    """A strptime layout, as it was given.

    Raises:
        ConfigError: it cannot be used.
    """
    try:
        parse_layout(pa.array(["x"]), layout)
    except Exception as error:
        raise ConfigError(
            f"event_time.layout: {layout!r} is no strptime layout ({str(error).splitlines()[0]})"
        ) from error
    return layout


def sane(times: pa.Array) -> pa.Array:
    """`times` (timestamp us, UTC) with null outside the years 1970 to 2261."""
    instants = times.cast(pa.int64())
    inside = pc.and_(pc.greater_equal(instants, 0), pc.less(instants, _LAST_US))
    if pc.all(inside).as_py() is not False:
        return times
    return pc.if_else(inside, times, pa.scalar(None, TIMESTAMP))


def parse_layout(text: pa.Array, layout: str, zone: str = "UTC") -> pa.Array:
    """Read strings by a strptime layout (DuckDB's: %f takes micro-, %g milli-, %n nanoseconds, %z an offset).

    A layout without `%z` gives local times of `zone`. Logs repeat their times, so each distinct text is read once.
    """
    times = text if pa.types.is_dictionary(text.type) else text.dictionary_encode()
    layouts = literal(layout)
    distinct = times.dictionary
    if layout.endswith("%z"):  # DuckDB does not read Z as an offset
        distinct = pc.replace_substring_regex(distinct, "[Zz]$", "+00:00")
    read = query(f"SELECT try_strptime(t, {layouts}) AS t FROM times", times=pa.table({"t": distinct}))
    column = read.column("t").combine_chunks()
    if column.type.tz is None:
        column = _in_zone(column.cast(_NAIVE, safe=False), zone)
    return sane(column.cast(TIMESTAMP, safe=False)).take(times.indices)


def parse_iso(text: pa.Array, zone: str = "UTC") -> pa.Array:
    """Read ISO 8601 strings: a date, or date and time with `T` or a space, with fractions and an offset or without."""
    times = text.dictionary_encode()
    clean = pc.if_else(pc.match_substring_regex(times.dictionary, _ISO), times.dictionary, pa.scalar(None, pa.string()))
    clean = pc.replace_substring(clean, ",", ".")
    offset = pc.match_substring_regex(clean, _OFFSET)
    read = query(
        "SELECT CASE WHEN o THEN try_cast(t AS TIMESTAMPTZ) END AS absolute, "
        "CASE WHEN NOT o THEN try_cast(t AS TIMESTAMP) END AS local FROM times",
        times=pa.table({"t": clean, "o": offset}),
    )
    local = _in_zone(read.column("local").combine_chunks().cast(_NAIVE), zone)
    return sane(pc.coalesce(read.column("absolute").combine_chunks().cast(TIMESTAMP), local)).take(times.indices)


def parse_unit(text: pa.Array, unit: str) -> pa.Array:
    """Read numbers of `unit` since the epoch: digits, with a fraction where there is one."""
    clean = pc.if_else(
        pc.match_substring_regex(text, r"^[0-9]{1,20}(\.[0-9]{1,12})?$"), text, pa.scalar(None, pa.string())
    )
    per_second = _PER_SECOND[unit]
    micros = f"n * {1_000_000 // per_second}" if per_second <= _PER_SECOND["us"] else "n / 1000"
    read = query(
        f"SELECT try_cast(floor({micros}) AS BIGINT) AS t FROM (SELECT try_cast(t AS DECIMAL(30, 9)) AS n FROM times)",
        times=pa.table({"t": clean}),
    )
    return from_us(read.column("t").combine_chunks())


def from_us(instants: pa.Array) -> pa.Array:
    """Microseconds since the epoch (int64) as sane times."""
    return sane(instants.cast(TIMESTAMP))


def _in_zone(local: pa.Array, zone: str) -> pa.Array:
    """Local times of `zone` as UTC times."""
    if zone == "UTC":
        return local.cast(TIMESTAMP)
    # Outside the sane years the zone rules would overflow; such times are refused anyway.
    seconds = local.cast(pa.int64())
    margin = 2 * 86_400_000_000
    inside = pc.and_(pc.greater_equal(seconds, -margin), pc.less(seconds, _LAST_US + margin))
    local = pc.if_else(inside, local, pa.scalar(None, _NAIVE))
    times = pc.assume_timezone(local, zone, ambiguous="earliest", nonexistent="latest")
    skipped = pc.fill_null(pc.not_equal(pc.local_timestamp(times), local), fill_value=False)
    times = times.cast(TIMESTAMP)
    if not pc.any(skipped).as_py():
        return times
    where = ZoneInfo(zone)
    repaired = [to_us(one.replace(tzinfo=where).astimezone(UTC)) for one in local.filter(skipped).to_pylist()]
    return pc.replace_with_mask(times, skipped, pa.array(np.array(repaired, dtype=np.int64)).cast(TIMESTAMP))
