"""Counts of the `logs` of some event hours, by DuckDB: one row an hour or a minute comes back, never a record.

Conditions are SQL that somebody wrote into the configuration: each is a query of its own, so that a wrong one is
named and stops nothing else. They see records of series normal and error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import duckdb
import pyarrow as pa

from nw_platform.lake.engine import literal, quoted, scan
from nw_platform.lake.tables import LakeFile
from nw_platform.record.hosts import plain_host, plain_host_sql
from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.watchdog.expectations import SilenceRule, StreamRules, TypesRule, ValuesRule
from nw_platform.watchdog.observations import HourStats

OTHERS: Final = "(others)"
_NEEDED: Final = (
    "event_time", "ingest_time", "datacenter", "host", "log_type", "series", "spilled", "late", "reject_reason"
)  # fmt: skip
_TOP_VALUES: Final = 5
_MOST_TYPES: Final = 1000
_MOST_RECORDS: Final = 2_000_000  # of several streams in one query; one stream's may be more
_MOST_FILES: Final = 2000
_HOUR: Final = f"epoch_us(event_time) // {HOUR_US}"
_MINUTE: Final = f"(epoch_us(event_time) % {HOUR_US} + {HOUR_US}) % {HOUR_US} // 60000000"


@dataclass(slots=True)
class Counted:
    """What was counted in some hours of one stream."""

    hours: dict[str, HourStats] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)  # host -> event time of its last record
    datacenters: dict[str, str] = field(default_factory=dict)  # host -> where it is
    broken: dict[str, str] = field(default_factory=dict)  # condition or column -> why it cannot be evaluated


@dataclass(frozen=True, slots=True)
class CountJob:
    """What is to be counted of one stream: the files of whole event hours of its `logs`."""

    rules: StreamRules
    files: Sequence[LakeFile]
    schema: pa.Schema


def count_streams(
    connection: duckdb.DuckDBPyConnection, jobs: Iterable[CountJob], as_of: int | None = None
) -> dict[str, Counted]:
    """Count the records of some hours of many streams: stream -> counts. Raises duckdb.Error.

    Streams that are declared alike are counted by the same queries: a query costs milliseconds, however few its rows.
    `as_of`: leave out what was ingested later than this instant (microseconds).
    """
    found: dict[str, Counted] = {}
    for group in _alike(jobs):
        counted = {job.rules.stream: Counted() for job in group}
        _count_group(_View(connection, group, as_of), group[0].rules, counted)
        found |= counted
    return found


def _alike(jobs: Iterable[CountJob]) -> Iterator[list[CountJob]]:
    """Groups of jobs that one set of queries can answer, and whose records together are not many."""
    groups: dict[object, list[CountJob]] = {}
    for job in jobs:
        rules = job.rules
        kinds = (rules.reach_us > 0, bool(rules.of(SilenceRule)), bool(rules.of(TypesRule)))
        own = (rules.conditions, tuple((rule.subject, rule.column, rule.allowed) for rule in rules.of(ValuesRule)))
        groups.setdefault((kinds, own, job.schema.to_string()), []).append(job)
    for group in groups.values():
        part: list[CountJob] = []
        files = records = 0
        for job in group:
            mine = sum(file.records for file in job.files)
            if part and (records + mine > _MOST_RECORDS or files + len(job.files) > _MOST_FILES):
                yield part
                part, files, records = [], 0, 0
            part.append(job)
            files, records = files + len(job.files), records + mine
        yield part


def _count_group(view: _View, rules: StreamRules, counted: dict[str, Counted]) -> None:
    """`rules`: of any of the streams, as they ask for the same."""
    _count_lines(view, counted, by_minute=rules.reach_us > 0)
    _count_reasons(view, counted)
    _count_hosts(view, counted, last_seen=bool(rules.of(SilenceRule)))
    if rules.of(TypesRule):
        _count_types(view, counted)
    for condition in rules.conditions:
        _count_condition(view, counted, condition)
    for rule in rules.of(ValuesRule):
        _count_values(view, counted, rule)


class _View:
    """The rows of some files of one or more streams, with the stream each is of."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, jobs: Sequence[CountJob], as_of: int | None) -> None:
        self._connection = connection
        self._schema = jobs[0].schema
        self.names = frozenset(self._schema.names)
        self._files = [file for job in jobs for file in job.files]
        self._stream = None if len(jobs) > 1 else jobs[0].rules.stream
        self._needed = pa.schema([f for f in self._schema if f.name in _NEEDED])
        self._where = "true" if as_of is None else f"epoch_us(ingest_time) <= {int(as_of)}"

    def query(self, select: str, rest: str = "", *, where: str = "true", every_column: bool = False) -> list[Any]:
        """Rows of `SELECT stream, select FROM the rows WHERE where rest`; `rest` groups by `nw_stream`, too."""
        schema = self._schema if every_column else self._needed
        if self._stream is None:
            rows_of = scan(self._files, schema, partitions=("stream",)).replace(' AS "stream"', " AS nw_stream")
        else:
            rows_of = (
                f"SELECT *, {literal(self._stream)} AS nw_stream FROM ({scan(self._files, schema, partitions=())})"
            )
        sql = f"SELECT nw_stream, {select} FROM ({rows_of}) WHERE {self._where} AND ({where}\n) {rest}"
        rows: list[Any] = self._connection.execute(sql).fetchall()
        return rows


