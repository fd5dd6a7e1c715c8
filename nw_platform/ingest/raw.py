"""Steps 1 to 3 of the protocol: a batch's exact bytes and its receipt, in one commit to `raw`.

The commit carries the records' file, the receipt (as metadata) and the transaction (lane, sequence): data and
positions cannot part, and of two runs that read the same spans one wins. Then the receipt goes to its own table,
where it stays for ever; if the run dies between the two, the next one takes it from raw's commit history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Final, Self

import pyarrow as pa

from nw_platform.errors import LakeError, NeverwinterError
from nw_platform.ingest.batch import Chunk, raw_rows, span_order
from nw_platform.ingest.steps import Step, reached
from nw_platform.lake.parquet import FileWriter, WrittenFile
from nw_platform.lake.receipts import append_receipts, receipts_app, receipts_metadata, receipts_of_commit
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeFile, Snapshot, file_name
from nw_platform.parsing.contract import Framer
from nw_platform.record.digests import RecordsDigest
from nw_platform.record.envelope import RAW_SCHEMA
from nw_platform.record.hours import hour_of, partition_of
from nw_platform.record.spans import FIRST_DIGEST, Receipt, Span
from nw_platform.sources.contract import Problem, Source, SpanReader

_COMMITTED: Final = {
    "genesis": Step.GENESIS_COMMITTED,
    "batch": Step.RAW_COMMITTED,
    "replay": Step.REPLAY_COMMITTED,
    "retention": Step.RETENTION_RAW_COMMITTED,
}

MakeFramer = Callable[[str | None, int], Framer]


class RawWriter:
    """Writes one raw file beside the reading: a worker compresses while the source goes on, one piece at a time."""

    def __init__(self, writer: FileWriter) -> None:
        self._writer = writer
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="raw")
        self._pending: Future[None] | None = None

    def write(self, rows: pa.Table) -> None:
        """Hand over rows; waits for those before, so at most one piece is in flight."""
        self._settle()
        self._pending = self._pool.submit(self._writer.write, rows)

    def close(self) -> WrittenFile:
        """Finish the file."""
        self._settle()
        return self._writer.close()

    def _settle(self) -> None:
        if self._pending is not None:
            pending, self._pending = self._pending, None
            pending.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if kind is not None:
            self._writer.abort()


def read_spans(
    read: Callable[[Span, MakeFramer], SpanReader],
    spans: tuple[Span, ...],
    make_framer: MakeFramer,
    *,
    lane: str,
    sequence: int,
    planned: int,
    take: Callable[[Chunk], None],
    write: Callable[[pa.Table], None],
) -> tuple[tuple[Span, ...], str, list[Problem]]:
    """Read spans in canonical order by a source's `read`; every chunk goes to `write` (raw) and to `take` (parsing).

    A span whose source fails while it is read is left out with a problem, if none of it was handed out yet; the
    others go on.

    Returns:
        The spans as read, the digest of their records, the problems met.
    """
    digest = RecordsDigest()
    done: list[Span] = []
    problems: list[Problem] = []
    for span in sorted(spans, key=span_order):
        handed_out = False
        try:
            reader = read(span, make_framer)
            for batch in reader.batches:
                if not batch.num_rows:
                    continue
                handed_out = True
                rows = raw_rows(batch, span, lane, sequence, planned)
                digest.update(batch["value"], batch["source_start"], batch["source_end"], batch["key"])
                write(rows)
                take(Chunk(rows, pa.repeat(pa.scalar(span.incarnation), len(rows)), reader.header))
        except NeverwinterError as error:
            if handed_out:
                raise
            problems.append(Problem("unreadable", span.source, span.start, str(error)))
            continue
        reached(Step.SPAN_READ)
        problems.extend(reader.problems)
        if reader.is_news:
            done.append(reader.span)
    return tuple(done), digest.hexdigest(), problems


def commit_raw(
    lake: Lake,
    snapshot: Snapshot,
    receipts: Sequence[Receipt],
    *,
    add: Iterable[WrittenFile] = (),
    remove: Iterable[LakeFile] = (),
    transactions: Mapping[str, int] | None = None,
    now: int,
) -> None:
    """One commit: records, receipts (of each lane in their sequence), transactions. Then the receipts' own table.

    `transactions`: of other lanes, which must not have moved either.

    Raises:
        CommitConflictError: another run took this sequence; what was read is to be forgotten.
    """
    by_lane: dict[str, list[Receipt]] = {}
    for receipt in receipts:
        by_lane.setdefault(receipt.lane, []).append(receipt)
    moves = {lane: of_lane[-1].sequence for lane, of_lane in by_lane.items()}
    snapshot.commit(
        add=add,
        remove=remove,
        transactions={**(transactions or {}), **moves},
        metadata=receipts_metadata(receipts),
        now=now,
    )
    reached(_COMMITTED[receipts[-1].kind])
    for of_lane in by_lane.values():
        append_receipts(lake, of_lane, now)
        reached(Step.RECEIPT_APPENDED)


def next_receipt(last: Receipt, now: int, **fields: Any) -> Receipt:  # noqa: ANN401  (Receipt's fields)
    """The receipt that follows `last` in its lane, planned now. Fields that are not given are those of no records."""
    planned = max(now, last.planned_time)
    blank: dict[str, Any] = {
        "arrival_hour": hour_of(planned),
        "spans": (),
        "positions": last.positions,
        "records": 0,
        "bytes": 0,
        "skipped_lines": 0,
        "digest": RecordsDigest().hexdigest(),
        "event_hours": {},
        "replaces": None,
        "detail": {},
    }
    return last.with_changes(
        **{**blank, **fields},
        sequence=last.sequence + 1,
        previous_digest=last.self_digest(),
        planned_time=planned,
    )


def genesis(source: Source, stream: str, lane: str, planned: int, before: Sequence[Receipt] = ()) -> Receipt:
    """The first receipt of a lane: the positions it starts from, before anything is read.

    `before`: the last receipt of each lane of the epoch before; their digests tie its chains to this one.
    """
    return Receipt(
        stream=stream,
        lane=lane,
        sequence=0,
        kind="genesis",
        arrival_hour=hour_of(planned),
        spans=(),
        positions=source.genesis(planned, [last.positions for last in before]),
        records=0,
        bytes=0,
        skipped_lines=0,
        digest=RecordsDigest().hexdigest(),
        previous_digest=FIRST_DIGEST,
        event_hours={},
        planned_time=planned,
        detail={"after": {last.lane: last.self_digest() for last in before}} if before else {},
    )


def raw_file(lake: Lake, stream: str, lane: str, sequence: int, planned: int) -> FileWriter:
    """A writer for the file of one batch in the partition of its arrival hour."""
    dt, hour = partition_of(hour_of(planned))
    return lake.raw(stream).writer(
        file_name(lane, sequence), RAW_SCHEMA, {"dt": dt, "hour": hour}, statistics=("lane", "sequence")
    )


def missing_receipts(lake: Lake, raw: Snapshot, stream: str, lane: str) -> list[Receipt]:
    """Receipts that were committed with records but did not reach their own table, oldest first.

    Raises:
        LakeError: raw's history does not reach back far enough (the log was cleaned up meanwhile).
    """
    receipts = lake.receipts().snapshot()
    have = receipts.transaction(receipts_app(stream, lane)) if receipts else -1
    last = raw.transaction(lane)
    found: dict[int, Receipt] = {}
    if have >= last:
        return []
    for commit in _newest_first(raw):
        carried = {r.sequence: r for r in receipts_of_commit(commit) if r.lane == lane}
        if carried and max(carried) <= have:
            break
        found.update(carried)
    missing = [n for n in range(have + 1, last + 1) if n not in found]
    if missing:
        raise LakeError(
            f"stream {stream}, lane {lane}: receipts {missing[0]} to {missing[-1]} are neither in the receipts table "
            f"nor in raw's history; run: nw verify {stream}"
        )
    return [found[n] for n in sorted(found) if n > have]


def _newest_first(raw: Snapshot) -> Iterator[dict[str, object]]:
    """Commits from the newest on; a few first, for usually the last one is all that is missing."""
    seen = 0
    for limit in (8, None):
        commits = raw.history(limit)
        yield from commits[seen:]
        seen = len(commits)
