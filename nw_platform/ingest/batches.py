"""What `raw` holds now, according to receipts: batches, as replayed later, minus what retention removed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nw_platform.record.spans import Receipt, Span


@dataclass(frozen=True, slots=True)
class CurrentBatch:
    """One batch whose records are (or, if `expired`, were) in `raw`."""

    lane: str
    sequence: int  # as in raw's rows
    arrival_hour: str
    planned_time: int  # the batch's own, also if it was replayed since: the `ingest_time` of its rows
    spans: tuple[Span, ...]
    records: int
    bytes: int
    digest: str
    event_hours: dict[str, int]
    expired: bool

    @property
    def order(self) -> tuple[int, str, int]:
        """The order in which batches are applied."""
        return (self.planned_time, self.lane, self.sequence)


def current_batches(receipts: Iterable[Receipt]) -> list[CurrentBatch]:
    """The batches of one stream, in the order in which they were applied.

    `receipts`: any order, any lanes; batches whose own receipt is not among them are left out.
    """
    ordered = sorted(receipts, key=lambda r: (r.lane, r.sequence))
    originals: dict[tuple[str, int], Receipt] = {}
    latest: dict[tuple[str, int], Receipt] = {}
    removed: set[str] = set()
    for receipt in ordered:
        if receipt.kind == "batch":
            originals[receipt.lane, receipt.sequence] = latest[receipt.lane, receipt.sequence] = receipt
        elif receipt.kind == "replay" and receipt.replaces is not None:
            latest[receipt.lane, receipt.replaces] = receipt
        elif receipt.kind == "retention":
            removed.update(receipt.detail.get("raw", []))
    found = [
        CurrentBatch(
            lane=lane,
            sequence=sequence,
            arrival_hour=originals[lane, sequence].arrival_hour,
            planned_time=originals[lane, sequence].planned_time,
            spans=now.spans,
            records=now.records,
            bytes=now.bytes,
            digest=now.digest,
            event_hours=now.event_hours,
            expired=originals[lane, sequence].arrival_hour in removed,
        )
        for (lane, sequence), now in latest.items()
        if (lane, sequence) in originals
    ]
    return sorted(found, key=lambda batch: batch.order)
