"""Format `csv`: delimited values, with a header above them or with declared columns.

Options: `delimiter` (one ASCII character, default a comma), `quote` (one ASCII character, default `"`; empty: none),
`header` (default true; false: the declared `columns` are the fields in order), `year` (of times that name none) and
`names` (the header's names, where they are known before the first parse: they become columns of type string).

With a header, a field goes to the envelope column or the declared column of its name, else to `extra`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.csv_fields import header_fields, split
from nw_platform.parsing.finish import Block, BlockFormat, Extracted, fillable
from nw_platform.parsing.groups import Mask, as_extra, blank_to_null, match_groups, scatter
from nw_platform.parsing.text_times import find_time_field, parse_text, year_option
from nw_platform.parsing.units import split_header
from nw_platform.record.envelope import RESERVED_COLUMNS, TIMESTAMP

__all__ = ["RULES_VERSION", "CsvFormat", "header_names", "marks_of", "with_header"]

RULES_VERSION: Final = 2

_MOST_REPEATED: Final = 1000  # RE2 repeats nothing more often
_ASCII: Final = 128
_NUMBERS: Final = ("pid", "seq")  # of the envelope columns that a field may fill


class CsvFormat(BlockFormat):
    """Its columns are the declared ones, and those of the option `names`."""

    def __init__(self, options: ParseOptions) -> None:
        names = options.options.get("names") or ()
        own = {name: pa.string() for name in names if name.lower() not in RESERVED_COLUMNS}
        declared = {name.lower() for name in options.columns}
        super().__init__(options, {name: kind for name, kind in own.items() if name.lower() not in declared})
        self._delimiter, self._quote = marks_of(options)
        self._year = year_option(options)
        if options.options.get("header") is False and not options.columns:
            raise ConfigError("columns: declare them in the order of the fields, as these csv files have no header")

    def extract(self, block: Block) -> Extracted:
        """Split the records and give each field its place."""
        names = self._names(block.header)
        if not names:
            nothing = pa.nulls(len(block.text), TIMESTAMP)
            return Extracted(nothing, np.ones(len(block.text), dtype=bool))
        fields = split(block.text, len(names), self._delimiter, self._quote)
        good = fields.good & pc.not_equal(block.text, "").to_numpy(zero_copy_only=False)
        time_at = find_time_field(names, self._options.event_time)
        time = self._times(block, fields.columns, good, time_at)
        columns: dict[str, pa.Array] = {}
        left: dict[str, pa.Array] = {}
        places = {name.lower(): name for name in self._columns}
        for number, (name, values) in enumerate(zip(names, fields.columns, strict=True)):
            place = fillable(name) or places.get(name.lower())
            if place is not None and place not in columns:
                stamp = number == time_at and self._columns.get(place) == TIMESTAMP
                text = place not in _NUMBERS and self._columns.get(place, pa.string()) == pa.string()
                columns[place] = time if stamp else values if text else blank_to_null(values)
            elif number != time_at or name.lower() not in RESERVED_COLUMNS:
                left[name] = values
        return Extracted(time, None if good.all() else ~good, columns=columns, extra=as_extra(left, nulls=True))

    def _names(self, header: str | None) -> list[str]:
        """The names of the fields of a record: by the header, else as declared. Empty: nobody knows."""
        _, header = split_header(header)
        if header is None or self._options.options.get("header") is False:
            return list(self._options.columns) or list(self._options.options.get("names") or ())
        return header_names(header, self._options)

    def _times(self, block: Block, columns: list[pa.Array], good: Mask, at: int | None) -> pa.Array | None:
        """The event times, also of broken records where the field can be reached from the left."""
        declared = self._options.event_time
        if at is None:
            return None if declared is None else pa.nulls(len(good), TIMESTAMP)
        text = columns[at]
        if not good.all() and at <= _MOST_REPEATED:
            found, _ = match_groups(block.text.filter(pa.array(~good)), self._reach(at))
            text = scatter(found["time"], ~good, text)
        return parse_text(text, declared, block.received, self._year)

    def _reach(self, at: int) -> str:
        """An expression that finds field number `at` from the left, whatever follows."""
        delimiter = rf"\x{ord(self._delimiter):02x}"
        plain = f"[^{delimiter}]*"
        if self._quote is None:
            return f"^(?:{plain}{delimiter}){{{at}}}(?P<time>{plain})"
        quote = rf"\x{ord(self._quote):02x}"
        quoted = f"{quote}(?:[^{quote}]|{quote}{quote})*{quote}"
        return f"^(?:(?:{quoted}|{plain}){delimiter}){{{at}}}{quote}?(?P<time>[^{delimiter}{quote}]*)"


def header_names(header: str, options: ParseOptions) -> list[str]:
    """The names in a header line; empty if the line is broken. Nameless and repeated ones get a name of their own.

    Raises:
        ConfigError: `delimiter` or `quote` is wrong.
    """
    _, header_line = split_header(header)
    names: list[str] = []
    taken: set[str] = set()
    for number, field in enumerate(header_fields(header_line or "", *marks_of(options)) or (), start=1):
        name = field.strip() or f"column_{number}"
        name = name if name.lower() not in taken else f"{name}_{number}"
        names.append(name)
        taken.add(name.lower())
    return names


def with_header(options: ParseOptions, header: str) -> ParseOptions:
    """The options with the header's names as columns; unchanged where columns are declared or names are known.

    Raises:
        ConfigError: `delimiter` or `quote` is wrong.
    """
    if options.columns or options.options.get("names"):
        return options
    return replace(options, options={**options.options, "names": header_names(header, options)})


def marks_of(options: ParseOptions) -> tuple[str, str | None]:
    """The delimiter and the quote (None: nothing is quoted).

    Raises:
        ConfigError: one of them is wrong.
    """
    delimiter: Any = options.options.get("delimiter") or ","
    quote: Any = options.options.get("quote", '"') or None
    for key, mark in (("delimiter", delimiter), ("quote", quote)):
        if mark is None:
            continue
        if not isinstance(mark, str) or len(mark) != 1 or ord(mark) >= _ASCII or mark in "\r\n":
            raise ConfigError(f"{key}: {mark!r} is not one ASCII character; write for example ';' or '\\t'")
    if delimiter == quote:
        raise ConfigError(f"delimiter: {delimiter!r} is the quote too; choose another")
    return delimiter, quote