def _count_lines(view: _View, counted: dict[str, Counted], *, by_minute: bool) -> None:
    rows = view.query(
        f"{_HOUR}, {_MINUTE if by_minute else '0'}, count(*) FILTER (series <> 'watchdog'), "
        "count(*) FILTER (series = 'error'), count(*) FILTER (late AND series <> 'watchdog'), "
        "count(*) FILTER (series = 'watchdog'), epoch_us(min(event_time) FILTER (series <> 'watchdog')), "
        "epoch_us(max(event_time) FILTER (series <> 'watchdog')), epoch_us(min(event_time) FILTER (series = 'error')), "
        "count(*) FILTER (spilled)",
        "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
    )
    grouped: dict[tuple[str, int], list[Any]] = {}
    for stream, *row in rows:
        grouped.setdefault((stream, row[0]), []).append(row)
    for (stream, index), group in grouped.items():
        minutes = [0] * 60
        for row in group:
            minutes[row[1]] = row[2]
        firsts, lasts, errors = ([row[n] for row in group if row[n] is not None] for n in (6, 7, 8))
        counted[stream].hours[hour_of(index * HOUR_US)] = HourStats(
            lines=sum(row[2] for row in group),
            errors=sum(row[3] for row in group),
            late=sum(row[4] for row in group),
            watchdog=sum(row[5] for row in group),
            minutes=tuple(minutes),
            first_time=min(firsts, default=None),
            last_time=max(lasts, default=None),
            error_since=min(errors, default=None),
            spilled=sum(row[9] for row in group),
        )


def _count_reasons(view: _View, counted: dict[str, Counted]) -> None:
    if not any(stats.errors for one in counted.values() for stats in one.hours.values()):
        return
    reasons: dict[tuple[str, int], dict[str, int]] = {}
    where = "series = 'error' AND reject_reason IS NOT NULL"
    for stream, index, reason, lines in view.query(
        f"{_HOUR}, reject_reason, count(*)", "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3", where=where
    ):
        reasons.setdefault((stream, index), {})[reason] = lines
    for (stream, index), found in reasons.items():
        _change(counted[stream], index, rejects=found)


def _count_hosts(view: _View, counted: dict[str, Counted], *, last_seen: bool) -> None:
    """The hosts with most errors, late lines and spilled records of each hour; and when each host was last seen."""
    if any(stats.errors or stats.late or stats.spilled for one in counted.values() for stats in one.hours.values()):
        by_host = view.query(
            f"{_HOUR} AS h, {plain_host_sql('host')} AS name, count(*) FILTER (series = 'error') AS errors, "
            "count(*) FILTER (late AND series <> 'watchdog') AS lates, count(*) FILTER (spilled) AS spills",
            "GROUP BY 1, 2, 3 HAVING name IS NOT NULL ORDER BY 1, 2, 3",
            where="series = 'error' OR late OR spilled",
        )
        for stream, index, host, *counts in by_host:
            one = counted[stream]
            for name, count in zip(("error_host", "late_host", "spill_host"), counts, strict=True):
                worst = getattr(one.hours[hour_of(index * HOUR_US)], name)
                if count > (worst[1] if worst else 0):
                    _change(one, index, **{name: (host, count)})
    if last_seen:
        rows = view.query(
            "host, epoch_us(max(event_time)), max_by(datacenter, event_time)",
            "GROUP BY 1, 2 ORDER BY 1, 2",
            where="host IS NOT NULL",
        )
        for stream, name, last, where in rows:
            host = plain_host(name)
            counted[stream].hosts[host] = max(last, counted[stream].hosts.get(host, last))
            if where is not None:
                counted[stream].datacenters[host] = where


