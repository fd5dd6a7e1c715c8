"""Asset checks of raw and logs: judged by nw_platform/watchdog, written on a change and at an hour's close only.

They are declared without `blocking`: evaluations that an op logs stop nothing. What gates a report is the report
builder itself, so that the command line, a backfill and a tick are gated alike.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import dagster as dg

from assets.markdown import plain
from assets.partitions import bounds
from assets.reporting import Log, Partitions, Told
from nw_platform.alerts.text import one_line
from nw_platform.record.hours import hour_of, hour_start
from nw_platform.streams.declaration import StreamDecl
from nw_platform.watchdog.declared import CHECKS, CheckInfo, checks_of, rules_of
from nw_platform.watchdog.findings import Finding, changes, remember, rollup
from resources.lanes import lanes_of
from resources.platform import LAYERS, Platform
from resources.reported import Reported

# After so long the rest waits for the next look: Dagster ends a sensor's look at 60 s, and a new home has all to hear.
MOST_TIME_US: Final = 25_000_000


def declared_checks(stream: StreamDecl) -> dict[str, CheckInfo]:
    """The checks of one stream by name: only those that its declaration lets be judged."""
    return {name: CHECKS[name] for name in checks_of(rules_of(stream))}


def check_specs(stream: StreamDecl, partitions: Partitions) -> list[dg.AssetCheckSpec]:
    """Partitioned like their assets."""
    return [
        dg.AssetCheckSpec(
            name=name,
            asset=[info.layer, stream.name],
            description=info.description,
            partitions_def=partitions[f"{info.layer}/{stream.name}"],
        )
        for name, info in declared_checks(stream).items()
    ]


def evaluate(
    platform: Platform,
    reported: Reported,
    partitions: Partitions,
    log: Log,
    now: int,
    viewer: str,
    *,
    told: Iterable[Told] = (),
) -> int:
    """Evaluate everything; log what is new, what changed and what became final; return how many evaluations.

    Args:
        platform: what to ask.
        reported: what was written so far; updated.
        partitions: of each asset.
        log: takes each event; has stored it when it returns.
        now: microseconds since the epoch.
        viewer: who looks; each looks at what changed since its own last look.
        told: hours that were just reported as materialized. To Dagster a check that was evaluated before that is "not
            evaluated", so what fails is said again, and everything of an hour that is new or closed; what passes in
            the open hour, which changes each minute, is not.
    """
    written, complete = 0, True
    fresh: dict[tuple[str, str | None], bool] = {(hour.asset, hour.hour): hour.first for hour in told}
    name = reported.viewer(viewer)
    found = platform.findings(name, now, reported.last_tick(lanes_of(platform.settings)))
    for stream, findings in _by_stream(found, partitions, now).items():
        state = reported.checks(stream)
        rolled = rollup(findings, now)
        changed = {finding.key for finding in changes(state, rolled, now)}
        worth = [
            f
            for f in rolled
            if (f.key in changed or _is_outdated(f, fresh, now)) and _is_shown(f, platform, partitions, now)
        ]
        late = set()
        for finding in worth:
            if platform.clock() - now > MOST_TIME_US:
                late.add(finding.key)
            else:
                log(evaluation(finding))
                written += 1
        new = remember(state, [f for f in rolled if f.key not in late], now)
        if new != state:
            reported.save_checks(stream, new)
        complete &= not late
    if complete:
        platform.seen(name)
    return written


def evaluation(finding: Finding) -> dg.AssetCheckEvaluation:
    """A finding as Dagster stores it: what is wrong, which partition, since when, and the command that repairs it."""
    return dg.AssetCheckEvaluation(
        asset_key=dg.AssetKey(finding.asset.split("/")),
        check_name=finding.check,
        passed=finding.passed,
        severity=_severity(finding),
        partition=finding.partition,
        description=plain(finding.message),
        metadata=_metadata(finding),
    )


def result(finding: Finding) -> dg.AssetCheckResult:
    """The same, from a function that Dagster runs as a check."""
    return dg.AssetCheckResult(
        asset_key=dg.AssetKey(finding.asset.split("/")),
        check_name=finding.check,
        passed=finding.passed,
        severity=_severity(finding),
        description=plain(finding.message),
        metadata=_metadata(finding),
    )


def build_checks(stream: StreamDecl, partitions: Partitions) -> list[dg.AssetChecksDefinition]:
    """The checks as something that can also be run by hand: it judges the chosen hours as of now."""
    specs = check_specs(stream, partitions)
    return [
        _checks_of(layer, stream.name, [spec for spec in specs if spec.asset_key.path[0] == layer]) for layer in LAYERS
    ]


def _checks_of(layer: str, stream: str, specs: Sequence[dg.AssetCheckSpec]) -> dg.AssetChecksDefinition:
    @dg.multi_asset_check(name=f"check_{layer}_{stream}", specs=specs, can_subset=True, compute_kind="neverwinter")
    def judge(
        context: dg.AssetCheckExecutionContext, platform: dg.ResourceParam[Platform]
    ) -> Iterator[dg.AssetCheckResult]:
        op = context.op_execution_context
        now = platform.clock()
        wanted = {key.name for key in op.selected_asset_check_keys}
        keys = set(op.partition_keys) if op.has_partition_key or op.has_partition_key_range else {hour_of(now)}
        reported = Reported(context.instance.daemon_cursor_storage, platform.settings.lake)
        findings = platform.findings(None, now, reported.last_tick(lanes_of(platform.settings)))
        for name in sorted(wanted):
            told = [
                f
                for f in findings
                if (f.asset, f.check) == (f"{layer}/{stream}", name) and (f.partition is None or f.partition in keys)
            ]
            if told:
                merged = rollup([replace(f, partition=None) for f in told], now)[0]
                yield result(merged)
            else:
                asset = dg.AssetKey([layer, stream])
                yield dg.AssetCheckResult(asset_key=asset, check_name=name, passed=True, description="nothing to judge")

    return judge


def _by_stream(findings: Iterable[Finding], partitions: Partitions, now: int) -> dict[str, list[Finding]]:
    """The findings of each stream; a standing condition of an asset whose history is over counts for its last hour."""
    grouped: dict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        hours = partitions.get(finding.asset)
        if finding.partition is None and hours is not None:
            first, last = bounds(hours, now)
            if first < last <= hour_of(now):
                finding = replace(finding, partition=hour_of(hour_start(last) - 1))  # noqa: PLW2901
        grouped[finding.stream].append(finding)
    return grouped


def _is_outdated(finding: Finding, fresh: Mapping[tuple[str, str | None], bool], now: int) -> bool:
    """Whether an evaluation that was written before is no longer shown, and should be."""
    first = fresh.get((finding.asset, finding.partition))
    return first is not None and (first or not finding.passed or (finding.partition or "") < hour_of(now))


def _is_shown(finding: Finding, platform: Platform, partitions: Partitions, now: int) -> bool:
    """Whether Dagster has the check and the partition: an event it cannot place would be stored and never seen."""
    stream = platform.settings.streams.get(finding.stream)
    if stream is None or finding.asset not in partitions or finding.check not in declared_checks(stream):
        return False
    first, last = bounds(partitions[finding.asset], now)
    return first <= (finding.partition or hour_of(now)) < last


def _severity(finding: Finding) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if finding.severity == "error" else dg.AssetCheckSeverity.WARN


def _metadata(finding: Finding) -> dict[str, Any]:
    """Names and values of metadata are no Markdown to the UI; what comes from data may hold anything else, though."""
    numbers = {
        one_line(name): value if isinstance(value, (int, float)) else one_line(str(value))
        for name, value in finding.numbers.items()
        if value is not None
    }
    since = {} if finding.since is None else {"since": dg.MetadataValue.timestamp(finding.since / 1_000_000)}
    return {
        **numbers,
        **since,
        **({"repair": one_line(finding.repair)} if finding.repair and not finding.passed else {}),
    }
