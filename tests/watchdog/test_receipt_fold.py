"""Continuity as receipts tell it: written as little stories of receipts, and as laws over random ones."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.record.hours import HOUR_US, hour_of, hour_start
from nw_platform.record.spans import FIRST_DIGEST, Receipt, Span
from nw_platform.watchdog.evaluate import evaluate
from nw_platform.watchdog.expectations import StreamRules
from nw_platform.watchdog.observations import Balanced, StreamObservations
from nw_platform.watchdog.receipts import FORGET_US, ReceiptFold

START = hour_start("2026-11-22T05")
MINUTE = 60_000_000


def span(source: str, start: int, end: int, partition: int = 0) -> Span:
    return Span(source, partition, start, end, incarnation="x", records=1, bytes=end - start, state={"path": source})


def problem(source: str, kind: str = "damaged", position: int = 7) -> dict[str, Any]:
    return {"kind": kind, "source": source, "position": position, "reason": "the archive ends too early"}


class Lane:
    """Writes a chain of receipts, one a minute."""

    def __init__(self, name: str = "0.0", before: tuple[Lane, ...] = ()) -> None:
        self.name = name
        self.receipts: list[Receipt] = []
        lasts = [lane.receipts[-1] for lane in before]
        self.add(kind="genesis", detail={"after": {last.lane: last.self_digest() for last in lasts}} if before else {})

    def add(self, *spans: Span, kind: str = "batch", after: int = MINUTE, **fields: Any) -> Receipt:
        last = self.receipts[-1] if self.receipts else None
        planned = (last.planned_time + after) if last else START
        receipt = Receipt(
            stream="web",
            lane=self.name,
            sequence=last.sequence + 1 if last else 0,
            kind=kind,  # type: ignore[arg-type]  # a literal, as the caller wrote it
            arrival_hour=hour_of(planned),
            spans=spans,
            positions={},
            records=len(spans),
            bytes=0,
            skipped_lines=0,
            digest="d",
            previous_digest=last.self_digest() if last else FIRST_DIGEST,
            event_hours=fields.pop("event_hours", {}),
            planned_time=planned,
            **fields,
        )
        self.receipts.append(receipt)
        return receipt


def faults(receipts: list[Receipt], *, landing: bool = True) -> list[tuple[str, int]]:
    fold = ReceiptFold(landing=landing)
    fold.add(receipts)
    return [(fault.kind, fault.sequence) for fault in fold.faults]


def continuity(receipts: list[Receipt]) -> list[tuple[str | None, bool, str]]:
    fold = ReceiptFold()
    fold.add(receipts)
    seen = StreamObservations("web", live_since=START, arrivals=fold.arrivals, faults=fold.faults)
    found = evaluate([StreamRules("web")], {"web": seen}, START + HOUR_US)
    return [(f.partition, f.passed, f.message) for f in found if f.check == "continuity" and f.subject == ""]


def test_a_whole_chain_has_no_fault():
    lane = Lane()
    lane.add(span("a", 0, 10))
    lane.add(span("a", 10, 30), span("b", 0, 5))
    lane.add(span("a", 0, 4, partition=1))
    assert faults(lane.receipts) == []
    assert continuity(lane.receipts) == [
        ("2026-11-22T05", True, "raw/web 2026-11-22T05: 4 receipts, no gap and no overlap")
    ]


def test_a_missing_receipt():
    lane = Lane()
    for n in range(4):
        lane.add(span(f"f{n}", 0, 10))
    del lane.receipts[2:4]
    assert faults(lane.receipts) == [("sequence", 4)]
    [(partition, passed, message)] = continuity(lane.receipts)
    assert (partition, passed) == ("2026-11-22T05", False)
    assert "receipts 2-3 of lane 0.0 are missing" in message
    assert "nw verify web 2026-11-22T05 2026-11-22T06" in message


def test_a_receipt_that_is_there_twice():
    lane = Lane()
    lane.add(span("a", 0, 10))
    assert faults([*lane.receipts, lane.receipts[-1]]) == [("sequence", 1), ("overlap", 1)]


def loss(source: str, partition: int, first: int, end: int) -> dict[str, Any]:
    said = {"kind": "lost", "source": source, "position": first, "partition": partition, "end": end}
    return {**said, "reason": f"{source}/{partition}: offsets [{first}, {end}) were deleted"}


def test_what_a_source_lost_is_no_gap_and_stays_a_fault():
    lane = Lane()
    lane.add(span("t", 100, 110, partition=3))
    lane.add(span("t", 0, 5), detail={"problems": [loss("t", 3, 110, 150)]})
    lane.add(span("t", 150, 160, partition=3), span("t", 5, 6))
    lane.add(span("t", 161, 170, partition=3))
    assert faults(lane.receipts, landing=False) == [("lost", 2), ("gap", 4)]
    fold = ReceiptFold.from_json(ReceiptFold(landing=False).as_json())
    for receipt in lane.receipts:
        fold.add([receipt])
        fold = ReceiptFold.from_json(json.loads(json.dumps(fold.as_json())))
    assert [fault.kind for fault in fold.faults] == ["lost", "gap"]
    [(_, passed, message)] = continuity(lane.receipts[:3])
    assert not passed
    assert "t/3: offsets [110, 150) were deleted" in message


def test_a_topic_made_again_begins_anew():
    lane = Lane()
    lane.add(span("t", 0, 10))
    lane.add(replace(span("t", 0, 4), incarnation="y"))
    lane.add(replace(span("t", 4, 6), incarnation="y"))
    assert faults(lane.receipts, landing=False) == []


def test_an_altered_receipt():
    lane = Lane()
    lane.add(span("a", 0, 10))
    lane.add(span("b", 0, 10))
    lane.receipts[1] = lane.receipts[1].with_changes(records=99)
    assert faults(lane.receipts) == [("chain", 2)]


def epochs() -> tuple[Lane, Lane, Lane]:
    """A topic with two partitions, read by one lane and then by two."""
    old = Lane()
    old.add(span("t", 0, 10), span("t", 0, 5, partition=1))
    old.add(span("t", 10, 20), span("t", 5, 6, partition=1))
    even, odd = Lane("1.0", (old,)), Lane("1.1", (old,))
    even.add(span("t", 20, 30))
    odd.add(span("t", 6, 7, partition=1))
    return old, even, odd


def test_lanes_of_another_number_read_on_where_the_lanes_before_them_stopped():
    old, even, odd = epochs()
    assert faults([*old.receipts, *even.receipts, *odd.receipts], landing=False) == []
    odd.add(span("t", 9, 12, partition=1))
    even.add(span("t", 29, 31))
    fold = ReceiptFold(landing=False)
    fold.add([*old.receipts, *even.receipts, *odd.receipts])
    assert [(fault.kind, fault.lane, fault.sequence) for fault in fold.faults] == [
        ("overlap", "1.0", 2),
        ("gap", "1.1", 2),
    ]


def test_the_last_receipt_of_an_old_lane_is_vouched_for_by_the_lanes_that_follow_on_it():
    for harm in (lambda last: [last.with_changes(records=99)], lambda _: []):
        old, even, odd = epochs()
        receipts = [*old.receipts[:-1], *harm(old.receipts[-1]), *even.receipts, *odd.receipts]
        fold = ReceiptFold(landing=False)
        fold.add(receipts)
        found = [(fault.kind, fault.lane, fault.sequence) for fault in fold.faults if fault.kind == "chain"]
        assert found == [("chain", "1.0", 0), ("chain", "1.1", 0)]
        assert "lane 1.0 begins after a receipt of lane 0.0 that is not there" in fold.faults[-2].text


def test_lanes_that_follow_on_others_may_be_seen_later_than_those_and_their_replays():
    old, even, odd = epochs()
    fold = ReceiptFold(landing=False)
    fold.add(old.receipts)
    fold = ReceiptFold.from_json(json.loads(json.dumps(fold.as_json())))
    fold.add(even.receipts)
    fold.add(odd.receipts)
    assert fold.faults == []
    old.add(kind="replay", replaces=1)
    assert faults([*old.receipts, *even.receipts, *odd.receipts], landing=False) == []


def test_what_one_lane_cannot_read_is_not_over_because_another_lane_reads():
    old, even, odd = epochs()
    even.add(span("t", 30, 40), detail={"problems": [problem("u", "unreadable", 0)]})
    odd.add(span("t", 7, 8, partition=1))
    fold = ReceiptFold(landing=False)
    fold.add([*old.receipts, *even.receipts, *odd.receipts])
    assert [(fault.kind, fault.lane) for fault in fold.faults] == [("unreadable", "1.0")]
    fold.add([even.add(span("t", 40, 41))])
    assert fold.faults == []


def test_bytes_that_were_never_read_and_bytes_that_were_read_twice():
    lane = Lane()
    lane.add(span("a", 0, 10))
    lane.add(span("a", 15, 20))
    lane.add(span("a", 18, 30))
    lane.add(span("late-start", 3, 9))
    assert faults(lane.receipts) == [("gap", 2), ("overlap", 3), ("gap", 4)]
    [(_, _, message)] = continuity(lane.receipts)
    assert "bytes 10-15 of a were never read; bytes 18-20 of a were read twice; bytes 0-3 of late-start" in message


def test_offsets_of_a_topic_need_not_start_at_zero():
    lane = Lane()
    lane.add(span("topic", 700, 800))
    lane.add(span("topic", 800, 900))
    assert faults(lane.receipts, landing=False) == []


def test_a_damaged_file_is_named_with_its_position_until_it_came_again_whole():
    lane = Lane()
    lane.add(span("in/a.gz", 0, 7), span("in/b", 0, 5), detail={"problems": [problem("in/a.gz")]})
    [(_, passed, message)] = continuity(lane.receipts)
    assert not passed
    assert "in/a.gz: the archive ends too early (damaged at byte 7)" in message
    assert "nw ingest --stream web --once" in message
    lane.add(span("in/c", 0, 5))
    assert faults(lane.receipts) == [("damaged", 1)]
    lane.add(span("in/a.gz", 0, 50, partition=1))
    assert faults(lane.receipts) == []


def test_a_damaged_file_that_came_again_damaged_is_damaged():
    lane = Lane()
    lane.add(span("a.gz", 0, 7), detail={"problems": [problem("a.gz")]})
    lane.add(span("a.gz", 0, 9, partition=1), detail={"problems": [problem("a.gz", position=9)]})
    assert faults(lane.receipts) == [("damaged", 1), ("damaged", 2)]


def test_an_unreadable_file_is_a_fault_as_long_as_batches_say_so():
    lane = Lane()
    lane.add(span("a", 0, 7), detail={"problems": [problem("b", "unreadable", 0)]})
    lane.add(span("a", 7, 9), detail={"problems": [problem("b", "unreadable", 0)]})
    assert faults(lane.receipts) == [("unreadable", 2)]
    lane.add(span("b", 0, 7))
    assert faults(lane.receipts) == []


def test_what_was_not_touched_for_long_is_forgotten_and_then_taken_as_it_comes():
    lane = Lane()
    lane.add(span("old", 0, 10))
    lane.add(span("new", 0, 10), after=FORGET_US + HOUR_US)
    fold = ReceiptFold()
    fold.add(lane.receipts)
    assert set(fold.contents) == {("new", 0)}
    fold.add([lane.add(span("old", 10, 20))])
    assert fold.faults == []


def test_only_the_newest_receipts_are_in_flight():
    lane = Lane()
    lane.add(span("a", 0, 1), event_hours={"2026-11-22T05": 10})
    lane.add(span("a", 1, 2), event_hours={"2026-11-22T05": 7, "2026-11-22T04": 1}, after=20 * MINUTE)
    fold = ReceiptFold()
    fold.add(lane.receipts)
    now = lane.receipts[-1].planned_time
    assert fold.in_flight(now + MINUTE) == {"2026-11-22T05": 7, "2026-11-22T04": 1}
    assert fold.in_flight(now + 5 * MINUTE) == {}


@given(
    pieces=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9)), max_size=20),
    drop=st.integers(0, 25),
    cut=st.integers(0, 25),
)
@settings(max_examples=150)
def test_the_fold_finds_a_dropped_receipt_and_does_not_depend_on_where_it_was_interrupted(pieces, drop, cut):
    lane = Lane()
    ends: dict[str, int] = {}
    for source, size in pieces:
        begin = ends.get(source, 0)
        ends[source] = begin + size
        lane.add(span(source, begin, begin + size))
    receipts = list(lane.receipts)
    dropped = drop < len(receipts)
    if dropped:
        del receipts[drop]
    whole = ReceiptFold()
    whole.add(receipts)
    # A receipt dropped from the end leaves a shorter chain that is whole: only `nw verify` can tell.
    assert bool(whole.faults) == (dropped and drop < len(lane.receipts) - 1)
    parts = ReceiptFold()
    parts.add(receipts[:cut])
    parts = ReceiptFold.from_json(json.loads(json.dumps(parts.as_json())))
    parts.add(receipts[cut:])
    assert parts == whole


@given(
    counts=st.dictionaries(
        st.integers(0, 5),
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(0, 3), st.integers(0, 3)),
        max_size=6,
    )
)
def test_completeness_fails_exactly_where_the_newest_receipts_do_not_explain_a_difference(counts):
    named = {f"2026-11-22T{hour:02}": row for hour, row in counts.items()}
    seen = StreamObservations(
        "web",
        live_since=START,
        balances={hour: Balanced(raw, logs, twice) for hour, (raw, logs, twice, _) in named.items()},
        in_flight={hour: flying for hour, (*_, flying) in named.items()},
    )
    found = [f for f in evaluate([StreamRules("web")], {"web": seen}, START) if f.check == "completeness"]
    assert {f.partition: f.passed for f in found} == {
        hour: raw - logs - twice in range(flying + 1) for hour, (raw, logs, twice, flying) in named.items()
    }
    for finding in found:
        if not finding.passed:
            assert f"nw rebuild web {finding.partition} " in finding.message
