"""Counts of the `logs` of some event hours, by DuckDB: one row an hour or a minute comes back, never a record.

Conditions are SQL that somebody wrote into the configuration: each is a query of its own, so that a wrong one is
named and stops nothing else. They see records of series normal and error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import duckdb
import pyarrow as pa

from nw_platform.lake.engine import literal, quoted, scan
from nw_platform.lake.tables import LakeFile
from nw_platform.record.hours import HOUR_US, hour_of
from nw_platform.watchdog.expectations import SilenceRule, StreamRules, TypesRule, ValuesRule
from nw_platform.watchdog.observations import HourStats

OTHERS: Final = "(others)"
_NEEDED: Final = (
    "event_time", "ingest_time", "datacenter", "host", "log_type", "series", "spilled", "late", "reject_reason"
)  # fmt: skip
_TOP_VALUES: Final = 5
_MOST_TYPES: Final = 1000
_HOUR: Final = f"epoch_us(event_time) // {HOUR_US}"
_MINUTE: Final = f"(epoch_us(event_time) % {HOUR_US} + {HOUR_US}) % {HOUR_US} // 60000000"


@dataclass(slots=True)
class Counted:
    """What was counted in some hours of one stream."""

    hours: dict[str, HourStats] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)  # host -> event time of its last record
    datacenters: dict[str, str] = field(default_factory=dict)  # host -> where it is
    broken: dict[str, str] = field(default_factory=dict)  # condition or column -> why it cannot be evaluated


def count_hours(
    connection: duckdb.DuckDBPyConnection,
    rules: StreamRules,
    files: Sequence[LakeFile],
    schema: pa.Schema,
    as_of: int | None = None,
) -> Counted:
    """Count the records in `files`, which are the files of whole event hours of one stream's `logs`.

    `as_of`: leave out what was ingested later than this instant (microseconds).
    """
    counted = Counted()
    if not files:
        return counted
    view = _View(connection, files, schema, as_of)
    _count_lines(view, counted, by_minute=rules.reach_us > 0)
    _count_reasons(view, counted)
    _count_hosts(view, counted, last_seen=bool(rules.of(SilenceRule)))
    if rules.of(TypesRule):
        _count_types(view, counted)
    for condition in rules.conditions:
        _count_condition(view, counted, condition)
    for rule in rules.of(ValuesRule):
        _count_values(view, counted, rule)
    return counted


class _View:
    """The rows of some files, as a FROM clause and a WHERE clause."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, files: Sequence[LakeFile], schema: pa.Schema, as_of: int | None
    ) -> None:
        self._connection = connection
        self.names = frozenset(schema.names)
        self._files, self._schema = files, schema
        self._needed = pa.schema([f for f in schema if f.name in _NEEDED])
        self._where = "true" if as_of is None else f"epoch_us(ingest_time) <= {int(as_of)}"

    def query(self, select: str, rest: str = "", *, where: str = "true", every_column: bool = False) -> list[Any]:
        """Rows of `SELECT select FROM the rows WHERE where rest`."""
        source = scan(self._files, self._schema if every_column else self._needed, partitions=())
        sql = f"SELECT {select} FROM ({source}) WHERE {self._where} AND ({where}\n) {rest}"
        rows: list[Any] = self._connection.execute(sql).fetchall()
        return rows


