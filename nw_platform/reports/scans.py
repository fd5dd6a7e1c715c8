"""SELECTs over the files of a lake table that open no file which a filter rules out, also if there are very many.

DuckDB is told the columns, so that it opens no footer to find out; `dt` and `hour` come from the paths, so that filters
on them leave files out; times keep the type they are stored as, so that filters on them leave row groups out. To judge
tens of thousands of files one by one takes seconds, so where there are many, they are cut into days or months that a
filter rules out as a whole.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from typing import Final

from nw_platform.lake.engine import literal, quoted
from nw_platform.lake.tables import LakeFile

MANY_FILES: Final = 200  # from here on files are cut into days ...
MANY_DAYS: Final = 100  # ... or, if these are more, into months

_PATH: Final = "nw path"  # no column of a stream can have this name


def lake_scan(
    files: Sequence[LakeFile], columns: Mapping[str, str], partitions: Sequence[str], *, time: str | None = None
) -> str:
    """A SELECT of columns and partition columns (as strings) from exactly these files; no files: no rows, typed.

    Args:
        files: of one snapshot.
        columns: name -> DuckDB type as stored. A column that a file does not have is null there.
        partitions: the table's partition columns, in the order of its directories.
        time: a TIMESTAMPTZ column whose UTC day is the partition value `dt`.
    """
    if len(files) < MANY_FILES or "dt" not in partitions:
        return files_scan([f.url for f in files], columns, partitions)
    days = _grouped(files, lambda dt: dt)
    months = len(days) > MANY_DAYS
    groups = _grouped(files, lambda dt: dt[:7]) if months else days
    parts = []
    for name, group in groups.items():
        sql = files_scan([f.url for f in group], columns, partitions, fixed={} if months else {"dt": name})
        limits = []
        if months:
            limits.append(f"dt >= {literal(name)} AND dt <= {literal(name + '-31')}")
        if time is not None:
            first = date.fromisoformat(f"{name}-01" if months else name)
            after = first + timedelta(days=1) if not months else (first + timedelta(days=31)).replace(day=1)
            limits.append(f"{quoted(time)} >= TIMESTAMPTZ '{first} 00:00:00+00'")
            limits.append(f"{quoted(time)} < TIMESTAMPTZ '{after} 00:00:00+00'")
        parts.append(f"SELECT * FROM ({sql}) WHERE {' AND '.join(limits)}" if limits else sql)
    return " UNION ALL ".join(parts)


def files_scan(
    urls: Sequence[str],
    columns: Mapping[str, str],
    partitions: Sequence[str],
    *,
    fixed: Mapping[str, str] | None = None,
    path: str | None = None,
) -> str:
    """As `lake_scan`, in one piece.

    Args:
        urls: of the files.
        columns: as of `lake_scan`.
        partitions: as of `lake_scan`.
        fixed: partition values that are known to be the same for all files.
        path: the name of a column for the file's address; None: without it.

    A time that is stored as TIMESTAMPTZ may be asked for as TIMESTAMP, which is UTC then and cheaper to compute with,
    but filters on it leave nothing out.
    """
    known = fixed or {}
    if not urls:
        typed = [f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in columns.items()]
        typed += [f"CAST(NULL AS VARCHAR) AS {quoted(name)}" for name in partitions]
        return f"SELECT {', '.join(typed)} WHERE false"
    fields = ", ".join(
        f"{literal(name)}: {{name: {literal(name)}, type: {literal(kind)}, default_value: NULL}}"
        for name, kind in columns.items()
    )
    # From the end of the path: the lake itself may lie in a folder that looks like a partition.
    pattern = "".join(f"/{name}=([^/]*)" for name in partitions) + "/[^/]*$"
    places = [
        f"{literal(known[name])} AS {quoted(name)}"
        if name in known
        else f"regexp_extract({quoted(_PATH)}, {literal(pattern)}, {group}) AS {quoted(name)}"
        for group, name in enumerate(partitions, start=1)
    ]
    listed = ", ".join(literal(url) for url in urls)
    source = f"read_parquet([{listed}], schema = MAP {{{fields}}}, filename = {literal(_PATH)})"
    if path is not None:
        places.append(f"{quoted(_PATH)} AS {quoted(path)}")
    return f"SELECT {', '.join([*(quoted(name) for name in columns), *places])} FROM {source}"


def _grouped(files: Sequence[LakeFile], key: Callable[[str], str]) -> dict[str, list[LakeFile]]:
    groups: dict[str, list[LakeFile]] = {}
    for file in files:
        groups.setdefault(key(file.partition["dt"]), []).append(file)
    return groups
