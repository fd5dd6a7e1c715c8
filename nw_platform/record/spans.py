"""Spans (bounded pieces of a source) and receipts (what is known of a batch of spans).

Receipts of a lane form a chain: each holds the digest of the one before it, so that a receipt that was altered,
removed or slipped in shows (`nw verify`). Their canonical form is JSON with sorted keys and no white space.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal, Self

ReceiptKind = Literal["genesis", "batch", "replay", "retention"]

FIRST_DIGEST: Final = "0" * 64  # `previous_digest` of a lane's genesis


@dataclass(frozen=True, slots=True)
class Span:
    """Records `[start, end)` of one partition of one source incarnation.

    For Kafka, `source` is the topic, `incarnation` its topic id and positions are offsets. For a landing zone,
    `source` is the path the content was first read under, `partition` the number of that content among those
    seen under the name (0, 1, ...), and positions are bytes of the unpacked content.
    """

    source: str
    partition: int
    start: int
    end: int
    incarnation: str
    records: int = 0
    bytes: int = 0  # of the records, line endings included
    skipped_lines: int = 0  # csv headers
    # Private to the kind of source: what it needs to find and read the same bytes again. JSON values only.
    state: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """The span that `as_json` wrote."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What is known of one step of a lane. `sequence` grows by 1 with every receipt of the lane, genesis being 0."""

    stream: str
    lane: str
    sequence: int
    kind: ReceiptKind
    arrival_hour: str
    spans: tuple[Span, ...]
    positions: dict[str, Any]  # of the whole lane, after this receipt; small (a landing lane: totals)
    records: int
    bytes: int
    skipped_lines: int
    digest: str  # of the records' bytes, see record/digests.py
    previous_digest: str  # `self_digest` of the receipt before it in the lane
    event_hours: dict[str, int]  # event hour -> records of this batch in it, duplicates included
    planned_time: int  # microseconds since the epoch
    replaces: int | None = None  # kind replay: the sequence whose records were replaced
    detail: dict[str, Any] = field(default_factory=dict)  # kind retention: the hours removed; problems met

    @property
    def place(self) -> tuple[int, int, int]:
        """Epoch, number of the lane, sequence: an order in which receipts follow from each other."""
        epoch, _, index = self.lane.partition(".")
        return (int(epoch), int(index), self.sequence)

    def canonical(self) -> str:
        """The JSON text that `self_digest` is computed from; `parse` is its inverse."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=False)

    def self_digest(self) -> str:
        """SHA-256 of the canonical form, in hex: what the next receipt of the lane holds as `previous_digest`."""
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    @classmethod
    def parse(cls, text: str) -> Self:
        """The receipt whose canonical form is `text`."""
        data = json.loads(text)
        spans = tuple(Span.from_json(span) for span in data.pop("spans"))
        return cls(spans=spans, **data)

    def with_changes(self, **changes: Any) -> Self:  # noqa: ANN401  (passed on to dataclasses.replace)
        """A copy with some fields changed."""
        return replace(self, **changes)