def _count_lines(view: _View, counted: Counted, *, by_minute: bool) -> None:
    rows = view.query(
        f"{_HOUR}, {_MINUTE if by_minute else '0'}, count(*) FILTER (series <> 'watchdog'), "
        "count(*) FILTER (series = 'error'), count(*) FILTER (late AND series <> 'watchdog'), "
        "count(*) FILTER (series = 'watchdog'), epoch_us(min(event_time) FILTER (series <> 'watchdog')), "
        "epoch_us(max(event_time) FILTER (series <> 'watchdog')), epoch_us(min(event_time) FILTER (series = 'error')), "
        "count(*) FILTER (spilled)",
        "GROUP BY 1, 2 ORDER BY 1, 2",
    )
    grouped: dict[int, list[Any]] = {}
    for row in rows:
        grouped.setdefault(row[0], []).append(row)
    for index, group in grouped.items():
        minutes = [0] * 60
        for row in group:
            minutes[row[1]] = row[2]
        firsts, lasts, errors = ([row[n] for row in group if row[n] is not None] for n in (6, 7, 8))
        counted.hours[hour_of(index * HOUR_US)] = HourStats(
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


def _count_reasons(view: _View, counted: Counted) -> None:
    if not any(stats.errors for stats in counted.hours.values()):
        return
    reasons: dict[int, dict[str, int]] = {}
    where = "series = 'error' AND reject_reason IS NOT NULL"
    for index, reason, lines in view.query(
        f"{_HOUR}, reject_reason, count(*)", "GROUP BY 1, 2 ORDER BY 1, 2", where=where
    ):
        reasons.setdefault(index, {})[reason] = lines
    for index, found in reasons.items():
        _change(counted, index, rejects=found)


def _count_hosts(view: _View, counted: Counted, *, last_seen: bool) -> None:
    """The hosts with most errors, late lines and spilled records of each hour; and when each host was last seen."""
    if any(stats.errors or stats.late or stats.spilled for stats in counted.hours.values()):
        by_host = view.query(
            f"{_HOUR} AS h, host, count(*) FILTER (series = 'error') AS errors, "
            "count(*) FILTER (late AND series <> 'watchdog') AS lates, count(*) FILTER (spilled) AS spills",
            "GROUP BY 1, 2 HAVING host IS NOT NULL ORDER BY 1, 2",
            where="series = 'error' OR late OR spilled",
        )
        for index, host, *counts in by_host:
            for name, count in zip(("error_host", "late_host", "spill_host"), counts, strict=True):
                worst = getattr(counted.hours[hour_of(index * HOUR_US)], name)
                if count > (worst[1] if worst else 0):
                    _change(counted, index, **{name: (host, count)})
    if last_seen:
        rows = view.query(
            "host, epoch_us(max(event_time)), max_by(datacenter, event_time)",
            "GROUP BY 1 ORDER BY 1",
            where="host IS NOT NULL",
        )
        counted.hosts = {host: last for host, last, _ in rows}
        counted.datacenters = {host: where for host, _, where in rows if where is not None}


def _count_types(view: _View, counted: Counted) -> None:
    """Lines by log type, of each hour those with most."""
    rows = view.query(
        f"{_HOUR} AS h, log_type, count(*) AS n",
        f"GROUP BY 1, 2 QUALIFY row_number() OVER (PARTITION BY h ORDER BY n DESC, log_type) <= {_MOST_TYPES} "
        "ORDER BY h, n DESC, log_type",
        where="series <> 'watchdog' AND log_type IS NOT NULL",
    )
    found: dict[int, dict[str, int]] = {}
    for index, name, lines in rows:
        found.setdefault(index, {})[name] = lines
    for index, types in found.items():
        _change(counted, index, types=types)


def _count_condition(view: _View, counted: Counted, condition: str) -> None:
    try:
        rows = view.query(
            f"{_HOUR}, {_MINUTE}, count(*)",
            "GROUP BY 1, 2 ORDER BY 1, 2",
            where=f"series <> 'watchdog' AND ({condition}\n)",
            every_column=True,
        )
    except duckdb.Error as error:
        counted.broken[condition] = _reason(error)
        return
    minutes: dict[int, list[int]] = {}
    for index, minute, lines in rows:
        minutes.setdefault(index, [0] * 60)[minute] = lines
    for index, found in minutes.items():
        stats = counted.hours[hour_of(index * HOUR_US)]
        _change(counted, index, conditions={**stats.conditions, condition: tuple(found)})


def _count_values(view: _View, counted: Counted, rule: ValuesRule) -> None:
    if rule.column in view.names:
        value = f"CAST({quoted(rule.column)} AS VARCHAR)"
    else:
        value = f"json_extract_string(extra, {literal(_json_path(rule.column))})"
    allowed = ", ".join(literal(text) for text in rule.allowed)
    where = f"series <> 'watchdog' AND {value} IS NOT NULL"
    try:
        filled = view.query(f"{_HOUR}, count(*)", "GROUP BY 1", where=where, every_column=True)
        rows = view.query(
            f"{_HOUR} AS h, {value} AS v, count(*) AS n, sum(count(*)) OVER (PARTITION BY {_HOUR})",
            f"GROUP BY 1, 2 QUALIFY row_number() OVER (PARTITION BY h ORDER BY n DESC, v) <= {_TOP_VALUES} "
            "ORDER BY h, n DESC, v",
            where=f"{where} AND {value} NOT IN ({allowed})",
            every_column=True,
        )
    except duckdb.Error as error:
        counted.broken[rule.column] = _reason(error)
        return
    found: dict[int, dict[str, int]] = {}
    totals: dict[int, int] = {}
    for index, text, lines, total in rows:
        found.setdefault(index, {})[text] = lines
        totals[index] = int(total)
    for index, values in found.items():
        rest = totals[index] - sum(values.values())
        if rest:
            values[OTHERS] = rest
    for index, lines in filled:
        stats = counted.hours[hour_of(index * HOUR_US)]
        _change(
            counted,
            index,
            filled={**stats.filled, rule.subject: lines},
            values={**stats.values, rule.subject: found.get(index, {})},
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
