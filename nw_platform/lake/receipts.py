"""The `receipts` table: one row per receipt, kept for ever, read back as the chain that it is.

The table is appended to right after the commit that carries the same receipt as metadata. The lane's application
transaction makes that idempotent, so a run that died between the two leaves nothing that the next cannot mend.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, overload

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nw_platform.errors import CommitConflictError, LakeError
from nw_platform.lake.store import RECEIPTS_SCHEMA, Lake
from nw_platform.lake.tables import RECEIPT_KEY, LakeFile, Snapshot, file_name
from nw_platform.record.hours import to_datetime, to_us
from nw_platform.record.spans import Receipt, Span

_JSON_COLUMNS: Final = ("spans", "positions", "event_hours", "detail")


def receipts_app(stream: str, lane: str) -> str:
    """The app id whose version is the last sequence of a lane in the `receipts` table."""
    return f"{stream}/{lane}"


def append_receipts(lake: Lake, receipts: Sequence[Receipt], now: int) -> None:
    """Append receipts of one lane, in sequence, that are not there yet. Can be repeated."""
    if not receipts:
        return
    table = lake.receipts()
    app = receipts_app(receipts[0].stream, receipts[0].lane)
    while True:
        snapshot = table.ensure()
        have = snapshot.transaction(app)
        new = [receipt for receipt in receipts if receipt.sequence > have]
        if not new:
            return
        written = []
        for receipt in new:  # one file each: a day's partition is named by the receipt's own day
            partition = {"stream": receipt.stream, "dt": receipt.arrival_hour[:10]}
            name = file_name(receipt.lane, receipt.sequence)
            with table.writer(name, RECEIPTS_SCHEMA, partition, statistics=("sequence", "lane")) as writer:
                writer.write(to_rows([receipt]))
                written.append(writer.close())
        try:
            snapshot.commit(add=written, transactions={app: new[-1].sequence}, metadata={}, now=now)
        except CommitConflictError:
            table.discard(written)
            continue  # another run wrote the same receipts, or another stream's: look again
        return


def to_rows(receipts: Iterable[Receipt]) -> pa.Table:
    """Rows of the table's schema."""
    return pa.Table.from_pylist(
        [
            {
                **{name: getattr(r, name) for name in RECEIPTS_SCHEMA.names if name not in _JSON_COLUMNS},
                "planned_time": to_datetime(r.planned_time),
                "spans": _json([span.as_json() for span in r.spans]),
                "positions": _json(r.positions),
                "event_hours": _json(r.event_hours),
                "detail": _json(r.detail),
            }
            for r in receipts
        ],
        schema=RECEIPTS_SCHEMA,
    )


def from_rows(rows: pa.Table, stream: str) -> list[Receipt]:
    """The receipts that `to_rows` wrote; without spans if `rows` have none."""
    found = []
    names = [name for name in RECEIPTS_SCHEMA.names if name in rows.schema.names]
    for row in rows.select(names).to_pylist():
        spans = tuple(Span.from_json(span) for span in json.loads(row.pop("spans", "[]")))
        decoded = {name: json.loads(row.pop(name)) for name in _JSON_COLUMNS if name != "spans"}
        row["planned_time"] = to_us(row["planned_time"])
        found.append(Receipt(stream=stream, spans=spans, **decoded, **row))
    return found


