"""`nw repair`: makes a damaged lake whole again, from what is on disk, from raw's commits and from the source.

    1. The log of each table is made readable (lake/mending.py).
    2. Receipts that their table lost are put back.
    3. Raw is brought to what receipts say.
    4. What is in raw and not in logs is applied, as after a crash.
    5. Event hours in which logs and duplicates are not what raw is are rebuilt.
Each step leaves alone what is whole, so that a repair can be repeated, and a repair of a whole lake commits nothing.
What cannot be had again is said, record by record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nw_platform.errors import CommitConflictError, LakeError, NeverwinterError
from nw_platform.ingest.batches import current_batches
from nw_platform.ingest.completeness import hour_balances
from nw_platform.ingest.outcome import Progress, silent
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.rebuild import rebuild
from nw_platform.ingest.recovery import recover_all
from nw_platform.ingest.repairraw import repair_raw
from nw_platform.ingest.repairreceipts import repair_receipts
from nw_platform.ingest.session import Session
from nw_platform.lake.agreement import last_receipts, logs_ahead
from nw_platform.lake.lakefiles import BadFile, bad_alert_files, bad_files
from nw_platform.lake.mending import ASIDE, mend_log, set_log_aside
from nw_platform.lake.receipts import load_receipts
from nw_platform.record.hours import next_hour

_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Repaired:
    """One thing that a repair did, or that it could not do."""

    stream: str
    table: str
    what: str
    is_done: bool = True  # False: it is lost, or something has to be done first


def repair(session: Session, streams: list[str], now: int, *, progress: Progress = silent) -> list[Repaired]:
    """Repair the tables that all streams share, then those of some streams; one entry for each thing done or not.

    Raises:
        LakeError: the storage fails.
    """
    found: list[Repaired] = []
    lake = session.lake
    for table in (lake.receipts(), lake.duplicates(), lake.alerts()):
        found += _mended(session, "", table.path, now)
    found += _alerts_dropped(session, now)
    for number, stream in enumerate(streams):
        progress(number, len(streams), stream)
        found += _repair_stream(session, stream, now)
        session.forget(stream)
    progress(len(streams), len(streams), "")
    return found


def _alerts_dropped(session: Session, now: int) -> Iterator[Repaired]:
    """Damaged files of alerts are taken out of their table: what they said cannot be computed again."""
    lake = session.lake
    gone = {bad.file.path for bad in bad_alert_files(lake)}
    snapshot = lake.alerts().snapshot()
    if not gone or snapshot is None:
        return
    files = [file for file in snapshot.files() if file.path in gone]
    snapshot.commit(remove=files, transactions={}, metadata={}, now=now)
    yield Repaired(
        "", "alerts", f"{len(files)} damaged files were taken out: {sum(f.records for f in files)} rows are lost"
    )


def _mended(session: Session, stream: str, path: str, now: int) -> Iterator[Repaired]:
    lake = session.lake
    tables = [lake.receipts(), lake.duplicates(), lake.alerts()]
    tables += [lake.raw(stream), lake.logs(stream)] if stream else []
    table = next(table for table in tables if table.path == path)
    aside = mend_log(lake, table, now).aside
    if aside:
        shown = ", ".join(aside[:3]) + (f" and {len(aside) - 3} more" if len(aside) > 3 else "")  # noqa: PLR2004
        yield Repaired(stream, path, f"{shown} could not be read and was moved to {table.url}/{ASIDE}")


def _repair_stream(session: Session, stream: str, now: int) -> Iterator[Repaired]:
    lake = session.lake
    for table in (lake.raw(stream), lake.logs(stream)):
        yield from _mended(session, stream, table.path, now)
    receipts = repair_receipts(lake, stream, now)
    if receipts.restored:
        yield Repaired(stream, "receipts", f"{receipts.restored} receipts were put back")
    for missing in receipts.missing:
        yield Repaired(stream, "receipts", missing, is_done=False)
    if receipts.missing:
        return  # nobody knows what was read
    try:
        pipeline = session.pipeline(stream)
        if pipeline is None:
            return
        _restore(session, stream)
        bad = list(bad_files(session.lake, stream))
        yield from _dropped(session, stream, [one for one in bad if one.table in {"logs", "duplicates"}], now)
        yield from _repair_raw(pipeline, {one.file.hour for one in bad if one.table == "raw"}, now)
        yield from _begin_logs_anew(session, stream, now)
        for report in recover_all(session, stream, now):
            told = f"batch {report.lane}/{report.sequence} was applied: {report.records} records"
            yield Repaired(stream, "logs", told)
        yield from _repair_logs(session, stream, now)
    except LakeError:
        raise
    except NeverwinterError as error:
        yield Repaired(stream, "logs", str(error), is_done=False)


def _restore(session: Session, stream: str) -> None:
    """Have the sources stand where the receipts of the newest lanes end: what raw says of lanes may be lost."""
    lasts = last_receipts(session.lake.receipts().snapshot(), stream)
    epoch = max((int(lane.partition(".")[0]) for lane in lasts), default=0)
    for pipeline in session.pipelines(stream):
        pipeline.source.restore(pipeline.receipts(f"{epoch}.{pipeline.index}"))


def _dropped(session: Session, stream: str, bad: list[BadFile], now: int) -> Iterator[Repaired]:
    """Take files that cannot be what was written out of their tables: their hours are rebuilt afterwards."""
    lake = session.lake
    for name, table in (("logs", lake.logs(stream)), ("duplicates", lake.duplicates())):
        gone = {one.file.path for one in bad if one.table == name}
        snapshot = table.snapshot()
        if not gone or snapshot is None:
            continue
        files = [file for file in snapshot.files() if file.path in gone]
        snapshot.commit(remove=files, transactions={}, metadata={}, now=now)
        yield Repaired(stream, name, f"{len(files)} damaged files were taken out; their hours are computed again")


def _repair_raw(pipeline: Pipeline, hours: set[str], now: int) -> Iterator[Repaired]:
    for _ in range(_ATTEMPTS):
        try:
            done = repair_raw(pipeline, hours, now)
        except CommitConflictError:
            continue
        stream = pipeline.stream
        if done.lanes:
            yield Repaired(stream, "raw", f"lanes {', '.join(done.lanes)} stand again where their receipts end")
        if done.from_disk:
            yield Repaired(stream, "raw", f"{done.from_disk} batches were found in files that no commit named")
        if done.from_source:
            yield Repaired(stream, "raw", f"{done.from_source} batches were read from the source again")
        for lost in done.lost:
            name = f"batch {lost.batch.lane}/{lost.batch.sequence} ({lost.batch.arrival_hour})"
            yield Repaired(stream, "raw", f"{name}: {lost.told()}", is_done=False)
        return
    raise LakeError(
        f"stream {pipeline.stream}: gave up after {_ATTEMPTS} commit conflicts; stop other runs, then repair again"
    )


def _begin_logs_anew(session: Session, stream: str, now: int) -> Iterator[Repaired]:
    """Logs that hold batches which nothing else knows any more: they are computed again from raw, all of them."""
    lake = session.lake
    logs, raw = lake.logs(stream).snapshot(), lake.raw(stream).snapshot()
    ahead = logs_ahead(logs, raw, last_receipts(lake.receipts().snapshot(), stream))
    if not ahead:
        return
    receipts = load_receipts(lake, stream, spans=False)
    if any(batch.expired for batch in current_batches(receipts)):
        advice = "logs cannot be computed again, for retention deleted raw; restore the lake from one backup"
        yield Repaired(stream, "logs", f"{'; '.join(ahead)}; {advice}", is_done=False)
        return
    set_log_aside(lake, lake.logs(stream), now)
    yield Repaired(stream, "logs", f"{'; '.join(ahead)}; logs are computed again from raw")


def _repair_logs(session: Session, stream: str, now: int) -> Iterator[Repaired]:
    """Rebuild event hours whose counts differ; an hour that cannot be rebuilt is said and left as it is."""
    for hour, balance in hour_balances(session.lake, stream).items():
        if balance.whole:
            continue
        try:
            (change, *_) = rebuild(session, stream, hour, next_hour(hour), now)
        except NeverwinterError as error:
            yield Repaired(stream, "logs", f"hour {hour} could not be rebuilt: {error}", is_done=False)
            continue
        yield Repaired(stream, "logs", f"hour {hour} was rebuilt: {change.rows_after} records")
