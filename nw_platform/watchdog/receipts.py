"""A fold over a stream's receipts: is the chain whole, do spans meet, which files came when.

The state is small (lanes, contents touched lately, open faults) and JSON, so that a tick looks at new receipts only.
It is a hint: thrown away, it is folded again from the first receipt. A content that was not touched for `FORGET_US`
is forgotten; if it then grows on, its continuation is taken as it comes. `nw verify` proves the whole history.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Self

from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.record.spans import FIRST_DIGEST, Receipt
from nw_platform.watchdog.observations import Fault, FileSeen

FORGET_US: Final = 40 * 24 * HOUR_US
IN_FLIGHT_US: Final = 5 * 60_000_000  # records of a receipt this new may not be in `logs` yet
_MAX_CONTENTS: Final = 200_000
_COUNTED_HOURS: Final = 72
_SAID_ANEW: Final = frozenset({"unreadable", "not_a_file", "not_followed", "missing"})
DOUBTS_KEPT_US: Final = 3 * 24 * HOUR_US  # a possible repeat is said for so long; `nw verify` says it for ever


@dataclass(slots=True)
class ReceiptFold:
    """Feed receipts of one stream, oldest first, each once. `landing`: contents start at position 0."""

    landing: bool = True
    lanes: dict[str, tuple[int, str]] = field(default_factory=dict)  # lane -> last sequence, digest of that receipt
    contents: dict[tuple[str, int], FileSeen] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    incarnations: dict[tuple[str, int], str] = field(default_factory=dict)  # of partitions; a landing zone has none
    arrivals: dict[str, int] = field(default_factory=dict)  # arrival hour -> receipts, of the last days
    newest: list[tuple[int, dict[str, int]]] = field(default_factory=list)  # planned time, event hours
    event_hours: dict[str, int] = field(default_factory=dict)  # event hour -> records that raw has of it
    raw_hours: dict[str, int] = field(default_factory=dict)  # arrival hour -> records that raw has of it
    first: int | None = None  # planned time of the first receipt
    expired: str | None = None  # the newest event hour that retention removed
    forgotten: int = 0  # contents that were forgotten

    def add(self, receipts: Iterable[Receipt]) -> set[str]:
        """Fold receipts in; returns the arrival hours they belong to.

        A replay replaces what the receipt that it names has counted, which has to be among `receipts`. The receipts of
        an epoch come after those of the epoch before.
        """
        touched: set[str] = set()
        digests = {digest for _, digest in self.lanes.values()}
        first: list[Receipt] = []  # of lanes that follow on others
        counted: dict[tuple[str, int], Receipt] = {}
        for receipt in receipts:
            if receipt.kind == "batch":
                counted[receipt.lane, receipt.sequence] = receipt
                self._count(receipt)
            elif receipt.kind == "replay" and receipt.replaces is not None:
                if before := counted.get((receipt.lane, receipt.replaces)):
                    self._count(before, sign=-1)
                counted[receipt.lane, receipt.replaces] = receipt
                self._count(receipt)
            self.first = receipt.planned_time if self.first is None else min(self.first, receipt.planned_time)
            self.arrivals[receipt.arrival_hour] = self.arrivals.get(receipt.arrival_hour, 0) + 1
            touched.add(receipt.arrival_hour)
            self._chain(receipt)
            digests.add(self.lanes[receipt.lane][1])
            if receipt.kind == "genesis":
                first.append(receipt)
            if receipt.kind == "batch":
                self._spans(receipt, _lost(receipt))
                self._problems(receipt)
                self.newest.append((receipt.planned_time, dict(receipt.event_hours)))
            elif receipt.kind == "retention":
                self.expired = max([*receipt.detail.get("logs", []), self.expired or ""]) or None
                for hour in receipt.detail.get("raw", []):
                    self.raw_hours.pop(hour, None)
        for receipt in first:  # an old lane may have had receipts afterwards: replays go where their batch was
            self._follows(receipt, digests)
        self._forget()
        return touched

    def in_flight(self, now: int) -> dict[str, int]:
        """Event hour -> records whose batch is so new that they may not be in `logs` yet."""
        flying: dict[str, int] = {}
        for planned, hours in self.newest:
            if planned > now - IN_FLIGHT_US:
                for hour, records in hours.items():
                    flying[hour] = flying.get(hour, 0) + records
        return flying

    def as_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` is its inverse."""
        return {
            "landing": self.landing,
            "lanes": {lane: list(last) for lane, last in self.lanes.items()},
            "contents": [[c.source, c.partition, c.end, c.first_seen, c.last_seen] for c in self.contents.values()],
            "incarnations": [[*key, incarnation] for key, incarnation in self.incarnations.items()],
            "faults": [asdict(fault) for fault in self.faults],
            "arrivals": self.arrivals,
            "newest": [list(entry) for entry in self.newest],
            "event_hours": self.event_hours,
            "raw_hours": self.raw_hours,
            "first": self.first,
            "expired": self.expired,
            "forgotten": self.forgotten,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The fold that `as_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        return cls(
            landing=bool(data["landing"]),
            lanes={lane: (int(sequence), str(digest)) for lane, (sequence, digest) in data["lanes"].items()},
            contents={(c[0], c[1]): FileSeen(*c) for c in data["contents"]},
            incarnations={(source, partition): value for source, partition, value in data["incarnations"]},
            faults=[Fault(**fault) for fault in data["faults"]],
            arrivals=dict(data["arrivals"]),
            newest=[(int(planned), dict(hours)) for planned, hours in data["newest"]],
            event_hours=dict(data["event_hours"]),
            raw_hours=dict(data["raw_hours"]),
            first=data["first"],
            expired=data["expired"],
            forgotten=int(data["forgotten"]),
        )

    def _count(self, receipt: Receipt, sign: int = 1) -> None:
        _add(self.event_hours, receipt.event_hours, sign)
        _add(self.raw_hours, {receipt.arrival_hour: receipt.records}, sign)

    def _fault(self, receipt: Receipt, kind: str, text: str, **place: Any) -> None:  # noqa: ANN401  (Fault's fields)
        self.faults.append(
            Fault(
                kind=kind,
                lane=receipt.lane,
                sequence=receipt.sequence,
                arrival_hour=receipt.arrival_hour,
                at=receipt.planned_time,
                text=text,
                **place,
            )
        )

    def _chain(self, receipt: Receipt) -> None:
        """Each receipt is the next of its lane and names the digest of the one before it."""
        last = self.lanes.get(receipt.lane)
        sequence, digest = last or (-1, FIRST_DIGEST)
        if receipt.sequence > sequence + 1:
            missing = (
                f"{sequence + 1}" if receipt.sequence == sequence + 2 else f"{sequence + 1}-{receipt.sequence - 1}"
            )
            self._fault(receipt, "sequence", f"receipts {missing} of lane {receipt.lane} are missing")
        elif receipt.sequence <= sequence:
            self._fault(receipt, "sequence", f"receipt {receipt.sequence} of lane {receipt.lane} is there twice")
            return
        elif receipt.previous_digest != digest:
            self._fault(
                receipt,
                "chain",
                f"receipt {receipt.sequence} of lane {receipt.lane} does not follow from the one before it: "
                "one of the two was altered",
            )
        self.lanes[receipt.lane] = (receipt.sequence, receipt.self_digest())

    def _follows(self, genesis: Receipt, digests: Collection[str]) -> None:
        """Lanes of another number follow on the last receipts of the lanes before: nothing later vouches for those."""
        for lane, digest in sorted(genesis.detail.get("after", {}).items()):
            if digest not in digests:
                text = (
                    f"lane {genesis.lane} begins after a receipt of lane {lane} that is not there: "
                    "one of the two was altered, or it was removed"
                )
                self._fault(genesis, "chain", text)

    def _spans(self, receipt: Receipt, lost: Mapping[tuple[str, int, int], int]) -> None:
        """Each span starts where the last one of its content ended, or where the loss that followed it did.

        The first one of a file starts at 0, that of a topic's partition anywhere.
        """
        for (source, partition, first), end in sorted(lost.items()):
            content = self.contents.get((source, partition))
            if content is not None and content.end == first:
                self.contents[source, partition] = replace(content, end=end)
        for span in receipt.spans:
            key = (span.source, span.partition)
            known = self.contents.get(key)
            if not self.landing:
                known = known if self.incarnations.get(key) == span.incarnation else None
                self.incarnations[key] = span.incarnation
            expected = known.end if known else (0 if self.landing and not self.forgotten else span.start)
            if span.start != expected:
                gap = span.start > expected
                first, last = sorted((expected, span.start))
                what = f"bytes {first}-{last}" if self.landing else f"offsets {first}-{last}"
                text = f"{what} of {span.source} were never read" if gap else f"{what} of {span.source} were read twice"
                self._fault(
                    receipt,
                    "gap" if gap else "overlap",
                    text,
                    source=span.source,
                    partition=span.partition,
                    position=first,
                )
            self.contents[key] = FileSeen(
                source=span.source,
                partition=span.partition,
                end=max(span.end, known.end if known else 0),
                first_seen=known.first_seen if known else receipt.planned_time,
                last_seen=receipt.planned_time,
            )

    def _problems(self, receipt: Receipt) -> None:
        """Problems that were met while a batch was planned and read; those that it shows to be over."""
        problems = receipt.detail.get("problems", [])
        troubled = {str(problem.get("source", "")) for problem in problems}
        read: dict[str, int] = {}  # path -> number of the content that was read without trouble
        partitions: dict[str, int] = {}
        for span in receipt.spans:
            for path in {span.source, str(span.state.get("path", span.source))}:
                partitions[path] = span.partition
                if not {span.source, path} & troubled:
                    read[path] = span.partition
        # What stands in the way of planning or opening is said by every batch of the lane anew (in another epoch by
        # whichever lane has it then), damage only by the one that met it: that is over when the content is read on, or
        # when the file came again.
        # A file that vanished is over when any receipt says where its content is.
        found = {(span.source, span.partition) for span in receipt.spans}
        epoch = receipt.lane.partition(".")[0]
        self.faults = [
            f
            for f in self.faults
            if not (f.kind in _SAID_ANEW and (f.lane == receipt.lane or f.lane.partition(".")[0] != epoch))
            and not (is_reading(f) and read.get(f.source, -1) >= f.partition)
            and not (f.kind == "vanished" and (f.source, f.partition) in found)
            and not (f.kind == "repeat" and f.at < receipt.planned_time - DOUBTS_KEPT_US)
        ]
        for problem in problems:
            source = str(problem.get("source", ""))
            self._fault(
                receipt,
                str(problem.get("kind", "damaged")),
                str(problem.get("reason", "")),
                source=source,
                partition=problem.get("partition") or partitions.get(source, 0),
                position=int(problem.get("position", 0)),
            )

    def _forget(self) -> None:
        """Keep what a later receipt or a deadline may still ask for."""
        if self.newest:
            horizon = max(planned for planned, _ in self.newest)
            self.newest = [entry for entry in self.newest if entry[0] > horizon - 2 * IN_FLIGHT_US]
            self.arrivals = {
                hour: count
                for hour, count in self.arrivals.items()
                if hour >= hour_of(horizon - _COUNTED_HOURS * HOUR_US)
            }
            old = [key for key, content in self.contents.items() if content.last_seen < horizon - FORGET_US]
            surplus = len(self.contents) - len(old) - _MAX_CONTENTS
            if surplus > 0:
                by_age = sorted(self.contents, key=lambda key: self.contents[key].last_seen)
                old = by_age[: len(old) + surplus]
            for key in old if self.landing else ():
                del self.contents[key]
                self.forgotten += 1


def _add(totals: dict[str, int], records: Mapping[str, int], sign: int) -> None:
    """Add to the totals by hour, or take away; an hour of none is left out."""
    for hour, count in records.items():
        total = totals.pop(hour, 0) + sign * count
        if total:
            totals[hour] = total


def _lost(receipt: Receipt) -> dict[tuple[str, int, int], int]:
    """What the receipt says is gone at the source: source, partition, first position -> the one after the last."""
    problems = [p for p in receipt.detail.get("problems", []) if p.get("kind") == "lost" and p.get("end") is not None]
    return {(p["source"], p["partition"], p["position"]): p["end"] for p in problems}


def is_reading(fault: Fault) -> bool:
    """Whether a fault is about reading a file (another reading may cure it), not about the chain or what is lost."""
    return fault.kind not in {"sequence", "chain", "gap", "overlap", "lost", "vanished", "repeat"}
