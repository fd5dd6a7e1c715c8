"""One stream whose report cannot be built must not stop those of the others (ADR 20).

A step of a build is done in two parts. First the keys and values of each stream are counted, each by itself: what fails
there concerns one stream, and the tables of keys and values are built without it. Then dbt builds all tables at once.
If that fails, the same step is tried on fewer and fewer streams, publishing nothing, until the streams are known
without which it goes through.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from nw_platform.errors import LakeError
from nw_platform.lake.engine import connect
from nw_platform.reports.counting import StreamCounts, count_stream
from nw_platform.reports.gaps import Gap, Part, one_line
from nw_platform.reports.relations import StepPlan, StreamFiles, hour_of_file, stream_relation_sql

Run = Callable[[StepPlan], None]  # builds a step; raises LakeError

_DISK_FULL: Final = (
    "No space left on device", "not enough space", "max_temp_directory_size", "Disk quota exceeded", "File too large",
    f"Errno {errno.ENOSPC}", f"Errno {errno.EDQUOT}", f"Errno {errno.EFBIG}",
)  # fmt: skip
# What dbt reads of every record.
_ENVELOPE_SCAN: Final = """SELECT count(*), max(event_time), max(datacenter), max(host), max(process), max(log_type),
    max(log_version), max(series), bool_or(spilled), bool_or(late), sum(size_bytes), max(reject_reason),
    max(strlen(message)), max(source), max(source_partition), max(source_start), max(source_end)
    FROM ({})"""


def is_disk_full(text: str) -> bool:
    """Return True if an error says that a disk, or what may be used of it, is full."""
    return any(sign in text for sign in _DISK_FULL)


def disk_full(lake_root: str, work: str, text: str) -> LakeError:
    """The error to raise then."""
    of = re.search(r"'([^']+)'", text)
    place = of[1] if of is not None and "/" in of[1] else f"{work} or of {lake_root}"
    return LakeError(f"reports were not built: the disk of {place} is full; free space there and run: nw build")


def count_streams(step: StepPlan, folder: Path) -> tuple[StepPlan, list[Gap]]:
    """Count the keys and values of every stream of a step.

    Returns:
        the step with the counts, without the streams whose records cannot be read; and what will be missing.

    Raises:
        LakeError: the disk is full.
    """
    counts: list[StreamCounts] = []
    streams: list[StreamFiles] = []
    gaps: list[Gap] = []
    for stream in step.streams:
        try:
            counts.append(count_stream(stream, folder, memory=step.memory))
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            if is_disk_full(str(error)):
                raise disk_full(step.root, step.work, str(error)) from error
            part: Part = "keys" if _is_readable(stream, folder, step.memory) else "all"
            gaps += gaps_of(stream, part, one_line(error))
            if part == "all":
                continue
        streams.append(stream)
    dropped = [stream for stream in step.streams if stream not in streams]
    counted = replace(step, keys=[one.keys for one in counts], values=[one.values for one in counts])
    return without(counted, dropped), gaps


def gaps_of(stream: StreamFiles, part: Part, reason: str) -> list[Gap]:
    """A gap for every hour that the stream has files of."""
    hours = sorted({hour_of_file(url) for url in stream.urls})
    return [Gap(hour, stream.stream, part, reason) for hour in hours]


def without(step: StepPlan, dropped: Sequence[StreamFiles]) -> StepPlan:
    """The step without some streams: their records, their duplicates and their counts."""
    names = {stream.stream for stream in dropped}
    marks = tuple(f"/stream={name}/" for name in names)
    return replace(
        step,
        streams=[stream for stream in step.streams if stream.stream not in names],
        duplicates=[url for url in step.duplicates if not any(mark in url for mark in marks)],
        keys=[path for path in step.keys if Path(path).name.split(".", 1)[0] not in names],
        values=[path for path in step.values if Path(path).name.split(".", 1)[0] not in names],
    )


def culprits(step: StepPlan, run: Run) -> list[tuple[StreamFiles, str]]:
    """The streams because of which a step fails, with the error of each; none if it fails for another reason.

    Nothing is published while they are looked for.
    """
    trial = replace(step, root="")
    if _failure(trial, run) is None or _failure(without(trial, trial.streams), run) is not None:
        return []
    return _among(trial, list(trial.streams), run)


def _among(trial: StepPlan, streams: list[StreamFiles], run: Run) -> list[tuple[StreamFiles, str]]:
    """Those of the streams with which a trial fails, halving them until one is left."""
    others = [stream for stream in trial.streams if stream not in streams]
    failure = _failure(without(trial, others), run)
    if failure is None:
        return []
    if len(streams) == 1:
        return [(streams[0], failure)]
    middle = len(streams) // 2
    return [*_among(trial, streams[:middle], run), *_among(trial, streams[middle:], run)]


def _failure(step: StepPlan, run: Run) -> str | None:
    try:
        run(step)
    except LakeError as error:
        return one_line(error)
    return None


def _is_readable(stream: StreamFiles, folder: Path, memory: str) -> bool:
    """Return True if what dbt needs of the stream's records can be read."""
    try:
        with connect(memory=memory, spill=folder / "spill") as connection:
            connection.execute(_ENVELOPE_SCAN.format(stream_relation_sql(stream))).fetchall()
    except duckdb.Error:
        return False
    return True
