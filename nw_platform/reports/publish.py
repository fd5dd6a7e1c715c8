"""Report files: one Parquet file a period under a fixed name, replaced as a whole and only if its rows differ.

    reports/<table>/grain=<g>/dt=<first day, or all>/<period>.parquet

A new file is written beside the old one under a name that starts with `_` (readers skip such names), made durable, and
renamed over it, so a reader sees the old rows or the new ones and never half a file (P7). If the rows are the same the
old file stays as it is (P3).
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pyarrow.parquet as pq

from nw_platform.record.hours import period_directory


def report_path(root: str | Path, table: str, grain: str, period: str) -> Path:
    """Where the file of a period is."""
    return Path(root) / table / f"grain={grain}" / f"dt={period_directory(grain, period)}" / f"{period}.parquet"


def existing_files(root: str | Path, table: str, grain: str, periods: Iterable[str]) -> list[str]:
    """The files of those periods that were ever built, in the order of the periods."""
    paths = (report_path(root, table, grain, period) for period in periods)
    return [str(path) for path in paths if path.exists()]


def publish_file(source: Path, target: Path) -> bool:
    """Put the file `source` in the place of `target`. Returns False if `target` had the same rows already."""
    if target.exists() and _same_rows(source, target):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.with_name(f"_{target.name}.{os.getpid()}.tmp")
    shutil.copyfile(source, beside)
    with beside.open("rb") as written:
        os.fsync(written.fileno())
    beside.replace(target)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return True


def _same_rows(one: Path, other: Path) -> bool:
    """Equal bytes, or equal rows: the same rows may be cut into pages in different ways."""
    if filecmp.cmp(one, other, shallow=False):
        return True
    first, second = pq.ParquetFile(one), pq.ParquetFile(other)
    if first.metadata.num_rows != second.metadata.num_rows or not first.schema_arrow.equals(second.schema_arrow):
        return False
    return bool(first.read().equals(second.read()))
