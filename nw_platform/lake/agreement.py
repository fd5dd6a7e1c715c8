"""Compares raw with its receipts, by the transactions and counts of the tables alone: no record is read.

A receipt is appended to the table `receipts` after the commit to raw that carries it. So if one reads `receipts` first
and raw afterwards, raw can only be behind if it lost commits: by a power cut, a damaged disk or a restored copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from nw_platform.errors import LakeError
from nw_platform.lake.receipts import receipts_app
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import Snapshot


@dataclass(frozen=True, slots=True)
class LaneBehind:
    """A lane of which raw lacks commits."""

    lane: str
    in_raw: int  # sequence of the last receipt that raw has committed; -1: none
    in_receipts: int  # sequence of the last receipt in the table `receipts`

    def told(self) -> str:
        """Return a clause that says where raw ends and where the receipts end."""
        at = f"ends at receipt {self.in_raw}" if self.in_raw >= 0 else "has nothing"
        return f"raw {at} of lane {self.lane}, the receipts at {self.in_receipts}"


def last_receipts(receipts: Snapshot | None, stream: str) -> dict[str, int]:
    """Return the sequence of the last receipt of each lane of a stream, from a snapshot of the table `receipts`.

    Lanes are named `<epoch>.<index>`, both counted from 0 without gaps: the first epoch without a lane ends the search.
    """
    last_by_lane: dict[str, int] = {}
    epoch = index = 0
    while receipts is not None:
        lane = f"{epoch}.{index}"
        last = receipts.transaction(receipts_app(stream, lane))
        if last >= 0:
            last_by_lane[lane] = last
            index += 1
        elif index:
            epoch, index = epoch + 1, 0
        else:
            break
    return last_by_lane


def lanes_behind(raw: Snapshot | None, lasts: dict[str, int]) -> list[LaneBehind]:
    """The lanes of which `raw` lacks commits. `lasts`: what receipts said before `raw` was looked at."""
    ends = {lane: raw.transaction(lane) if raw is not None else -1 for lane in lasts}
    return [LaneBehind(lane, ends[lane], last) for lane, last in sorted(lasts.items()) if ends[lane] < last]


def behind_told(stream: str, lanes: Iterable[LaneBehind]) -> str:
    """Return one line that says which lanes of raw lost commits, with the command that repairs them."""
    ends = "; ".join(lane.told() for lane in lanes)
    return f"raw of stream {stream} lost commits ({ends}); run: nw repair {stream}"


def refuse_lost_commits(lake: Lake, stream: str) -> None:
    """Raise an error if the stream's tables lost commits, because a loss could go unnoticed if reading continued.

    A batch is committed to raw first, then to `receipts`, then to logs. This reads the tables in the opposite order, so
    that a batch that arrives meanwhile does not look like a loss.

    Raises:
        LakeError: raw is behind its receipts, or logs hold batches that raw does not know; it names the repair.
    """
    logs = lake.logs(stream).snapshot()
    lasts = last_receipts(lake.receipts().snapshot(), stream)
    raw = lake.raw(stream).snapshot()
    if lanes := lanes_behind(raw, lasts):
        raise LakeError(f"{behind_told(stream, lanes)}; nothing is read until then")
    if ahead := logs_ahead(logs, raw, lasts):
        raise LakeError(f"{'; '.join(ahead)}; run: nw repair {stream}; nothing is read until then")


def logs_ahead(logs: Snapshot | None, raw: Snapshot | None, lasts: Mapping[str, int]) -> list[str]:
    """Return a clause for each lane of which logs hold a later batch than raw: raw and `receipts` both lost commits."""
    if logs is None:
        return []
    problems = []
    for lane in sorted({*lasts, "0.0"}):
        in_raw = raw.transaction(lane) if raw is not None else -1
        applied = logs.transaction(lane)
        if applied > in_raw:
            at = f"end at {in_raw}" if in_raw >= 0 else "have none"
            problems.append(f"logs hold batch {lane}/{applied}, but raw and its receipts {at}: both lost commits")
    return problems


class BatchOfHour(Protocol):
    """What a batch says of the arrival hour it lies in, as ingest.batches.CurrentBatch."""

    @property
    def arrival_hour(self) -> str: ...  # noqa: D102  (said above)
    @property
    def records(self) -> int: ...  # noqa: D102  (said above)
    @property
    def expired(self) -> bool: ...  # noqa: D102  (said above)


def records_by_hour(batches: Iterable[BatchOfHour]) -> dict[str, int]:
    """Arrival hour -> the records that raw is to hold of it. An hour that retention removed is to hold none."""
    wanted: dict[str, int] = {}
    for batch in batches:
        records = 0 if batch.expired else batch.records
        wanted[batch.arrival_hour] = wanted.get(batch.arrival_hour, 0) + records
    return wanted


def differing(held: Mapping[str, int], wanted: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Arrival hour -> (records in raw, records by receipts), where the two differ."""
    pairs = {hour: (held.get(hour, 0), wanted.get(hour, 0)) for hour in sorted(held.keys() | wanted.keys())}
    return {hour: pair for hour, pair in pairs.items() if pair[0] != pair[1]}


def odd_hours(raw: Snapshot, batches: Iterable[BatchOfHour]) -> dict[str, tuple[int, int]]:
    """As `differing`, for a snapshot of raw and all batches of the stream."""
    held = {hour: state.records for hour, state in raw.hours().items()}
    return differing(held, records_by_hour(batches))
