"""Event times: by strptime layout and zone, by unit, or ISO 8601. What is not a sane time becomes null.

Sane are the years 1970 to 2262. A local time that a change of the clocks skips or repeats is read with the offset
that held before the change, as Python's `fold=0` does. Second 60 is the second after second 59, as POSIX counts it.
"""

from __future__ import annotations

from collections.abc import Callable
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

__all__ = [
    "UNIT_LIMITS",
    "check_layout",
    "check_zone",
    "from_us",
    "in_zone",
    "is_number",
    "parse_iso",
    "parse_layout",
    "parse_unit",
]

# A number whose unit nobody declared counts the first of these units whose limit is above it.
UNIT_LIMITS: Final = (("s", 10**11), ("ms", 10**14), ("us", 10**17), ("ns", 10**20))

_LAST_US: Final = to_us(datetime(2262, 1, 1, tzinfo=UTC))
_NAIVE: Final = pa.timestamp("us")
_MICROS: Final = {"s": "n * 1000000", "ms": "n * 1000", "us": "n", "ns": "n * 0.001"}  # SQL, exact on decimals
_NUMBER: Final = r"^[0-9]{1,20}(\.[0-9]*)?([eE]\+?[0-9]{1,2})?$"
_DAY_AS_NUMBER: Final = r"^(19[789][0-9]|2[01][0-9]{2}|22[0-5][0-9])[0-9]{4}$"
_LEAP_SECOND: Final = r"(:[0-5][0-9]:)60([^0-9]|$)"
_SECOND_US: Final = 1_000_000
_NO_TEXT: Final = pa.scalar(None, pa.string())
# No zone is further from UTC than 14 hours: what says so is no offset.
_ISO_ZONE: Final = r"(Z|z|[+-](0[0-9]|1[0-4])(:?[0-5][0-9])?)"
_NO_OFFSET: Final = r"[+-](1[5-9]|[2-9][0-9]|[0-9]{2}:?[6-9][0-9])(:?[0-9]{2})?$"
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
    distinct = times.dictionary
    if layout.endswith("%z"):  # DuckDB does not read Z as an offset
        distinct = pc.replace_substring_regex(distinct, "[Zz]$", "+00:00")
        distinct = pc.if_else(pc.match_substring_regex(distinct, _NO_OFFSET), _NO_TEXT, distinct)
    return with_leap_seconds(distinct, lambda some: _by_layout(some, layout, zone)).take(times.indices)


def _by_layout(text: pa.Array, layout: str, zone: str) -> pa.Array:
    read = query(f"SELECT try_strptime(t, {literal(layout)}) AS t FROM times", times=pa.table({"t": text}))
    column = read.column("t").combine_chunks()
    if column.type.tz is None:
        column = in_zone(column.cast(_NAIVE, safe=False), zone)
    return sane(column.cast(TIMESTAMP, safe=False))


def parse_iso(text: pa.Array, zone: str = "UTC") -> pa.Array:
    """Read ISO 8601 strings: a date, or date and time with `T` or a space, with fractions and an offset or without."""
    times = text.dictionary_encode()
    clean = pc.if_else(pc.match_substring_regex(times.dictionary, _ISO), times.dictionary, _NO_TEXT)
    clean = pc.replace_substring(clean, ",", ".")
    for sign in "+-":  # DuckDB reads no offset that stands apart
        clean = pc.replace_substring(clean, f" {sign}", sign)
    return with_leap_seconds(clean, lambda some: _by_iso(some, zone)).take(times.indices)


def _by_iso(clean: pa.Array, zone: str) -> pa.Array:
    offset = pc.match_substring_regex(clean, _OFFSET)
    read = query(
        "SELECT CASE WHEN o THEN try_cast(t AS TIMESTAMPTZ) END AS absolute, "
        "CASE WHEN NOT o THEN try_cast(t AS TIMESTAMP) END AS local FROM times",
        times=pa.table({"t": clean, "o": offset}),
    )
    local = in_zone(read.column("local").combine_chunks().cast(_NAIVE), zone)
    return sane(pc.coalesce(read.column("absolute").combine_chunks().cast(TIMESTAMP), local))


def with_leap_seconds(text: pa.Array, read: Callable[[pa.Array], pa.Array]) -> pa.Array:
    """`read(text)`; texts that it cannot read and that have a second 60 are read with 59, and are a second later."""
    times = read(text)
    if times.null_count == text.null_count:
        return times
    leap = pc.and_(pc.is_null(times), pc.fill_null(pc.match_substring_regex(text, _LEAP_SECOND), fill_value=False))
    if not pc.any(leap).as_py():
        return times
    before = read(pc.replace_substring_regex(text.filter(leap), _LEAP_SECOND, r"\159\2", max_replacements=1))
    after = pc.add(before.cast(pa.int64()), _SECOND_US).cast(TIMESTAMP)
    return pc.replace_with_mask(times, leap, after)


def is_number(text: pa.Array) -> pa.Array:
    """Which strings are numbers that may count time: boolean, null where the string is."""
    return pc.match_substring_regex(text, _NUMBER)


def parse_unit(text: pa.Array, unit: str | None) -> pa.Array:
    """Read numbers of `unit` since the epoch: digits, with a fraction or an exponent where there is one.

    Without a unit each number tells its own by its size, see `UNIT_LIMITS`; eight digits (20261120) write a day
    and are no number then.
    """
    numbers = is_number(text)
    if unit is None:
        numbers = pc.and_not(numbers, pc.match_substring_regex(text, _DAY_AS_NUMBER))
    micros = _MICROS[unit] if unit is not None else _micros_by_size()
    read = query(
        f"SELECT try_cast(floor({micros}) AS BIGINT) AS t FROM "
        "(SELECT coalesce(try_cast(t AS DECIMAL(30, 9)), try_cast(try_cast(t AS DOUBLE) AS DECIMAL(30, 9))) AS n "
        "FROM times)",
        times=pa.table({"t": pc.if_else(numbers, text, _NO_TEXT)}),
    )
    return from_us(read.column("t").combine_chunks())


def _micros_by_size() -> str:
    cases = (f"WHEN n < {limit} THEN {_MICROS[unit]}" for unit, limit in UNIT_LIMITS)
    return f"CASE {' '.join(cases)} END"


def from_us(instants: pa.Array) -> pa.Array:
    """Microseconds since the epoch (int64) as sane times."""
    return sane(instants.cast(TIMESTAMP))


def in_zone(local: pa.Array, zone: str) -> pa.Array:
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
