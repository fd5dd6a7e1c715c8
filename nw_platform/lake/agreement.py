"""Does raw hold what its receipts say? By versions and counts of the tables alone: no record is read.

A receipt is appended after the commit to raw that carries it. So if receipts are looked at first and raw afterwards,
raw is never behind them, unless commits of it were lost: a power cut, a damaged disk, a copy that was restored.
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
    """A lane of which raw lacks commits. Sequences; -1: raw knows nothing of the lane."""

    lane: str
    in_raw: int
    in_receipts: int

    def told(self) -> str:
        """The two ends in words."""
        at = f"ends at receipt {self.in_raw}" if self.in_raw >= 0 else "has nothing"
        return f"raw {at} of lane {self.lane}, the receipts at {self.in_receipts}"


def last_receipts(receipts: Snapshot | None, stream: str) -> dict[str, int]:
    """The lanes that a snapshot of the table `receipts` knows of a stream, with the sequence of the last receipt."""
    found: dict[str, int] = {}
    epoch = index = 0
    while receipts is not None:
        lane = f"{epoch}.{index}"
        last = receipts.transaction(receipts_app(stream, lane))
        if last >= 0:
            found[lane] = last
            index += 1
        elif index:
            epoch, index = epoch + 1, 0
        else:
            break
    return found


def lanes_behind(raw: Snapshot | None, lasts: dict[str, int]) -> list[LaneBehind]:
    """The lanes of which `raw` lacks commits. `lasts`: what receipts said before `raw` was looked at."""
    ends = {lane: raw.transaction(lane) if raw is not None else -1 for lane in lasts}
    return [LaneBehind(lane, ends[lane], last) for lane, last in sorted(lasts.items()) if ends[lane] < last]


def behind_told(stream: str, lanes: Iterable[LaneBehind]) -> str:
    """What is wrong, and the command that repairs it, in one line."""
    ends = "; ".join(lane.told() for lane in lanes)
    return f"raw of stream {stream} lost commits ({ends}); run: nw repair {stream}"


def refuse_lost_commits(lake: Lake, stream: str) -> None:
    """Stop before anything is written, if the stream's tables lost commits: what is read then could be lost unseen.

    A batch is in raw first, then in the receipts, then in logs. So the tables are looked at the other way round.

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
    """Which lanes logs know more of than raw does, in words: raw and the receipts lost commits together."""
    if logs is None:
        return []
    told = []
    for lane in sorted({*lasts, "0.0"}):
        in_raw = raw.transaction(lane) if raw is not None else -1
        applied = logs.transaction(lane)
        if applied > in_raw:
            at = f"end at {in_raw}" if in_raw >= 0 else "have none"
            told.append(f"logs hold batch {lane}/{applied}, but raw and its receipts {at}: both lost commits")
    return told


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
