"""`nw repair`, for the table `receipts`: what it lost is taken from its files on disk and from raw's commits.

Receipts prove themselves: each is named by its digest in the one after it. Of two that claim one place, the one that
its follower names is taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import pyarrow.fs as pafs

from nw_platform.errors import LakeError
from nw_platform.lake.lakefiles import bad_receipt_files
from nw_platform.lake.parquet import WrittenFile
from nw_platform.lake.receipts import (
    read_receipt_files,
    receipts_app,
    receipts_of_commit,
    to_rows,
)
from nw_platform.lake.store import RECEIPTS_SCHEMA, Lake
from nw_platform.lake.tables import LakeFile, Snapshot, file_name
from nw_platform.record.spans import FIRST_DIGEST, Receipt

Place = tuple[str, int]  # lane, sequence


@dataclass(slots=True)
class ReceiptsRepaired:
    """What became of the receipts of one stream."""

    restored: int = 0
    missing: list[str] = field(default_factory=list)  # which ones cannot be had again, in words


def repair_receipts(lake: Lake, stream: str, now: int) -> ReceiptsRepaired:
    """Put back the receipts of a stream that the table lacks or whose files cannot be read.

    Raises:
        LakeError: the lake cannot be read or written.
    """
    table = lake.receipts()
    snapshot = table.snapshot()
    there = snapshot.files(stream=[stream]) if snapshot is not None else []
    bad = bad_receipt_files(lake, stream)
    good, broken = _read_each(lake, [file for file in there if file.path not in bad], stream)
    left, _ = _read_each(lake, [file for file in there if file.path in bad], stream)
    broken += [file for file in there if file.path in bad]
    candidates = [*good, *left, *_on_disk(lake, stream, {file.path for file in there}), *_in_commits(lake, stream)]
    chosen = _chosen(candidates)
    have = {(r.lane, r.sequence): r for r in good}
    lacking = [receipt for place, receipt in sorted(chosen.items()) if have.get(place) != receipt]
    done = ReceiptsRepaired(len(lacking), _holes(stream, chosen, _ends(lake, stream, snapshot, chosen)))
    if lacking or broken:
        wrong = {(r.lane, r.sequence) for r in lacking} & have.keys()
        if wrong:  # two receipts of one place: the stream's receipts are written anew, each once
            broken, lacking = list(there), [receipt for _, receipt in sorted(chosen.items())]
        _commit(lake, stream, lacking, broken, chosen, now)
    return done


def _commit(
    lake: Lake,
    stream: str,
    receipts: Sequence[Receipt],
    remove: Sequence[LakeFile],
    chosen: dict[Place, Receipt],
    now: int,
) -> None:
    """Write receipts, one file a day and lane, and move the lanes' transactions to the last ones that there are."""
    table = lake.receipts()
    snapshot = table.ensure()
    groups: dict[tuple[str, str], list[Receipt]] = {}
    for receipt in receipts:
        groups.setdefault((receipt.arrival_hour[:10], receipt.lane), []).append(receipt)
    written: list[WrittenFile] = []
    for (day, lane), group in sorted(groups.items()):
        partition = {"stream": stream, "dt": day}
        name = file_name(lane, group[-1].sequence)
        with table.writer(name, RECEIPTS_SCHEMA, partition, statistics=("sequence", "lane")) as writer:
            writer.write(to_rows(group))
            written.append(writer.close())
    lasts: dict[str, int] = {}
    for lane, sequence in chosen:
        lasts[lane] = max(sequence, lasts.get(lane, -1))
    moves = {receipts_app(stream, lane): last for lane, last in lasts.items()}
    still_there = {file.path for file in snapshot.files(stream=[stream])}
    gone = [file for file in remove if file.path in still_there]
    snapshot.commit(add=written, remove=gone, transactions=moves, metadata={}, now=now)


