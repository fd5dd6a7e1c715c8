"""What a batch of topics takes, and what is said of them: no broker is needed to know."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nw_platform.errors import ConfigError
from nw_platform.record.spans import Span
from nw_platform.sources.contract import Budget
from nw_platform.sources.kafka.client import Topic, client_options, one_line
from nw_platform.sources.kafka.columns import Run, sealed
from nw_platform.sources.kafka.planning import Layout, Sizes, View, lay_out
from nw_platform.sources.kafka.positions import Positions
from nw_platform.sources.registry import open_source

ASKED = ["t"]


def view(bounds: dict[int, tuple[int, int]], topic_id: str = "A", name: str = "t") -> View:
    topic = Topic(name, topic_id, tuple(bounds))
    return View({name: topic}, {(name, partition): bound for partition, bound in bounds.items()})


def at(topic_id: str = "A", **entry: object) -> Positions:
    return Positions({"asked": ASKED, "topics": {"t": {topic_id: entry}}})


def laid(seen: View, positions: Positions, budget: Budget | None = None, *, turn: int = 0) -> Layout:
    return lay_out(seen, positions, ASKED, (0, 1), budget or Budget(), Sizes(), turn)


def losses(layout: Layout) -> list[tuple[int | None, int, int | None]]:
    return [(p.partition, p.position, p.end) for p in layout.problems if p.kind == "lost"]


@given(
    st.dictionaries(st.integers(0, 20), st.integers(0, 10_000), min_size=1),
    st.integers(1, 5000), st.integers(1, 30), st.integers(1, 1 << 20), st.integers(0, 100),
)  # fmt: skip
def test_a_batch_keeps_its_bounds_and_takes_from_all_that_fit(backlog, records, spans, size, turn):
    seen = view({partition: (0, count) for partition, count in backlog.items()})
    budget = Budget(bytes=size, records=records, spans=spans)
    layout = laid(seen, at(next={}), budget, turn=turn)
    taken = {span.partition: span.end - span.start for span in layout.spans}
    waiting = {partition: count for partition, count in backlog.items() if count}
    assert sum(taken.values()) <= records
    assert len(taken) == min(len(waiting), spans, records)
    assert all(1 <= count <= waiting[partition] for partition, count in taken.items())
    assert layout.more == (sum(taken.values()) < sum(waiting.values()))
    assert layout.waiting == sum(waiting.values())
    assert laid(seen, at(next={}), budget, turn=turn).spans == layout.spans


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=12), st.integers(1, 4))
def test_no_partition_waits_for_ever(backlog, spans):
    seen = view({partition: (0, count) for partition, count in enumerate(backlog)})
    budget = Budget(records=spans, spans=spans)
    met = set()
    for turn in range(len(backlog)):
        met |= {span.partition for span in laid(seen, at(next={}), budget, turn=turn).spans}
    assert met == set(range(len(backlog)))


def test_records_known_to_be_large_are_taken_in_smaller_numbers():
    sizes = Sizes()
    sizes.learn([Span("t", 0, 0, 10, "A.0", records=10, bytes=10 << 20), Span("t", 1, 0, 100, "A.1", 100, 1000)])
    seen = view({0: (0, 1000), 1: (0, 1000)})
    layout = lay_out(seen, at(next={}), ASKED, (0, 1), Budget(bytes=8 << 20), sizes, 0)
    assert {span.partition: span.end - span.start for span in layout.spans} == {0: 7, 1: 1000}


def test_a_partition_that_is_new_has_lost_what_was_deleted_before_it_was_seen():
    assert losses(laid(view({0: (0, 5), 1: (7, 9)}), at(next={"0": 0}))) == [(1, 0, 7)]


def test_a_topic_that_is_newly_configured_begins_where_it_begins():
    positions = Positions({"asked": ["other"], "topics": {}})
    layout = laid(view({0: (7, 9)}), positions)
    assert losses(layout) == []
    assert [(span.start, span.end) for span in layout.spans] == [(7, 9)]
    assert layout.after.asked() == ASKED


def test_what_was_seen_of_a_deleted_topic_is_lost_once():
    before = at("A", next={"0": 5, "1": 3}, end={"0": 9})
    layout = laid(view({0: (0, 2)}, "B"), before)
    assert losses(layout) == [(0, 5, 9), (1, 3, None)]  # of partition 1 nobody knows
    assert "whether more was written" in layout.problems[1].reason
    assert "id A" in layout.problems[0].reason
    assert "id B" in layout.problems[0].reason
    assert [span.incarnation for span in layout.spans] == ["B.0"]
    assert losses(laid(view({0: (0, 2)}, "B"), layout.after)) == []


def test_a_topic_that_is_missing_keeps_its_positions():
    before = at("A", next={"0": 5}, end={"0": 9})
    layout = laid(View({}, {}), before)
    assert [(p.kind, p.source) for p in layout.problems] == [("unreadable", "t")]
    assert layout.after.of("t", "A").next() == {0: 5}


def test_a_log_that_ends_too_early_is_said_and_numbered_anew():
    layout = laid(view({0: (0, 4)}), at(next={"0": 9}))
    assert losses(layout) == [(0, 4, 9)]
    assert layout.spans == ()
    later = laid(view({0: (0, 6)}), layout.after)
    assert later.problems == []
    assert [(span.start, span.end, span.incarnation) for span in later.spans] == [(4, 6, "A.0.1")]


def test_a_partition_without_a_leader_is_named_and_the_others_go_on():
    seen = View(view({0: (0, 4), 1: (0, 4)}).topics, {("t", 0): (0, 4)}, {("t", 1): "no leader"})
    layout = laid(seen, at(next={"0": 0, "1": 2}))
    assert [(p.kind, p.partition) for p in layout.problems] == [("unreadable", 1)]
    assert [span.partition for span in layout.spans] == [0]
    assert layout.after.of("t", "A").next()[1] == 2
    assert layout.waiting is None  # the one that cannot be looked at may have any number


@given(st.integers(1, 5), st.integers(1, 5), st.dictionaries(st.integers(0, 30), st.integers(0, 99)))
def test_lanes_take_over_all_positions_and_none_twice(old, new, offsets):
    before = []
    for lane in range(old):
        mine = {str(p): offset for p, offset in offsets.items() if p % old == lane}
        before.append(json.loads(json.dumps({"asked": ASKED, "topics": {"t": {"A": {"next": mine}}}})))
    found = {}
    for lane in range(new):
        positions = Positions.union(before, (lane, new)).of("t", "A").next()
        assert not found.keys() & positions.keys()
        assert all(partition % new == lane for partition in positions)
        found |= positions
    assert found == offsets


def test_a_topic_that_is_configured_together_with_other_lanes_has_lost_nothing():
    before = [{"asked": ["other"], "topics": {"other": {"B": {"next": {str(lane): 3}}}}} for lane in range(2)]
    positions = Positions.union(before, (0, 1))
    assert positions.asked() == ["other"]
    layout = laid(view({0: (7, 9)}), positions)
    assert losses(layout) == []
    assert [(span.start, span.end) for span in layout.spans] == [(7, 9)]
    assert layout.after.asked() == ASKED


def test_many_partitions_are_planned_in_little_time():
    count = 20_000
    seen = view(dict.fromkeys(range(count), (0, 5)))
    positions = at(next={str(partition): 5 for partition in range(count)})
    began = time.process_time()
    assert laid(seen, positions).waiting == 0
    assert time.process_time() - began < 5  # it was minutes when each partition looked at all


@pytest.mark.parametrize("name", ["enable.auto.commit", "auto.offset.reset", "isolation.level", "bootstrap.servers"])
def test_an_option_that_would_break_exactness_is_refused(name):
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        open_source("kafka", bootstrap="b:1", topics=["t"], options={name: "x"})


def test_options_reach_the_client_as_it_reads_them():
    given_options = {"security.protocol": "SASL_SSL", "sasl.password": "s3cret", "check.crcs": True, "x": None, "n": 3}
    options = client_options("b:1", given_options)
    assert options["check.crcs"] == "true"
    assert (options["security.protocol"], options["n"], options["bootstrap.servers"]) == ("SASL_SSL", 3, "b:1")
    assert "x" not in options
    assert one_line("wrong:\n s3cret for user", options) == "wrong: *** for user"
    with pytest.raises(ConfigError, match="options"):
        client_options("b:1", {"list": [1]})


def test_a_property_that_nobody_knows_is_a_wrong_configuration():
    source = open_source("kafka", bootstrap="127.0.0.1:9", topics=["t"], options={"no.such": 1, "sasl.password": "pw1"})
    with pytest.raises(ConfigError, match=r"no\.such") as error:
        source.plan(0, Budget())
    assert "pw1" not in str(error.value)
    source.close()


@pytest.mark.parametrize("topics", [(), ["^("]])
def test_topics_have_to_be_names_or_expressions(topics):
    with pytest.raises(ConfigError, match="topic"):
        open_source("kafka", bootstrap="b:1", topics=topics)


def run(first: int, values: list[bytes | None], keys: list[bytes | None] | None = None) -> Run:
    lengths = np.array([len(value or b"") for value in values], dtype=np.int64)
    offsets = np.arange(first, first + len(values), dtype=np.int64)
    size = int(lengths.sum()) + sum(len(key or b"") for key in keys or [])
    return Run(values, lengths, offsets, offsets * 10, keys, None, size)


@given(st.lists(st.one_of(st.none(), st.binary(max_size=9)), min_size=1, max_size=30), st.integers(0, 40))
def test_pieces_are_cut_without_loss(values, end):
    keys = [b"k" if number % 3 == 0 else None for number in range(len(values))]
    whole = sealed([run(5, values[:7], keys[:7]), *([run(12, values[7:], keys[7:])] if values[7:] else [])])
    head, rest = whole.until(end)
    parts = [part for part in (head, rest) if part is not None]
    assert [value for part in parts for value in part.batch.column(0).to_pylist()] == values
    assert [key for part in parts for key in part.batch.column(1).to_pylist()] == keys
    assert sum(part.bytes for part in parts) == whole.bytes == sum(len(v or b"") for v in values) + keys.count(b"k")
    assert head is None or head.offsets.max() < end
    assert rest is None or rest.offsets.min() >= end


def test_what_was_fetched_twice_is_taken_once():
    one = run(5, [b"a", None, b"ccc"], [None, b"k", None])
    assert one.since(5) is one
    assert one.since(8) is None
    later = one.since(6)
    assert later is not None
    assert (later.values, later.bytes, later.offsets.tolist()) == ([None, b"ccc"], 4, [6, 7])
