"""All checks of all streams: (rules, observations, now) -> findings. Pure, and cheap: nothing is read here."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping

from nw_platform.record.hosts import plain_host
from nw_platform.watchdog import completeness, continuity, deadlines, drift, lag, loss, shares, silence, volume
from nw_platform.watchdog.expectations import StreamRules
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observations import StreamObservations


def evaluate(streams: Iterable[StreamRules], seen: Mapping[str, StreamObservations], now: int) -> list[Finding]:
    """Judge every stream that was observed; streams in order, `now` in microseconds since the epoch."""
    rules_seen = [(rules, seen[rules.stream]) for rules in streams if rules.stream in seen]
    hosts = {name for _, observed in rules_seen for name in _names_seen(observed)}
    return [f for rules, observed in rules_seen for f in evaluate_stream(rules, observed, now, hosts)]


def _names_seen(seen: StreamObservations) -> Iterator[str]:
    """The names by which a seen host may be declared: its own, and with its data centre behind it (`web-01.east`)."""
    for host in seen.hosts:
        yield host
        if host in seen.datacenters:
            yield plain_host(f"{host}.{seen.datacenters[host]}")


def evaluate_stream(
    rules: StreamRules, seen: StreamObservations, now: int, hosts: Collection[str] = ()
) -> Iterator[Finding]:
    """Judge one stream. Of a paused one nothing is expected, but what it holds must still be whole.

    `hosts`: those that any stream has seen; an expected host that is among them is not missed here.
    """
    yield from continuity.judge(rules, seen)
    if not seen.is_read:
        return
    yield from completeness.judge(rules, seen)
    yield from completeness.judge_history(rules, seen)
    if rules.paused:
        return
    yield from lag.judge(rules, seen)
    yield from deadlines.judge(rules, seen, now)
    yield from volume.judge(rules, seen, now)
    yield from loss.judge(rules, seen, now)
    yield from drift.judge(rules, seen, now)
    yield from shares.judge(rules, seen, now)
    yield from silence.judge(rules, seen, now, hosts)
