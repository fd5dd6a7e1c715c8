"""Keys and values of JSON records: flattening, null against absent, arrays, secrets, types, sketches."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.lake.leaves import slices, take_apart
from nw_platform.reports import fields
from nw_platform.reports.fields import is_secret
from nw_platform.streams.declaration import StreamDecl
from nw_platform.streams.expectations import Values

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
DAY = timedelta(days=1)
COLUMNS = {"status": pa.int32(), "latency": pa.float64()}


@pytest.fixture
def app(make_bench):
    expected = Values(kind="values", column="status", allowed=(200, 500, 503))
    return make_bench(
        app=StreamDecl(name="app", format="json", columns={"status": "int32", "latency": "float64"}, expect=(expected,))
    )


def keys(bench, where="grain = 'hour'"):
    return {row["key"]: row for row in bench.sql(f"SELECT * FROM key_coverage WHERE {where}")}


def test_a_dotted_key_beside_a_nested_one_of_the_same_name_does_not_stop_the_build(app, row):
    app.write("app", [row(AT, extra='{"a.b": 1, "a": {"b": 2}}')], COLUMNS)
    assert app.build().built
    assert keys(app)["a.b"]["present"] == 1


def test_nested_keys_arrays_nulls_and_absence(app, row):
    extras = [
        {"a": {"b": 1, "c": None}, "tags": ["x", "y"], "items": [{"id": 1}, {"id": 2}], "status": None},
        {"a": {"b": "text"}, "tags": [], "items": [{"id": None}], "blank": " \t"},
        {"a.b": 2.5, "odd/~key": True, "": "no name"},
        None,
    ]
    statuses = [None, 200, 500, 200]
    app.write("app", [
        row(AT, host=f"h{n}", status=status, extra=None if extra is None else json.dumps(extra))
        for n, (status, extra) in enumerate(zip(statuses, extras, strict=True))
    ], COLUMNS)  # fmt: skip
    app.build()
    got = keys(app)
    counts = {key: (r["records"], r["present"], r["nulls"], r["blanks"], r["filled"]) for key, r in got.items()}
    assert counts == {
        "a.b": (4, 3, 0, 0, 3), "a.c": (4, 1, 1, 0, 0), "tags[]": (4, 1, 0, 0, 1), "tags": (4, 1, 0, 0, 1),
        "items[].id": (4, 2, 1, 0, 1), "status": (4, 4, 1, 0, 3), "blank": (4, 1, 0, 1, 0),
        "odd/~key": (4, 1, 0, 0, 1), "": (4, 1, 0, 0, 1), "host": (4, 4, 0, 0, 4),
    }  # fmt: skip
    assert got["a.b"]["types"] == ["integer", "number", "string"]
    assert got["a.b"]["status"] == "type_conflict"
    assert got["a.b"]["hosts_with_key"] == 3
    assert got["status"]["types"] == ["int32"]


def test_a_rejected_record_is_no_record_of_its_keys(app, row):
    app.write("app", [row(AT, status=200), row(AT, series="error", status=500),
                      row(AT, series="error", reject_reason="bad_type", message="{")], COLUMNS)  # fmt: skip
    app.build()
    assert {k: (r["records"], r["present"]) for k, r in keys(app).items()} == {"status": (2, 2)}


def test_secrets_are_never_shown(app, row):
    extra = {"user": {"password": "hunter2"}, "api_key": 12345, "Authorization": "Bearer abc", "name": "visible"}
    app.write("app", [row(AT, extra=json.dumps(extra))], COLUMNS)
    app.build()
    shown = {r["key"]: r for r in app.sql("SELECT * FROM value_coverage_top WHERE grain = 'day'")}
    assert shown["name"]["value"] == "visible"
    assert all(shown[key]["value"].startswith("sha256:") for key in ("user.password", "api_key", "Authorization"))
    values = {r["key"]: r for r in app.sql("SELECT * FROM value_coverage WHERE grain = 'day'")}
    assert (values["api_key"]["min"], values["api_key"]["mean"], values["api_key"]["len_max"]) == (None, None, 5)
    everything = "".join(
        str(duckdb.read_parquet(f"{app.lake.reports_root}/{name}").fetchall())
        for name in app.files() if name.endswith(".parquet")
    )  # fmt: skip
    assert "visible" in everything
    for secret in ("hunter2", "12345", "Bearer"):
        assert secret not in everything


@pytest.mark.parametrize(
    ("key", "hidden"),
    [("password", True), ("user.Passwd", True), ("x-api-key", True), ("set_cookie", True), ("pwd", True),
     ("keyboard", False), ("path", False), ("apikeys_used", True), ("upward", False)],
)  # fmt: skip
def test_what_looks_like_a_secret(key, hidden):
    assert is_secret(key) is hidden


def test_expected_values(app, row):
    app.write("app", [row(AT, status=s) for s in (200, 200, 500, 404, 404, 404, 418)], COLUMNS)
    app.build()
    (found,) = app.sql("SELECT * FROM value_coverage WHERE grain = 'week' AND key = 'status'")
    assert found["domain_coverage_pct"] == pytest.approx(200 / 3)
    assert found["valid_pct"] == pytest.approx(300 / 7)
    assert (found["unexpected_values"], found["missing_values"]) == (["404", "418"], ["503"])
    top = app.sql(
        "SELECT value, in_domain FROM value_coverage_top WHERE grain = 'day' AND key = 'status' ORDER BY rank"
    )
    assert [(r["value"], r["in_domain"]) for r in top] == [
        ("404", False), ("200", True), ("418", False), ("500", True),
    ]  # fmt: skip


def test_a_renamed_key_shows_as_vanished_and_new_then_unexpected(app, row):
    for day in range(4):
        extra = {"renamed": 1} if day >= 2 else None
        rows = [row(AT + day * DAY, status=200, latency=None if day >= 2 else 1.5,
                    extra=json.dumps(extra) if extra else None) for _ in range(4)]  # fmt: skip
        app.write("app", rows, COLUMNS)
    app.build()
    status = {
        (r["period"][-2:], r["key"]): r["status"]
        for r in app.sql("SELECT * FROM key_coverage WHERE grain = 'day'")
    }  # fmt: skip
    assert [status["02", "latency"], status["03", "latency"], status["04", "latency"]] == ["new", "ok", "vanished"]
    assert [status["04", "renamed"], status["05", "renamed"]] == ["new", "unexpected"]
    (low,) = app.sql(
        "SELECT delta_pp FROM key_coverage WHERE grain = 'day' AND period = '2026-03-04' AND key = 'latency'"
    )
    assert low["delta_pp"] == -100


def test_a_type_that_stops_keeps_its_row(app, row):
    app.write("app", [row(AT + n * DAY, log_type="steady") for n in range(4)], COLUMNS)
    app.write("app", [row(AT + n * DAY, log_type="gone") for n in (0, 1)], COLUMNS)
    app.build()
    rows = app.sql("SELECT * FROM log_type_report WHERE grain = 'day' AND log_type = 'gone' ORDER BY period")
    assert [(r["lines"], r["lines_previous"], r["change_pct"], r["status"]) for r in rows] == [
        (1, None, None, "new"), (1, 1, 0.0, "active"), (0, 1, -100.0, "vanished"), (0, 0, None, "silent"),
    ]  # fmt: skip


# Keys as people write them, odd ones included.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | st.text("ab \t", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc/"), inner, max_size=3),
    max_leaves=8,
)


def leaves(value, key):
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from leaves(inner, f"{key}.{name}")
    elif isinstance(value, list) and value:
        for inner in value:
            yield from leaves(inner, f"{key}[]")
    else:
        yield key, value


def plain(value):
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(value) if isinstance(value, (dict, list)) else str(value)


def leaf_counts(extras, slice_bytes=1 << 20):
    """The parts of keys and of values of some records' `extra`, added up, as counting.py makes them."""
    connection = duckdb.connect()
    connection.execute(fields.KEY_PARTS)
    connection.execute(fields.VALUE_PARTS)
    reader = pa.table({"record": range(len(extras)), "extra": pa.array(extras, pa.string())}).to_batches()
    for records in slices(reader, "extra", slice_bytes):
        take_apart(connection, records, fields.MAX_DEPTH)
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE nw_facts AS SELECT DISTINCT record, 'p' AS period, 't' AS log_type, "
            "0 AS log_version, 'h' AS host, TIMESTAMP '2026-03-02 10:00:00' AS event_time FROM nw_leaves"
        )
        connection.execute(f"INSERT INTO key_parts BY NAME {fields.JSON_KEYS}")
        connection.execute(f"INSERT INTO value_parts BY NAME {fields.JSON_VALUES}")
    return [connection.sql(sql).to_arrow_table().to_pylist() for sql in (fields.ADDED_KEYS, fields.ADDED_VALUES)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.dictionaries(st.sampled_from(["k", "l", "m~", "k.a", "k[]", ""]), JSON, max_size=4), max_size=4))
