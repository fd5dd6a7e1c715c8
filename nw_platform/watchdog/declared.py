"""Declarations of expectations -> the rules that are judged, and which checks an asset has.

Some checks have a rule without being declared, because their absence would hide what everybody wants to know:
`error_rate` (an hour with more than 5 % errors, at least 3 of them), `late` (more than 1 % late lines), `spill` (more
than 10 % spilled records, at least 100 of them), `loss` (a number of a session is missing, or a record that a ledger
tells of) and `lag` (data that waits for more than 5 minutes, or three times `every`). A declaration replaces the rule.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import time
from types import MappingProxyType
from typing import Final

from nw_platform.record.hosts import center_of
from nw_platform.settings import Settings
from nw_platform.streams import expectations as declared
from nw_platform.streams.declaration import StreamDecl
from nw_platform.watchdog.expectations import (
    MINUTE_US,
    BalanceRule,
    DriftRule,
    FileRule,
    LagRule,
    LossRule,
    RateRule,
    Rule,
    ShareRule,
    SilenceRule,
    StreamRules,
    TypesRule,
    ValuesRule,
    VolumeRule,
)

DEFAULT_ERROR_RATE: Final = ShareRule(check="error_rate", subject="", max_pct=5.0, at_least=3)
DEFAULT_LAG_US: Final = 5 * MINUTE_US
_PATIENCE: Final = 3  # times `every`: so long data may wait
DEFAULT_LATE: Final = ShareRule(check="late", subject="", max_pct=1.0)
DEFAULT_SPILL: Final = ShareRule(check="spill", subject="", max_pct=10.0, at_least=100)


@dataclass(frozen=True, slots=True)
class CheckInfo:
    """A check as people see it."""

    layer: str  # raw | logs: of which asset of the stream
    description: str


CHECKS: Final[Mapping[str, CheckInfo]] = {
    "continuity": CheckInfo("raw", "No gap and no overlap between receipts; every file was read to its end."),
    "lag": CheckInfo("raw", "What is ready at the source is ingested soon, and long before the source deletes it."),
    "expected_files": CheckInfo("raw", "The files that are expected by a time of day are there."),
    "completeness": CheckInfo("logs", "raw = logs + duplicates."),
    "history": CheckInfo("logs", "No record lies outside the hours that are shown as partitions."),
    "loss": CheckInfo("logs", "No number of a session is missing, and nothing that a sender's ledger tells of."),
    "volume": CheckInfo("logs", "As many lines as expected, in each window of event time."),
    "silence": CheckInfo("logs", "Every host gives a sign of life as often as expected."),
    "error_rate": CheckInfo("logs", "The share of errors, rejected lines included, is below its bound."),
    "late": CheckInfo("logs", "The share of lines that came late is below its bound."),
    "spill": CheckInfo("logs", "The share of records that went through a sender's spool is below its bound."),
    "schema_drift": CheckInfo("logs", "No key is new, vanished, or holds values of another kind than before."),
    "unexpected_types": CheckInfo("logs", "There are no other log types than those expected."),
    "rate": CheckInfo("logs", "The share of lines for which a condition holds is within its bounds."),
    "balance": CheckInfo("logs", "Two conditions hold for equally many lines."),
    "values": CheckInfo("logs", "A column holds no other values than those allowed."),
}


def rules_of_all(settings: Settings) -> list[StreamRules]:
    """The rules of every declared stream, in order.

    `hosts:` are missed by the first stream that expects heartbeats, and only if no stream has seen them.
    """
    found = []
    hosts = settings.hosts
    for stream in settings.streams.values():
        rules = rules_of(stream, hosts, _datacenters(settings) if hosts else {})
        if rules.of(SilenceRule):
            hosts = ()
        found.append(rules)
    return found


def rules_of(
    stream: StreamDecl, hosts: Iterable[str] = (), datacenters: Mapping[str, str] = MappingProxyType({})
) -> StreamRules:
    """The rules of one stream. Subjects are made unique where two expectations of a kind look alike.

    `hosts`: those that are missed if no stream has seen them; `datacenters`: where they are.
    """
    rules: list[Rule] = []
    taken: dict[tuple[str, str], int] = {}
    for expectation in stream.expect:
        rule = _rule(expectation, stream, tuple(hosts))
        key = (type(rule).__name__, rule.subject)
        taken[key] = taken.get(key, 0) + 1
        if taken[key] > 1:
            rule = replace(rule, subject=f"{rule.subject} ({taken[key]})")
        rules.append(rule)
    shares = {rule.check for rule in rules if isinstance(rule, ShareRule)}
    if DEFAULT_ERROR_RATE.check not in shares:
        rules.append(DEFAULT_ERROR_RATE)
    if DEFAULT_LATE.check not in shares and stream.late_after_us is not None:
        rules.append(DEFAULT_LATE)
    if DEFAULT_SPILL.check not in shares:
        rules.append(DEFAULT_SPILL)
    if not any(isinstance(rule, LossRule) for rule in rules):
        rules.append(LossRule(subject=""))
    if not any(isinstance(rule, LagRule) for rule in rules):
        rules.append(LagRule(subject="", max_age_us=_max_age_us(stream)))
    return StreamRules(
        stream=stream.name,
        rules=tuple(rules),
        history_from=stream.history_from,
        history_until=stream.history_until,
        landing=stream.source.kind == "landing",
        where=_where(stream),
        paused=stream.paused,
        datacenters=dict(datacenters),
    )


def _datacenters(settings: Settings) -> dict[str, str]:
    """Where the declared hosts are: `web-01.east` in the data centre `east`; else in the only one there is."""
    centers = {source.datacenter for source in settings.sources.values() if source.datacenter is not None}
    found = {host: center_of(host, centers) for host in settings.hosts}
    return {host: where for host, where in found.items() if where is not None}


def checks_of(rules: StreamRules) -> list[str]:
    """The names of the checks that a stream's findings may have, in the order of `CHECKS`."""
    kinds: dict[type[Rule], str] = {
        FileRule: "expected_files",
        LagRule: "lag",
        VolumeRule: "volume",
        SilenceRule: "silence",
        RateRule: "rate",
        BalanceRule: "balance",
        ValuesRule: "values",
        TypesRule: "unexpected_types",
        LossRule: "loss",
        DriftRule: "schema_drift",
    }
    names = {"continuity", "lag", "completeness", "history"}
    for rule in rules.rules:
        names.add(rule.check if isinstance(rule, ShareRule) else kinds[type(rule)])
    return [name for name in CHECKS if name in names]


