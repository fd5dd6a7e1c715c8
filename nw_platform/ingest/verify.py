"""`nw verify`: what the receipts say, held against what is in the lake.

chain       sequences without a gap, each receipt holding the digest of the one before it
spans       no gap and no overlap inside any file or partition
files       every file that a table names is there, and is one of that table
vanished    files that are gone with bytes that may be unread, as receipts say
lost        what a source had deleted before it was read: that it is gone is known, and so it is no gap
raw         every batch's records have the digest that its receipt says; nothing is there that no receipt knows
logs        every position of raw is in `logs` or `duplicates`, exactly once, and nothing else is
orphans     files that no commit names; they are never read, and are no finding
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import duckdb

from nw_platform.errors import LakeError, NeverwinterError
from nw_platform.ingest.batches import CurrentBatch, current_batches
from nw_platform.ingest.completeness import hour_balances
from nw_platform.ingest.filefates import fates_of_files
from nw_platform.ingest.lanes import lanes_by_epoch
from nw_platform.ingest.outcome import Progress, silent
from nw_platform.ingest.positions import balance, strangers
from nw_platform.ingest.rawrows import batch_rows
from nw_platform.ingest.session import Session
from nw_platform.lake.agreement import lanes_behind, last_receipts, logs_ahead
from nw_platform.lake.lakefiles import BadFile, bad_alert_files, bad_files
from nw_platform.lake.receipts import load_receipts, receipts_app, receipts_of_commit
from nw_platform.lake.store import Lake
from nw_platform.lake.unreadable import repair_of, told
from nw_platform.record.spans import FIRST_DIGEST, Receipt, Span

_FIRST: Final = "0000-00-00T00"
_LAST: Final = "9999-99-99T99"


@dataclass(frozen=True, slots=True)
class Finding:
    """One difference."""

    stream: str
    what: str  # chain | unfinished | spans | vanished | lost | raw | logs | receipts | duplicates | alerts | table
    where: str
    detail: str


@dataclass(slots=True)
class VerifyReport:
    """What was looked at, and every difference."""

    findings: list[Finding] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    batches: int = 0
    records: int = 0
    files: dict[str, str] = field(default_factory=dict)  # stream of files -> what is proven of them, and what is not


def verify(
    session: Session,
    stream: str | None = None,
    first: str | None = None,
    last: str | None = None,
    *,
    progress: Progress = silent,
) -> VerifyReport:
    """Hold the lake against its receipts, for the arrival hours from `first` to before `last`. Writes nothing."""
    report = VerifyReport()
    names = list(session.settings.streams) if stream is None else [session.settings.stream(stream).name]
    for name in names:
        try:
            _verify_stream(session.lake, name, first, last, report, progress)
        except (NeverwinterError, OSError) as error:
            detail = f"{_one_line(error)}"
            report.findings.append(Finding(name, "table", "", detail))
    try:
        report.findings += [_of_file("", bad) for bad in bad_alert_files(session.lake)]
    except LakeError as error:
        report.findings.append(Finding("", "table", "alerts", str(error)))
    _find_orphans(session.lake, names, report)
    return report


def _verify_stream(
    lake: Lake, name: str, first: str | None, last: str | None, report: VerifyReport, progress: Progress
) -> None:
    """Verify one stream; what is found is added to the report. Raises LakeError if a table cannot be read at all."""
    damaged = list(bad_files(lake, name))
    report.findings += [_of_file(name, bad) for bad in damaged]
    lost = list(_lost_commits(lake, name))
    report.findings += lost
    receipts = load_receipts(lake, name)
    waiting = _waiting(lake, name, receipts)
    unfinished = _unfinished(lake, name, receipts, waiting)
    report.findings += [*_chain(name, receipts), *_end(lake, name, receipts), *unfinished, *_spans(name, receipts)]
    fates = fates_of_files(receipts)
    if fates is not None and fates.contents:
        report.files[name] = fates.told()
        report.findings += [
            Finding(name, "vanished", f"{source}/{number}", reason)
            for (source, number), reason in fates.vanished.items()
        ]
    low, high = first or _FIRST, last or _LAST
    inside = [b for b in current_batches(receipts) if low <= b.arrival_hour < high]
    there = [batch for batch in inside if not batch.expired]
    for done, batch in enumerate(there):
        progress(done, len(there), f"{name} {batch.lane}/{batch.sequence}")
        report.batches += 1
        report.records += batch.records
        report.findings += _batch(lake, name, batch)
    if not any(bad.table in {"raw", "logs", "duplicates"} for bad in damaged):
        contents = [*_contents(lake, name, there, low, high, [*waiting, *_partly_expired(receipts, there)])]
        whole_lake = first is None and last is None
        report.findings += contents or (_hours(lake, name, receipts, waiting) if whole_lake else [])
    progress(len(there), len(there), name)


def _of_file(stream: str, bad: BadFile) -> Finding:
    return Finding(stream, bad.table, f"file {bad.file.path}", bad.told())


def _lost_commits(lake: Lake, stream: str) -> Iterable[Finding]:
    """What one table knows and those that come before it do not: commits were lost."""
    logs = lake.logs(stream).snapshot()
    lasts = last_receipts(lake.receipts().snapshot(), stream)
    raw = lake.raw(stream).snapshot()
    for lane in lanes_behind(raw, lasts):
        yield Finding(stream, "raw", f"lane {lane.lane}", f"{lane.told()}: raw lost commits; run: nw repair {stream}")
    for ahead in logs_ahead(logs, raw, lasts):
        yield Finding(stream, "logs", "lanes", f"{ahead}; run: nw repair {stream}")


def _find_orphans(lake: Lake, streams: Sequence[str], report: VerifyReport) -> None:
    tables = [table for name in streams for table in (lake.raw(name), lake.logs(name))]
    for table in (*tables, lake.receipts(), lake.duplicates()):
        with contextlib.suppress(LakeError):  # a table that cannot be read is a finding
            report.orphans += [f"{table.path}/{path}" for path in table.orphans()]


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _chain(stream: str, receipts: Sequence[Receipt]) -> Iterable[Finding]:
    by_lane: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        by_lane.setdefault(receipt.lane, []).append(receipt)
    digests = {(r.lane, r.sequence): r.self_digest() for r in receipts}
    known = {(lane, digest) for (lane, _), digest in digests.items()}
    for lane, chain in by_lane.items():
        expected, digest = 0, FIRST_DIGEST
        for receipt in chain:
            where = f"receipt {lane}/{receipt.sequence} ({receipt.arrival_hour})"
            if receipt.sequence != expected:
                detail = f"is not the next one: {expected} was expected, so receipts are missing or there twice"
                yield Finding(stream, "chain", where, detail)
            elif receipt.kind == "genesis" and not known.issuperset(receipt.detail.get("after", {}).items()):
                detail = "follows on lanes whose last receipts are not those it names: one was altered or removed"
                yield Finding(stream, "chain", where, detail)
            elif receipt.previous_digest != digest:
                detail = "does not hold the digest of the receipt before it: one of them was altered"
                yield Finding(stream, "chain", where, detail)
            expected, digest = receipt.sequence + 1, digests[lane, receipt.sequence]


def _end(lake: Lake, stream: str, receipts: Sequence[Receipt]) -> Iterable[Finding]:
    """The end of each chain, which no later receipt vouches for: held against raw's commits and transactions."""
    raw, table = lake.raw(stream).snapshot(), lake.receipts().snapshot()
    if raw is None or table is None:
        return
    known = {(receipt.lane, receipt.sequence): receipt for receipt in receipts}
    for lane in sorted({receipt.lane for receipt in receipts}):
        last = max(sequence for of, sequence in known if of == lane)
        if last != table.transaction(receipts_app(stream, lane)):
            detail = f"the table ends at {last}, its transaction says {table.transaction(receipts_app(stream, lane))}"
            yield Finding(stream, "chain", f"lane {lane}", detail)
    for commit in raw.history():
        for receipt in receipts_of_commit(commit):
            mine = known.get((receipt.lane, receipt.sequence))
            if mine is not None and mine.canonical() != receipt.canonical():
                where = f"receipt {receipt.lane}/{receipt.sequence} ({receipt.arrival_hour})"
                yield Finding(stream, "chain", where, "is not what raw's commit says: it was altered")


