"""Which hours a look has to judge, and which other hours it needs to judge them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from nw_platform.record.hours import HOUR_US, hour_of, hour_start, hours_between, next_hour
from nw_platform.watchdog.expectations import StreamRules, VolumeRule
from nw_platform.watchdog.memory import StreamMemory
from nw_platform.watchdog.volume import days_before, weeks_before

LOOK_BACK_US: Final = 31 * 24 * HOUR_US  # the first look does not judge absence further back than this
KEEP_HOURS: Final = 48


def judged_hours(rules: StreamRules, known: StreamMemory, changed: Sequence[str], now: int) -> set[str]:
    """The event hours to judge: around now, changed, and failed at the last look."""
    reach = max(rules.reach_us, HOUR_US)
    since = known.since()
    begin = since if known.judged_until is None else known.judged_until - reach - rules.settle_us
    begin = max(begin, since, now - LOOK_BACK_US)
    judge = {*hours_between(hour_of(begin), next_hour(hour_of(now))), *known.failing, *changed}
    for hour in changed if reach > HOUR_US else ():  # a window belongs to its last hour, which may be a later one
        judge.update(hours_between(hour, hour_of(hour_start(hour) + reach)))
    inside = [hour for hour in known.tokens if not is_outside(rules, hour, now)]
    if changed and inside and rules.history_until is not None and rules.reach_us:
        # Whoever says where history ends wants to know of the holes in it.
        judge.update(hours_between(min(inside), max(inside)))
    return judge


def is_outside(rules: StreamRules, hour: str, now: int) -> bool:
    """Whether an hour is none of the stream's history. Without a declared end that ends a day from now."""
    day = hour[:10]
    if day < rules.history_from.isoformat():
        return True
    if rules.history_until is None:
        return hour > hour_of(now + 24 * HOUR_US)
    return day >= rules.history_until.isoformat()


def reached_hours(rules: StreamRules, judge: Iterable[str]) -> set[str]:
    """The hours whose counts are needed to judge `judge`: those and what their windows reach into."""
    back = -(-max(rules.reach_us, HOUR_US) // HOUR_US)
    return {hour_of(hour_start(hour) - n * HOUR_US) for hour in judge for n in range(back)}


def compared_hours(rules: StreamRules, hour: str) -> set[str]:
    """The earlier hours whose lines an hour is compared with."""
    return {
        name
        for rule in _changes(rules)
        for name in (*days_before(hour, rule.days, rule.zone), *weeks_before(hour, rule.weeks, rule.zone))
    }


def same_hours(rules: StreamRules, known: StreamMemory, judge: Iterable[str]) -> dict[str, dict[str, int]]:
    """Lines of each hour that some rule compares an hour with, where there are any: hour -> earlier hour -> lines."""
    if not _changes(rules):
        return {}
    lines = known.lines
    return {hour: {name: lines[name] for name in compared_hours(rules, hour) if name in lines} for hour in judge}


def kept_us(rules: StreamRules) -> int:
    """How far back counts are remembered."""
    return max(KEEP_HOURS * HOUR_US, rules.reach_us + rules.settle_us + HOUR_US)


def compared_us(rules: StreamRules) -> int:
    """How far back the lines of an hour are remembered."""
    return max((max(rule.days, 7 * rule.weeks) + 2 for rule in _changes(rules)), default=0) * 24 * HOUR_US


def _changes(rules: StreamRules) -> tuple[VolumeRule, ...]:
    return tuple(rule for rule in rules.of(VolumeRule) if rule.change_pct is not None)
