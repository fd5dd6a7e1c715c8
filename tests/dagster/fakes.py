"""A platform in memory: what Dagster's side needs, and nothing of a lake."""

# ruff: noqa: ARG002  (the signatures are those of resources.platform.Platform)

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from nw_platform.record.hours import hour_start, hours_between
from nw_platform.settings import Settings
from nw_platform.watchdog.findings import Finding
from resources.dbt_graph import Check, DbtGraph, Model
from resources.platform import (
    BuildOutcome,
    Health,
    HourOf,
    HourOutcome,
    LastTick,
    MaintainOutcome,
    TableState,
    TickOutcome,
)

GRAPH = DbtGraph(
    models=(
        Model(
            "model.stg_logs",
            "stg_logs",
            "staging",
            ("reports", "staging", "stg_logs"),
            (),
            reads_logs=True,
            description="staged",
            kinds=("dbt",),
            columns=(),
        ),
        Model(
            "model.log_type_report",
            "log_type_report",
            "marts",
            ("reports", "log_type_report"),
            (("reports", "staging", "stg_logs"),),
            reads_logs=False,
            description="by type",
            kinds=("dbt",),
            columns=(("lines", "bigint", "how many"),),
        ),
    ),
    checks=(Check("test.unique", "unique_lines", ("reports", "log_type_report"), "once"),),
)


@dataclass
class FakePlatform:
    """`put` is an ingest: by hand (outside Dagster), or by `tick` of what waits in `waiting` and `waiting_in`."""

    settings: Settings
    now: int = hour_start("2024-03-12T05")
    hours: dict[str, dict[str, HourOf]] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    waiting: list[tuple[str, str, str, int]] = field(default_factory=list)  # stream, arrival hour, event hour, records
    waiting_in: dict[int, list[tuple[str, str, str, int]]] = field(default_factory=dict)  # the same of lanes 1, 2, ...
    found: list[Finding] = field(default_factory=list)
    problems: list[dict[str, object]] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    days: dict[str, str] = field(default_factory=dict)
    built: dict[str, dict[str, int]] = field(default_factory=dict)
    lags: dict[str, dict[str, int | float]] = field(default_factory=dict)
    alert_error: Exception | None = None
    calls: list[tuple[object, ...]] = field(default_factory=list)

    def clock(self) -> int:
        return self.now

    def put(self, stream: str, arrival: str, event: str, records: int) -> None:
        self.first.setdefault(stream, arrival)
        for asset, hour in ((f"raw/{stream}", arrival), (f"logs/{stream}", event)):
            table = self.hours.setdefault(asset, {})
            before = table.get(hour, HourOf(0, ""))
            self.versions[asset] = self.versions.get(asset, 0) + 1
            table[hour] = HourOf(before.records + records, f"t{self.versions[asset]}")

    def drop(self, asset: str, hour: str) -> None:
        del self.hours[asset][hour]
        self.versions[asset] += 1

    def news(self, now: int, lane: int | None = None) -> list[str]:
        self.calls.append(("news", now))
        return sorted({stream for stream, *_ in (self.waiting_in.get(lane, []) if lane else self.waiting)})

    def tick(
        self, *, streams: Collection[str] | None = None, lane: int | None = None, deadline: int | None = None
    ) -> TickOutcome:
        self.calls.append(("tick", tuple(streams or ()), lane))
        numbers: dict[str, dict[str, dict[str, int | float]]] = {}
        for stream, arrival, event, records in self.waiting_in.pop(lane, []) if lane else self.waiting:
            self.put(stream, arrival, event, records)
            numbers.setdefault(stream, {})[arrival] = {"bytes": 10 * records, "spans": 1, "rejects": 0, "seconds": 0.5}
        if not lane:
            self.waiting = []
        return TickOutcome(numbers=numbers, problems=self.problems, failures=self.failures, lags=self.lags)

    def version(self, layer: str, stream: str) -> int | None:
        return self.versions.get(f"{layer}/{stream}")

    def state(self, layer: str, stream: str) -> TableState | None:
        asset = f"{layer}/{stream}"
        return TableState(self.versions[asset], dict(self.hours[asset])) if asset in self.versions else None

    def first_arrival(self, stream: str) -> str | None:
        return self.first.get(stream)

    def hour_numbers(
        self, layer: str, stream: str, hours: Collection[str], now: int
    ) -> Mapping[str, Mapping[str, int | float]]:
        return {hour: {"late": 0} for hour in hours} if layer == "logs" else {}

    def replay(self, stream: str, first: str, last: str, now: int) -> list[HourOutcome]:
        self.calls.append(("replay", stream, first, last))
        return [HourOutcome(h, {"records": 7, "changed": 1}, "read again") for h in hours_between(first, last)]

    def rebuild(self, stream: str, first: str, last: str, now: int) -> list[HourOutcome]:
        self.calls.append(("rebuild", stream, first, last))
        return [HourOutcome(h, {"records": 7, "changed": 0}) for h in hours_between(first, last)]

    def maintain(self) -> MaintainOutcome:
        self.calls.append(("maintain",))
        return MaintainOutcome(
            {"web": {"merged_files": 3, "deleted_files": 1}, "old": {"merged_files": 2}}, self.failures
        )

    def changed_days(self, now: int) -> dict[str, str]:
        return dict(self.days)

    def built_days(self) -> dict[str, dict[str, int]]:
        return dict(self.built)

    def build(self, first: str, last: str, now: int, *, tables: Collection[str] | None = None) -> BuildOutcome:
        self.calls.append(("build", first, last, tuple(sorted(tables or ()))))
        day = first[:10]
        return BuildOutcome(
            built=[("log_type_report", "day", day)],
            refused=[("2024-03-11T05", "logs/web is not whole")],
            rows={("log_type_report", day): 7},
            tests={"test.unique": (True, "")},
        )

    def findings(self, viewer: str | None, now: int, tick: LastTick) -> list[Finding]:
        self.calls.append(("findings", tick))
        return list(self.found)

    def alert(self, viewer: str, now: int, tick: LastTick, health: Health) -> str:
        self.calls.append(("alert", viewer, tick, health))
        if self.alert_error is not None:
            raise self.alert_error
        return "1 opened; 1 open"

    def seen(self, viewer: str) -> None:
        self.calls.append(("seen", viewer))

    def close(self) -> None:
        return None
