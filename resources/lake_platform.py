"""The real platform: nw_platform, opened for one configuration."""

from __future__ import annotations

import hashlib
import itertools
import json
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Final

import pyarrow as pa

from nw_platform.alerts.dead_man import ping
from nw_platform.alerts.evaluation import Alerting, scope_of
from nw_platform.errors import NeverwinterError
from nw_platform.ingest.compact import compact, compact_alerts
from nw_platform.ingest.completeness import duplicates_by_hour
from nw_platform.ingest.outcome import BatchReport, HourChange
from nw_platform.ingest.rebuild import rebuild
from nw_platform.ingest.replay import replay
from nw_platform.ingest.retention import expire
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import has_news, run_tick
from nw_platform.lake.engine import connect, scan
from nw_platform.lake.receipts import read_receipt_files
from nw_platform.lake.tables import LakeFile, LakeTable
from nw_platform.record.envelope import ENVELOPE_FIELDS
from nw_platform.record.hours import HOUR_US, hour_start
from nw_platform.record.spans import Receipt
from nw_platform.reports.build import build
from nw_platform.reports.gaps import told_gaps
from nw_platform.reports.plan import read_manifest, read_state
from nw_platform.reports.publish import report_files, report_path
from nw_platform.reports.tables import REPORT_TABLES
from nw_platform.settings import Settings
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observe import Watch
from resources.current import CurrentSettings
from resources.platform import (
    BuildOutcome,
    Health,
    HourOf,
    HourOutcome,
    LastTick,
    Layer,
    MaintainOutcome,
    Numbers,
    TableState,
    TickOutcome,
)
from resources.source_lags import SourceLags, lag_numbers

# An hour with more records than this is counted once it is closed: not each minute anew.
_COUNTED_WHILE_OPEN: Final = 5_000_000
_COUNTED: Final = pa.schema([f for f in ENVELOPE_FIELDS if f.name in {"series", "late", "reject_reason", "size_bytes"}])
_HOUR_SQL: Final = """
    SELECT dt || 'T' || hour, sum(size_bytes), count(reject_reason), count(*) FILTER (late),
        count(*) FILTER (series = 'normal'), count(*) FILTER (series = 'error'), count(*) FILTER (series = 'watchdog')
    FROM ({}) GROUP BY 1
"""
_SUMMED: Final = ("rejects", "duplicates", "late", "skipped_lines", "seconds")  # what receipts do not say
_CHUNK: Final = 32  # receipts read at a time
_DBT_RESULTS: Final = "target/run_results.json"


