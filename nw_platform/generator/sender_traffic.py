"""One sender's traffic, a file's worth of minutes at a time.

How it keeps its promises:
    1. Sequence numbers of the session grow by 1 per record, watchdog records included.
    2. Every minute is closed by a heartbeat and a ledger of what was sent in that minute of event time; late records
       get a ledger of the minute they happened in.
    3. Half of the repeated lines come in the same minute, the others in the sender's next one.
    4. Everything that is drawn depends on the seed, the sender and the first minute of the file only.
"""

from __future__ import annotations

import json
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.generator.files import LandingFolder, join_lines
from nw_platform.generator.lines import cut, draw_records, write_records
from nw_platform.generator.spec import MINUTE_US, SECOND_US, Sender, TrafficSpec
from nw_platform.generator.truth import Count, Key, Truth, count_minutes
from nw_platform.record.hours import to_datetime

_LATE_AFTER_US: Final = 24 * 60 * MINUTE_US  # the default `late_after` of a stream
_USER_KEY: Final = "user_id"
_VERSION: Final = "generator"  # what the heartbeats give as the emitter's version

# The order of the lines within a minute.
_CARRIED, _RECORDS, _REPEATED, _BROKEN, _WATCHDOG = range(5)


class SenderTraffic:
    """One sender's traffic. Files are to be written in the order of time."""

    def __init__(self, spec: TrafficSpec, sender: Sender, truth: Truth) -> None:
        self._spec = spec
        self._sender = sender
        self._truth = truth
        self._session = sender.session(spec.seed)
        self._next_seq = 1
        self._carried = pa.array([], pa.large_string())  # lines to be said again in the sender's next minute

    def write_file(self, window: list[int], records: list[int], folder: LandingFolder) -> None:
        """Write the file of the minutes that begin at `window`, with so many records each; none if all are silent."""
        spoken = [(minute, count) for minute, count in zip(window, records, strict=True) if not self._is_silent(minute)]
        if not spoken:
            return
        arrives = self._arrival(window)
        lines = self._lines([minute for minute, _ in spoken], [count for _, count in spoken], arrives)
        opened = to_datetime(window[0])
        path = f"{opened:%Y-%m-%d}/{self._sender.host}/{self._sender.process}-{opened:%Y%m%dT%H%M}.json"
        content = join_lines(lines)
        folder.write(path, content, arrives)
        self._truth.add_file(path, len(lines), len(content))

    def _is_silent(self, minute: int) -> bool:
        return any(s.host == self._sender.host and s.start <= minute < s.end for s in self._spec.faults.silences)

    def _arrival(self, window: list[int]) -> int:
        """When the file of a window becomes ready: when its last minute is over, unless it is one that comes late."""
        over = min(window[-1] + MINUTE_US, self._spec.end)
        for late in self._spec.faults.late_files:
            if late.host == self._sender.host and window[0] <= late.covers < over:
                return late.arrives
        return over

    def _lines(self, minutes: list[int], counts: list[int], arrives: int) -> pa.Array:
        """The lines of some minutes in the order they stand in their file."""
        spec, sender = self._spec, self._sender
        draw = np.random.default_rng([spec.seed, minutes[0] // SECOND_US, sender.pid])
        drawn = draw_records(spec, sender, draw, minutes, counts)
        has_late = np.bincount(drawn.at[drawn.is_late], minlength=len(minutes)) > 0
        watchdogs = 2 + has_late  # a heartbeat, the minute's ledger, and one of the minute that late records tell of
        before = np.concatenate(([0], np.cumsum(watchdogs)[:-1]))
        seq = self._next_seq + np.arange(len(drawn.at)) + before[drawn.at]
        user_keys = pa.array([self._user_key(minute) for minute in minutes], pa.large_string()).take(pa.array(drawn.at))
        own = write_records(sender, self._session, draw, drawn, seq=seq, user_keys=user_keys)
        sizes = pc.binary_length(own).to_numpy(zero_copy_only=False) + 1
        counted = count_minutes(minutes, drawn, sizes, seq)
        first_watchdog = self._next_seq + np.cumsum(counts) + before
        self._next_seq += len(drawn.at) + int(watchdogs.sum())
        watchdog_lines = [
            self._watchdog_lines(minute, found, first)
            for minute, found, first in zip(minutes, counted, first_watchdog.tolist(), strict=True)
        ]
        for found in counted:
            self._truth.add(sender, found)
        in_time = np.array([arrives - minute <= _LATE_AFTER_US for minute in minutes])
        self._truth.add_late(int((drawn.is_late | ~in_time[drawn.at]).sum()) + int(watchdogs[~in_time].sum()))

        parts = [(own, drawn.at, _RECORDS), *self._repeat(draw, own, drawn.at, minutes)]
        broken = self._broken(draw, drawn.at, minutes)
        if len(broken):
            parts.append((cut(own.take(pa.array(broken))), drawn.at[broken], _BROKEN))
            for at, lines in enumerate(np.bincount(drawn.at[broken], minlength=len(minutes)).tolist()):
                self._truth.add_broken(sender, minutes[at], lines)
        flat = pa.array([line for lines in watchdog_lines for line in lines], pa.large_string())
        parts.append((flat, np.repeat(np.arange(len(minutes)), watchdogs), _WATCHDOG))
        order = np.argsort(np.concatenate([at * 8 + rank for _, at, rank in parts]), kind="stable")
        return pa.concat_arrays([lines for lines, _, _ in parts]).take(pa.array(order))

    def _repeat(
        self, draw: np.random.Generator, own: pa.Array, at: np.ndarray[Any, Any], minutes: list[int]
    ) -> list[tuple[pa.Array, np.ndarray[Any, Any], int]]:
        """What is said again in these minutes, with what was carried over; the rest is carried on."""
        repeated = np.flatnonzero(draw.random(len(own)) < self._spec.duplicates)
        now, later = repeated[::2], repeated[1::2]
        is_last = at[later] == len(minutes) - 1
        rest, later = later[is_last], later[~is_last]
        if minutes[-1] + MINUTE_US >= self._spec.end:  # there is no next minute
            now, rest = np.concatenate((now, rest)), rest[:0]
        parts = [
            (self._carried, np.zeros(len(self._carried), np.int64), _CARRIED),
            (own.take(pa.array(later)), at[later] + 1, _CARRIED),
            (own.take(pa.array(now)), at[now], _REPEATED),
        ]
        self._truth.add_duplicates(self._sender, sum(len(lines) for lines, _, _ in parts))
        self._carried = own.take(pa.array(rest))
        return parts

    def _broken(self, draw: np.random.Generator, at: np.ndarray[Any, Any], minutes: list[int]) -> np.ndarray[Any, Any]:
        """Which records are said once more, cut short."""
        chosen = [np.flatnonzero(draw.random(len(at)) < self._spec.broken)]
        for fault in self._spec.faults.broken_lines:
            if (fault.host, fault.process) == (self._sender.host, self._sender.process) and fault.minute in minutes:
                here = np.flatnonzero(at == minutes.index(fault.minute))
                chosen.append(np.resize(here, fault.lines if len(here) else 0))
        return np.concatenate(chosen)

    def _user_key(self, minute: int) -> str:
        for renamed in self._spec.faults.renamed_keys:
            if renamed.process == self._sender.process and renamed.old == _USER_KEY and minute >= renamed.start:
                return renamed.new
        return _USER_KEY

    def _watchdog_lines(self, minute: int, counts: dict[Key, Count], seq: int) -> list[str]:
        """The heartbeat and the ledgers that close a minute, numbered from `seq`; they are added to `counts`.

        A ledger counts all its minute's records but ledgers.
        """
        at_ms = min(minute + MINUTE_US, self._spec.end) // 1000 - 1
        health = {"interval_s": 60, "version": _VERSION, "queue": 0, "spool_records": 0, "spool_bytes": 0}
        heartbeat = self._watchdog_record(seq, at_ms, "nw.heartbeat", health)
        counts[minute, "nw.heartbeat", "watchdog", False] = (1, len(heartbeat) + 1, seq, seq)
        ledgers: list[str] = []
        for happened in sorted({key[0] for key in counts}):
            entries = [
                {
                    "type": kind, "series": series, "spilled": spilled,
                    "lines": count[0], "bytes": count[1], "first_seq": count[2], "last_seq": count[3],
                }
                for (when, kind, series, spilled), count in sorted(counts.items())
                if when == happened
            ]  # fmt: skip
            fields = {"minute": happened // 1000, "counts": entries}
            ledgers.append(self._watchdog_record(seq + 1 + len(ledgers), at_ms, "nw.ledger", fields))
        size = sum(len(line) + 1 for line in ledgers)
        counts[minute, "nw.ledger", "watchdog", False] = (len(ledgers), size, seq + 1, seq + len(ledgers))
        return [heartbeat, *ledgers]

    def _watchdog_record(self, seq: int, at_ms: int, kind: str, fields: dict[str, Any]) -> str:
        """Its text is ASCII: as many bytes as characters."""
        sender = self._sender
        record = {
            "v": 1, "id": f"{self._session}-{seq}", "ts": at_ms, "host": sender.host, "ip": sender.ip,
            "process": sender.process, "pid": sender.pid, "session": self._session, "seq": seq, "series": "watchdog",
            "type": kind, "severity": "INFO", "fields": fields,
        }  # fmt: skip
        return json.dumps(record, separators=(",", ":"))