def test_flattening_is_what_a_loop_in_python_does(extras):
    keys, counted = leaf_counts([json.dumps(extra) for extra in extras])
    got = {row["key"]: (row["present"], row["nulls"], row["blanks"]) for row in keys}
    truth, values = {}, {}
    for extra in extras:
        record = {}
        for key, value in (pair for name, inner in extra.items() for pair in leaves(inner, name)):
            record.setdefault(key, []).append(value)
        for key, found in record.items():
            present, nulls, blanks = truth.get(key, (0, 0, 0))
            null = all(value is None for value in found)
            blank = not null and all(value is None or (isinstance(value, str) and not value.strip()) for value in found)
            truth[key] = (present + 1, nulls + null, blanks + blank)
            for text in {plain(v) for v in found if v is not None and not (isinstance(v, str) and not v.strip())}:
                values[key, text] = values.get((key, text), 0) + 1
    assert got == truth
    assert {(row["key"], row["value"]): row["count"] for row in counted} == values


def test_a_key_with_more_values_than_are_kept_fits_into_memory(app, row):
    app.write("app", [row(AT, extra=f'{{"n": {number}}}') for number in range(103_000)], COLUMNS)
    assert not app.build().refused
    (found,) = app.sql("SELECT * FROM value_coverage WHERE grain = 'hour' AND key = 'n'")
    assert found["filled"] == 103_000
    assert not found["distinct_is_exact"]
    assert abs(found["distinct_values"] - 103_000) < 10_000
    (day,) = app.sql("SELECT * FROM value_coverage WHERE grain = 'day' AND key = 'n'")
    assert day["distinct_values"] == found["distinct_values"]