def _partly_expired(receipts: Sequence[Receipt], batches: Sequence[CurrentBatch]) -> list[tuple[str, int]]:
    """(lane, sequence) of batches with event hours that retention deleted: their positions cannot all be in logs."""
    removed = {hour for r in receipts if r.kind == "retention" for hour in r.detail.get("logs", [])}
    return [(b.lane, b.sequence) for b in batches if removed & b.event_hours.keys()]


def _hours(
    lake: Lake, stream: str, receipts: Sequence[Receipt], waiting: Sequence[tuple[str, int]]
) -> Iterable[Finding]:
    """Event hours whose counts differ, also where raw is gone and positions cannot be compared any more."""
    open_ = {hour for r in receipts if (r.lane, r.sequence) in set(waiting) for hour in r.event_hours}
    for hour, found in hour_balances(lake, stream).items():
        if not found.whole and hour not in open_:
            detail = f"receipts say {found.raw} records, logs hold {found.logs} and duplicates {found.duplicates}"
            yield Finding(stream, "logs", f"event hour {hour}", detail)


def _waiting(lake: Lake, stream: str, receipts: Sequence[Receipt]) -> list[tuple[str, int]]:
    """(lane, sequence) of batches that are in raw and not in logs yet."""
    logs = lake.logs(stream).snapshot()
    applied = {lane: logs.transaction(lane) if logs else -1 for lane in {receipt.lane for receipt in receipts}}
    behind = [r for r in receipts if r.sequence > applied[r.lane] and (r.records or r.kind == "replay")]
    return sorted({(r.lane, r.sequence if r.replaces is None else r.replaces) for r in behind})


