"""Report files that are damaged: built again, named by verify and by queries, and nobody else's concern."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nw_platform.errors import LakeError
from nw_platform.reports.damage import bounds_of, look_at_all
from nw_platform.streams.declaration import StreamDecl

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


def truncate(path):
    path.write_bytes(path.read_bytes()[:50])


def empty(path):
    path.write_bytes(b"")


def other_columns(path):
    path.unlink()
    pq.write_table(pa.table({"a": [1, 2]}), path)


def other_period(path):
    rows = pq.read_table(path)
    pq.write_table(rows.set_column(rows.schema.get_field_index("period"), "period", pa.repeat("x", len(rows))), path)


KINDS = [truncate, empty, other_columns, other_period]


@pytest.fixture
def app(make_bench, row):
    bench = make_bench(app=StreamDecl(name="app", format="lines"))
    bench.write("app", [row(AT, message="a"), row(AT + HOUR, message="b")])
    bench.build()
    bench.root = Path(bench.lake.reports_root)
    return bench


def rows_of(app):
    names = ["summary_report", "log_type_report", "key_coverage", "value_coverage", "minute_counters"]
    return {name: app.sql(f"SELECT * FROM {name} ORDER BY ALL") for name in names}


def test_whatever_is_damaged_is_found_and_the_next_build_of_its_day_repairs_it(app, row):
    before = rows_of(app)
    places = [
        "summary_report/grain=day/dt=2026-03-02/2026-03-02.parquet",
        "int_type_counts/grain=hour/dt=2026-03-02/2026-03-02T10.parquet",
        "int_key_counts/grain=day/dt=2026-03-02/2026-03-02.parquet",
        "int_value_counts/grain=month/dt=2026-03-01/2026-03-01.parquet",
    ]
    for damage, place in zip(KINDS, places, strict=True):
        damage(app.root / place)
    lines = list(look_at_all(str(app.root)))
    assert len(lines) == len(places)
    for place in places:
        assert any(place in line and "; run: nw build 2026-03-" in line for line in lines)
    app.write("app", [row(AT + 2 * HOUR, message="c")])
    report = app.build()
    assert (report.refused, report.gaps) == ([], [])
    assert list(look_at_all(str(app.root))) == []
    hours = app.sql("SELECT period, lines FROM summary_report WHERE grain = 'hour' ORDER BY 1")
    assert [(r["period"][-2:], r["lines"]) for r in hours] == [("10", 1), ("11", 1), ("12", 1)]
    assert list(app.sql("SELECT * FROM minute_counters ORDER BY ALL"))[:2] == before["minute_counters"]


@pytest.mark.parametrize("damage", [truncate, empty, other_columns])
def test_a_query_names_the_file_and_the_command_that_repairs_it(app, damage):
    damage(app.root / "summary_report/grain=hour/dt=2026-03-02/2026-03-02T11.parquet")
    with pytest.raises(LakeError) as failure:
        app.sql("SELECT sum(lines) FROM summary_report")
    text = str(failure.value)
    assert "summary_report/grain=hour/dt=2026-03-02/2026-03-02T11.parquet" in text
    assert text.endswith("run: nw build 2026-03-02T11 2026-03-02T12")
    app.build(first="2026-03-02T11", last="2026-03-02T12")
    assert app.sql("SELECT sum(lines) AS n FROM summary_report WHERE grain = 'hour'") == [{"n": 2}]


def test_a_copy_beside_a_report_file_is_not_read_and_is_named(app):
    file = app.root / "summary_report/grain=day/dt=2026-03-02/2026-03-02.parquet"
    shutil.copy(file, file.with_name("2026-03-02 (copy).parquet"))
    shutil.copy(file, file.with_name("2026-03-03.parquet"))
    assert app.sql("SELECT sum(lines) AS n FROM summary_report WHERE grain = 'day'") == [{"n": 2}]
    lines = list(look_at_all(str(app.root)))
    assert len(lines) == 2
    assert all("it is not read; delete it" in line for line in lines)


def test_a_folder_in_a_files_place_is_named(app):
    file = app.root / "summary_report/grain=day/dt=2026-03-02/2026-03-02.parquet"
    file.unlink()
    file.mkdir()
    (line,) = look_at_all(str(app.root))
    assert "summary_report/grain=day/dt=2026-03-02/2026-03-02.parquet is damaged" in line
    with pytest.raises(LakeError, match=r"2026-03-02\.parquet cannot be replaced.*move what is there away"):
        app.build(first="2026-03-02T10", last="2026-03-02T11")


@pytest.mark.parametrize(
    ("grain", "period", "bounds"),
    [("hour", "2026-03-02T23", ("2026-03-02T23", "2026-03-03T00")), ("day", "2026-02-28", ("2026-02-28", "2026-03-01")),
     ("week", "2026-02-23", ("2026-02-23", "2026-03-02")), ("month", "2026-02-01", ("2026-02-01", "2026-03-01"))],
)  # fmt: skip
def test_the_hours_of_a_period(grain, period, bounds):
    assert bounds_of(grain, period) == bounds