def _read_each(lake: Lake, files: Iterable[LakeFile], stream: str) -> tuple[list[Receipt], list[LakeFile]]:
    """The receipts in files that can be read, and the files that cannot."""
    good: list[Receipt] = []
    broken: list[LakeFile] = []
    for file in files:
        try:
            good += read_receipt_files(lake, [file], stream)
        except LakeError:
            broken.append(file)
    return good, broken


def _on_disk(lake: Lake, stream: str, named: set[str]) -> list[Receipt]:
    """Receipts in files of the table's folder that its log does not name."""
    root = lake.receipts().path
    selector = pafs.FileSelector(f"{root}/stream={stream}", allow_not_found=True, recursive=True)
    files = []
    for info in lake.files.get_file_info(selector):
        path = info.path.removeprefix(f"{root}/")
        if info.type == pafs.FileType.File and path.endswith(".parquet") and path not in named:
            files.append(LakeFile(path, f"{lake.receipts().url}/{path}", {"stream": stream}, 0, 0, {}))
    return _read_each(lake, files, stream)[0]


def _in_commits(lake: Lake, stream: str) -> list[Receipt]:
    """Receipts that raw's commits carry: those of the last days."""
    try:
        raw = lake.raw(stream).snapshot()
        commits = raw.history() if raw is not None else []
    except LakeError:
        return []
    return [receipt for commit in commits for receipt in receipts_of_commit(commit) if receipt.stream == stream]


def _chosen(candidates: Iterable[Receipt]) -> dict[Place, Receipt]:
    """One receipt for each place: where there are several, the one that the receipt after it names."""
    by_place: dict[Place, dict[str, Receipt]] = {}
    for receipt in candidates:
        by_place.setdefault((receipt.lane, receipt.sequence), {}).setdefault(receipt.self_digest(), receipt)
    chosen: dict[Place, Receipt] = {}
    for lane, sequence in sorted(by_place, reverse=True):  # from the last one of a lane back to its genesis
        claims = by_place[lane, sequence]
        follower = chosen.get((lane, sequence + 1))
        wanted = follower.previous_digest if follower is not None else ""
        chosen[lane, sequence] = claims.get(wanted) or next(iter(claims.values()))
    return chosen


def _ends(lake: Lake, stream: str, snapshot: Snapshot | None, chosen: dict[Place, Receipt]) -> dict[str, int]:
    """Lane -> the last sequence that anything knows of: receipts, the table's transactions, raw's."""
    ends: dict[str, int] = {}
    for lane, sequence in chosen:
        ends[lane] = max(sequence, ends.get(lane, -1))
    try:
        raw = lake.raw(stream).snapshot()
    except LakeError:
        raw = None
    for lane in ends or {"0.0": -1}:
        in_table = snapshot.transaction(receipts_app(stream, lane)) if snapshot is not None else -1
        in_raw = raw.transaction(lane) if raw is not None else -1
        ends[lane] = max(ends.get(lane, -1), in_table, in_raw)
    return ends


def _holes(stream: str, chosen: dict[Place, Receipt], ends: dict[str, int]) -> list[str]:
    """The receipts that are nowhere, in words."""
    told = []
    for lane, end in sorted(ends.items()):
        absent = [n for n in range(end + 1) if (lane, n) not in chosen]
        for first, last in _runs(absent):
            which = f"receipt {first}" if first == last else f"receipts {first} to {last}"
            told.append(
                f"{which} of lane {lane} of stream {stream}: neither on disk nor in raw's commits; "
                "restore the folder `receipts` from a backup, then run the repair again"
            )
        follows = chosen.get((lane, 0))
        if follows is not None and follows.previous_digest != FIRST_DIGEST:
            told.append(f"receipt 0 of lane {lane} of stream {stream} is no genesis: it was altered")
    return told


def _runs(numbers: Sequence[int]) -> Iterable[tuple[int, int]]:
    """Numbers in ascending order as (first, last) of each run without a gap."""
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs
