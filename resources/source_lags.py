"""How far the streams are behind their sources: as the last tick said it or, if that is long ago, by a look of our own.

A tick may run for minutes, and none may run at all: whoever waits for data hears of it all the same.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from nw_platform.ingest.look import LaneLooked, look, wait_of
from nw_platform.ingest.outcome import Lag
from nw_platform.ingest.session import Session
from nw_platform.sources.contract import Problem
from nw_platform.watchdog.deadlines import fell_due
from nw_platform.watchdog.expectations import StreamRules
from nw_platform.watchdog.looking import TickState
from nw_platform.watchdog.observations import LagSeen
from resources.platform import LagNumbers, LastTick

OLD_US: Final = 120_000_000  # what a tick said counts for so long
_LOOKING_S: Final = 10.0  # then no further stream is looked at: a sensor's look has its end


def lag_numbers(lag: Lag) -> dict[str, int | float]:
    """What is known."""
    told: dict[str, int | float | None] = {
        "lag_seconds": wait_of(lag),
        "lag_records": lag.records,
        "lag_headroom_hours": None if lag.expires_in is None else lag.expires_in / 3600,
    }
    return {name: value for name, value in told.items() if value is not None}


def lag_seen(numbers: LagNumbers, at: int) -> LagSeen:
    """The same as the watchdog takes it."""
    hours = numbers.get("lag_headroom_hours")
    records = numbers.get("lag_records")
    return LagSeen(
        at=at,
        seconds=numbers.get("lag_seconds"),
        records=None if records is None else int(records),
        expires_in=None if hours is None else hours * 3600,
    )


class SourceLags:
    """Of all streams of one session. Not to be used by two threads at once."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._waits: dict[tuple[str, str], tuple[int, int]] = {}  # stream, lane -> its last receipt; waiting since

    def state(self, tick: LastTick, now: int, rules: Iterable[StreamRules]) -> TickState:
        """What the watchdog is to know of the last tick, and of the sources.

        A file that has fallen due since that tick is looked for at once: its alert does not wait for the next one.
        """
        problems: dict[str, list[Problem]] = {}
        for met in tick.problems:
            problem = {name: value for name, value in met.items() if name != "stream"}
            problems.setdefault(str(met["stream"]), []).append(Problem(**problem))  # type: ignore[arg-type]  # its JSON
        until = tick.ingested_until
        due = set() if until is None else {each.stream for each in rules if fell_due(each, until, now)}
        return TickState(problems, tick.failures, until, self.seen(tick, now, due))

    def seen(self, tick: LastTick, now: int, due: Collection[str] = ()) -> dict[str, LagSeen]:
        """The lag of each stream that is known. Streams that the tick failed for are not looked at."""
        at = tick.looked_at
        known = {} if at is None else {name: lag_seen(lag, at) for name, lag in tick.lags.items()}
        is_new = at is not None and now - at <= OLD_US
        streams = [s for s in self._session.settings.streams if s not in tick.failures and (not is_new or s in due)]
        return known | self._look(streams, now, known)

    def _look(self, streams: list[str], now: int, known: Mapping[str, LagSeen]) -> dict[str, LagSeen]:
        began = time.monotonic()
        found: dict[str, LagSeen] = {}
        for name in streams:
            if time.monotonic() - began > _LOOKING_S:
                break
            for lanes in look(self._session, [name], now).lanes.values():
                lag = self._summed(name, lanes, now)
                # A source that only counts says less than the tick did, unless it counts nothing.
                if lag.seconds is not None or name not in known:
                    found[name] = lag
        return found

    def _summed(self, stream: str, lanes: list[LaneLooked], now: int) -> LagSeen:
        total: Lag | None = None
        for lane in lanes:
            lag = lane.lag
            if wait_of(lag) is None:
                lag = Lag(self._waited(stream, lane, now), lag.records, lag.expires_in)
            else:
                self._waits.pop((stream, lane.lane), None)
            total = lag if total is None else total.and_also(lag)
        total = total or Lag(0.0)
        return LagSeen(at=now, seconds=wait_of(total), records=total.records, expires_in=total.expires_in)

    def _waited(self, stream: str, lane: LaneLooked, now: int) -> float:
        """At least so many seconds: something waited at an earlier look, and the lane has not moved since."""
        planned, since = self._waits.get((stream, lane.lane), (lane.planned, now))
        if planned != lane.planned:
            since = now
        self._waits[stream, lane.lane] = (lane.planned, since)
        return (now - since) / 1_000_000