def _rule(expectation: declared.Expectation, stream: StreamDecl, hosts: tuple[str, ...]) -> Rule:
    """The rule that a declaration stands for."""
    match expectation:
        case declared.Volume():
            return VolumeRule(
                subject=_volume_subject(expectation),
                min_lines=expectation.min_lines,
                max_lines=expectation.max_lines,
                every_us=expectation.every_us,
                grace_us=expectation.grace_us,
                change_pct=expectation.change_pct,
                days=expectation.days,
                weeks=expectation.weeks,
                zone=expectation.zone,
                severity=expectation.severity,
            )
        case declared.File() | declared.Lag():
            return _of_raw(expectation, stream)
        case declared.Heartbeat():
            return SilenceRule(
                subject="",
                every_us=expectation.every_us,
                late_after=expectation.late_after,
                down_after=expectation.down_after,
                slack_us=stream.every_us + MINUTE_US,
                hosts=hosts,
                severity=expectation.severity,
            )
        case declared.Rate() | declared.Balance():
            return _windowed(expectation)
        case _:
            return _of_lines(expectation)


def _of_raw(expectation: declared.File | declared.Lag, stream: StreamDecl) -> Rule:
    """The rules of what is or is not at the source."""
    if isinstance(expectation, declared.File):
        return FileRule(
            subject=expectation.name,
            name=expectation.name,
            by=time(*divmod(expectation.by_minute, 60)),
            grace_us=expectation.grace_us,
            zone=expectation.zone,
            min_size=expectation.min_size,
            weekdays=frozenset(declared.WEEK.index(day) for day in expectation.weekdays),
            holidays=expectation.holiday_dates(),
            day_offset=expectation.day_offset,
            severity=expectation.severity,
        )
    return LagRule(
        subject="",
        max_age_us=_max_age_us(stream) if expectation.max_age_us is None else expectation.max_age_us,
        min_headroom_us=expectation.min_headroom_us,
        severity=expectation.severity,
    )


