"""Finds report files that are damaged, or are not what their name says, and names the command that makes them anew.

A report file is a function of logs, so a damaged one is built again. What a build is about to merge or to replace is
looked at first; `nw verify` looks at all.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from nw_platform.errors import LakeError
from nw_platform.record.hours import HOUR_US, hour_of, hour_start, next_hour, period_of
from nw_platform.reports.publish import ReportFiles, report_files, report_path
from nw_platform.reports.tables import INT_VALUE_COUNTS, REPORT_TABLES, TABLES

MERGED_GRAINS: Final = ("hour", "day", "month")
_TYPE: Final = ("period", "stream", "log_type", "log_version")
# Tables that longer periods are merged from -> columns without which that fails.
MERGED: Final[Mapping[str, Collection[str]]] = {
    "int_type_counts": (*_TYPE, "datacenter", "host", "process", "lines", "parsed", "duplicates"),
    "int_type_minutes": (*_TYPE, "minutes_present"),
    "int_key_counts": (*_TYPE, "host", "key", "types", "present"),
    INT_VALUE_COUNTS.name: tuple(INT_VALUE_COUNTS.stored()),
}
_NEW_COLUMNS: Final = frozenset({"other_keys", "counts_are_exact"})  # files of older versions lack them
_NAMED: Final = re.compile(r"reports/([a-z_]+)/grain=(\w+)/dt=[^/'\"]+/([^/'\"]+)\.parquet")


@dataclass(frozen=True, slots=True)
class Damage:
    """One file. `path`: below the folder of report files."""

    path: str
    table: str
    grain: str
    period: str
    problem: str

    def told(self) -> str:
        """One line: the file, what is wrong with it, and the repair."""
        return f"report file {self.path} is damaged: {self.problem}; run: {repair(self.grain, self.period)}"


def repair(grain: str, period: str) -> str:
    """The command that builds the file of a period again."""
    if grain == "all":
        return "nw build 1971-01-01 2200-01-01"
    first, last = bounds_of(grain, period)
    return f"nw build {first} {last}"


def bounds_of(grain: str, period: str) -> tuple[str, str]:
    """The first hour of a period and the hour after its last, as `nw build` takes them: days where they are days."""
    if grain == "hour":
        return period, next_hour(period)
    start = hour_start(f"{period}T00")
    days = {"day": 1, "week": 7, "month": 31}[grain]
    inside = [start + n * 24 * HOUR_US for n in range(days)]
    last = max(at for at in inside if period_of(grain, hour_of(at)) == period)
    return period, hour_of(last + 24 * HOUR_US)[:10]


def look(root: str, tables: Mapping[str, Collection[str]], periods: Mapping[str, Collection[str]]) -> list[Damage]:
    """The damaged files among those of some tables (name -> columns they must have) and periods, by grain."""
    files = report_files(root)
    found = []
    for table, columns in tables.items():
        for grain, wanted in periods.items():
            for period in sorted(wanted):
                path = report_path(table, grain, period)
                if (problem := _problem(files, path, period, columns)) is not None:
                    found.append(Damage(path, table, grain, period, problem))
    return found


def look_at_all(root: str) -> Iterator[str]:
    """A line for each damaged report file of a lake, and for each file that no report has the name of."""
    files = report_files(root)
    tables: dict[str, Collection[str]] = dict(MERGED)
    for name in REPORT_TABLES:
        tables[name] = [column for column in TABLES[name].stored() if column not in _NEW_COLUMNS]
    for table, columns in tables.items():
        grains = TABLES[table].grains if table in TABLES else MERGED_GRAINS
        for grain in grains:
            folder = f"{table}/grain={grain}"
            for path in files.below(folder):
                period = path.rpartition("/")[2].removesuffix(".parquet")
                if (problem := _problem(files, path, period, columns)) is not None:
                    yield Damage(path, table, grain, period, problem).told()
            for path in files.foreign(folder):
                yield f"{path} is in the folder of report files, but has no report's name: it is not read; delete it"


def named_in(text: str) -> str | None:
    """The line to show for an error of DuckDB that names a report file; None if it names none."""
    place = _NAMED.search(text)
    if place is None:
        return None
    return f"report file {place[0].removeprefix('reports/')} cannot be read: {_cause(text)}; run: " + repair(
        place[2], place[3]
    )


def _cause(text: str) -> str:
    head = " ".join(text.split("\n", 1)[0].split())
    return head if len(head) <= 200 else f"{head[:200]}..."  # noqa: PLR2004  (characters)


def _problem(files: ReportFiles, path: str, period: str, columns: Iterable[str]) -> str | None:
    try:
        data = files.data(path)
        if data is None:
            return None
        file = pq.ParquetFile(pa.BufferReader(data))
        if missing := [name for name in columns if name not in file.schema_arrow.names]:
            return f"it has no column {missing[0]}"
        periods = set(file.read()["period"].unique().to_pylist()) - {period}
    except (OSError, pa.ArrowException, LakeError) as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    return f"it holds rows of {min(map(str, periods))}" if periods else None
