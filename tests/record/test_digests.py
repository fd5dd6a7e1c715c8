"""The digest names records, not chunks; and changes with any byte, length, position or key."""

import itertools

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from nw_platform.record.digests import RecordsDigest

VALUES = st.lists(st.tuples(st.binary(max_size=8), st.none() | st.binary(max_size=4)), max_size=12)


def digest(rows, cuts=()):
    out = RecordsDigest()
    bounds = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    for low, high in itertools.pairwise(bounds):
        part = rows[low:high]
        out.update(
            pa.array([value for value, _ in part], pa.binary()),
            pa.array(range(low, high), pa.int64()),
            pa.array(range(low + 1, high + 1), pa.int64()),
            pa.array([key for _, key in part], pa.binary()),
        )
    return out.hexdigest()


@given(VALUES, st.lists(st.integers(0, 12), max_size=4))
def test_chunking_does_not_matter(rows, cuts):
    assert digest(rows) == digest(rows, cuts)


@given(VALUES, VALUES)
def test_other_records_have_another_digest(left, right):
    assert (digest(left) == digest(right)) == (left == right)


def test_no_key_column_is_a_column_of_nulls():
    value, start, end = pa.array([b"x"], pa.binary()), pa.array([0], pa.int64()), pa.array([1], pa.int64())
    bare, nulls = RecordsDigest(), RecordsDigest()
    bare.update(value, start, end)
    nulls.update(value, start, end, pa.array([None], pa.binary()))
    assert bare.hexdigest() == nulls.hexdigest()


def test_slices_of_a_larger_array_count_as_their_own_records():
    value = pa.array([b"aa", b"b", b"ccc"], pa.binary())
    position = pa.array([0, 1, 2], pa.int64())
    sliced, fresh = RecordsDigest(), RecordsDigest()
    sliced.update(value.slice(1), position.slice(1), position.slice(1))
    fresh.update(pa.array([b"b", b"ccc"], pa.binary()), pa.array([1, 2], pa.int64()), pa.array([1, 2], pa.int64()))
    assert sliced.hexdigest() == fresh.hexdigest()
