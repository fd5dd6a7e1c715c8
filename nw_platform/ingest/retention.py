"""Step 9 of the protocol: raw and logs are deleted by whole partitions, and a receipt of kind retention says which.

The receipt comes first (in the same commit as raw's removal), so `nw verify` never meets records that are gone without
a word. Removed files stay on disk for `lake_grace`, for readers that still hold the snapshot before.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Final

from nw_platform.errors import CommitConflictError, LakeError
from nw_platform.ingest.dedupe import APPLY_APP, RETENTION_APP
from nw_platform.ingest.outcome import Progress, silent
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.raw import commit_raw, next_receipt
from nw_platform.ingest.recovery import opened, recover
from nw_platform.ingest.session import Session
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.leftovers import delete_leftovers
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeTable
from nw_platform.record.hours import HOUR_US, hour_start

_ATTEMPTS: Final = 20
_LONGEST_WRITE_US: Final = 24 * HOUR_US  # no run writes a file for so long before it commits it


@dataclass(frozen=True, slots=True)
class Expired:
    """What retention removed (or, in a dry run, would remove) of one stream."""

    stream: str
    raw_hours: tuple[str, ...]
    logs_hours: tuple[str, ...]
    raw_records: int
    logs_records: int
    deleted_files: int = 0  # files removed from disk, whose grace was over


def expire(
    session: Session,
    now: int,
    *,
    streams: Collection[str] | None = None,
    dry_run: bool = False,
    progress: Progress = silent,
) -> list[Expired]:
    """Delete what is older than each stream's `retention`, and files whose grace is over. `streams` None: all."""
    results = []
    names = [name for name in session.settings.streams if streams is None or name in streams]
    for done, stream in enumerate(names):
        progress(done, len(names), stream)
        if not session.lake.raw(stream).exists():
            continue
        results.append(_expire_stream(session, stream, now, dry_run=dry_run))
    if results and not dry_run:
        shared = _delete_leftovers(session.lake, ("receipts", "duplicates", "alerts", "reports"), now)
        shared += _vacuum(session.lake.alerts(), now, session.settings.lake_grace_us)
        results[0] = replace(results[0], deleted_files=results[0].deleted_files + shared)
    progress(len(names), len(names), "")
    return results


def _expire_stream(session: Session, stream: str, now: int, *, dry_run: bool) -> Expired:
    declared = session.settings.stream(stream)
    lake = session.lake
    pipeline = None if dry_run else opened(session, stream, now)
    for _ in range(_ATTEMPTS):
        raw, logs = lake.raw(stream).snapshot(), lake.logs(stream).snapshot()
        raw_states = raw.hours() if raw else {}
        logs_states = logs.hours() if logs else {}
        old_raw = [h for h in raw_states if _is_old(h, declared.retention_raw_us, now)]
        old_logs = [h for h in logs_states if _is_old(h, declared.retention_logs_us, now)]
        found = Expired(
            stream,
            tuple(old_raw),
            tuple(old_logs),
            sum(raw_states[h].records for h in old_raw),
            sum(logs_states[h].records for h in old_logs),
        )
        if pipeline is None:
            return found
        try:
            if old_raw or old_logs:
                _remove(pipeline, old_raw, old_logs, now)
        except CommitConflictError:
            recover(pipeline, now)
            continue
        tables = (lake.raw(stream), lake.logs(stream), lake.duplicates(), lake.receipts())
        deleted = sum(_vacuum(table, now, session.settings.lake_grace_us) for table in tables)
        deleted += _delete_leftovers(lake, (lake.raw(stream).path, lake.logs(stream).path), now)
        return replace(found, deleted_files=deleted)
    raise LakeError(f"stream {stream}: other runs commit all the time; run nw retention again later")


def _remove(pipeline: Pipeline, raw_hours: list[str], logs_hours: list[str], now: int) -> None:
    raw = pipeline.lake.raw(pipeline.stream).ensure()
    last = pipeline.receipts()[-1]
    if raw.transaction(pipeline.lane) != last.sequence:
        raise CommitConflictError(f"stream {pipeline.stream}: another run is ahead; looking again")
    files = raw.hour_files(raw_hours)
    receipt = next_receipt(
        last,
        now,
        kind="retention",
        records=0,
        detail={"raw": raw_hours, "logs": logs_hours, "raw_records": sum(f.records for f in files)},
    )
    commit_raw(pipeline.lake, raw, [receipt], remove=files, now=now)
    logs = pipeline.lake.logs(pipeline.stream).snapshot()
    if logs is not None and logs_hours:
        logs.commit(
            remove=logs.hour_files(logs_hours),
            transactions=dict.fromkeys((APPLY_APP, RETENTION_APP), logs.transaction(APPLY_APP) + 1),
            metadata={},
            now=now,
        )
        reached(Step.RETENTION_LOGS_COMMITTED)
    pipeline.resume(pipeline.receipts())


def _is_old(hour: str, retention_us: int | None, now: int) -> bool:
    return retention_us is not None and hour_start(hour) + HOUR_US + retention_us <= now


def _delete_leftovers(lake: Lake, folders: Collection[str], now: int) -> int:
    return sum(delete_leftovers(lake, folder, now - _LONGEST_WRITE_US) for folder in folders)


def _vacuum(table: LakeTable, now: int, grace_us: int) -> int:
    """Delete files that were removed before the grace, and files that no commit ever named and nobody still writes.

    Returns how many files were deleted.
    """
    deleted = 0
    for age_us, full in ((grace_us, False), (max(grace_us, _LONGEST_WRITE_US), True)):
        before = now - age_us
        if table.vacuum(before=before, full=full, dry_run=True):
            deleted += len(table.vacuum(before=before, full=full, dry_run=False))
    return deleted
