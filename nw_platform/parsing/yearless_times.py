"""Times that name no year, and the option that gives it."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.times import parse_layout

__all__ = ["has_year", "parse_by_layout", "parse_yearless", "year_option"]

_HAS_YEAR: Final = re.compile(r"(?<!%)(?:%%)*%-?[YyGcxs]")
_DAY_US: Final = 86_400_000_000
_ZONE_MARGIN_US: Final = 14 * 3_600_000_000  # local time is ahead of UTC by at most this
_LEAP_YEAR: Final = 2000
_CANDIDATES: Final = 10  # from a year to the leap year before it, over a turn of the century without one


def has_year(layout: str) -> bool:
    """Whether a strptime layout names a year."""
    return _HAS_YEAR.search(layout) is not None


def parse_by_layout(text: pa.Array, layout: str, zone: str, received: pa.Array, year: int | None) -> pa.Array:
    """Read times by a strptime layout, with a year or without: see `parse_layout` and `parse_yearless`."""
    if has_year(layout):
        return parse_layout(text, layout, zone)
    return parse_yearless(text, layout, received, zone=zone, year=year)


def parse_yearless(
    text: pa.Array, layout: str, received: pa.Array, *, zone: str = "UTC", year: int | None = None
) -> pa.Array:
    """Read times that name no year: in `year`, else in the latest year that puts them at most a day after `received`.

    29 February takes the latest leap year for which that holds.

    Args:
        text: strings, may hold nulls.
        layout: a strptime layout without a year.
        received: timestamp us UTC, as long as `text`, no nulls.
        zone: IANA name of the zone the times are in.
        year: the year of all of them.

    Returns:
        timestamp us UTC, null where there is no usable time.
    """
    with_year = f"%Y {layout}"
    if year is not None:
        return parse_layout(_in_year(text, np.full(len(text), year)), with_year, zone)
    latest_us = received.to_numpy(zero_copy_only=False).astype("datetime64[us]").astype(np.int64) + _DAY_US
    first_year = (latest_us + _ZONE_MARGIN_US).astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    # What is no time in a leap year is none in any: those rows are not looked at again.
    readable = parse_layout(_in_year(text, np.full(len(text), _LEAP_YEAR)), with_year, zone).is_valid()
    open_rows = np.flatnonzero(readable.to_numpy(zero_copy_only=False))
    found = np.zeros(len(text), dtype=np.int64)
    known = np.zeros(len(text), dtype=bool)
    for back in range(_CANDIDATES):
        if not len(open_rows):
            break
        times = parse_layout(_in_year(text.take(pa.array(open_rows)), first_year[open_rows] - back), with_year, zone)
        instants = times.cast(pa.int64()).fill_null(np.iinfo(np.int64).max).to_numpy(zero_copy_only=False)
        fits = instants <= latest_us[open_rows]
        found[open_rows[fits]] = instants[fits]
        known[open_rows[fits]] = True
        open_rows = open_rows[~fits]
    return pa.array(found, mask=~known).cast(received.type)


def year_option(options: ParseOptions) -> int | None:
    """The option `year`.

    Raises:
        ConfigError: it is no year from 1970 to 2261.
    """
    year: Any = options.options.get("year")
    if year is not None and (type(year) is not int or not 1970 <= year <= 2261):  # noqa: PLR2004  (the sane years)
        raise ConfigError(f"year: {year!r} is no year; write a number from 1970 to 2261")
    return year


def _in_year(text: pa.Array, years: Any) -> pa.Array:  # noqa: ANN401  (a numpy array of integers)
    return pc.binary_join_element_wise(pa.array(years).cast(pa.string()), text, " ")
