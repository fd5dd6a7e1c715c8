"""A set of ids is a set, whatever the form of the ids, the order, the chunks, and whether it was saved between."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.ingest.idset import Ids, IdSet

SEQS = st.integers(0, 12) | st.sampled_from([2**32 - 3, 2**32 - 2, 2**32 - 1, 2**40])
SESSION_IDS = st.tuples(st.sampled_from(["a", "b", "a-1", ""]), SEQS).map(lambda x: (f"{x[0]}-{x[1]}", *x))
OTHERS = st.sampled_from(["x", "a-1", "a-01", "b-12", "é", ""]).map(lambda text: (text, None, None))
MISLEADING = st.tuples(st.sampled_from(["a-1", "z"]), st.sampled_from(["a", None]), st.integers(-2, 3) | st.none())
BATCHES = st.lists(st.lists(SESSION_IDS | OTHERS | MISLEADING, max_size=30), max_size=5)


def ids(rows):
    columns = zip(*rows, strict=True) if rows else ([], [], [])
    texts, sessions, seqs = columns
    return Ids.of(pa.array(texts, pa.string()), pa.array(sessions, pa.string()), pa.array(seqs, pa.int64()))


@settings(max_examples=60, deadline=None)
@given(BATCHES, st.booleans())
def test_an_id_repeats_exactly_if_it_was_there_before(tmp_path_factory, batches, reload):
    folder = tmp_path_factory.mktemp("ids")
    known, model = IdSet(), set()
    for rows in batches:
        expected = []
        for text, _, _ in rows:
            expected.append(text in model)
            model.add(text)
        repeated, new = known.repeats(ids(rows), len(rows))
        assert repeated.tolist() == expected
        known.add(new)
        if reload:
            known.save(folder)
            known = IdSet.load(folder)


def test_many_ids_without_sessions_make_the_table_grow(tmp_path):
    known = IdSet()
    for start in range(0, 20_000, 5_000):
        rows = [(f"id {i}", None, None) for i in range(start, start + 5_000)]
        repeated, new = known.repeats(ids(rows), len(rows))
        assert not repeated.any()
        known.add(new)
        known.save(tmp_path)
        known = IdSet.load(tmp_path)
    assert known.repeats(ids([(f"id {i}", None, None) for i in range(20_000)]), 20_000)[0].all()
    assert not known.repeats(ids([("id 20000", None, None)]), 1)[0].any()
