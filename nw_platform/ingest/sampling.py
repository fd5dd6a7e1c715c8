"""The first bytes of a stream, for sniffing its format."""

from __future__ import annotations

import pyarrow as pa

from nw_platform.errors import SourceError
from nw_platform.parsing.contract import FramedRows
from nw_platform.sources.contract import Budget, Source

_SAMPLE = 64 << 10
_RECORDS = 1000
_LATE = 1 << 60  # so far in the future that nothing is held back as still being written
_NONE = FramedRows(pa.array([], pa.binary()), pa.array([], pa.int64()), pa.array([], pa.int64()))


class _Collector:
    """A framer that only keeps what it is fed."""

    def __init__(self) -> None:
        self.header: str | None = None
        self.skipped_lines = 0
        self.skipped_bytes = 0
        self.position = 0
        self.seen = bytearray()

    def keep(self, values: pa.Array) -> None:
        """Records of a source that needs no framing: a line each."""
        for value in values.slice(0, _RECORDS):
            self.seen += (value.as_py() or b"") + b"\n"

    def feed(self, block: bytes) -> FramedRows:
        self.seen += block
        return _NONE

    def finish(self, *, whole: bool, settled: bool = False) -> FramedRows:
        del whole, settled
        return _NONE


def first_bytes(source: Source) -> bytes:
    """Up to 64 KiB from the start of the first file or partition that has any; empty if there is none yet."""
    try:
        return _first_bytes(source)
    finally:
        source.close()  # what it has begun to read ahead is for nobody


def _first_bytes(source: Source) -> bytes:
    source.restore([])
    plan = source.plan(_LATE, Budget(bytes=_SAMPLE, records=_RECORDS, spans=20))
    for span in plan.spans:
        collector = _Collector()
        try:
            for batch in source.read(span, lambda _header, _position: collector).batches:  # noqa: B023  (used up here)
                collector.keep(batch["value"])
                if len(collector.seen) >= _SAMPLE:
                    break
        except SourceError:
            continue
        if collector.seen:
            return bytes(collector.seen[:_SAMPLE])
    return b""