def _max_age_us(stream: StreamDecl) -> int:
    """How long data may wait where nothing is declared."""
    return max(DEFAULT_LAG_US, _PATIENCE * stream.every_us)


_OfLines = (
    declared.Values
    | declared.UnexpectedTypes
    | declared.SchemaDrift
    | declared.Loss
    | declared.ErrorRate
    | declared.Late
    | declared.Spill
)


def _of_lines(expectation: _OfLines) -> Rule:
    """The rules of what the lines of an hour hold."""
    match expectation:
        case declared.Values():
            return ValuesRule(
                subject=expectation.column,
                column=expectation.column,
                allowed=tuple(_as_text(value) for value in expectation.allowed),
                max_pct=expectation.max_pct,
                severity=expectation.severity,
            )
        case declared.Loss():
            return LossRule(
                subject="",
                max_missing=expectation.max_missing,
                grace_us=expectation.grace_us,
                severity=expectation.severity,
            )
        case declared.SchemaDrift():
            return DriftRule(
                subject="",
                hours=expectation.hours,
                at_least=expectation.at_least,
                ignore=expectation.ignore,
                grace_us=expectation.grace_us,
                severity=expectation.severity,
            )
        case declared.UnexpectedTypes():
            return TypesRule(
                subject="",
                allowed=expectation.allowed,
                at_least=expectation.at_least,
                severity=expectation.severity,
            )
        case _:
            return ShareRule(
                check=expectation.kind,
                subject="",
                max_pct=expectation.max_pct,
                at_least=expectation.at_least,
                severity=expectation.severity,
            )


def _windowed(expectation: declared.Rate | declared.Balance) -> Rule:
    """The rules of conditions."""
    if isinstance(expectation, declared.Rate):
        return RateRule(
            subject=expectation.name,
            where=expectation.where,
            of=expectation.of,
            max_pct=expectation.max_pct,
            min_pct=expectation.min_pct,
            every_us=expectation.every_us,
            grace_us=expectation.grace_us,
            severity=expectation.severity,
        )
    return BalanceRule(
        subject=expectation.name,
        left=expectation.left,
        right=expectation.right,
        tolerance_pct=expectation.tolerance_pct,
        every_us=expectation.every_us,
        grace_us=expectation.grace_us,
        severity=expectation.severity,
    )


def _volume_subject(expectation: declared.Volume) -> str:
    """`min_lines 1, every 15 min`: what tells two volumes of a stream apart."""
    bounds = (("min_lines", expectation.min_lines), ("max_lines", expectation.max_lines))
    parts = [f"{name} {value}" for name, value in bounds if value is not None]
    if expectation.change_pct is not None:
        parts.append(f"change_pct {expectation.change_pct:g}")
    return ", ".join([*parts, f"every {expectation.every_us // MINUTE_US} min"])


def _as_text(value: object) -> str:
    """A declared value as DuckDB writes it when it casts a column to text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _where(stream: StreamDecl) -> str:
    """The folder a stream's files are to be put into, for messages."""
    if stream.source.kind != "landing" or not stream.path:
        return ""
    fixed = re.split(r"[*?\[]", stream.path, maxsplit=1)[0].rpartition("/")[0]
    return "/".join(part for part in (stream.source.url, fixed) if part)
