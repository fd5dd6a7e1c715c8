"""What advice is given by: a sample, how it was parsed, and how it would be parsed by other rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.errors import NeverwinterError
from nw_platform.ingest.batch import Chunk
from nw_platform.ingest.preview.sample import parse_sample
from nw_platform.ingest.preview.summary import accepted, own_times
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.record.hours import HOUR_US

__all__ = ["AHEAD_US", "EARLIEST_US", "Evidence"]

AHEAD_US: Final = 24 * HOUR_US  # a time so much ahead of now is one in the future
EARLIEST_US: Final = 946_684_800_000_000  # 2000-01-01: what is before is a mistake more often than a time


@dataclass(frozen=True, slots=True)
class Evidence:
    """A sample with at least one record, parsed as the stream is declared."""

    options: ParseOptions
    chunks: Sequence[Chunk]
    parsed: pa.Table
    reasons: Mapping[str, int]
    now: int
    framed: bool  # the source's bytes are cut into lines; Kafka's records are not

    @property
    def records(self) -> int:
        """The number of sampled records."""
        return int(self.parsed.num_rows)

    def values(self, most: int = 500) -> list[bytes]:
        """The first records as they came."""
        found: list[bytes] = []
        for chunk in self.chunks:
            found += chunk.raw["value"].slice(0, most - len(found)).to_pylist()
        return [value or b"" for value in found]

    def header(self) -> str | None:
        """The csv header above the first records."""
        return self.chunks[0].header

    def with_rules(self, **changes: Any) -> pa.Table | None:  # noqa: ANN401  (passed on to dataclasses.replace)
        """The same records parsed with some options changed; None if the options cannot be used."""
        try:
            return parse_sample(replace(self.options, **changes), self.chunks, self.now)
        except NeverwinterError:
            return None

    def plausible_share(self, event_time: EventTime) -> float:
        """The share of records that have a plausible time of their own when it is read like this."""
        parsed = self.with_rules(event_time=event_time)
        times = None if parsed is None else own_times(parsed)
        return 0.0 if times is None else self.plausible(times) / self.records

    def plausible(self, times: pa.ChunkedArray) -> int:
        """The number of times that are neither before 2000 nor more than a day ahead."""
        values = times.cast(pa.int64())
        inside = pc.and_(pc.greater_equal(values, EARLIEST_US), pc.less_equal(values, self.now + AHEAD_US))
        return int(pc.sum(inside).as_py() or 0)

    def rejected(self, parsed: pa.Table) -> int:
        """The number of rejects among parsed records."""
        return int(parsed.num_rows - accepted(parsed).num_rows)
