"""Cut csv records into fields, on whole columns of bytes.

The rules are those of RFC 4180: a field is quoted as a whole or not at all, a quote within a quoted field is written
twice, and a quote anywhere else is an error of that record. A record whose number of fields is not the one expected
is an error of that record too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes: TypeAlias = npt.NDArray[np.uint8]
Flags: TypeAlias = npt.NDArray[np.bool_]
Positions: TypeAlias = npt.NDArray[np.int64]


MOST_FIELDS: Final = 10_000  # a line that has more is no header


@dataclass(frozen=True, slots=True)
class CsvFields:
    """The fields of some records.

    `columns` has one string array per field, each as long as the records: null where the record is broken, or where
    the field is empty without quotes (an empty field in quotes is the empty string). `good` tells which records split.
    """

    columns: list[pa.Array]
    good: Flags


def split(records: pa.Array, fields: int, delimiter: str = ",", quote: str | None = '"') -> CsvFields:
    """Cut each record (a string, not null) into exactly `fields` fields (1 or more).

    `delimiter` and `quote` are one ASCII character each; without a `quote` nothing is special but the delimiter.
    """
    values, good = _split_all(records, fields, ord(delimiter), None if quote is None else ord(quote))
    first = (np.cumsum(good) - 1) * fields
    broken = None if good.all() else ~good  # a masked index takes a null
    return CsvFields([values.take(pa.array(first + number, mask=broken)) for number in range(fields)], good)


def header_fields(header: str, delimiter: str = ",", quote: str | None = '"') -> list[str] | None:
    """The names in a header line; None if its quotes are broken or it has over MOST_FIELDS. An empty name is ""."""
    line = pa.array([header], pa.string())
    data, offsets = _bytes_of(line)
    separators = data == ord(delimiter)
    quotes = np.flatnonzero(data == ord(quote)) if quote is not None else np.empty(0, dtype=np.int64)
    if len(quotes) and _unquote(data, offsets[:-1], offsets[1:], quotes, separators).bad[0]:
        return None
    fields = int(np.count_nonzero(separators)) + 1
    if fields > MOST_FIELDS:
        return None
    return [column[0].as_py() or "" for column in split(line, fields, delimiter, quote).columns]


def _bytes_of(records: pa.Array) -> tuple[Bytes, Positions]:
    """The bytes of a string array without nulls, and the positions in them where its strings begin and end."""
    _, offsets_buffer, data_buffer = records.buffers()
    offsets = np.frombuffer(offsets_buffer, dtype=np.int32)[records.offset : records.offset + len(records) + 1]
    positions: Positions = offsets.astype(np.int64) - offsets[0]
    if data_buffer is None:
        return np.empty(0, dtype=np.uint8), positions
    return np.frombuffer(data_buffer, dtype=np.uint8)[offsets[0] : offsets[-1]], positions


@dataclass(frozen=True, slots=True)
class _Quoting:
    bad: Flags  # per record: its quotes are not as they should be
    dropped: Positions  # the quotes that are no part of a value: around a field, and one of each doubled pair


def _unquote(data: Bytes, starts: Positions, ends: Positions, quotes: Positions, separators: Flags) -> _Quoting:
    """Judge every quote, and take those delimiters out of `separators` that stand within quotes."""
    before = np.searchsorted(quotes, starts)  # quotes before each record
    record = np.searchsorted(starts, quotes, side="right") - 1
    ordinal = np.arange(len(quotes)) - before[record]  # even: opens a field, or is the second of a doubled pair
    opens = ordinal % 2 == 0
    at_start, at_end = quotes == starts[record], quotes + 1 == ends[record]
    follows_quote = np.concatenate(([False], np.diff(quotes) == 1)) & ~at_start
    precedes_quote = np.concatenate((np.diff(quotes) == 1, [False])) & ~at_end
    after_separator = separators[quotes - 1] & ~at_start  # position -1 is masked out by at_start
    next_separator = separators[np.minimum(quotes + 1, len(data) - 1)] & ~at_end
    fine = np.where(opens, at_start | after_separator | follows_quote, at_end | next_separator | precedes_quote)
    bad = np.zeros(len(starts), dtype=bool)
    bad[record[~fine]] = True
    bad |= (np.searchsorted(quotes, ends) - before) % 2 == 1
    found = np.flatnonzero(separators)
    inside = (np.searchsorted(quotes, found) - before[np.searchsorted(starts, found, side="right") - 1]) % 2 == 1
    separators[found[inside]] = False
    return _Quoting(bad, quotes[~(opens & follows_quote)])


def _split_all(records: pa.Array, fields: int, delimiter: int, quote: int | None) -> tuple[pa.Array, Flags]:
    """All fields of the good records one after the other, and which records are good."""
    data, offsets = _bytes_of(records)
    starts, ends = offsets[:-1], offsets[1:]
    is_separator = data == delimiter
    quotes = np.flatnonzero(data == quote) if quote is not None else np.empty(0, dtype=np.int64)
    quoting = _Quoting(np.zeros(len(starts), dtype=bool), quotes)
    if len(quotes):
        quoting = _unquote(data, starts, ends, quotes, is_separator)
    separators = np.flatnonzero(is_separator)
    per_record = np.searchsorted(separators, ends) - np.searchsorted(separators, starts)
    good: Flags = (per_record == fields - 1) & ~quoting.bad
    separators = separators[np.repeat(good, per_record)]
    keep = np.repeat(good, ends - starts)
    keep[separators] = False
    keep[quoting.dropped] = False
    shape = (int(good.sum()), fields - 1)
    firsts = np.column_stack((starts[good], separators.reshape(shape) + 1)).ravel()
    lasts = np.column_stack((separators.reshape(shape), ends[good])).ravel()
    raw_lengths = lasts - firsts
    lengths = raw_lengths
    if len(quotes):
        lengths = lengths - np.searchsorted(quoting.dropped, lasts) + np.searchsorted(quoting.dropped, firsts)
    value_offsets = np.zeros(len(lengths) + 1, dtype=np.int32)
    np.cumsum(lengths, out=value_offsets[1:])
    validity = np.packbits(raw_lengths > 0, bitorder="little")
    values = pa.StringArray.from_buffers(
        len(lengths), pa.py_buffer(value_offsets), pa.py_buffer(data[keep]), pa.py_buffer(validity)
    )
    return values, good
