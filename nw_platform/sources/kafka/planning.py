"""What the next batch reads: a pure function of what the brokers say, the lane's positions and the budget."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Final

from nw_platform.record.spans import Span
from nw_platform.sources.contract import Budget, Problem, Survey
from nw_platform.sources.kafka.client import Topic
from nw_platform.sources.kafka.positions import Incarnation, Positions, incarnation_of, matches

__all__ = ["GUESSED_BYTES", "Doubt", "Layout", "Sizes", "View", "cut_short", "lay_out", "newest"]

GUESSED_BYTES: Final = 1024.0  # of a record, before any was read

Place = tuple[str, int]  # topic, partition
Doubt = tuple[str, int, str]  # topic, partition, topic id


@dataclass(frozen=True, slots=True)
class View:
    """What the brokers say now."""

    topics: Mapping[str, Topic]
    bounds: Mapping[Place, tuple[int, int]]  # first offset, the one after the last committed record
    failures: Mapping[Place, str] = field(default_factory=dict)  # partitions that nobody leads now, and the like


@dataclass(slots=True)
class Sizes:
    """Average bytes of a record, as far as known."""

    places: dict[Place, float] = field(default_factory=dict)
    overall: float = GUESSED_BYTES

    def learn(self, spans: Sequence[Span]) -> None:
        """Take the averages of spans that were read."""
        records = sum(span.records for span in spans)
        if records:
            self.overall = max(1.0, sum(span.bytes for span in spans) / records)
        for span in spans:
            if span.records:
                self.places[span.source, span.partition] = max(1.0, span.bytes / span.records)

    def of(self, place: Place) -> float:
        """Bytes of a record there."""
        return self.places.get(place, self.overall)


@dataclass(slots=True)
class Layout:
    """The next batch, and what it does to the positions apart from its spans."""

    spans: tuple[Span, ...] = ()
    problems: list[Problem] = field(default_factory=list)
    more: bool = False
    waiting: int | None = 0  # offsets, also beyond these spans; None: some partitions cannot be looked at
    starts: dict[Place, tuple[int, str]] = field(default_factory=dict)  # all of the lane's: next offset, incarnation
    ends: dict[Place, int] = field(default_factory=dict)  # the same partitions: one after the last committed record
    after: Positions = field(default_factory=Positions)  # once the problems are in a receipt; spans not counted


def lay_out(
    view: View,
    positions: Positions,
    asked: Sequence[str],
    lane: tuple[int, int],
    budget: Budget,
    sizes: Sizes,
    turn: int,
) -> Layout:
    """Plan. `turn`: a number that grows from batch to batch; it decides who is first where not all can be in."""
    layout = Layout(after=positions.copy())
    layout.after.ask(asked)
    _missing(view, positions, asked, lane, layout)
    ends = layout.ends
    for name, places in itertools.groupby(sorted(view.bounds), key=itemgetter(0)):
        topic = view.topics.get(name)
        if topic is None:
            continue
        nexts = positions.of(name, topic.id).next()  # once a topic: there may be thousands of partitions
        after = layout.after.at(name, topic.id)
        # What is new since the lane's last look is read from offset 0; what is newly configured, from where it begins.
        is_known = matches(positions.asked(), name)
        for place in places:
            partition, (low, end) = place[1], view.bounds[place]
            if partition % lane[1] != lane[0]:
                continue
            start = _start(place, nexts.get(partition, 0 if is_known else low), low, end, layout, after)
            layout.starts[place] = (start, incarnation_of(topic.id, partition, len(after.cuts(partition))))
            after.move(partition, start)
            after.see(partition, end)
            ends[place] = end
    _unreachable(view, layout)
    backlog = {place: ends[place] - start for place, (start, _) in layout.starts.items() if ends[place] > start}
    taken = _shared(backlog, budget, sizes, turn)
    spans = []
    for place, count in sorted(taken.items()):
        start, incarnation = layout.starts[place]
        spans.append(Span(*place, start, start + count, incarnation))
    layout.spans = tuple(spans)
    layout.waiting = None if view.failures else sum(backlog.values())
    layout.more = sum(backlog.values()) > sum(taken.values())
    return layout


def newest(view: View, asked: Sequence[str], lane: tuple[int, int], budget: Budget) -> Survey:
    """The last records of some partitions that have any: of each topic one, then of each topic a second one ..."""
    layout = Layout()
    _missing(view, Positions(), asked, lane, layout)
    _unreachable(view, layout)
    filled = [(place, bounds) for place, bounds in sorted(view.bounds.items()) if bounds[1] > bounds[0]]
    rank: dict[Place, int] = {}
    for _, of_topic in itertools.groupby(filled, key=lambda item: item[0][0]):
        rank.update({place: number for number, (place, _) in enumerate(of_topic)})
    spans = []
    for (name, partition), (low, end) in sorted(filled, key=lambda item: (rank[item[0]], item[0]))[: budget.spans]:
        incarnation = incarnation_of(view.topics[name].id, partition, 0)
        spans.append(Span(name, partition, max(low, end - budget.records), end, incarnation))
    return Survey(
        found=len(view.topics),
        empty=len(view.topics) - len({name for (name, _), _ in filled}),
        records=None if view.failures else sum(end - low for _, (low, end) in filled),
        spans=tuple(spans),
        problems=tuple(layout.problems),
    )


def cut_short(view: View, positions: Positions) -> list[Doubt]:
    """Partitions whose log ends, if it is true what the brokers say, before where it was read to."""
    found: list[Doubt] = []
    for topic in view.topics.values():
        nexts = positions.of(topic.name, topic.id).next()
        bounds = ((partition, view.bounds.get((topic.name, partition))) for partition in nexts)
        found += [(topic.name, p, topic.id) for p, bound in bounds if bound is not None and bound[1] < nexts[p]]
    return found


def _missing(view: View, positions: Positions, asked: Sequence[str], lane: tuple[int, int], layout: Layout) -> None:
    """Say which topics are not there, and what was not read of those that were deleted and made again."""
    named = {what for what in asked if not what.startswith("^")}
    known = {name for name in positions.names() if matches(asked, name)}
    for name in sorted(named | known):
        topic = view.topics.get(name)
        for topic_id in positions.ids(name):
            if topic is not None and topic.id == topic_id:
                continue
            unread = positions.of(name, topic_id).unread()
            if topic is None:
                count = sum(end - at for at, end in unread.values())
                if count and name not in named:
                    reason = f"topic {name} is not there any more, with {count} offsets unread; {_CREATE}"
                    layout.problems.append(Problem("unreadable", name, 0, reason))
                continue
            for partition, (at, end) in unread.items():
                reason = (
                    f"{name}/{partition}: offsets [{at}, {end}), {end - at} of them, were deleted with their topic "
                    f"(id {topic_id}) before they were read, and whatever came after them; the topic that was made "
                    f"anew (id {topic.id}) is read from its beginning; keep topics until they are read"
                )
                layout.problems.append(Problem("lost", name, at, reason, partition=partition, end=end))
            _replaced(name, topic_id, topic.id, positions, unread, layout)
            layout.after.forget(name, topic_id)
        if topic is None and name in named and lane[0] == 0:
            layout.problems.append(Problem("unreadable", name, 0, f"topic {name} does not exist; {_CREATE}"))


def _unreachable(view: View, layout: Layout) -> None:
    """Say which partitions cannot be looked at now."""
    for (name, partition), failure in sorted(view.failures.items()):
        reason = f"{name}/{partition} cannot be read now: {failure}; see that all brokers run"
        layout.problems.append(Problem("unreadable", name, 0, reason, partition=partition))


def _replaced(
    name: str, old: str, new: str, positions: Positions, unread: Mapping[int, tuple[int, int]], layout: Layout
) -> None:
    """Say that a topic of which everything seen was read was made again: more may have been written to it."""
    read = {number: at for number, at in positions.of(name, old).next().items() if number not in unread and at}
    if read:
        to = ", ".join(f"{number} to {at}" for number, at in sorted(read.items()))
        reason = (
            f"topic {name} (id {old}) was deleted and made again (id {new}); its partitions were read: {to}; whether "
            "more was written to them after that is not known; the new one is read from its beginning"
        )
        first = min(read)
        layout.problems.append(Problem("lost", name, read[first], reason, partition=first))


_CREATE: Final = "create it, or take it out of `topic`"


def _start(at: Place, wanted: int, low: int, end: int, layout: Layout, after: Incarnation) -> int:
    """The offset to read a partition on from, best of all the one wanted; says what is gone."""
    name, partition = at
    place = f"{name}/{partition}"
    if wanted < low:
        reason = (
            f"{place}: offsets [{wanted}, {low}), {low - wanted} of them, were deleted at the source before they were "
            "read; make `retention.ms` and `retention.bytes` of the topic longer than the longest standstill"
        )
        layout.problems.append(Problem("lost", name, wanted, reason, partition=partition, end=low))
        return low
    if wanted > end:
        reason = (
            f"{place}: the log ends at offset {end}, but was read to {wanted}: the brokers lost [{end}, {wanted}), "
            f"{wanted - end} offsets, which are in raw (an unclean leader election, or a lost disk); reading goes on "
            f"at {end}, and what was written below that since is not read: look at the brokers' logs"
        )
        layout.problems.append(Problem("lost", name, end, reason, partition=partition, end=wanted))
        after.cut(partition, end)
        return end
    return wanted


def _shared(backlog: Mapping[Place, int], budget: Budget, sizes: Sizes, turn: int) -> dict[Place, int]:
    """How many offsets of which partition: equal parts of the budget, and what one leaves is for the others."""
    places = sorted(backlog)
    fit = max(0, min(len(places), budget.spans, budget.records))
    if not fit:
        return {}
    first = turn * fit % len(places)
    chosen = [*places[first:], *places[:first]][:fit]
    # What a record takes of the budget, whichever of its two bounds is the tighter one.
    cost = {place: max(sizes.of(place) / budget.bytes, 1 / budget.records) for place in chosen}
    taken: dict[Place, int] = {}
    left = 1.0
    for number, place in enumerate(sorted(chosen, key=lambda place: backlog[place] * cost[place])):
        part = left / (fit - number)
        taken[place] = min(backlog[place], max(1, int(part / cost[place] + 1e-6)))
        left = max(0.0, left - taken[place] * cost[place])
    return taken
