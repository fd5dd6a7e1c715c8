"""Makes the traffic of a specification: files in a landing zone, and the truth about them.

How it keeps its promises:
    1. Every minute's records are spread over the senders by largest remainder, so the total is exactly
       rate * seconds; sequence numbers of a sender's session grow by 1 per record, watchdog records included.
    2. A minute's text depends on the seed, the minute and the sender only.
    3. Every sender closes its minute with a heartbeat and a ledger of what it sent in that minute of event time;
       late records get a ledger of the minute they happened in.
    4. Half of the repeated lines come in the same minute, the others in the next one.
    5. Files get ready by rename, and on a local disk bear the time at which such a sender would have closed them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa

from nw_platform.generator.files import LandingFolder, join_lines
from nw_platform.generator.lines import cut, make_minute
from nw_platform.generator.spec import MINUTE_US, SECOND_US, Sender, TrafficSpec, senders
from nw_platform.generator.truth import TRUTH_FILE, Count, Key, Truth, count_minute
from nw_platform.record.hours import to_datetime

_LATE_AFTER_US: Final = 24 * 60 * MINUTE_US  # the default `late_after` of a stream
USER_KEY: Final = "user_id"
VERSION: Final = "generator"  # what the heartbeats give as the emitter's version


def generate(
    spec: TrafficSpec,
    out: str,
    *,
    storage_options: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write the traffic of `spec` to the folder or URL `out`, with its truth file; return the truth.

    `progress` is told the number of minutes done after every file's worth of them.

    Raises:
        UsageError: an option is out of its range.
        SourceError: `out` cannot be written.
    """
    spec.check()
    folder = LandingFolder(out, storage_options)
    truth = Truth(spec)
    everyone = [_SenderTraffic(spec, sender, truth) for sender in senders(spec.hosts)]
    minutes = list(spec.minutes())
    for first in range(0, len(minutes), spec.minutes_per_file):
        window = minutes[first : first + spec.minutes_per_file]
        shares = [_shares(spec, minute, len(everyone)) for minute in window]
        for at, traffic in enumerate(everyone):
            traffic.write_file(window, [share[at] for share in shares], folder)
        if progress is not None:
            progress(first + len(window))
    report = truth.as_json()
    folder.write(TRUTH_FILE, json.dumps(report, indent=1).encode() + b"\n")
    return report


