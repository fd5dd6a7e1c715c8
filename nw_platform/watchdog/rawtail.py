"""Raw of many streams, held against their receipts at each look: where its lanes end, and how many records it has.

No record is read. A table that was opened once is followed by its commits, as `logtail` does it for logs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nw_platform.errors import LakeError
from nw_platform.lake.agreement import LaneBehind, differing
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeTable, Snapshot
from nw_platform.watchdog.logtail import Tail, commit_marks, read_tail


@dataclass(frozen=True, slots=True)
class Disagreement:
    """What raw lacks of what its receipts say, or has too much."""

    lanes: tuple[LaneBehind, ...] = ()
    hours: Mapping[str, tuple[int, int]] = field(default_factory=dict)  # arrival hour -> in raw, by receipts


class FollowedRaw:
    """The `raw` of one stream."""

    def __init__(self, table: LakeTable) -> None:
        self.table = table
        self.version = -1  # of what is known; -1: there is no table
        self.mark = 0
        self._records: dict[str, int] = {}  # by arrival hour
        self._ends: dict[str, int] = {}  # lane -> its last sequence
        self._snapshot: Snapshot | None = None

    def open(self, lake: Lake) -> None:
        """Open the table. Raises LakeError."""
        self._snapshot = self.table.snapshot()
        self._ends, self.mark = {}, 0
        self.version = -1 if self._snapshot is None else self._snapshot.version
        hours = self._snapshot.hours() if self._snapshot is not None else {}
        self._records = {hour: state.records for hour, state in hours.items()}
        if self._snapshot is not None:
            try:
                self.mark = next(iter(commit_marks(lake, [(self.table, self.version)]).values()), 0)
            except OSError:
                self.mark = 0  # it is opened again at the next look

    def follow(self, tail: Tail) -> bool:
        """Take commits in; False if they removed files: how many records those had is not in the commits."""
        if tail.removed:
            return False
        for file in tail.added.values():
            self._records[file.hour] = self._records.get(file.hour, 0) + file.records
        for lane in self._ends.keys() & tail.transactions.keys():
            self._ends[lane] = tail.transactions[lane]
        self.version, self.mark = tail.version, tail.mark
        return True

    def release(self) -> None:
        """Let go of the opened table."""
        self._snapshot = None

    def held_against(self, lasts: Mapping[str, int], records: Mapping[str, int]) -> Disagreement:
        """Compare with the last receipts of the lanes, and the records by arrival hour that receipts say.

        Records are compared only where lanes end as the receipts do: a batch under way is in raw before its receipt is
        seen. Raises LakeError.
        """
        lasts = {"0.0": -1, **lasts}  # of a lane whose first receipt is under way, too
        ends = {lane: self._end(lane) for lane in lasts}
        behind = [LaneBehind(lane, ends[lane], last) for lane, last in sorted(lasts.items()) if ends[lane] < last]
        if behind or ends != lasts:
            return Disagreement(tuple(behind))
        return Disagreement(hours=differing(self._records, records))

    def _end(self, lane: str) -> int:
        if self.version < 0:
            return -1
        if lane not in self._ends:
            if self._snapshot is None or self._snapshot.version != self.version:
                self._snapshot = self.table.snapshot()
            self._ends[lane] = self._snapshot.transaction(lane) if self._snapshot is not None else -1
        return self._ends[lane]


def follow_raw(lake: Lake, tables: Sequence[FollowedRaw]) -> dict[str, LakeError]:
    """Bring many up to date; returns why some could not be, by their path."""
    known = [raw for raw in tables if raw.version >= 0 and raw.mark]
    try:
        marks = commit_marks(lake, ((raw.table, v) for raw in known for v in (raw.version, raw.version + 1)))
    except OSError:
        marks = {}  # whatever is wrong, opening says what
    problems: dict[str, LakeError] = {}
    for raw in tables:
        place = raw.table.path
        is_same = raw in known and marks.get((place, raw.version)) == raw.mark
        if is_same and (place, raw.version + 1) not in marks:
            continue
        if is_same and _follow(lake, raw):
            continue
        try:
            raw.open(lake)
        except LakeError as error:
            raw.version = -1
            problems[place] = error
    return problems


def _follow(lake: Lake, raw: FollowedRaw) -> bool:
    try:
        tail = read_tail(lake, raw.table, raw.version)
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return tail is not None and raw.follow(tail)
