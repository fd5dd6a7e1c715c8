"""What a filter leaves out: files by their paths, row groups by their times, and whole days where files are many."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from nw_platform.reports import scans
from nw_platform.reports.views import execute, open_sql
from nw_platform.streams.declaration import StreamDecl

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
DAYS = 4
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["few", "days", "months"])
def app(request, make_bench, row, monkeypatch):
    """Four days, two of them in another month, a file an hour, cut up in each of the ways."""
    monkeypatch.setattr(scans, "MANY_FILES", 10_000 if request.param == "few" else 1)
    monkeypatch.setattr(scans, "MANY_DAYS", 1 if request.param == "months" else 10_000)
    bench = make_bench(app=StreamDecl(name="app", format="lines"))
    days = [AT, AT + timedelta(days=1), AT + timedelta(days=30), AT + timedelta(days=31)]
    bench.write(
        "app", [row(day + h * timedelta(hours=1) + m * MINUTE) for day in days for h in (0, 1) for m in range(60)]
    )
    return bench


def row_groups(connection, query):
    """(read, all) row groups of the files that were opened, summed over the scans of a query."""
    plan = execute(connection, f"EXPLAIN ANALYZE {query}").rows[0][1]
    found = re.findall(r"Row Groups Scanned:\s*(\d+)\s*/\s*(\d+)", plan)
    return sum(int(read) for read, _ in found)


@pytest.mark.parametrize(
    ("where", "rows", "read"),
    [
        ("event_time >= '2026-03-03 10:00:00' AND event_time < '2026-03-03 10:30:00'", 30, 1),
        ("event_time >= TIMESTAMP '2026-03-03 10:00:00' AND event_time < TIMESTAMP '2026-03-03 11:00:00'", 60, 1),
        ("event_time >= TIMESTAMPTZ '2026-03-03 11:00:00+01:00' AND event_time < '2026-03-03T11:00:00Z'", 60, 1),
        ("event_time < '2026-03-03'", 120, 2),
        ("dt = '2026-03-03'", 120, 2),
        ("dt = '2026-03-03' AND hour = '11'", 60, 1),
        ("dt >= '2026-03-15'", 240, 4),
        ("true", 480, 8),
    ],
)
@pytest.mark.parametrize("table", ["app", "logs"])
def test_only_what_can_match_is_read(app, table, where, rows, read):
    with open_sql(app.lake, app.settings, 0, tables=[table]) as connection:
        query = f"SELECT count(*) FROM {table} WHERE {where} AND size_bytes > 0"
        assert execute(connection, query).rows == [(rows,)]
        assert row_groups(connection, query) == read


def test_every_way_of_cutting_gives_the_same_rows(app):
    found = app.sql("SELECT dt, hour, min(event_time) AS first, count(*) AS n FROM app GROUP BY ALL ORDER BY ALL")
    assert [(r["dt"], r["hour"], r["n"]) for r in found] == [
        (day, hour, 60) for day in ("2026-03-02", "2026-03-03", "2026-04-01", "2026-04-02") for hour in ("10", "11")
    ]
    assert found[0]["first"] == AT.replace(tzinfo=None)
    assert {str(r["first"])[:13].replace(" ", "T") for r in found} == {f"{r['dt']}T{r['hour']}" for r in found}


def test_times_are_cut_in_utc_and_cheaply(app):
    query = (
        "SELECT date_trunc('hour', event_time) AS h, typeof(h) AS kind, count(*) AS n FROM app GROUP BY ALL ORDER BY 1"
    )
    assert app.sql(query)[0] == {"h": AT.replace(tzinfo=None), "kind": "TIMESTAMP", "n": 60}
    texts = "SELECT date_trunc('day', '2026-03-02 05:00') AS a, date_trunc('month', DATE '2026-03-02') AS b"
    assert app.sql(texts) == [{"a": datetime(2026, 3, 2), "b": datetime(2026, 3, 1)}]  # noqa: DTZ001  (naive on purpose)


def test_a_column_may_be_named_filename(make_bench, row):
    bench = make_bench(app=StreamDecl(name="app", format="json", columns={"filename": "string"}))
    bench.write("app", [row(AT, filename="x.txt")], {"filename": pa.string()})
    assert bench.sql("SELECT filename, dt, hour FROM app") == [{"filename": "x.txt", "dt": "2026-03-02", "hour": "10"}]
    assert bench.build().built


def test_a_lake_may_lie_below_a_folder_that_looks_like_a_partition(tmp_path):
    folder = tmp_path / "dt=1999-01-01" / "hour=00" / "dt=2026-03-02" / "hour=10"
    folder.mkdir(parents=True)
    import duckdb  # noqa: PLC0415

    duckdb.execute(f"COPY (SELECT 1 AS a) TO '{folder}/x.parquet' (FORMAT parquet)")
    sql = scans.files_scan([f"{folder}/x.parquet"], {"a": "INTEGER", "b": "VARCHAR"}, ("dt", "hour"))
    assert duckdb.execute(sql).fetchall() == [(1, None, "2026-03-02", "10")]
