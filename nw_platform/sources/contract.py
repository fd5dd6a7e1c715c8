"""The seam between ingestion and anything that records can be read from.

How ingestion uses a source, per stream and lane:
    1. `genesis(now, before)` once, before anything is read: the lane's start positions. They go into the first receipt.
       `before`: where the lanes of the epoch before stopped, if the number of lanes changed; this lane takes its part.
    2. `restore(receipts)` once per process: all receipts of the lane so far, oldest first; later ones by `advance`.
       Positions are a fold over receipts; whatever else a source remembers is a hint that it can rebuild.
    3. `plan(now, budget)`: the spans of the next batch, nothing read yet. Empty when nothing is new.
    4. `read(span, framer)` for each: raw rows in order, and at the end the span as it really was read.
    5. `advance(receipt)` after the receipt was published; never before, so that a crash repeats the same plan.
Replay calls `read(span, ...)` with recorded spans and must get the same bytes or an error that says why not.

Offsets are half-open: a span ends at the position where the next one starts. Every network call has a timeout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from nw_platform.record.spans import Receipt, Span


@dataclass(frozen=True, slots=True)
class Budget:
    """What one batch may take at most."""

    bytes: int = 128 << 20  # unpacked; with `records`, what the memory of a run depends on (docs/benchmarks.md)
    records: int = 600_000
    spans: int = 5_000


@dataclass(frozen=True, slots=True)
class Problem:
    """Something at a source that is not a record: an unreadable or damaged file, a gap, a name that is a directory."""

    # unreadable | damaged | gap | lost | not_a_file | not_followed; of landing zones also:
    # missing: a file that may have unread bytes is not where it was, and is looked for;
    # vanished: it was not found, and a receipt is to say so (`partition`: which content of that name);
    # repeat: what was read may have been read before under another name, or may be another file than before.
    kind: str
    source: str
    position: int
    reason: str  # one line; what is wrong and what to do
    # lost: positions [position, end) of this partition will never be read, and the reason says why.
    partition: int | None = None
    end: int | None = None

    @property
    def is_doubt(self) -> bool:
        """Return True if nothing is wrong with what was read, but something about it is not proven."""
        return self.kind == "repeat"


@dataclass(frozen=True, slots=True)
class Plan:
    """The next batch."""

    spans: tuple[Span, ...] = ()
    problems: tuple[Problem, ...] = ()  # met while planning; said every time, kept by nobody
    more: bool = False  # there is certainly more after this batch
    # Microseconds since the epoch: when something that may still change will be taken as it is; None: nothing waits.
    settles_at: int | None = None
    # Microseconds since the epoch: the source's time of the oldest record in `spans`; None: none, or it cannot say.
    oldest: int | None = None
    waiting: int | None = None  # records that are ready, also beyond this batch; None: the source cannot say
    # Microseconds since the epoch: when the source's own retention deletes the first of them; None: never, or unknown.
    expires_at: int | None = None

    @property
    def is_news(self) -> bool:
        """Whether there is something for a receipt: records, or a loss that it has to say."""
        return bool(self.spans) or self.has_losses

    @property
    def has_losses(self) -> bool:
        """Whether records of a partition are gone, or may be: once a receipt says so, it is not said again."""
        return any(p.kind in {"lost", "vanished"} and p.partition is not None for p in self.problems)


@dataclass(frozen=True, slots=True)
class Survey:
    """What is at a source, for people, and which spans are worth a sample. Nothing of it is kept or counted."""

    found: int = 0  # files or topics
    empty: int = 0  # of them: files without a byte, topics without a record
    records: int | None = None  # at the source in all; None: it cannot say
    spans: tuple[Span, ...] = ()  # for `read`, a few, of bounded size
    problems: tuple[Problem, ...] = ()
    ignored: tuple[str, ...] = ()  # names that would match if they did not say that they are not ready; at most 10
    beside: tuple[str, ...] = ()  # names that do not match, where nothing does; at most 10


@dataclass(slots=True)
class SpanReader:
    """One span being read: iterate it to its end, then look at `span` and `problems`."""

    # Columns value, key (binary), headers (map), source_start, source_end (int64), received_time (us, UTC; the
    # source's own time, not yet capped by the planned time). Batches of about 8 to 64 MiB.
    batches: Iterator[pa.RecordBatch]
    span: Span  # as planned; once `batches` is exhausted: as read (end, records, bytes, skipped_lines, state)
    header: str | None = None  # csv: the header above the span's rows
    problems: list[Problem] = field(default_factory=list)

    @property
    def is_news(self) -> bool:  # `moved`: a landing zone's span without bytes, which says where a content is now
        """Whether, once read, the span is to be in a receipt: it moved, or what stopped it is to be remembered."""
        return self.span.end > self.span.start or bool(self.problems) or bool(self.span.state.get("moved"))


class Source(Protocol):
    """One lane of one stream's view of one source."""

    def genesis(self, now: int, before: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """The positions a new lane starts from (JSON values); `before`: positions of all lanes that it follows on.

        Raises:
            SourceError: the source cannot be reached.
        """

    def restore(self, receipts: Sequence[Receipt]) -> None:
        """Fold the lane's receipts, oldest first, into positions. Replaces whatever was known."""

    def advance(self, receipt: Receipt) -> None:
        """One more receipt was published."""

    def plan(self, now: int, budget: Budget) -> Plan:
        """The next batch. At most one incarnation of a name is in a batch.

        Raises:
            SourceError: the source cannot be reached; the stream is tried again at the next tick.
        """

    def survey(self, now: int, budget: Budget) -> Survey:
        """Look at what is there, instead of a plan: for a sample by a source that ingests nothing.

        `budget` is that of one span: the spans begin and end where the source has its oldest or its newest records.
        Changes nothing at the source, and no position.

        Raises:
            SourceError: the source cannot be reached.
        """

    def read(self, span: Span, make_framer: Callable[[str | None, int], Any]) -> SpanReader:
        """Open a span. `make_framer(header, position)` gives a parsing.contract.Framer for a byte stream.

        Raises:
            SourceError: the bytes are not there any more, or are others than recorded.
        """

    def positions(self, spans: Sequence[Span] = ()) -> dict[str, Any]:
        """Positions of the whole lane, once `spans` (as read) are in too: what goes into their receipt.

        Small, whatever the number of files or partitions.
        """

    def close(self) -> None:
        """Release connections. May be called twice."""
