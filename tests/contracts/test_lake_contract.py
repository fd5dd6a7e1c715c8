"""What ingestion relies on of a lake, on each kind of storage client."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nw_platform.errors import CommitConflictError, SchemaConflictError
from nw_platform.lake.receipts import ReceiptLog, append_receipts, load_receipts
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import file_name
from nw_platform.record.envelope import RAW_SCHEMA
from nw_platform.record.spans import FIRST_DIGEST, Receipt, Span

NOW = 1_795_000_000_000_000
HOUR = {"dt": "2026-11-22", "hour": "05"}


@pytest.fixture(params=["local", "native", pytest.param("hdfs", marks=pytest.mark.services)])
def lake(request, tmp_path):
    if request.param == "hdfs":
        hdfs = request.getfixturevalue("hdfs")
        return Lake(f"{hdfs.rpc}{hdfs.folder}/lake", work=tmp_path / "work")
    (tmp_path / "lake").mkdir()
    if request.param == "local":
        return Lake(str(tmp_path / "lake"), work=tmp_path / "work")
    return Lake((tmp_path / "lake").as_uri(), work=tmp_path / "work", native=True)


def rows(*values, sequence=1):
    n = len(values)
    received = pa.array([datetime(2026, 11, 22, tzinfo=UTC)] * n, pa.timestamp("us", tz="UTC"))
    return pa.Table.from_arrays(
        [
            pa.array(["0.0"] * n), pa.array([sequence] * n, pa.int64()), pa.array(["f"] * n),
            pa.array([0] * n, pa.int32()), pa.array(range(n), pa.int64()), pa.array(range(1, n + 1), pa.int64()),
            received, pa.nulls(n, pa.binary()), pa.array(values, pa.binary()),
            pa.nulls(n, pa.map_(pa.string(), pa.binary())),
        ],
        schema=RAW_SCHEMA,
    )  # fmt: skip


def write(lake, *values, sequence=1):
    name = file_name("0.0", sequence)
    with lake.raw("s").writer(name, RAW_SCHEMA, HOUR, statistics=("lane", "sequence")) as writer:
        writer.write(rows(*values, sequence=sequence))
        return writer.close()


def commit(snapshot, added, sequence, removed=()):
    snapshot.commit(add=added, remove=removed, transactions={"0.0": sequence}, metadata={"k": "v"}, now=NOW)


def values_of(lake):
    found = []
    for file in lake.raw("s").snapshot().files():
        with lake.files.open_input_file(f"raw/stream=s/{file.path}") as handle:
            found += pq.ParquetFile(handle).read()["value"].to_pylist()
    return found


def receipt(sequence, stream="s"):
    span = Span("f", 0, sequence, sequence + 1, "i", records=1)
    return Receipt(
        stream, "0.0", sequence, "batch" if sequence else "genesis", "2026-11-22T05", (span,), {}, 1, 2, 0, "d",
        FIRST_DIGEST, {"2026-11-22T05": 1}, NOW,
    )  # fmt: skip


def test_a_table_that_is_not_there_has_no_snapshot(lake):
    assert lake.raw("s").snapshot() is None
    assert not lake.raw("s").exists()


def test_what_a_commit_names_is_there_with_counts_statistics_and_metadata(lake):
    snapshot = lake.raw("s").ensure()
    commit(snapshot, [write(lake, b"a", b"\xff\x00", sequence=3)], 3)
    now = lake.raw("s").snapshot()
    (file,) = now.files()
    assert (file.records, file.hour, file.statistics["sequence"]) == (2, "2026-11-22T05", (3, 3))
    assert values_of(lake) == [b"a", b"\xff\x00"]
    assert (now.transaction("0.0"), now.transaction("other")) == (3, -1)
    assert now.history(1)[0]["k"] == "v"
    assert now.schema().equals(RAW_SCHEMA)
    assert now.hours()["2026-11-22T05"].records == 2
    assert now.hour_files(["2026-11-22T06"]) == []


def test_a_file_that_no_commit_names_is_an_orphan_and_not_read(lake):
    commit(lake.raw("s").ensure(), [write(lake, b"a")], 1)
    stray = write(lake, b"never committed")
    assert values_of(lake) == [b"a"]
    assert lake.raw("s").orphans() == [stray.path]
    lake.raw("s").discard([stray])
    assert lake.raw("s").orphans() == []


def test_of_two_commits_of_one_step_one_wins(lake):
    first, second = lake.raw("s").ensure(), lake.raw("s").ensure()
    commit(first, [write(lake, b"a")], 1)
    with pytest.raises(CommitConflictError):
        commit(second, [write(lake, b"b")], 1)
    assert values_of(lake) == [b"a"]


def test_commits_of_different_lanes_do_not_disturb_each_other(lake):
    first, second = lake.raw("s").ensure(), lake.raw("s").ensure()
    commit(first, [write(lake, b"a")], 1)
    second.commit(add=[write(lake, b"b")], transactions={"0.1": 1}, metadata={}, now=NOW)
    assert sorted(values_of(lake)) == [b"a", b"b"]


def test_files_are_replaced_in_one_commit_and_stay_readable_for_older_snapshots(lake):
    commit(lake.raw("s").ensure(), [write(lake, b"a")], 1)
    before = lake.raw("s").snapshot()
    (old,) = before.files()
    commit(lake.raw("s").snapshot(), [write(lake, b"b")], 2, removed=[old])
    assert values_of(lake) == [b"b"]
    assert [f.path for f in before.files()] == [old.path]
    with lake.files.open_input_file(f"raw/stream=s/{old.path}") as handle:
        assert pq.ParquetFile(handle).read()["value"].to_pylist() == [b"a"]


def test_two_that_replace_the_same_file_cannot_both_succeed(lake):
    commit(lake.raw("s").ensure(), [write(lake, b"a")], 1)
    first, second = lake.raw("s").snapshot(), lake.raw("s").snapshot()
    first.commit(add=[write(lake, b"b")], remove=first.files(), transactions={}, metadata={}, now=NOW)
    with pytest.raises(CommitConflictError):
        second.commit(add=[write(lake, b"c")], remove=second.files(), transactions={}, metadata={}, now=NOW)
    assert values_of(lake) == [b"b"]


def test_an_error_while_a_file_is_written_leaves_no_file(lake):
    table = lake.raw("s")
    table.ensure()
    writer = table.writer(file_name("0.0", 1), RAW_SCHEMA, HOUR)
    with pytest.raises(AttributeError), writer:
        writer.write(None)
    assert table.orphans() == []


def test_columns_are_added_and_never_retyped(lake):
    table = lake.raw("s")
    table.ensure()
    wider = pa.schema([*RAW_SCHEMA, pa.field("more", pa.int32())])
    assert table.ensure(wider).schema().names[-1] == "more"
    with pytest.raises(SchemaConflictError, match="more"):
        table.ensure(pa.schema([*RAW_SCHEMA, pa.field("more", pa.string())]))


def test_receipts_are_appended_once_and_read_back_as_they_were(lake):
    chain = [receipt(n) for n in range(3)]
    append_receipts(lake, chain[:2], NOW)
    append_receipts(lake, chain, NOW)
    append_receipts(lake, [receipt(0, "other")], NOW)
    append_receipts(lake, chain, NOW)
    assert load_receipts(lake, "s") == chain
    log = ReceiptLog(lake, lake.receipts().snapshot(), "s", "0.0")
    assert (len(log), log[-1], log[1:], list(log)) == (3, chain[2], chain[1:], chain)
    with pytest.raises(IndexError):
        log[3]


def test_vacuum_deletes_what_was_removed_long_ago_and_commits_nothing_for_nothing(lake):
    commit(lake.raw("s").ensure(), [write(lake, b"a")], 1)
    snapshot = lake.raw("s").snapshot()
    commit(snapshot, [], 2, removed=snapshot.files())
    version = lake.raw("s").snapshot().version
    assert len(lake.raw("s").vacuum(before=None, full=False, dry_run=True)) == 1
    assert lake.raw("s").snapshot().version == version
    assert len(lake.raw("s").vacuum(before=None, full=False, dry_run=False)) == 1
    version = lake.raw("s").snapshot().version
    assert lake.raw("s").vacuum(before=None, full=False, dry_run=False) == []
    assert lake.raw("s").snapshot().version == version