def _count_types(view: _View, counted: dict[str, Counted]) -> None:
    """Lines by log type, of each hour those with most."""
    rows = view.query(
        f"{_HOUR} AS h, log_type, count(*) AS n",
        "GROUP BY 1, 2, 3 QUALIFY row_number() OVER (PARTITION BY nw_stream, h ORDER BY n DESC, log_type) "
        f"<= {_MOST_TYPES} ORDER BY nw_stream, h, n DESC, log_type",
        where="series <> 'watchdog' AND log_type IS NOT NULL",
    )
    found: dict[tuple[str, int], dict[str, int]] = {}
    for stream, index, name, lines in rows:
        found.setdefault((stream, index), {})[name] = lines
    for (stream, index), types in found.items():
        _change(counted[stream], index, types=types)


def _count_condition(view: _View, counted: dict[str, Counted], condition: str) -> None:
    try:
        rows = view.query(
            f"{_HOUR}, {_MINUTE}, count(*)",
            "GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            where=f"series <> 'watchdog' AND ({condition}\n)",
            every_column=True,
        )
    except duckdb.Error as error:
        for one in counted.values():
            one.broken[condition] = _reason(error)
        return
    minutes: dict[tuple[str, int], list[int]] = {}
    for stream, index, minute, lines in rows:
        minutes.setdefault((stream, index), [0] * 60)[minute] = lines
    for (stream, index), found in minutes.items():
        one = counted[stream]
        stats = one.hours[hour_of(index * HOUR_US)]
        _change(one, index, conditions={**stats.conditions, condition: tuple(found)})


def _count_values(view: _View, counted: dict[str, Counted], rule: ValuesRule) -> None:
    if rule.column in view.names:
        value = f"CAST({quoted(rule.column)} AS VARCHAR)"
    else:
        value = f"json_extract_string(extra, {literal(_json_path(rule.column))})"
    allowed = ", ".join(literal(text) for text in rule.allowed)
    where = f"series <> 'watchdog' AND {value} IS NOT NULL"
    try:
        filled = view.query(f"{_HOUR}, count(*)", "GROUP BY 1, 2", where=where, every_column=True)
        rows = view.query(
            f"{_HOUR} AS h, {value} AS v, count(*) AS n, sum(count(*)) OVER (PARTITION BY nw_stream, {_HOUR})",
            "GROUP BY 1, 2, 3 QUALIFY row_number() OVER (PARTITION BY nw_stream, h ORDER BY n DESC, v) "
            f"<= {_TOP_VALUES} ORDER BY nw_stream, h, n DESC, v",
            where=f"{where} AND {value} NOT IN ({allowed})",
            every_column=True,
        )
    except duckdb.Error as error:
        for one in counted.values():
            one.broken[rule.column] = _reason(error)
        return
    found: dict[tuple[str, int], dict[str, int]] = {}
    totals: dict[tuple[str, int], int] = {}
    for stream, index, text, lines, total in rows:
        found.setdefault((stream, index), {})[text] = lines
        totals[stream, index] = int(total)
    for place, values in found.items():
        rest = totals[place] - sum(values.values())
        if rest:
            values[OTHERS] = rest
    for stream, index, lines in filled:
        one = counted[stream]
        stats = one.hours[hour_of(index * HOUR_US)]
        _change(
            one,
            index,
            filled={**stats.filled, rule.subject: lines},
            values={**stats.values, rule.subject: found.get((stream, index), {})},
        )


def _change(counted: Counted, index: int, **changes: Any) -> None:  # noqa: ANN401  (passed on to dataclasses.replace)
    hour = hour_of(index * HOUR_US)
    counted.hours[hour] = replace(counted.hours[hour], **changes)


def _json_path(key: str) -> str:
    """A key of `extra`; one with dots is a path, as key coverage writes it."""
    return "$" + "".join('."' + part.replace('"', '\\"') + '"' for part in key.split("."))


def _reason(error: Exception) -> str:
    """DuckDB's message in one line, without the excerpt of a query that nobody wrote."""
    text = str(error).split("\n\nLINE ")[0].partition("LINE 1:")[0]
    return " ".join(text.split())[:240]
