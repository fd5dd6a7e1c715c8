"""Reads a bounded sample of a source as ingestion does: the same spans, framer, rows and chunks."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa

from nw_platform.errors import NeverwinterError
from nw_platform.ingest.batch import Chunk, parse_chunk, raw_rows
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.framing import make_framer
from nw_platform.parsing.registry import make_format
from nw_platform.record.spans import Span
from nw_platform.sources.contract import Budget, Source

__all__ = ["SAMPLE", "Sample", "parse_sample", "read_sample"]

SAMPLE: Final = Budget(bytes=256 << 10, records=500, spans=6)  # bytes and records of each span
_MOST_BYTES: Final = 4 << 20  # of records that are kept of a span: the last one may be far longer than the budget


@dataclass(slots=True)
class Sample:
    """Records of some spans, framed. `problems`: spans that could not be read, in one line each."""

    chunks: list[Chunk]
    sources: tuple[str, ...]
    problems: list[str]

    @property
    def records(self) -> int:
        """The number of records."""
        return sum(chunk.raw.num_rows for chunk in self.chunks)


def read_sample(source: Source, spans: Sequence[Span], options: ParseOptions, now: int) -> Sample:
    """Read the first records of each span. `now` is when they count as received at the latest."""
    sample = Sample([], tuple(dict.fromkeys(span.source for span in spans)), [])
    for span in spans:
        try:
            _read_span(source, span, options, now, sample)
        except NeverwinterError as error:
            sample.problems.append(str(error))
    return sample


def _read_span(source: Source, span: Span, options: ParseOptions, now: int, sample: Sample) -> None:
    """Add the first records of a span to `sample`, and what its reader has to say if the span was read to its end."""
    reader = source.read(span, functools.partial(make_framer, options))
    records = size = 0
    for batch in reader.batches:
        rows = raw_rows(batch, span, "0.0", 0, now).slice(0, SAMPLE.records - records)
        records, size = records + rows.num_rows, size + rows.nbytes
        if rows.num_rows:
            incarnation = pa.repeat(pa.scalar(span.incarnation), rows.num_rows)
            sample.chunks.append(Chunk(rows, incarnation, reader.header))
        if records >= SAMPLE.records or size >= _MOST_BYTES:
            return
    sample.problems += [problem.reason for problem in reader.problems]


def parse_sample(options: ParseOptions, chunks: Sequence[Chunk], now: int) -> pa.Table:
    """Parse the records of a sample by some rules.

    Raises:
        ConfigError: the format's options are wrong.
    """
    form = make_format(options)
    return pa.concat_tables([parse_chunk(form, chunk, now) for chunk in chunks])
