"""What several lanes' runs met, told as one: each lane has a record of its own, and nobody else writes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nw_platform.settings import Settings
from resources.platform import LastTick, Sums


def lanes_of(settings: Settings) -> dict[str, int]:
    """How many lanes each stream is read by."""
    return {name: stream.lanes for name, stream in settings.streams.items()}


def most_lanes(settings: Settings) -> int:
    """The largest number of lanes of a stream; 1 if there is no stream."""
    return max(lanes_of(settings).values(), default=1)


def merged(ticks: Sequence[LastTick], lanes: Mapping[str, int]) -> LastTick:
    """What all lanes met. `ticks`: of lane 0, 1, ...; what streams or lanes met that are no more is left out.

    A stream's lag is known once all of its lanes have told theirs. What all of them did is as old as the oldest.
    """
    problems: list[Mapping[str, object]] = []
    failures: dict[str, list[str]] = {}
    for number, tick in enumerate(ticks):
        there = {stream for stream, count in lanes.items() if number < count}
        problems += [met for met in tick.problems if met["stream"] in there and met not in problems]
        for stream, reason in tick.failures.items():
            if stream in there and reason not in failures.get(stream, ()):
                failures.setdefault(stream, []).append(reason)
    lags = {
        stream: _summed([tick.lags[stream] for tick in ticks[:count]])
        for stream, count in lanes.items()
        if len(ticks) >= count and all(stream in tick.lags for tick in ticks[:count])
    }
    return LastTick(
        problems=tuple(problems),
        failures={stream: "; ".join(reasons) for stream, reasons in failures.items()},
        ingested_until=min((t.ingested_until for t in ticks if t.ingested_until is not None), default=None),
        lags=lags,
        looked_at=None if any(t.looked_at is None for t in ticks) else min(t.looked_at or 0 for t in ticks),
    )


def added(*sums: Sums) -> Sums:
    """Numbers by stream and arrival hour, added up."""
    found: dict[str, dict[str, dict[str, int | float]]] = {}
    for one in sums:
        for stream, hours in one.items():
            for hour, numbers in hours.items():
                total = found.setdefault(stream, {}).setdefault(hour, {})
                for name, number in numbers.items():
                    total[name] = total.get(name, 0) + number
    return found


def without(sums: Sums, told: Sums) -> Sums:
    """What of `sums` is not in `told`; hours of which all was told are left out."""
    found: dict[str, dict[str, dict[str, int | float]]] = {}
    for stream, hours in sums.items():
        for hour, numbers in hours.items():
            before = told.get(stream, {}).get(hour, {})
            if numbers != before:
                rest = {name: number - before.get(name, 0) for name, number in numbers.items()}
                found.setdefault(stream, {})[hour] = rest
    return found


def _summed(lags: Iterable[Mapping[str, int | float]]) -> dict[str, int | float]:
    """The longest wait, all records, the least time left; what a lane does not know is not known."""
    told = list(lags)
    found: dict[str, int | float] = {}
    for name, of in (("lag_seconds", max), ("lag_records", sum)):
        if all(name in lag for lag in told):
            found[name] = of(lag[name] for lag in told)
    if left := [lag["lag_headroom_hours"] for lag in told if "lag_headroom_hours" in lag]:
        found["lag_headroom_hours"] = min(left)
    return found
