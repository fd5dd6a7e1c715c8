"""Tells Dagster what is in the lake: a materialization for each hour that changed since it was last told.

It compares tables with what was reported, not with what a run did, so an `nw ingest` outside Dagster, a crash between
a commit and its report and a new DAGSTER_HOME all mend themselves at the next tick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import dagster as dg

from assets.partitions import bounds
from nw_platform.record.hours import hour_of, hours_between
from resources.platform import LAYERS, Layer, Numbers, Platform, Sums
from resources.reported import EMPTY, Hour, Reported, Summary

# One tick reports at most so many hours (about a minute's worth of events); the rest follows in the next ticks.
MOST_EVENTS: Final = 3_000

Log = Callable[[dg.AssetMaterialization | dg.AssetCheckEvaluation], None]
Partitions = Mapping[str, dg.HourlyPartitionsDefinition]  # raw/<stream> and logs/<stream>


@dataclass(frozen=True, slots=True)
class Told:
    """An hour that was reported. `first`: for the first time."""

    asset: str
    hour: str
    first: bool


@dataclass(frozen=True, slots=True)
class Table:
    """One asset with its table and partitions."""

    layer: Layer
    stream: str
    partitions: dg.HourlyPartitionsDefinition

    @property
    def asset(self) -> str:
        """The asset's name."""
        return f"{self.layer}/{self.stream}"


def tables(partitions: Partitions, streams: Iterable[str]) -> list[Table]:
    """Every table of the streams that has partitions."""
    return [
        Table(layer, stream, partitions[f"{layer}/{stream}"])
        for stream in streams
        for layer in LAYERS
        if f"{layer}/{stream}" in partitions
    ]


def unreported(platform: Platform, reported: Reported, found: Iterable[Table], now: int) -> list[str]:
    """The assets that Dagster does not know the newest state of. Cheap: compares versions, lists no files."""
    by_name = {table.asset: table for table in found}
    summaries = reported.summaries(by_name)
    return [name for name, table in by_name.items() if _is_behind(platform, table, summaries[name], now)]


def report(
    platform: Platform,
    reported: Reported,
    found: Iterable[Table],
    log: Log,
    now: int,
    *,
    numbers: Sums | None = None,
    lags: Mapping[str, Numbers] | None = None,
    most: int = MOST_EVENTS,
) -> list[Told]:
    """Log a materialization for each hour that changed, newest hours first; return which.

    Args:
        platform: what to report on.
        reported: what was reported so far; updated.
        found: the assets to look at.
        log: takes each event; has stored it when it returns.
        now: microseconds since the epoch.
        numbers: what this tick and the runs of other lanes brought.
        lags: stream -> how far it is behind now: said of the open arrival hour, and of those that this tick filled.
        most: events at most; what is left is reported by the next call.
    """
    told: list[Told] = []
    looked_at = list(found)
    summaries = reported.summaries([table.asset for table in looked_at])
    for table in looked_at:
        brought = (numbers or {}).get(table.stream, {}) if table.layer == "raw" else {}
        if brought or _is_behind(platform, table, summaries[table.asset], now):
            lag = (lags or {}).get(table.stream, {}) if table.layer == "raw" else {}
            told += _report_table(
                platform, reported, table, summaries[table.asset], log, now, brought, lag, most - len(told)
            )
    return told


def _is_behind(platform: Platform, table: Table, summary: Summary, now: int) -> bool:
    if summary.more or platform.version(table.layer, table.stream) != summary.version:
        return True
    first, last = bounds(table.partitions, now)
    if summary.held and first <= summary.held < last:
        return True
    closed = min(hour_of(now), last)
    return table.layer == "raw" and summary.through < closed and platform.first_arrival(table.stream) is not None


def _report_table(
    platform: Platform,
    reported: Reported,
    table: Table,
    summary: Summary,
    log: Log,
    now: int,
    brought: Mapping[str, Mapping[str, int | float]],
    lag: Numbers,
    most: int,
) -> list[Told]:
    state = platform.state(table.layer, table.stream)
    wanted = {} if state is None else {hour: of.token for hour, of in state.hours.items()}
    records = {} if state is None else {hour: of.records for hour, of in state.hours.items()}
    first, last = bounds(table.partitions, now)
    if table.layer == "raw":
        start = platform.first_arrival(table.stream)
        for hour in hours_between(max(start, first), min(hour_of(now), last)) if start else ():
            wanted.setdefault(hour, EMPTY)
    months = {hour[:7] for hour in wanted} | set(summary.months)
    known = reported.hours(table.asset, months)
    wanted |= {hour: EMPTY for hour in known if hour not in wanted}  # retention took it, or a rebuild moved it
    # A run of another lane may have told what it brought after the hour was reported as it is.
    told_late = {hour for hour in brought if hour in known}
    changed = {h for h, token in wanted.items() if h not in known or known[h].token != token}
    behind = sorted(changed | told_late, reverse=True)
    inside = [hour for hour in behind if first <= hour < last]
    chosen = inside[: max(most, 0)]
    facts = platform.hour_numbers(table.layer, table.stream, [h for h in chosen if wanted[h] != EMPTY], now)
    total = sum(records.values())
    told = [Told(table.asset, hour, hour not in known) for hour in chosen]
    for hour in reversed(chosen):  # oldest first, so that the newest event is that of the newest hour
        before = known[hour].numbers if hour in known else {}
        sums = _added(before, brought.get(hour, {}))
        known[hour] = Hour(wanted[hour], sums)
        current = lag if hour in brought or hour == hour_of(now) else {}
        numbers = {**facts.get(hour, {}), **sums, **current, "records": records.get(hour, 0)}
        log(
            dg.AssetMaterialization(
                asset_key=[table.layer, table.stream],
                partition=hour,
                description="nothing arrived" if not numbers["records"] else None,
                metadata=materialization_metadata(numbers, total),
            )
        )
    new = Summary(
        version=None if state is None else state.version,
        through=min(hour_of(now), last) if table.layer == "raw" else "",
        held=min((hour for hour in behind if hour >= last), default=""),
        more=len(chosen) < len(inside),
        months=sorted({hour[:7] for hour in known}),
    )
    if chosen or new != summary:
        reported.save(table.asset, new, known, {hour[:7] for hour in chosen})
    return told


def materialization_metadata(numbers: Numbers, total: int | None = None) -> dict[str, Any]:
    """Counts as Dagster shows them. Never records."""
    metadata: dict[str, Any] = {name: _value(value) for name, value in sorted(numbers.items())}
    if "records" in numbers:
        metadata["dagster/partition_row_count"] = int(numbers["records"])
    if total is not None:
        metadata["dagster/row_count"] = total
    return metadata


def _value(value: float | str) -> int | float | str:
    return round(value, 3) if isinstance(value, float) else value


def _added(before: Mapping[str, int | float], more: Mapping[str, int | float]) -> dict[str, int | float]:
    return {name: before.get(name, 0) + more.get(name, 0) for name in {*before, *more}}
