"""A set of ids is a set, whatever the form of the ids, the order, the chunks, and whether it was saved between."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.ingest import idtable
from nw_platform.ingest.idset import Ids, IdSet
from nw_platform.ingest.idtable import IdTable

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


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 400), max_size=120), max_size=6), st.booleans(), st.integers(0, 3))
def test_a_table_of_several_segments_is_a_set_too(tmp_path_factory, batches, reload, crowded):
    folder = tmp_path_factory.mktemp("table")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(idtable, "SEGMENT", 64)
        patched.setattr(idtable, "_FIRST_SLOTS", 64)
        table, model = IdTable(folder), set()
        for numbers in batches:
            # Numbers that all want the last slot of a segment, or one segment, or are spread.
            upper = [(n << 40) | [n * 2654435761 % 2**30, 63 + 64 * (n % 4), n % 7 + 58, n][crowded] for n in numbers]
            keys = np.array([[u, 1] for u in upper], np.uint64).reshape(-1, 2)
            assert table.contains(keys).tolist() == [u in model for u in upper]
            fresh = sorted({*upper} - model)
            if crowded and len(model) + len(fresh) > 60:
                break  # more than a segment holds: real numbers are hashes, which spread
            model |= {*fresh}
            table.insert(np.array([[u, 1] for u in fresh], np.uint64).reshape(-1, 2), len(model))
            if reload:
                table.save(folder / "t.bin")
                table = IdTable(folder, folder / "t.bin", len(table))
        everything = np.array([[u, 1] for u in sorted(model)], np.uint64).reshape(-1, 2)
        assert table.contains(everything).all()


def test_a_table_that_is_cut_short_is_not_taken(tmp_path):
    table = IdTable(tmp_path)
    table.save(tmp_path / "t.bin")
    with (tmp_path / "t.bin").open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(ValueError, match="not whole"):
        IdTable(tmp_path, tmp_path / "t.bin", 4096)


def test_ids_are_hashed_with_the_tables_own_salt():
    one, other = (Ids.of(pa.array(["x"]), pa.nulls(1, pa.string()), pa.nulls(1, pa.int64()), salt=s) for s in "ab")
    assert (one.others != other.others).any()


def test_where_the_disk_is_full_ids_are_kept_in_memory(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(idtable.os, "posix_fallocate", full)
    monkeypatch.setattr(idtable, "SEGMENT", 64)
    known = IdSet(table=IdTable(tmp_path))
    rows = [(f"id {i}", None, None) for i in range(20_000)]
    known.add(known.repeats(ids(rows), len(rows))[1])
    assert known.repeats(ids(rows), len(rows))[0].all()