def _unfinished(
    lake: Lake, stream: str, receipts: Sequence[Receipt], waiting: Sequence[tuple[str, int]]
) -> Iterable[Finding]:
    raw, table = lake.raw(stream).snapshot(), lake.receipts().snapshot()
    lanes = {lane for of_epoch in lanes_by_epoch(raw) for lane in of_epoch}
    for lane in sorted({receipt.lane for receipt in receipts} | lanes):
        committed = raw.transaction(lane) if raw else -1
        known = table.transaction(receipts_app(stream, lane)) if table else -1
        if committed > known:
            detail = f"raw is at {committed}, the receipts table at {known}; run: nw ingest --stream {stream} --once"
            yield Finding(stream, "unfinished", f"lane {lane}", detail)
        open_ = [sequence for of, sequence in waiting if of == lane]
        if open_:
            detail = (
                f"batches {open_[0]} to {open_[-1]} are in raw and not in logs; run: nw ingest --stream {stream} --once"
            )
            yield Finding(stream, "unfinished", f"lane {lane}", detail)


def _spans(stream: str, receipts: Sequence[Receipt]) -> Iterable[Finding]:
    """Per incarnation: each span starts where the one before it ended, a file's first one at 0."""
    ends: dict[tuple[str, int, str], int] = {}
    lost: dict[tuple[str, int, int], int] = {}  # source, partition, first position that was lost -> the one after
    files = any(receipt.kind == "genesis" and "files" in receipt.positions for receipt in receipts)
    for receipt in receipts:
        if receipt.kind != "batch":
            continue
        for problem in receipt.detail.get("problems", []):
            if problem["kind"] != "lost":
                continue
            source, partition, first, end = (problem.get(k) for k in ("source", "partition", "position", "end"))
            if end is not None:
                lost[source, partition, first] = end
            said = f"{problem['reason']} (receipt {receipt.lane}/{receipt.sequence}, {receipt.arrival_hour})"
            yield Finding(stream, "lost", _lost_place(source, partition, first, end), said)
        for span in receipt.spans:
            key = (span.source, span.partition, span.incarnation)
            place = f"{span.source}/{span.partition} [{span.start}, {span.end})"
            where = f"{place} of receipt {receipt.lane}/{receipt.sequence}"
            before = ends.get(key, 0 if files else None)
            while before is not None and before < span.start and (span.source, span.partition, before) in lost:
                before = lost[span.source, span.partition, before]
            if before is not None and span.start != before:
                kind = "gap" if span.start > before else "overlap"
                yield Finding(stream, "spans", where, f"{kind}: the span before it ended at {before}")
            ends[key] = max(span.end, before or 0)
            yield from _odd(stream, span, where)


def _lost_place(source: str, partition: int | None, first: int, end: int | None) -> str:
    """Where something was lost. Without an end it is not known how much: all from `first` on may be."""
    place = source if partition is None else f"{source}/{partition}"
    return f"{place} [{first}, {end})" if end is not None else f"{place} from {first}"


def _odd(stream: str, span: Span, where: str) -> Iterable[Finding]:
    if span.end < span.start:
        yield Finding(stream, "spans", where, "ends before it starts")


def _batch(lake: Lake, stream: str, batch: CurrentBatch) -> Iterable[Finding]:
    try:
        if batch.records:
            batch_rows(lake, stream, batch)
    except NeverwinterError as error:
        yield Finding(stream, "raw", f"batch {batch.lane}/{batch.sequence} ({batch.arrival_hour})", str(error))


def _contents(
    lake: Lake,
    stream: str,
    batches: Sequence[CurrentBatch],
    low: str,
    high: str,
    waiting: Sequence[tuple[str, int]],
) -> Iterable[Finding]:
    try:
        for lane, sequence, hour, records, expected in strangers(lake, stream, batches, low, high):
            detail = f"{records} records in arrival hour {hour}, of which receipts know {expected}"
            yield Finding(stream, "raw", f"batch {lane}/{sequence}", detail)
        for source, partition, start, raw, kept in balance(lake, stream, batches, waiting):
            detail = f"{raw} time(s) in raw, {kept} time(s) in logs and duplicates"
            yield Finding(stream, "logs", f"{source}/{partition} position {start}", detail)
    except duckdb.Error as error:
        command = repair_of(stream, error)
        advice = f"; run: {command}" if command else ""
        yield Finding(stream, "logs", "files", f"cannot be read: {told(error)}{advice}")