def _shares(spec: TrafficSpec, minute: int, count: int) -> list[int]:
    """How many records each of `count` senders sends in a minute; their sum over all minutes is rate * seconds."""
    start_s, end_s = ((at - spec.start) // SECOND_US for at in (minute, min(minute + MINUTE_US, spec.end)))
    records = int(spec.rate * end_s) - int(spec.rate * start_s)
    share, rest = divmod(records, count)
    turn = (minute // MINUTE_US) % count
    return [share + ((at - turn) % count < rest) for at in range(count)]


class _SenderTraffic:
    """One sender's traffic, minute after minute."""

    def __init__(self, spec: TrafficSpec, sender: Sender, truth: Truth) -> None:
        self._spec = spec
        self._sender = sender
        self._truth = truth
        self._session = sender.session(spec.seed)
        self._next_seq = 1
        self._repeats: list[pa.Array] = []  # lines to be said again in the next minute

    def write_file(self, window: list[int], records: list[int], folder: LandingFolder) -> None:
        """One file: the minutes of `window`, with so many records each."""
        chunks: list[pa.Array] = []
        arrives = self._arrival(window)
        for minute, count in zip(window, records, strict=True):
            if not self._is_silent(minute):
                chunks += self._minute(minute, count, arrives)
        if chunks:
            opened = to_datetime(window[0])
            path = f"{opened:%Y-%m-%d}/{self._sender.host}/{self._sender.process}-{opened:%Y%m%dT%H%M}.json"
            content = join_lines(chunks)
            folder.write(path, content, arrives)
            self._truth.add_file(path, sum(len(chunk) for chunk in chunks), len(content))

    def _is_silent(self, minute: int) -> bool:
        return any(s.host == self._sender.host and s.start <= minute < s.end for s in self._spec.faults.silences)

    def _arrival(self, window: list[int]) -> int:
        """When the file of a window becomes ready: when its last minute is over, unless it is one that comes late."""
        over = min(window[-1] + MINUTE_US, self._spec.end)
        for late in self._spec.faults.late_files:
            if late.host == self._sender.host and window[0] <= late.covers < over:
                return late.arrives
        return over

    def _minute(self, minute: int, records: int, arrives: int) -> list[pa.Array]:
        """The lines of a minute in the order they stand in their file."""
        spec, first_seq = self._spec, self._next_seq
        until = min(minute + MINUTE_US, spec.end)
        made = make_minute(spec, self._sender, (minute, until), records, first_seq, user_key=self._user_key(minute))
        self._next_seq += records
        counts = count_minute(minute, made)
        self._truth.add(self._sender, counts)
        is_old = arrives - minute > _LATE_AFTER_US
        self._truth.add_late(records if is_old else int(made.is_late.sum()))

        draw = np.random.default_rng([spec.seed, minute // SECOND_US, self._sender.pid, 1])
        repeated = np.flatnonzero(draw.random(records) < spec.duplicates)
        broken = int((draw.random(records) < spec.broken).sum()) + self._broken_on_purpose(minute)
        is_last = until >= spec.end
        now, later = (repeated, repeated[:0]) if is_last else (repeated[::2], repeated[1::2])
        chunks = [*self._repeats, made.lines, made.lines.take(pa.array(now))]
        self._truth.add_duplicates(self._sender, sum(len(chunk) for chunk in self._repeats) + len(now))
        self._repeats = [made.lines.take(pa.array(later))] if len(later) else []
        if broken and records:
            chunks.append(cut(made.lines.take(pa.array(np.arange(broken) % records))))
            self._truth.add_broken(self._sender, minute, broken)
        watchdog = self._watchdog_lines(minute, until, counts)
        if is_old:
            self._truth.add_late(len(watchdog))
        return [*chunks, watchdog]

    def _user_key(self, minute: int) -> str:
        for renamed in self._spec.faults.renamed_keys:
            if renamed.process == self._sender.process and renamed.old == USER_KEY and minute >= renamed.start:
                return renamed.new
        return USER_KEY

    def _broken_on_purpose(self, minute: int) -> int:
        here = (self._sender.host, self._sender.process, minute)
        return sum(b.lines for b in self._spec.faults.broken_lines if (b.host, b.process, b.minute) == here)

    def _watchdog_lines(self, minute: int, until: int, counts: dict[Key, Count]) -> pa.Array:
        """The heartbeat and the ledgers that close a minute. A ledger counts all its minute's records but ledgers."""
        at_ms = until // 1000 - 1
        health = {"interval_s": 60, "version": VERSION, "queue": 0, "spool_records": 0, "spool_bytes": 0}
        seq = self._next_seq
        heartbeat = self._watchdog_record(at_ms, "nw.heartbeat", health)
        size = len(heartbeat.encode()) + 1
        own: dict[Key, Count] = {(minute, "nw.heartbeat", "watchdog", False): (1, size, seq, seq)}
        counts = {**counts, **own}
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
            ledgers.append(self._watchdog_record(at_ms, "nw.ledger", fields))
        size = sum(len(line.encode()) + 1 for line in ledgers)
        own[minute, "nw.ledger", "watchdog", False] = (len(ledgers), size, seq + 1, self._next_seq - 1)
        self._truth.add(self._sender, own)
        return pa.array([heartbeat, *ledgers], pa.large_string())

    def _watchdog_record(self, at_ms: int, kind: str, fields: dict[str, Any]) -> str:
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        sender = self._sender
        record = {
            "v": 1, "id": f"{self._session}-{seq}", "ts": at_ms, "host": sender.host, "ip": sender.ip,
            "process": sender.process, "pid": sender.pid, "session": self._session, "seq": seq, "series": "watchdog",
            "type": kind, "severity": "INFO", "fields": fields,
        }  # fmt: skip
        return json.dumps(record, separators=(",", ":"))
