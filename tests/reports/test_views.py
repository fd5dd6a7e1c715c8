"""The connection of `nw sql`: what it has, what it refuses, what it reads; and what is derived from the definitions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from nw_platform.errors import UsageError
from nw_platform.reports.ddl import DIALECTS, ddl
from nw_platform.reports.tables import REPORT_TABLES, TABLES
from nw_platform.reports.tables_doc import render
from nw_platform.reports.views import execute, open_sql, run_query
from nw_platform.streams.declaration import StreamDecl

REPO = Path(__file__).parents[2]
AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
NOW = int((AT + timedelta(minutes=10)).timestamp()) * 1_000_000


@pytest.fixture
def empty(make_bench):
    return make_bench(app=StreamDecl(name="app", format="json", columns={"status": "int32"}))


def test_every_table_is_there_and_typed_in_an_empty_lake(empty):
    with open_sql(empty.lake, empty.settings, NOW) as connection:
        for table in TABLES.values():
            result = execute(connection, f"SELECT * FROM {table.name}")
            assert (result.columns, result.rows) == ([c.name for c in table.columns], [])
            types = execute(connection, f"SELECT column_name, column_type FROM (DESCRIBE {table.name})").rows
            assert dict(types) == {c.name: c.kind for c in table.columns}
        assert execute(connection, "SELECT * FROM app").rows == []


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM log", 'Did you mean "logs"'),
        ("SELECT stram FROM logs", '"stream"'),
        ("DROP VIEW logs", "only reads"),
        ("COPY logs TO 'x.csv'", "only reads"),
        ("ATTACH 'x.db'", "only reads"),
        ("SET threads = 1", "only reads"),
        ("SELECT 1; SELECT 2", "exactly one"),
        ("", "exactly one"),
        ("SELEC 1", "syntax error"),
        ("SELECT * FROM read_text('/etc/hostname')", "Cannot access"),
        ("SELECT * FROM '/etc/hostname.csv'", "Cannot access"),
    ],
)
def test_a_query_that_does_not_read_the_lake_is_refused_in_one_line(empty, query, words):
    with pytest.raises(UsageError, match=words.replace("(", r"\(")) as caught:
        run_query(empty.lake, empty.settings, query, NOW)
    assert "\n" not in str(caught.value)


def test_columns_of_one_name_are_told_apart(empty):
    rows = run_query(empty.lake, empty.settings, "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS a", NOW).mappings()
    assert rows == [{"a": 1, "a_2": 2, "a_1": 3, "a_3": 4}]


def test_ways_of_asking(empty, row):
    empty.write("app", [row(AT, message="x")])
    for query in ("WITH a AS (SELECT * FROM logs) SELECT count(*) FROM a", "FROM app SELECT count(*)", "DESCRIBE logs",
                  "SHOW TABLES", "SUMMARIZE app", "EXPLAIN SELECT 1 FROM logs", "VALUES (1)"):  # fmt: skip
        assert run_query(empty.lake, empty.settings, query, NOW).rows


def test_a_filter_on_the_day_opens_only_the_files_of_that_day(empty, row):
    for day in range(3):
        empty.write("app", [row(AT + timedelta(days=day))])
    with open_sql(empty.lake, empty.settings, NOW) as connection:
        for table in ("app", "logs"):
            plan = execute(connection, f"EXPLAIN SELECT count(*) FROM {table} WHERE dt = '2026-03-03'").rows[0][1]
            assert "Scanning Files: 1/3" in plan


def test_a_column_that_was_declared_later_is_null_before(empty, row):
    import pyarrow as pa  # noqa: PLC0415

    empty.write("app", [row(AT)])
    empty.write("app", [row(AT + timedelta(days=1), status=200)], {"status": pa.int32()})
    found = empty.sql("SELECT dt, status FROM app ORDER BY dt")
    assert found == [{"dt": "2026-03-02", "status": None}, {"dt": "2026-03-03", "status": 200}]
    assert empty.sql("SELECT status FROM app WHERE dt = '2026-03-02'") == [{"status": None}]


def test_hosts(empty, row):
    ledger = json.dumps({"minute": int(AT.timestamp() * 1000), "counts": [{"lines": 3}, {"lines": 2}]})
    empty.write("app", [
        *(row(AT + timedelta(seconds=s), host="a", process="p", datacenter="east") for s in range(4)),
        row(AT + timedelta(minutes=6), host="a", process="p", log_type="nw.ledger", series="watchdog", extra=ledger),
        row(AT - timedelta(minutes=30), host="b", process="q"),
    ])  # fmt: skip
    settings = {name: getattr(empty.settings, name) for name in ("path", "lake", "lake_grace_us", "work", "sources")}
    empty.settings = type(empty.settings)(**settings, streams=empty.settings.streams, hosts=("a", "c"))
    result = run_query(empty.lake, empty.settings, "SELECT * FROM host_status ORDER BY host", NOW).mappings()
    shown = [(r["host"], r["state"], r["minutes_silent"], r["sent"], r["received"], r["lost"]) for r in result]
    assert shown == [
        ("a", "ok", 4, 5, 4, 1), ("b", "down", 40, None, None, None), ("c", "never_seen", None, None, None, None),
    ]  # fmt: skip


def test_records_that_were_parsed_by_older_rules_are_of_the_same_hosts(empty, row):
    ledger = json.dumps({"minute": int(AT.timestamp() * 1000), "counts": [{"lines": 2}]})
    told = {"log_type": "nw.ledger", "series": "watchdog", "extra": ledger}
    empty.write("app", [
        *(row(AT, host=host, process="p", datacenter="East") for host in ("WEB-01", "web-01.")),
        row(AT + timedelta(minutes=6), host="web-01", process="p", datacenter="East", **told),
    ])  # fmt: skip
    settings = {name: getattr(empty.settings, name) for name in ("path", "lake", "lake_grace_us", "work", "sources")}
    hosts = ("web-01", "web-01.east", "web-02.east")
    empty.settings = type(empty.settings)(**settings, streams=empty.settings.streams, hosts=hosts)
    found = empty.sql("SELECT host, state, sent, received FROM host_status ORDER BY host")
    assert found == [
        {"host": "web-01", "state": "ok", "sent": 2, "received": 2},
        {"host": "web-02.east", "state": "never_seen", "sent": None, "received": None},
    ]


def test_what_senders_say_they_sent_is_compared_by_minute_type_and_series(empty, row):
    def ledger(at, *counts, **values):
        entries = [{"type": kind, "series": "normal", "spilled": False, "lines": lines} for kind, lines in counts]
        said = json.dumps({"minute": int(at.timestamp() * 1000), "counts": entries})
        return row(at + timedelta(seconds=59), log_type="nw.ledger", series="watchdog", extra=said, **values)

    east = {"host": "a", "process": "p", "datacenter": "east"}
    next_day = AT + timedelta(days=1)
    empty.write("app", [
        *(row(AT, log_type="pay", **east) for _ in range(3)),
        *(row(AT, log_type="view", **east) for _ in range(9)),  # more than the ledger says: hides no lost payment
        ledger(AT, ("pay", 4), ("view", 5), **east),
        ledger(AT, ("pay", 1), **east),  # of late records, which never came
        *(row(next_day, log_type="pay", **east) for _ in range(2)),
        ledger(next_day, ("pay", 2), **east),
        row(AT, host="w", process="p", datacenter="west"),
    ])  # fmt: skip
    empty.build()
    shown = "SELECT grain, period, datacenter, lost, completeness_pct AS pct FROM summary_report"
    found = {(r["grain"], r["period"], r["datacenter"]): (r["lost"], r["pct"]) for r in empty.sql(shown)}
    assert found["hour", "2026-03-02T10", "east"] == found["day", "2026-03-02", "east"] == (2, 80)
    assert found["day", "2026-03-03", "east"] == (0, 100)
    assert found["week", "2026-03-02", "east"] == found["month", "2026-03-01", "east"] == (2, pytest.approx(1000 / 12))
    assert found["all", "all", "east"] == (2, pytest.approx(1000 / 12))
    assert found["all", "all", "west"] == (None, None)
    (host,) = empty.sql("SELECT sent, received, lost FROM host_status WHERE host = 'a'")
    assert host == {"sent": 12, "received": 10, "lost": 2}


def test_gaps_in_a_session_are_named_and_duplicates_are_no_gap(empty, row):
    seqs = [1, 2, 5, 9]
    empty.write("app", [row(AT + timedelta(seconds=s), host="a", session="x", seq=s) for s in seqs])
    empty.write_duplicates("app", [row(AT + timedelta(seconds=6), host="a", session="x", seq=s) for s in (5, 6)])
    gaps = empty.sql('SELECT first_missing, last_missing, missing, "window" FROM sequence_gaps ORDER BY 1')
    assert [(g["first_missing"], g["last_missing"], g["missing"]) for g in gaps] == [(3, 4, 2), (7, 8, 2)]
    assert gaps[0]["window"] == "2026-03-02T10:00:02Z/2026-03-02T10:00:05Z"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_ddl_names_every_table(empty, row, dialect):
    empty.write("app", [row(AT)])
    text = ddl(empty.lake, empty.settings, dialect, NOW)
    for name in (*REPORT_TABLES, "receipts", "duplicates", "alerts"):
        assert name in text
    assert "app" in text


def test_the_duckdb_dialect_works_on_a_connection_of_ones_own(empty, row):
    import duckdb  # noqa: PLC0415

    empty.write("app", [row(AT)])
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(ddl(empty.lake, empty.settings, "duckdb", NOW))
        assert connection.execute("SELECT count(*) FROM logs").fetchall() == [(1,)]


def test_the_page_on_tables_is_the_definitions():
    assert (REPO / "docs" / "tables.md").read_text(encoding="utf-8") == render()


def test_the_dbt_project_describes_the_same_columns():
    found = yaml.safe_load((REPO / "dbt_project" / "models" / "marts" / "marts.yml").read_text(encoding="utf-8"))
    described = {
        m["name"]: {c["name"]: (c["data_type"], c["description"]) for c in m["columns"]} for m in found["models"]
    }
    assert described == {
        name: {c.name: (c.kind, c.meaning) for c in TABLES[name].columns if c.stored or c.name == "grain"}
        for name in REPORT_TABLES
    }