class ReceiptLog(Sequence[Receipt]):
    """A lane's receipts as of one snapshot, oldest first; read from storage only as far as they are looked at."""

    def __init__(self, lake: Lake, snapshot: Snapshot | None, stream: str, lane: str) -> None:
        self._lake, self._stream, self.lane = lake, stream, lane
        files = snapshot.files(stream=[stream]) if snapshot else []
        mine = [
            f for f in files if "lane" not in f.statistics or f.statistics["lane"][0] <= lane <= f.statistics["lane"][1]
        ]
        self._files = sorted(mine, key=_last_sequence)
        # Not by the files: a compacted one has the receipts of several lanes.
        self._length = snapshot.transaction(receipts_app(stream, lane)) + 1 if snapshot else 0

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Receipt: ...
    @overload
    def __getitem__(self, index: slice) -> list[Receipt]: ...
    def __getitem__(self, index: int | slice) -> Receipt | list[Receipt]:
        if isinstance(index, slice):
            start, stop, step = index.indices(self._length)
            wanted = range(start, stop, step)
            if not wanted:
                return []
            low = min(wanted)
            found = self._read(low, max(wanted))
            return [found[number - low] for number in wanted]
        at = index + self._length if index < 0 else index
        if not 0 <= at < self._length:
            raise IndexError(f"no receipt {index} of lane {self.lane} of stream {self._stream}")
        return self._read(at, at)[0]

    def __iter__(self) -> Iterator[Receipt]:
        yield from self._read(0, self._length - 1)

    def _read(self, low: int, high: int) -> list[Receipt]:
        """The receipts from `low` to `high`, both included. Without one of them nobody knows what was read.

        Raises:
            LakeError: one is not there, or cannot be read.
        """
        files = [f for f in self._files if _first_sequence(f) <= high and _last_sequence(f) >= low]
        sequence = pc.field("sequence")
        wanted = (pc.field("lane") == self.lane) & (sequence >= low) & (sequence <= high)
        found = read_receipt_files(self._lake, files, self._stream, wanted=wanted)
        by_sequence = {receipt.sequence: receipt for receipt in found}
        if missing := [number for number in range(low, high + 1) if number not in by_sequence]:
            raise LakeError(
                f"receipt {missing[0]} of lane {self.lane} of stream {self._stream} is gone from the table receipts; "
                f"run: nw repair {self._stream}"
            )
        return [by_sequence[number] for number in range(low, high + 1)]


def read_receipt_files(
    lake: Lake, files: Iterable[LakeFile], stream: str, *, wanted: pc.Expression | None = None, spans: bool = True
) -> list[Receipt]:
    """The receipts in some files of the table, in the files' order: all or those `wanted`, with or without spans."""
    found: list[Receipt] = []
    columns = None if spans else [name for name in RECEIPTS_SCHEMA.names if name != "spans"]
    for file in files:
        try:
            with lake.files.open_input_file(f"receipts/{file.path}") as handle:
                rows = pq.ParquetFile(handle).read(columns=columns)
        except (OSError, pa.ArrowException) as error:
            told = " ".join(str(error).split())[:200]
            raise LakeError(
                f"receipts of stream {stream} cannot be read ({file.path}): {told}; run: nw repair {stream}"
            ) from error
        try:
            # Decoding is what costs: a day's file may hold the spans of 100,000 files.
            found.extend(from_rows(rows if wanted is None else rows.filter(wanted), stream))
        except (TypeError, ValueError, KeyError, AttributeError, pa.ArrowException) as error:
            raise LakeError(f"{file.path} of receipts is no file of receipts; run: nw repair {stream}") from error
    return found


def load_receipts(lake: Lake, stream: str | None = None, *, spans: bool = True) -> list[Receipt]:
    """Every receipt (of one stream), by stream, epoch, lane and sequence.

    Without `spans`, which are nearly all of it, a receipt has none: enough to count by, not to take its digest.
    """
    snapshot = lake.receipts().snapshot()
    if snapshot is None:
        return []
    files = snapshot.files() if stream is None else snapshot.files(stream=[stream])
    by_stream: dict[str, list[LakeFile]] = {}
    for file in files:
        by_stream.setdefault(file.partition["stream"], []).append(file)
    found = [r for name, group in by_stream.items() for r in read_receipt_files(lake, group, name, spans=spans)]
    return sorted(found, key=lambda r: (r.stream, *r.place))


def receipts_metadata(receipts: Sequence[Receipt]) -> dict[str, str]:
    """The metadata of a commit that carries receipts: one canonical form a line."""
    return {RECEIPT_KEY: "\n".join(receipt.canonical() for receipt in receipts)}


def receipts_of_commit(metadata: dict[str, Any]) -> list[Receipt]:
    """The receipts that a commit of `raw` carries, if it carries any."""
    return [Receipt.parse(line) for line in str(metadata.get(RECEIPT_KEY, "")).split("\n") if line]


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _first_sequence(file: LakeFile) -> int:
    return int(file.statistics["sequence"][0])


def _last_sequence(file: LakeFile) -> int:
    return int(file.statistics["sequence"][1])