class LakePlatform:
    """See resources.platform.Platform. Construction does no I/O."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        # A session's pipelines are for one thread; sensors are evaluated in several.
        self._lock = threading.RLock()
        self._session = Session(settings)
        self._first: dict[str, str] = {}
        self._watches: dict[str, Watch] = {}
        self._lags = SourceLags(self._session)
        self._alerting_lock = threading.Lock()
        self._alerting, self._alerting_by = Alerting.of(settings, self._session.lake), settings
        self._current = CurrentSettings(settings)

    def clock(self) -> int:
        """The time."""
        return time.time_ns() // 1000

    def news(self, now: int, lane: int | None = None) -> list[str]:
        """Streams that have something to ingest or to apply."""
        with self._lock:
            return has_news(self._session, now, lane)

    def tick(
        self, *, streams: Collection[str] | None = None, lane: int | None = None, deadline: int | None = None
    ) -> TickOutcome:
        """Ingest what is there."""
        with self._lock:
            report = run_tick(self._session, self.clock, streams=streams, lane=lane, deadline=deadline)
            return TickOutcome(
                numbers=_sums(report.batches),
                problems=[{"stream": met.stream, **asdict(met.problem)} for met in report.problems],
                failures=dict(report.failures),
                lags={stream: lag_numbers(lag) for stream, lag in report.lags.items()},
                lost_races=report.lost_races,
                more=report.more,
            )

    def version(self, layer: Layer, stream: str) -> int | None:
        """The version of a table."""
        snapshot = self._table(layer, stream).snapshot()
        return None if snapshot is None else snapshot.version

    def state(self, layer: Layer, stream: str) -> TableState | None:
        """All hours of a table."""
        snapshot = self._table(layer, stream).snapshot()
        if snapshot is None:
            return None
        return TableState(snapshot.version, {h: HourOf(s.records, s.token) for h, s in snapshot.hours().items()})

    def first_arrival(self, stream: str) -> str | None:
        """The arrival hour of the stream's first receipt. Looked up until there is one, then remembered."""
        if stream not in self._first:
            receipts = self._session.lake.receipts().snapshot()
            files = receipts.files(stream=[stream]) if receipts else []
            if not files:
                return None
            oldest = [f for f in files if f.partition["dt"] == min(file.partition["dt"] for file in files)]
            found = read_receipt_files(self._session.lake, oldest, stream)
            self._first[stream] = min(receipt.arrival_hour for receipt in found)
        return self._first[stream]

    def hour_numbers(self, layer: Layer, stream: str, hours: Collection[str], now: int) -> Mapping[str, Numbers]:
        """Numbers of whole hours as the lake has them."""
        if not hours:
            return {}
        return self._raw_numbers(stream, hours) if layer == "raw" else self._logs_numbers(stream, hours, now)

    def replay(self, stream: str, first: str, last: str, now: int) -> list[HourOutcome]:
        """Read the raw data of some arrival hours from the source again."""
        with self._lock:
            return _outcomes(replay(self._session, stream, first, last, now))

    def rebuild(self, stream: str, first: str, last: str, now: int) -> list[HourOutcome]:
        """Compute `logs` of some event hours from raw again."""
        with self._lock:
            return _outcomes(rebuild(self._session, stream, first, last, now))

    def maintain(self) -> MaintainOutcome:
        """Merge the files of closed hours, delete what has expired."""
        counts: dict[str, dict[str, int]] = {}
        failures: dict[str, str] = {}
        for stream in self.settings.streams:
            try:
                with self._lock:
                    counts[stream] = self._maintain(stream)
            except (NeverwinterError, OSError) as error:
                failures[stream] = " ".join(str(error).split())
        try:
            compact_alerts(self._session, self.clock())  # its commits conflict with nobody for long
        except (NeverwinterError, OSError) as error:
            failures["alerts"] = " ".join(str(error).split())
        return MaintainOutcome(counts, failures)

    def close(self) -> None:
        """Release what is open."""
        with self._alerting_lock, self._lock:
            self._alerting.close()
            self._session.close()

    def _maintain(self, stream: str) -> dict[str, int]:
        merged = compact(self._session, self.clock(), streams=[stream])
        gone = expire(self._session, self.clock(), streams=[stream])
        return {
            "merged_partitions": len(merged),
            "merged_files": sum(one.files for one in merged),
            "merged_records": sum(one.records for one in merged),
            "expired_raw_hours": sum(len(one.raw_hours) for one in gone),
            "expired_logs_hours": sum(len(one.logs_hours) for one in gone),
            "expired_raw_records": sum(one.raw_records for one in gone),
            "expired_logs_records": sum(one.logs_records for one in gone),
            "deleted_files": sum(one.deleted_files for one in gone),
        }

    def _table(self, layer: Layer, stream: str) -> LakeTable:
        lake = self._session.lake
        return lake.raw(stream) if layer == "raw" else lake.logs(stream)

    def _raw_numbers(self, stream: str, hours: Collection[str]) -> dict[str, Numbers]:
        """From the receipts of the hours' days."""
        receipts = self._session.lake.receipts().snapshot()
        if receipts is None:
            return {}
        files = receipts.files(stream=[stream], dt={hour[:10] for hour in hours})
        numbers: dict[str, dict[str, int | float | str]] = {}
        events: dict[str, set[str]] = {}
        by_lane = (self._until(min(hours), of_lane, stream) for of_lane in _by_lane(files))
        for receipt in itertools.chain.from_iterable(by_lane):
            if receipt.kind == "batch" and receipt.arrival_hour in hours:
                sums = numbers.setdefault(receipt.arrival_hour, {"bytes": 0, "spans": 0})
                sums["bytes"] = int(sums["bytes"]) + receipt.bytes
                sums["spans"] = int(sums["spans"]) + len(receipt.spans)
                events.setdefault(receipt.arrival_hour, set()).update(receipt.event_hours)
        for hour, found in events.items():
            if found:
                numbers[hour] |= {
                    "event_hours": len(found),
                    "first_event_hour": min(found),
                    "last_event_hour": max(found),
                }
        return dict(numbers)

    def _until(self, hour: str, files: Sequence[LakeFile], stream: str) -> Iterator[Receipt]:
        """Receipts, newest first, until they are older than `hour`."""
        for at in range(0, len(files), _CHUNK):
            found = read_receipt_files(self._session.lake, files[at : at + _CHUNK], stream)
            yield from found
            if all(receipt.arrival_hour < hour for receipt in found):
                return

    def _logs_numbers(self, stream: str, hours: Collection[str], now: int) -> dict[str, Numbers]:
        """Counted in the files; only the closed ones of large hours."""
        snapshot = self._table("logs", stream).snapshot()
        if snapshot is None:
            return {}
        states = snapshot.hours()
        counted = [h for h in hours if h in states and (states[h].records <= _COUNTED_WHILE_OPEN or _is_closed(h, now))]
        files = snapshot.hour_files(counted)
        if not files:
            return {}
        with connect(spill=self._session.lake.scratch("spill")) as connection:
            rows = connection.execute(_HOUR_SQL.format(scan(files, _COUNTED))).fetchall()
        names = ("bytes", "rejects", "late", "normal", "error", "watchdog")
        dropped = self._dropped(stream, counted)
        return {
            hour: {
                **dict(zip(names, (int(count or 0) for count in counts), strict=True)),
                "duplicates": dropped.get(hour, 0),
            }
            for hour, *counts in rows
        }

    def _dropped(self, stream: str, hours: Collection[str]) -> dict[str, int]:
        snapshot = self._session.lake.duplicates().snapshot()
        has_any = snapshot is not None and snapshot.files(stream=[stream], dt={hour[:10] for hour in hours})
        return duplicates_by_hour(self._session.lake, stream) if has_any else {}

    def changed_days(self, now: int) -> dict[str, str]:
        """Days whose reports are older than their logs."""
        del now
        state = read_state(self._session.lake, self.settings)
        known = read_manifest(self._session.lake.reports_root)
        changed: dict[str, list[str]] = {}
        for hour in sorted({*state.tokens, *known}):
            if state.tokens.get(hour) != known.get(hour):
                changed.setdefault(hour[:10], []).append(f"{hour}={state.tokens.get(hour)}")
        return {day: hashlib.sha256(" ".join(hours).encode()).hexdigest()[:16] for day, hours in changed.items()}

    def built_days(self) -> dict[str, dict[str, int]]:
        """Days that have reports."""
        root = self._session.lake.reports_root
        files = report_files(root)
        found: dict[str, dict[str, int]] = {}
        for day in sorted({hour[:10] for hour in read_manifest(root)}):
            counts = {name: files.rows(report_path(name, "day", day)) for name in REPORT_TABLES}
            found[day] = {name: count for name, count in counts.items() if count is not None}
        return found

    def build(self, first: str, last: str, now: int, *, tables: Collection[str] | None = None) -> BuildOutcome:
        """Build the reports of some hours."""
        started, began = time.monotonic(), time.time()
        lake = self._session.lake
        report = build(lake, self.settings, tables=tables, first=first, last=last, now=now)
        files = report_files(lake.reports_root)
        rows = {
            (table, period): count
            for table, grain, period in report.built
            if grain == "day" and (count := files.rows(report_path(table, grain, period))) is not None
        }
        return BuildOutcome(
            seconds=round(time.monotonic() - started, 3),
            built=tuple(report.built),
            refused=tuple(report.refused),
            gaps=tuple(told_gaps(report.gaps)),
            rows=rows,
            tests=_tests(self._session.lake.scratch("reports") / _DBT_RESULTS, began),
        )

    def findings(self, viewer: str | None, now: int, tick: LastTick) -> list[Finding]:
        """Evaluate every expectation and check."""
        with self._lock:
            return self._judged(self._watch(viewer), self.settings, now, tick)

    def alert(self, viewer: str, now: int, tick: LastTick, health: Health) -> str:
        """Evaluate the checks, and open, remind of and resolve alerts. Sending keeps nobody else waiting.

        If the checks cannot be evaluated, what the platform says of itself and what is pending goes out all the same.
        """
        with self._alerting_lock:
            settings = self._current.get()
            if settings is not self._alerting_by:
                self._alerting.close()
                self._alerting, self._alerting_by = Alerting.of(settings, self._session.lake), settings
            at, also = self._alerting.begin(now)
            watched = self._alerting.watched()
            found: list[Finding] = []
            judged: Collection[str] = ()
            problem: Exception | None = None
            with self._lock:
                watch = self._watch(viewer)
                try:
                    found, judged = self._judged(watch, settings, at, tick, also, watched), watch.judged()
                except Exception as error:  # noqa: BLE001  (raised below, once those are told that can be)
                    problem = error
            scope = scope_of(settings, judged, health.judged)
            outcome = self._alerting.evaluate([*found, *health.findings], scope, at, self.clock)
            if problem is not None:
                raise problem
            self.seen(viewer)
        unheard = ping(settings.alerts.dead_man)
        return f"{outcome.told()}; {unheard}" if unheard else outcome.told()

    def seen(self, viewer: str) -> None:
        """The viewer's findings were put to use."""
        with self._lock:
            self._watch(viewer).commit()

    def _judged(
        self,
        watch: Watch,
        settings: Settings,
        now: int,
        tick: LastTick,
        also: Mapping[str, Collection[str]] = MappingProxyType({}),
        watched: Mapping[str, int] = MappingProxyType({}),
    ) -> list[Finding]:
        rules = rules_of_all(settings)
        return watch.findings(rules, now, self._lags.state(tick, now, rules), also=also, watched=watched)

    def _watch(self, viewer: str | None) -> Watch:
        lake = self._session.lake
        if viewer is None:
            return Watch(lake)
        if viewer not in self._watches:
            self._watches[viewer] = Watch(lake, folder=self.settings.work / "watch" / viewer)
        return self._watches[viewer]


