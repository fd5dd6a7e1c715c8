"""What was sent, counted while it is made: the truth that a run of the platform is compared with.

A truth file is JSON. `minutes` has one entry per minute of event time, host, process, type, series and spilled flag.
Counts are of records as `logs` must hold them, each once; `duplicates` are the lines that say one of them again.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from nw_platform.generator.lines import TYPES, Drawn
from nw_platform.generator.spec import LATE_BY_US, Sender, TrafficSpec
from nw_platform.record.hours import to_iso

TRUTH_FILE: Final = "_truth.json"  # a landing zone does not take names that start with _ for logs

Key = tuple[int, str, str, bool]  # minute of event time, type, series, spilled
Count = tuple[int, int, int, int]  # lines, bytes with line endings, first and last sequence number


def count_minutes(
    minutes: list[int], drawn: Drawn, sizes: np.ndarray[Any, Any], seq: np.ndarray[Any, Any]
) -> list[dict[Key, Count]]:
    """Count one sender's records, per minute they are sent in. A late record counts in the minute it happened in.

    `sizes` (bytes) and `seq` belong to the records that were drawn, in their order.
    """
    counts: list[dict[Key, Count]] = [{} for _ in minutes]
    if not len(sizes):
        return counts
    flags = (drawn.is_late * 2 + drawn.is_error) * 2 + drawn.is_spilled
    code = (drawn.at * 8 + flags) * len(TYPES) + drawn.types
    present, first, inverse, lines = np.unique(code, return_index=True, return_inverse=True, return_counts=True)
    size = np.bincount(inverse, weights=sizes)
    last = len(code) - 1 - np.unique(code[::-1], return_index=True)[1]
    entries = (present, lines, size.astype(np.int64), seq[first], seq[last])
    for value, *count in zip(*(part.tolist() for part in entries), strict=True):
        rest, kind = divmod(value, len(TYPES))
        at, flag = divmod(rest, 8)
        happened = minutes[at] - LATE_BY_US if flag & 4 else minutes[at]
        series = "error" if flag & 2 else "normal"
        counts[at][happened, TYPES[kind], series, bool(flag & 1)] = tuple(count)
    return counts


class Truth:
    """Adds up what was sent."""

    def __init__(self, spec: TrafficSpec) -> None:
        self._spec = spec
        self._minutes: dict[tuple[int, str, str, str, str, bool], list[int]] = defaultdict(lambda: [0, 0])
        self._sessions: dict[str, dict[str, Any]] = {}
        self._files: list[dict[str, Any]] = []
        self._duplicates: dict[tuple[str, str], int] = defaultdict(int)
        self._broken: list[dict[str, Any]] = []
        self._late = 0
        self._rejected = 0
        self._bytes = 0
        self._lines = 0

    def add(self, sender: Sender, counts: dict[Key, Count]) -> None:
        """Records of one sender's minute."""
        for (minute, kind, series, spilled), (lines, size, first, last) in counts.items():
            entry = self._minutes[minute, sender.host, sender.process, kind, series, spilled]
            entry[0] += lines
            entry[1] += size
            session = self._sessions.setdefault(
                sender.session(self._spec.seed),
                {"host": sender.host, "process": sender.process, "first_seq": first, "last_seq": last},
            )
            session["first_seq"], session["last_seq"] = min(session["first_seq"], first), max(session["last_seq"], last)

    def add_late(self, records: int) -> None:
        """Records that arrive more than a day after they happened."""
        self._late += records

    def add_duplicates(self, sender: Sender, lines: int) -> None:
        """Lines that were sent before."""
        if lines:
            self._duplicates[sender.host, sender.process] += lines

    def add_broken(self, sender: Sender, minute: int, lines: int) -> None:
        """Lines that cannot be parsed."""
        if lines:
            self._rejected += lines
            self._broken.append(
                {"minute": to_iso(minute), "host": sender.host, "process": sender.process, "lines": lines}
            )

    def add_file(self, path: str, lines: int, size: int) -> None:
        """A file that was written."""
        self._files.append({"path": path, "lines": lines, "bytes": size})
        self._lines += lines
        self._bytes += size

    def as_json(self) -> dict[str, Any]:
        """The truth file's content; JSON values only, in a fixed order."""
        minutes = sorted(self._minutes.items())
        spec = asdict(self._spec)
        return {
            "version": 1,
            "spec": {**spec, "start": to_iso(self._spec.start)},
            "sent": {"files": len(self._files), "lines": self._lines, "bytes": self._bytes},
            "records": sum(lines for _, (lines, _) in minutes),
            "duplicates": sum(self._duplicates.values()),
            "rejects": {"bad_format": self._rejected},
            "late": self._late,
            "series": _sums(minutes, lambda key: key[4] + ("_spill" if key[5] else "")),
            "types": _sums(minutes, lambda key: key[3]),
            "hosts": _sums(minutes, lambda key: key[1]),
            "hours": _sums(minutes, lambda key: to_iso(key[0])[:13]),
            "duplicates_by_sender": [
                {"host": host, "process": process, "lines": lines}
                for (host, process), lines in sorted(self._duplicates.items())
            ],
            "rejects_by_minute": self._broken,
            "sessions": self._sessions,
            "minutes": [
                {
                    "minute": to_iso(key[0]), "host": key[1], "process": key[2], "type": key[3], "series": key[4],
                    "spilled": key[5], "lines": lines, "bytes": size,
                }
                for key, (lines, size) in minutes
            ],
            "files": self._files,
        }  # fmt: skip


def _sums(minutes: list[tuple[Any, list[int]]], name: Any) -> dict[str, int]:  # noqa: ANN401  (a function of the key)
    """Lines by a name made of the key. `normal` does not hold `normal_spill` here: the six series are disjoint."""
    sums: dict[str, int] = defaultdict(int)
    for key, (lines, _) in minutes:
        sums[name(key)] += lines
    return dict(sorted(sums.items()))
