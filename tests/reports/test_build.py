"""What a build does and leaves alone: changed hours, late records, empty periods, refusals, retention."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from nw_platform.errors import UsageError
from nw_platform.reports.build import incomplete_hours
from nw_platform.reports.plan import MANIFEST, read_manifest
from nw_platform.streams.declaration import StreamDecl

DAY = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HOUR = timedelta(hours=1)


@pytest.fixture
def app(make_bench, row):
    bench = make_bench(app=StreamDecl(name="app", format="lines"))
    hours = [DAY, DAY + HOUR, DAY + 24 * HOUR, DAY + 24 * 40 * HOUR]
    bench.write("app", [row(at + timedelta(minutes=5), message=f"m{n}") for at in hours for n in range(3)])
    bench.build()
    return bench


def changed(before, after):
    return {name for name in after if before.get(name) != after[name]}


def periods(names, table="log_type_report"):
    return {Path(name).stem for name in names if name.startswith(f"{table}/")}


def test_a_second_build_touches_no_file(app):
    before = app.files()
    report = app.build()
    assert (report.built, report.refused, app.files()) == ([], [], before)


def test_a_late_record_changes_the_files_of_its_own_periods_only(app, row):
    before = app.files()
    app.write("app", [row(DAY + HOUR + timedelta(minutes=9), message="late", late=True)])
    app.build()
    touched = periods(changed(before, app.files()))
    assert touched == {"2026-03-02T01", "2026-03-02", "2026-03-01", "all"}  # the week's name is its Monday's
    lines = app.sql("SELECT grain, period, lines FROM log_type_report WHERE lines > 0 AND grain IN ('week', 'all')")
    assert {(r["grain"], r["period"]): r["lines"] for r in lines} == {
        ("week", "2026-03-02"): 10, ("week", "2026-04-06"): 3, ("all", "all"): 13,
    }  # fmt: skip


def test_without_the_manifest_everything_is_computed_and_nothing_replaced(app):
    before = app.files()
    (Path(app.lake.reports_root) / MANIFEST).unlink()
    report = app.build()
    assert len(report.built) > 4
    assert changed(before, app.files()) <= {MANIFEST}


def test_a_day_that_is_asked_for_gets_typed_empty_files(app):
    app.build(first="2026-05-01T00", last="2026-05-02T00")
    file = Path(app.lake.reports_root) / "key_coverage" / "grain=day" / "dt=2026-05-01" / "2026-05-01.parquet"
    full = file.parents[1] / "dt=2026-03-02" / "2026-03-02.parquet"
    assert pq.read_metadata(file).num_rows == 0
    assert pq.read_schema(file).equals(pq.read_schema(full))


def test_an_hour_that_is_not_whole_is_refused_and_built_once_it_is(app, row):
    before = app.files()
    app.write("app", [row(DAY + 2 * HOUR), row(DAY + 3 * HOUR)])
    report = app.build(incomplete=lambda _: {"2026-03-02T02"})
    assert [hour for hour, _ in report.refused] == ["2026-03-02T02"]
    assert "nw rebuild app 2026-03-02T02 2026-03-02T03" in report.refused[0][1]
    assert "2026-03-02T02" not in periods(changed(before, app.files()))
    assert "2026-03-02T03" in periods(changed(before, app.files()))
    assert app.build().refused == []
    assert "2026-03-02T02" in periods(app.files())


def test_logs_that_no_receipt_knows_are_not_whole(app):
    assert incomplete_hours(app.lake, "app") >= {"2026-03-02T00", "2026-03-02T01"}


def test_reports_outlive_the_logs_that_retention_deleted(make_bench, row):
    keep = make_bench(app=StreamDecl(name="app", format="lines"))
    keep.write("app", [row(DAY), row(DAY + 24 * HOUR)])
    keep.build()
    expired = StreamDecl(name="app", format="lines", retention_logs_us=24 * 3600 * 1_000_000)
    before = keep.files()
    keep.settings = type(keep.settings)(**{**settings_of(keep), "streams": {"app": expired}})
    keep.write("app", [row(DAY)])  # an old hour changes after its retention
    report = keep.build(now=int((DAY + 26 * HOUR).timestamp()) * 1_000_000)
    assert [hour for hour, _ in report.refused] == ["2026-03-02T00"]
    assert keep.files() == before


def settings_of(bench):
    return {name: getattr(bench.settings, name) for name in ("path", "lake", "lake_grace_us", "work", "sources")}


def test_duplicates_are_counted_where_they_would_have_been(app, row):
    at = DAY + timedelta(minutes=5)
    app.write_duplicates("app", [row(at, event_id="x"), row(at, event_id="x")])
    report = app.build()
    assert {period for _, grain, period in report.built if grain == "hour"} == {"2026-03-02T00"}
    (found,) = app.sql("SELECT lines, duplicates FROM minute_counters WHERE period = '2026-03-02T00'")
    assert found == {"lines": 3, "duplicates": 2}
    assert app.sql("SELECT sum(duplicates) AS n FROM summary_report WHERE grain = 'all'") == [{"n": 2}]
    assert len(app.sql("SELECT * FROM duplicates")) == 2


def test_only_some_tables(app, row):
    app.write("app", [row(DAY + 5 * HOUR)])
    app.build(tables=["minute_counters"], first="2026-03-02T05", last="2026-03-02T06")
    assert "2026-03-02T05" in periods(app.files(), "minute_counters")
    assert "2026-03-02T05" not in periods(app.files(), "log_type_report")
    assert "2026-03-02T05" not in read_manifest(app.lake.reports_root)
    with pytest.raises(UsageError, match="no report table 'minutes'"):
        app.build(tables=["minutes"])


def test_a_reader_never_meets_a_file_in_the_making(app):
    names = [Path(name).name for name in app.files()]
    assert not [name for name in names if name.endswith(".tmp")]
    assert all(name == MANIFEST or name[0] not in "_." for name in names)
    assert set(json.loads((Path(app.lake.reports_root) / MANIFEST).read_text())) == {"hours"}
