"""Topics of a Kafka cluster as a source: partitions are assigned, positions are ours, no consumer group is joined."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa

from nw_platform.errors import ConfigError, SourceError
from nw_platform.record.spans import Receipt, Span
from nw_platform.sources.contract import Budget, Plan, Problem, SpanReader, Survey
from nw_platform.sources.kafka.client import Broker, Topic, client_options
from nw_platform.sources.kafka.planning import Doubt, Layout, Place, Sizes, View, cut_short, lay_out, newest
from nw_platform.sources.kafka.positions import Positions, matches
from nw_platform.sources.kafka.reading import Reading

SECOND_LOOK_S: Final = 2.0  # so much later brokers have to say again that a log ends before where it was read to
_RETENTION_KNOWN_S: Final = 300.0
_AGAIN_BYTES: Final = 32 << 20
_KINDS: Final = ("genesis", "batch")
_OVER: Final = 1.25  # of a batch's bytes: from here on its spans end early, for records were larger than thought


class KafkaSource:
    """The partitions p of some topics with p mod n = i. Opens no connection before it is asked for something."""

    def __init__(
        self,
        bootstrap: str,
        topics: Sequence[str],
        *,
        start: str | int = "earliest",
        lane: tuple[int, int] = (0, 1),
        options: Mapping[str, Any] | None = None,
        group: str = "neverwinter",
    ) -> None:
        """Take the brokers, the topics (names, or regular expressions that begin with ^) and the client's options.

        `start`: where the first lanes begin: earliest, latest, or microseconds since the epoch.
        `group`: whose offsets are written after each batch; `group.id` among the options wins.

        Raises:
            ConfigError: an option that cannot be allowed, or an expression that is none.
        """
        self._asked = _checked(topics)
        self._start = start
        self._lane = lane
        self._broker = Broker({"group.id": group, **client_options(bootstrap, options or {})})
        self._reading: Reading | None = None  # ahead, for batches
        self._again: Reading | None = None  # of recorded spans, for replays
        self._positions = Positions()
        self._is_told = False  # whether the group's offsets were sent since positions were restored
        self._doubts: dict[Doubt, float] = {}  # since when; seconds of the monotonic clock
        self._turn = 0
        self._sizes = Sizes()
        self._layout: Layout | None = None
        self._aligned: Layout | None = None  # the plan that reading ahead was told of
        self._room = 0.0  # bytes that the batch may still read
        self._checked_at = 0.0  # when the topics' ids were last looked at; seconds of the monotonic clock
        self._ids: dict[str, str] = {}
        self._keeps: dict[str, int] = {}  # topic -> retention in microseconds
        self._keeps_at: float | None = None

    def genesis(self, now: int, before: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """Where `start` says, or where the lanes before stopped; what comes later is read from its beginning."""
        del now
        if before:
            return Positions.union(before, self._lane).as_json()
        found = self._look()
        for (name, partition), reason in found.failures.items():
            raise self._broker.failure(f"offsets of {name}/{partition} could not be read", reason)
        wanted: dict[Place, int] = {}
        mine = {place: bounds for place, bounds in found.bounds.items() if self._is_mine(place)}
        if isinstance(self._start, int):
            wanted = self._broker.at_time(mine, self._start)
        positions = Positions()
        positions.ask(self._asked)
        for (name, partition), (low, end) in sorted(mine.items()):
            at = low if self._start == "earliest" else wanted.get((name, partition), end)
            positions.at(name, found.topics[name].id).move(partition, at)
        return positions.as_json()

    def restore(self, receipts: Sequence[Receipt]) -> None:
        """See Source. Only the last receipts are looked at: each holds the positions of the whole lane."""
        self._positions, self._turn, self._sizes, self._layout = Positions(), 0, Sizes(), None
        self._is_told = False
        for at in range(len(receipts) - 1, -1, -1):
            if receipts[at].kind in _KINDS:
                self._take(receipts[at])
                return

    def advance(self, receipt: Receipt) -> None:
        """See Source. The consumer group's offsets follow: for lag tools, never read back."""
        if receipt.kind not in _KINDS:
            return
        self._take(receipt)
        self._tell()

    def plan(self, now: int, budget: Budget) -> Plan:
        """See Source."""
        del now
        layout = lay_out(self._look_twice(), self._positions, self._asked, self._lane, budget, self._sizes, self._turn)
        self._layout, self._room = layout, budget.bytes * _OVER
        oldest = self._oldest(layout)
        return Plan(
            layout.spans,
            tuple(layout.problems),
            layout.more,
            oldest=min(oldest.values(), default=None) if len(oldest) == len(layout.spans) else None,
            waiting=layout.waiting,
            expires_at=self._expiry(oldest),
        )

    def survey(self, now: int, budget: Budget) -> Survey:
        """See Source. The spans end where partitions end; reading them sends no offsets of a group."""
        del now
        return newest(self._look(), self._asked, self._lane, budget)

    def read(self, span: Span, make_framer: Callable[[str | None, int], Any]) -> SpanReader:
        """See Source. Records need no framing. A span of the last plan may end early, where records are large."""
        del make_framer
        reader = SpanReader(iter(()), span)
        if self._layout is not None and span in self._layout.spans:
            reader.batches = self._planned(reader, self._align(self._layout, span))
        else:
            self._find(span)
            if self._again is None:
                self._again = Reading(self._broker, ahead_bytes=_AGAIN_BYTES)
            self._again.align({(span.source, span.partition): (span.start, span.incarnation)})
            reader.batches = self._recorded(reader, self._again)
        return reader

    def positions(self, spans: Sequence[Span] = ()) -> dict[str, Any]:
        """See Source."""
        if not spans or self._layout is None:
            return self._positions.as_json()
        after = self._layout.after.copy()
        for span in spans:
            entry = after.at(span.source, span.incarnation.partition(".")[0])
            entry.move(span.partition, span.end)
            entry.see(span.partition, self._layout.ends.get((span.source, span.partition), span.end))
        return after.as_json()

    def close(self) -> None:
        """See Source."""
        for reading in (self._reading, self._again):
            if reading is not None:
                reading.close()
        self._reading = self._again = None
        self._broker.close()

    def _take(self, receipt: Receipt) -> None:
        self._positions = Positions(receipt.positions)
        self._turn = receipt.sequence
        self._sizes.learn(receipt.spans)
        self._layout = None

    def _is_mine(self, place: Place) -> bool:
        number, lanes = self._lane
        return place[1] % lanes == number

    def _tell(self) -> None:
        """Send the group's offsets, of all the lane's partitions: those before may have been lost with a process."""
        if self._reading is not None:
            self._is_told = True
            self._reading.commit(
                {
                    (name, partition): offset
                    for name, topic_id in self._ids.items()
                    for partition, offset in self._positions.of(name, topic_id).next().items()
                }
            )

    def _look_twice(self) -> View:
        """What the brokers say. That a log was cut is believed if they say so again, on new connections."""
        view = self._look()
        asked_at = time.monotonic()
        self._doubts = {each: self._doubts.get(each, asked_at) for each in cut_short(view, self._positions)}
        wait = max(self._doubts.values(), default=0.0) + SECOND_LOOK_S - asked_at
        if self._doubts and wait > 0:
            self._broker.close()  # what it knows of the partitions' leaders goes with it
            time.sleep(wait)
            view = self._look()
            self._doubts = {each: self._doubts.get(each, asked_at) for each in cut_short(view, self._positions)}
        return view

    def _look(self) -> View:
        """What the brokers say now of the topics asked for."""
        names = [what for what in self._asked if not what.startswith("^")]
        if len(names) < len(self._asked):
            names = sorted({*names, *(name for name in self._broker.names() if matches(self._asked, name))})
        topics = self._topics(names)
        places = [
            (topic.name, p) for topic in topics.values() for p in topic.partitions if self._is_mine((topic.name, p))
        ]
        return View(topics, *self._broker.bounds(places))

    def _topics(self, names: Sequence[str]) -> dict[str, Topic]:
        asked_at = time.monotonic()  # what was fetched before this is of these ids
        topics = self._broker.topics(names)
        self._ids = {topic.name: topic.id for topic in topics.values()}
        self._checked_at = asked_at
        return topics

    def _align(self, layout: Layout, span: Span) -> Reading:
        """Have all of the lane's partitions read ahead, from where the plan starts, this one from the span's start."""
        if self._reading is None:
            self._reading = Reading(self._broker)
        if self._aligned is layout:
            starts = self._reading.standing()
        else:
            starts, self._aligned = layout.starts, layout
            self._reading.begin()
        self._reading.align({**starts, (span.source, span.partition): (span.start, span.incarnation)})
        if not self._is_told:
            self._tell()
        return self._reading

    def _planned(self, reader: SpanReader, reading: Reading) -> Iterator[pa.RecordBatch]:
        span, end = reader.span, reader.span.start
        records = size = garbled = 0
        fetched = 0.0
        is_early = self._room <= 0
        try:
            for piece in () if is_early else reading.take((span.source, span.partition), span.end):
                records, size, fetched = records + len(piece.offsets), size + piece.bytes, max(fetched, piece.fetched)
                end = int(piece.offsets[-1]) + 1
                garbled += piece.garbled
                self._room -= piece.bytes
                yield piece.batch
                is_early = self._room <= 0
                if is_early:
                    break
        except SourceError as error:
            if not records:
                raise
            # What was handed out is kept: one partition that cannot be read on does not stop the others.
            is_early = True
            reader.problems.append(Problem("unreadable", span.source, end, str(error), partition=span.partition))
        if garbled:
            reason = f"{_range(span)}: {garbled} records have headers with names that are not UTF-8: left out; {_NAMES}"
            reader.problems.append(Problem("damaged", span.source, span.start, reason, partition=span.partition))
        self._same_topic(span, fetched)
        reader.span = replace(span, end=end if is_early else span.end, records=records, bytes=size)

    def _recorded(self, reader: SpanReader, reading: Reading) -> Iterator[pa.RecordBatch]:
        span = reader.span
        records = size = 0
        fetched = 0.0
        for piece in reading.take((span.source, span.partition), span.end):
            records, size, fetched = records + len(piece.offsets), size + piece.bytes, max(fetched, piece.fetched)
            yield piece.batch
        self._same_topic(span, fetched)
        if records < span.records:
            raise SourceError(
                f"{_range(span)}: {span.records - records} of {span.records} records are gone (compacted)"
            )
        reader.span = replace(span, records=records, bytes=size)

    def _find(self, span: Span) -> None:
        """See that a recorded span is still there.

        Raises:
            SourceError: it is not, and why.
        """
        topic_id, _, rest = span.incarnation.partition(".")
        topic = self._topics([span.source]).get(span.source)
        if topic is None:
            raise SourceError(f"{_range(span)} are gone: their topic was deleted")
        if topic.id != topic_id:
            raise SourceError(
                f"{_range(span)} are gone: their topic (id {topic_id}) was deleted and made anew (id {topic.id})"
            )
        bounds = self._broker.bounds([(span.source, span.partition)])[0].get((span.source, span.partition))
        if bounds is None:
            raise SourceError(f"{_range(span)} are gone: the topic has no such partition")
        low, end = bounds
        if low > span.start:
            raise SourceError(f"{_range(span)}: [{span.start}, {min(low, span.end)}) are gone: retention deleted them")
        after = self._positions.of(span.source, topic_id).cuts(span.partition)[int(rest.partition(".")[2] or 0) :]
        if min([end, *after]) < span.end:
            raise SourceError(f"{_range(span)}: [{min([end, *after])}, {span.end}) are gone: the brokers lost them")

    def _same_topic(self, span: Span, fetched: float) -> None:
        """What was fetched is of the span's topic, if that is still there afterwards: an id is never used again."""
        if fetched > self._checked_at:
            self._topics(sorted({span.source, *self._ids}))
        if self._ids.get(span.source) != span.incarnation.partition(".")[0]:
            raise SourceError(f"{_range(span)} are gone: their topic was deleted while it was read")

    def _oldest(self, layout: Layout) -> dict[Place, int]:
        """When the first records of the spans were written, as far as they are held; microseconds since the epoch."""
        if self._reading is None:
            return {}
        places = [(span.source, span.partition) for span in layout.spans]
        return self._reading.first_times({place: layout.starts[place] for place in places})

    def _expiry(self, oldest: Mapping[Place, int]) -> int | None:
        """When the first of these records is older than its topic keeps it; the brokers may take a while longer."""
        if not oldest:
            return None
        if self._keeps_at is None or time.monotonic() - self._keeps_at > _RETENTION_KNOWN_S:
            self._keeps = self._broker.retention_us(sorted(self._ids))
            self._keeps_at = time.monotonic()
        ends = [at + self._keeps[place[0]] for place, at in oldest.items() if place[0] in self._keeps]
        return min(ends, default=None)


_NAMES: Final = "keys and values are kept; correct who writes them"


def _checked(topics: Sequence[str]) -> tuple[str, ...]:
    if not topics:
        raise ConfigError('a stream of a kafka source needs a topic, as in: topic: "app.events"')
    for what in topics:
        if what.startswith("^"):
            try:
                re.compile(what)
            except re.error as error:
                raise ConfigError(f"topic: {what!r} is no regular expression: {error}") from error
    return tuple(topics)


def _range(span: Span) -> str:
    return f"{span.source}/{span.partition}: offsets [{span.start}, {span.end})"