def _sums(batches: Iterable[BatchReport]) -> dict[str, dict[str, dict[str, int | float]]]:
    """What receipts do not say, summed over batches: stream -> arrival hour -> name -> sum."""
    found: dict[str, dict[str, dict[str, int | float]]] = {}
    for batch in batches:
        sums = found.setdefault(batch.stream, {}).setdefault(batch.arrival_hour, dict.fromkeys(_SUMMED, 0))
        for name in _SUMMED:
            sums[name] += getattr(batch, name)
    return found


def _by_lane(files: Iterable[LakeFile]) -> list[list[LakeFile]]:
    """The files of each lane, the newest receipts first: sequences of different lanes say nothing of each other."""
    found: dict[str, list[LakeFile]] = {}
    for file in files:
        first, last = file.statistics["lane"]
        found.setdefault(first if first == last else file.path, []).append(file)
    return [sorted(of, key=lambda file: file.statistics["sequence"][1], reverse=True) for of in found.values()]


def _outcomes(changes: Iterable[HourChange]) -> list[HourOutcome]:
    return [
        HourOutcome(
            change.hour,
            {
                "records": change.rows_after,
                "rows_before": change.rows_before,
                "rows_after": change.rows_after,
                "changed": change.changed,
                "kept": change.kept,
            },
            change.note,
        )
        for change in changes
    ]


def _is_closed(hour: str, now: int) -> bool:
    return hour_start(hour) + HOUR_US <= now


def _tests(path: Path, began: float) -> dict[str, tuple[bool, str]]:
    """What dbt said of its tests in a build that began at `began` (seconds since the epoch)."""
    if not path.is_file() or path.stat().st_mtime < began:
        return {}
    results = json.loads(path.read_text(encoding="utf-8"))["results"]
    return {
        result["unique_id"]: (result["status"] in {"pass", "warn"}, " ".join(str(result["message"] or "").split()))
        for result in results
        if result["unique_id"].startswith("test.") and result["status"] != "skipped"
    }
