"""Parses a sample of a stream with the real framer and the real format, to see what a declaration makes of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.framing import make_framer
from nw_platform.parsing.registry import make_format
from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hours import hour_start

__all__ = ["Trial", "try_parse"]

_RECEIVED: Final = pa.scalar(hour_start("2200-01-01T00"), pa.int64()).cast(TIMESTAMP)


@dataclass(frozen=True, slots=True)
class Trial:
    """What a declaration made of a sample."""

    values: pa.Array  # binary: the records as they were framed
    parsed: pa.Table  # the same records as rows of `logs`
    header: str | None  # csv: the header above them

    @property
    def records(self) -> int:
        """The number of records."""
        return len(self.values)

    @property
    def is_good(self) -> pa.ChunkedArray:
        """For each record, whether it parsed whole: it is no reject."""
        return pc.is_null(self.parsed.column("reject_reason"))

    @property
    def good(self) -> int:
        """The number of records that parsed whole."""
        return int(pc.sum(self.is_good).as_py() or 0)

    @property
    def main_reason(self) -> str | None:
        """The most frequent reason of rejects; None if there is no reject."""
        reasons = pc.drop_null(self.parsed.column("reject_reason"))
        counts = {item["values"].as_py(): item["counts"].as_py() for item in pc.value_counts(reasons)}
        return max(counts, key=lambda reason: counts[reason]) if counts else None


def try_parse(options: ParseOptions, sample: bytes, *, received: pa.Scalar = _RECEIVED) -> Trial | None:
    """Parse the beginning of a file. `received` (timestamp us UTC) is when it arrived, for times without a year.

    Returns:
        None if the options cannot be used, or the sample holds no record.
    """
    try:
        framer = make_framer(options, None, 0)
        form = make_format(options)
    except ConfigError:
        return None
    framed = [framer.feed(sample), framer.finish(whole=True)]
    values = pa.concat_arrays([rows.value for rows in framed])
    count = len(values)
    if not count:
        return None
    rows = pa.table(
        {
            "value": values,
            "received_time": pa.repeat(received, count),
            "source": pa.repeat("sample", count),
            "source_partition": pa.repeat(pa.scalar(0, pa.int32()), count),
            "source_start": pa.concat_arrays([rows.start for rows in framed]),
            "source_end": pa.concat_arrays([rows.end for rows in framed]),
            "incarnation": pa.repeat("sample", count),
        }
    )
    return Trial(values, form.parse(rows, framer.header), framer.header)
