"""The first bytes of a stream, for sniffing its format."""

from __future__ import annotations

import pyarrow as pa

from nw_platform.errors import SourceError
from nw_platform.parsing.contract import FramedRows
from nw_platform.sources.contract import Budget, Source

_SAMPLE = 64 << 10
_BEHIND_HOLES = 64 << 20  # bytes looked through where the first are nothing but NULs, see parsing/holes.py
_UNIT = 4  # bytes of the widest character: NULs are dropped in such steps, so that UTF-16 and UTF-32 stay what they are
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
        self.hole = 0  # NULs before `seen`

    def keep(self, values: pa.Array) -> None:
        """Records of a source that needs no framing: a line each."""
        for value in values.slice(0, _RECORDS):
            self.seen += (value.as_py() or b"") + b"\n"

    def feed(self, block: bytes) -> FramedRows:
        """Keep the beginning of what follows a hole at the beginning of the file."""
        if len(self.seen) < _SAMPLE:
            self.seen += block
            nuls = len(self.seen) - len(self.seen.lstrip(b"\0"))
            dropped = nuls - nuls % _UNIT
            del self.seen[:dropped]
            self.hole += dropped
        return _NONE

    def finish(self, *, whole: bool, settled: bool = False) -> FramedRows:
        del whole, settled
        return _NONE


def first_bytes(source: Source) -> bytes:
    """Up to 64 KiB from the start of the first file or partition that has any; empty if there is none yet."""
    try:
        seen, hole = _first_bytes(source, _SAMPLE)
        if not seen and hole:
            seen, hole = _first_bytes(source, _BEHIND_HOLES)
        return seen if seen or hole < _BEHIND_HOLES else bytes(_UNIT)  # that is no format's, so the stream is lines
    finally:
        source.close()  # what it has begun to read ahead is for nobody


def _first_bytes(source: Source, most: int) -> tuple[bytes, int]:
    """The first bytes that are no hole, looked for in `most` bytes, and the length of the longest hole before them."""
    longest = 0
    source.restore([])
    plan = source.plan(_LATE, Budget(bytes=most, records=_RECORDS, spans=20))
    for span in plan.spans:
        collector = _Collector()
        try:
            for batch in source.read(span, lambda _header, _position: collector).batches:  # noqa: B023  (used up here)
                collector.keep(batch["value"])
                if len(collector.seen) >= _SAMPLE:
                    break
        except SourceError:
            continue
        longest = max(longest, collector.hole)
        if collector.seen.strip(b"\0"):
            return bytes(collector.seen[:_SAMPLE]), longest
    return b"", longest
