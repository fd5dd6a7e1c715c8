"""How DuckDB reads a remote lake, on the storage client's own idea of a local disk."""

from __future__ import annotations

import os
import threading

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nw_platform.lake import remote


@pytest.fixture
def lake(tmp_path, monkeypatch):
    monkeypatch.setattr(remote, "_KNOWN", {})
    (tmp_path / "reports").mkdir()
    remote.know(tmp_path.as_uri(), None)
    return tmp_path


@pytest.fixture
def connection():
    with duckdb.connect(config={"threads": 2}) as opened:
        opened.register_filesystem(remote._Reads("file"))
        opened.execute("SET enable_external_file_cache = false")
        yield opened


def write(path, first: int, rows: int = 100_000) -> None:
    beside = path.with_name("new")
    pq.write_table(pa.table({"n": range(first, first + rows)}), beside, row_group_size=10_000)
    beside.rename(path)
    os.utime(path, (first + 1, first + 1))


def test_files_are_read_in_pieces_by_several_threads(lake, connection):
    write(lake / "a=1 2%20.parquet", 0)
    write(lake / "b.parquet", 100_000)
    urls = [f"{lake.as_uri()}/{name}" for name in ("a=1 2%20.parquet", "b.parquet")]
    for _ in range(5):
        found = connection.execute(f"SELECT sum(n), count(DISTINCT n) FROM read_parquet({urls})").fetchall()
        assert found == [(sum(range(200_000)), 200_000)]


def test_a_report_that_is_replaced_between_two_reads_is_said(lake, connection):
    write(lake / "reports" / "r.parquet", 0)
    query = f"SELECT min(n) FROM read_parquet('{lake.as_uri()}/reports/r.parquet')"
    assert connection.execute(query).fetchall() == [(0,)]
    write(lake / "reports" / "r.parquet", 7)
    with pytest.raises(duckdb.Error, match="replaced") as error:
        connection.execute(query)
    assert remote.was_replaced(error.value)


def test_each_thread_of_a_shared_file_reads_where_it_stands(lake):
    (lake / "x").write_bytes(bytes(range(256)) * 400)
    file = remote._Reads("file").open(f"{lake.as_uri()}/x")
    wrong = []

    def read(start: int) -> None:
        for at in range(start, 100_000, 257):
            file.seek(at)
            if file.read(3) != bytes((at + i) % 256 for i in range(3)):
                wrong.append(at)

    threads = [threading.Thread(target=read, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    file.close()


def test_nothing_is_written_this_way_and_nothing_outside_is_known(lake):
    with pytest.raises(PermissionError):
        remote._Reads("file").open(f"{lake.as_uri()}/x", "wb")
    with pytest.raises(FileNotFoundError):
        remote._Reads("file").info(f"{lake.as_uri()}/x")
