"""Records with very many keys: memory does not grow with bytes times keys, and the rest of the keys is counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from nw_platform.errors import LakeError
from nw_platform.lake.leaves import slices, take_apart
from nw_platform.reports import fields
from nw_platform.reports.isolation import culprits, without
from nw_platform.reports.plan import read_gaps, read_manifest
from nw_platform.reports.relations import StepPlan, StreamFiles
from nw_platform.streams.declaration import StreamDecl

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def app(make_bench):
    return make_bench(app=StreamDecl(name="app", format="json"))


def test_records_of_thousands_of_keys_and_types_of_more_than_are_kept(app, row):
    """The first hour failed for good with 732 MiB: the text was carried beside each of its keys."""
    wide = {f"key_{n:04}": n for n in range(3000)} | {"pad": "x" * 2000}
    app.write("app", [row(AT, host="h", extra=json.dumps(wide)) for _ in range(2)])
    many = {f"other_{n:05}": n for n in range(10_005)}
    app.write("app", [row(AT + HOUR, host="h", extra=json.dumps(many | {"usual": 1})), row(AT + HOUR, host="g",
        extra='{"usual": 2}')])  # fmt: skip
    report = app.build()
    assert (report.refused, report.gaps) == ([], [])
    hours = app.sql("""SELECT period, count(*) AS keys, sum(present) AS present, count(other_keys) AS rest
        FROM key_coverage WHERE grain = 'hour' AND (key LIKE 'key%' OR key LIKE 'other%' OR key IN ('pad', 'usual',
        '(other keys)')) AND present > 0 GROUP BY ALL ORDER BY ALL""")
    assert hours == [
        {"period": "2026-03-02T10", "keys": 3001, "present": 6002, "rest": 0},
        # kept are `host` and `usual`, which most records have, and 9,998 by name
        {"period": "2026-03-02T11", "keys": 10_000, "present": 10_007, "rest": 1},
    ]
    (rest,) = app.sql("SELECT * FROM key_coverage WHERE grain = 'hour' AND key = '(other keys)'")
    assert (rest["other_keys"], rest["present"], rest["filled"], rest["hosts_with_key"]) == (7, 7, 7, 1)
    assert (rest["status"], rest["presence_pct"], rest["types"]) == ("other_keys", None, [])
    (usual,) = app.sql("SELECT * FROM key_coverage WHERE grain = 'hour' AND key = 'usual'")
    assert (usual["present"], usual["presence_pct"], usual["counts_are_exact"]) == (2, 100.0, True)
    (day,) = app.sql("SELECT * FROM key_coverage WHERE grain = 'day' AND key = 'usual'")
    assert (day["present"], day["counts_are_exact"]) == (2, False)
    (sums,) = app.sql("SELECT sum(present) AS n FROM key_coverage WHERE grain = 'day' AND key <> 'host'")
    assert sums["n"] == 6002 + 10_005 + 2
    values = app.sql("SELECT key, filled, distinct_values, distinct_is_exact, other_keys FROM value_coverage "
                     "WHERE grain = 'hour' AND key IN ('(other keys)', 'usual') ORDER BY key")  # fmt: skip
    assert values == [
        {"key": "(other keys)", "filled": 7, "distinct_values": None, "distinct_is_exact": False, "other_keys": 7},
        {"key": "usual", "filled": 2, "distinct_values": 2, "distinct_is_exact": True, "other_keys": None},
    ]
    before = app.files()
    assert app.build().built == []
    app.build(first="2026-03-02T10", last="2026-03-02T12")
    assert app.files() == before


def test_a_stream_whose_files_cannot_be_read_fails_alone_and_is_tried_again(make_bench, row):
    bench = make_bench(good=StreamDecl(name="good", format="json"), bad=StreamDecl(name="bad", format="json"))
    bench.write("good", [row(AT, extra='{"a": 1}')])
    bench.write("bad", [row(AT, extra='{"a": 1}')])
    file = Path(bench.lake.logs("bad").snapshot().files()[0].url)
    whole = file.read_bytes()
    file.write_bytes(whole[:60])
    report = bench.build()
    (gap,) = report.gaps
    assert (gap.hour, gap.stream, gap.part) == ("2026-03-02T10", "bad", "all")
    assert read_gaps(bench.lake.reports_root) == [gap]
    assert read_manifest(bench.lake.reports_root) == {"2026-03-02T10": ""}
    assert bench.sql("SELECT stream FROM key_coverage WHERE grain = 'day'") == [{"stream": "good"}]
    assert bench.sql("SELECT grain, stream, hours FROM report_gaps WHERE grain IN ('hour', 'all') ORDER BY 1") == [
        {"grain": "all", "stream": "bad", "hours": 1}, {"grain": "hour", "stream": "bad", "hours": 1},
    ]  # fmt: skip
    file.write_bytes(whole)
    assert bench.build().gaps == []
    assert read_gaps(bench.lake.reports_root) == []
    assert len(bench.sql("SELECT stream FROM log_type_report WHERE grain = 'day'")) == 2


@pytest.mark.parametrize("bad", [set(), {"c"}, {"a", "f"}, {"a", "b", "c", "d", "e", "f"}])
def test_the_streams_that_make_a_step_fail_are_found_and_nothing_is_published(bad):
    step = StepPlan(root="/reports", streams=[StreamFiles(name, always_present=False) for name in "abcdef"])
    tried = []

    def run(some):
        tried.append(some)
        if found := [stream.stream for stream in some.streams if stream.stream in bad]:
            raise LakeError(f"because of {found}")

    assert {stream.stream for stream, _ in culprits(step, run)} == bad
    assert {some.root for some in tried} == {""}


def test_a_step_that_fails_without_any_stream_has_no_culprit():
    step = StepPlan(root="/reports", streams=[StreamFiles("a", always_present=False)])

    def run(_):
        raise LakeError("the models are wrong")

    assert culprits(step, run) == []


def test_a_stream_that_is_left_out_takes_its_duplicates_and_counts_with_it():
    step = StepPlan(
        streams=[StreamFiles("a", always_present=False), StreamFiles("ab", always_present=False)],
        duplicates=["/l/duplicates/stream=a/dt=x/1.parquet", "/l/duplicates/stream=ab/dt=x/1.parquet"],
        keys=["/w/a.keys.parquet", "/w/ab.keys.parquet"],
        values=["/w/a.values.parquet", "/w/ab.values.parquet"],
    )
    left = without(step, step.streams[:1])
    assert ([s.stream for s in left.streams], left.keys, left.values) == (
        ["ab"], ["/w/ab.keys.parquet"], ["/w/ab.values.parquet"],
    )  # fmt: skip
    assert left.duplicates == ["/l/duplicates/stream=ab/dt=x/1.parquet"]


def leaves(extras, slice_bytes=1 << 20):
    import duckdb  # noqa: PLC0415
    import pyarrow as pa  # noqa: PLC0415

    connection = duckdb.connect()
    found = []
    table = pa.table({"record": range(len(extras)), "extra": pa.array(extras, pa.string())})
    for records in slices(table.to_batches(), "extra", slice_bytes):
        take_apart(connection, records, fields.MAX_DEPTH)
        found += connection.execute("SELECT record, key, text, hidden FROM nw_leaves ORDER BY ALL").fetchall()
    return found


def test_of_a_name_that_an_object_has_twice_the_first_member_counts():
    assert leaves(['{"a": 1, "b": {"c": 2, "c": 3}, "a": 4}', '{"a": 5}']) == [
        (0, "a", "1", False), (0, "b.c", "2", False), (1, "a", "5", False),
    ]  # fmt: skip


def test_a_long_name_is_not_repeated_for_each_member_below_it():
    name = "n" * 100_000
    found = leaves([json.dumps({name: {f"k{n}": n for n in range(200)}})])
    assert len({key for _, key, _, _ in found}) == 200
    assert all(len(key) < 300 for _, key, _, _ in found)


def test_a_secret_below_a_long_name_stays_one():
    found = leaves([json.dumps({"password" + "n" * 400: {"a": "x"}, "n" * 400 + "token": "y", "z": {"cookie": "q"}})])
    assert all(hidden for *_, hidden in found)


def test_what_lies_deeper_than_is_looked_at_is_one_value():
    text = '{"a":' * 40 + "1" + "}" * 40
    ((_, key, value, _),) = leaves([text])
    assert key == ".".join(["a"] * fields.MAX_DEPTH)
    assert value == '{"a":' * 8 + "1" + "}" * 8


@pytest.mark.parametrize("slice_bytes", [1, 100, 1 << 20])
def test_leaves_do_not_depend_on_how_records_are_cut(slice_bytes):
    extras = [json.dumps({"a": n, "b": [{"c": n}] * 3, "pad": "x" * (n * 7)}) for n in range(20)]
    assert sorted(leaves(extras, slice_bytes)) == leaves(extras, 1 << 30)
