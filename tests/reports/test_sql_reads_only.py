"""What `nw sql` is asked writes nothing, reads nothing but the lake's tables, and ends when it is told to.

Two walls, each tried alone: what is asked is judged before it runs, and the connection could not do it anyway.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nw_platform.errors import LakeError, UsageError
from nw_platform.reports.statements import TABLE_FUNCTIONS, reading_query
from nw_platform.reports.views import open_sql, run_query
from nw_platform.streams.declaration import StreamDecl

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
_ROOT = Path(__file__).parents[2]
_MAIN = "from nw_platform.cli.main import main; sys.exit(main())"
NOW = int(AT.timestamp()) * 1_000_000
SECRET = "hunter2-not-to-be-seen"  # noqa: S105  (nobody's)
POINTERS = {"arrow_scan", "arrow_scan_dumb", "pandas_scan", "python_arrow_scan", "python_map_function"}

# Every kind of statement that DuckDB's parser knows, and what would do harm. {0}: a file to write, {1}: one to read.
STATEMENTS = {
    "INSERT": ["INSERT INTO nw.hosts VALUES ('x', 'y')"],
    "UPDATE": ["UPDATE nw.hosts SET host = 'x'"],
    "DELETE": ["DELETE FROM nw.hosts", "TRUNCATE nw.hosts"],
    "MERGE_INTO": ["MERGE INTO nw.hosts USING nw.hosts AS b ON (true) WHEN MATCHED THEN DELETE"],
    "CREATE": ["CREATE TABLE x AS SELECT 1", "CREATE MACRO f(a) AS a", "CREATE PERSISTENT SECRET s (TYPE http)"],
    "DROP": ["DROP VIEW logs"],
    "ALTER": ["ALTER VIEW logs RENAME TO other"],
    "COPY": ["COPY (SELECT 1) TO '{0}'", "COPY nw.hosts FROM '{1}'", "COPY (SELECT 1) TO '{0}' (FORMAT parquet)"],
    "EXPORT": ["EXPORT DATABASE '{0}.folder'"],
    "COPY_DATABASE": ["COPY FROM DATABASE memory TO other", "COPY FROM DATABASE memory TO other (DATA)"],
    "ATTACH": ["ATTACH '{0}.db' AS other", "ATTACH '{1}' AS other (READ_ONLY)"],
    "DETACH": ["DETACH memory"],
    "LOAD": ["INSTALL httpfs", "LOAD httpfs", "LOAD '{1}'"],
    "SET": ["SET threads = 1", "RESET threads", "SET enable_external_access = true", "SET profile_output = '{0}'"],
    "VARIABLE_SET": ["SET VARIABLE a = 1"],
    "PRAGMA": ["PRAGMA enable_profiling = 'json'", "PRAGMA import_database('{1}')", "PRAGMA version"],
    "CALL": ["CALL enable_logging(storage = 'file', storage_path = '{0}')", "CALL read_text('{1}')"],
    "VACUUM": ["VACUUM"],
    "ANALYZE": ["ANALYZE"],
    "TRANSACTION": ["BEGIN", "COMMIT", "ROLLBACK"],
    "PREPARE": ["PREPARE p AS SELECT 1", "PREPARE p AS COPY (SELECT 1) TO '{0}'"],
    "EXECUTE": ["EXECUTE p", "DEALLOCATE p"],
    "EXPLAIN": ["EXPLAIN COPY (SELECT 1) TO '{0}'", "EXPLAIN ANALYZE COPY (SELECT 1) TO '{0}'"],
    "MULTI": ["PIVOT (SELECT 1 AS a, 2 AS b) ON a USING sum(b)"],
    "SELECT": [
        "WITH a AS (COPY (SELECT 1) TO '{0}') SELECT * FROM a",
        "SELECT (WITH a AS (COPY (SELECT 1) TO '{0}') FROM a)",
        "WITH a AS (INSERT INTO nw.hosts VALUES ('x', 'y') RETURNING *) SELECT * FROM a",
        "WITH a AS (DELETE FROM nw.hosts RETURNING *) SELECT * FROM a",
        "FROM read_text('{1}')", "FROM read_blob('{1}')", "FROM read_csv('{1}', columns = {{'a': 'VARCHAR'}})",
        "FROM glob('{1}*')", "FROM query('FROM read_text(''{1}'')')",
        "SELECT 1 IN (SELECT length(content) FROM read_text('{1}'))",
    ],
}  # fmt: skip
NEVER_PARSED = {"INVALID", "RELATION", "LOGICAL_PLAN", "EXTENSION", "CREATE_FUNC", "VARIABLE_SET", "ANALYZE"}


@pytest.fixture
def bench(make_bench, row, tmp_path):
    made = make_bench(app=StreamDecl(name="app", format="lines"))
    made.write("app", [row(AT, message="hello")])
    made.write_duplicates("app", [row(AT, message="hello")])
    (tmp_path / "secret.csv").write_text(f"{SECRET}\n")
    return made


def tree(*folders):
    """Every file below folders, and what is in it."""
    return {str(p): p.read_bytes() for folder in folders for p in Path(folder).rglob("*") if p.is_file()}


def places(bench, tmp_path):
    """(a file to write, one to read): outside, and inside the lake's tables."""
    inside = next(Path(bench.lake.url).rglob("*.parquet"))
    commit = next(Path(bench.lake.url).rglob("_delta_log/*.json"))
    secret = tmp_path / "secret.csv"
    return [(tmp_path / "new.csv", secret), (inside, secret), (commit, secret), (f"nwlake://{inside}", secret)]


def test_every_kind_of_statement_is_among_those_that_are_tried():
    texts = [text.format("a", "b") for texts in STATEMENTS.values() for text in texts]
    with duckdb.connect() as parser:
        kinds = {parser.extract_statements(text)[0].type.name for text in texts}
    assert kinds | NEVER_PARSED == {*duckdb.StatementType.__members__}


@pytest.mark.parametrize("kind", STATEMENTS)
def test_a_statement_that_does_more_than_read_is_refused_and_does_nothing(bench, tmp_path, kind):
    before = tree(tmp_path)
    parser = duckdb.connect()
    for text in STATEMENTS[kind]:
        with pytest.raises(UsageError):
            run_query(bench.lake, bench.settings, text.format(*places(bench, tmp_path)[1]), NOW)
        for write, read in places(bench, tmp_path):
            asked = text.format(write, read)
            for query in (asked, f"EXPLAIN ANALYZE {asked}", f"EXPLAIN (ANALYZE, FORMAT json) {asked};",
                          f"PREPARE q AS {asked}", f"explain /* COPY */ verbose -- a\n {asked}"):  # fmt: skip
                with pytest.raises(UsageError) as caught:
                    reading_query(parser, query)
                assert "\n" not in str(caught.value)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("kind", STATEMENTS)
def test_the_connection_could_not_do_it_anyway(bench, tmp_path, kind):
    before = tree(tmp_path)
    for text in STATEMENTS[kind]:
        with open_sql(bench.lake, bench.settings, NOW, tables=["app"]) as connection:
            for write, read in places(bench, tmp_path):
                for prefix in ("", "EXPLAIN ANALYZE "):
                    shown = ""
                    with contextlib.suppress(duckdb.Error):
                        shown = str(connection.execute(prefix + text.format(write, read)).fetchall())
                    assert SECRET not in shown
    assert tree(tmp_path) == before


def functions(*kinds):
    with duckdb.connect() as connection:
        found = connection.execute("SELECT DISTINCT function_name, function_type FROM duckdb_functions()").fetchall()
    return sorted({name for name, kind in found if kind in kinds and re.fullmatch(r"\w+", name)})


def test_no_function_in_from_reads_a_file_or_writes_one(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@proxy:3128")
    secret, lake = tmp_path / "secret.csv", next(Path(bench.lake.url).rglob("*.parquet"))
    before = tree(tmp_path)
    names = functions("table", "table_macro", "pragma")
    assert len(names) > 80
    calls = [f"{{}}('{path}')" for path in (secret, lake, f"nwlake://{secret}")]
    calls += ["{}()", f"{{}}(['{secret}'])", f"{{}}('{secret}', '{secret}')", f"{{}}(storage_path = '{tmp_path}/log')"]
    with duckdb.connect() as parser, open_sql(bench.lake, bench.settings, NOW, tables=["app"]) as connection:
        for name in names:
            for call in calls:
                query = f"SELECT * FROM {call.format(name)}"
                shown = ""
                if name not in TABLE_FUNCTIONS:
                    with pytest.raises(UsageError, match=re.escape(f"{name}(") + "|syntax error"):
                        reading_query(parser, query)
                if name not in POINTERS:  # a number is taken for an address there
                    with contextlib.suppress(duckdb.Error):
                        shown = str(connection.execute(query).fetchall())
                    assert SECRET not in shown
    assert tree(tmp_path) == before


def test_no_function_of_values_reads_a_file_or_a_secret(bench, tmp_path, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://user:{SECRET}@proxy:3128")
    before = tree(tmp_path)
    with open_sql(bench.lake, bench.settings, NOW, tables=["app"]) as connection:
        for name in functions("scalar", "macro", "aggregate"):
            for argument in (f"'{tmp_path}/secret.csv'", "'http_proxy'", "'HTTP_PROXY'", ""):
                with contextlib.suppress(duckdb.Error):
                    assert SECRET not in str(connection.execute(f"SELECT {name}({argument})").fetchall())
        for table in ("pg_catalog.pg_settings", "duckdb_settings()", "duckdb_secrets()"):
            with contextlib.suppress(duckdb.Error):
                assert SECRET not in str(connection.execute(f"FROM {table}").fetchall())
    assert tree(tmp_path) == before


@st.composite
def wrapped(draw):
    """A statement that writes or looks elsewhere, somewhere inside one that reads."""
    text = draw(st.sampled_from(["WITH w AS (COPY (SELECT 1) TO 'x.csv') FROM w", "FROM read_text('/etc/hostname')",
                                 "FROM main.glob('/*')", "FROM system.main.read_blob('/etc/hostname')",
                                 "WITH w AS MATERIALIZED (DELETE FROM nw.hosts RETURNING *) FROM w"]))  # fmt: skip
    around = ["SELECT * FROM ({})", "SELECT ({})", "WITH c AS ({}) FROM c", "SELECT 1 WHERE EXISTS ({})",
              "(SELECT 1) UNION ALL ({})", "FROM range(3) AS r, LATERAL ({}) AS s", "DESCRIBE ({})", "SUMMARIZE ({})",
              "SELECT * FROM (VALUES (1)) AS v(i) JOIN ({}) AS s ON true",
              "SELECT list_transform([1], lambda x: ({}))",
              "PIVOT ({}) ON a IN (1) USING count(*)", "SELECT 1 ORDER BY ({})",
              "SELECT CASE WHEN true THEN ({}) END"]  # fmt: skip
    for outer in draw(st.lists(st.sampled_from(around), max_size=3)):
        text = outer.format(text)
    return draw(st.sampled_from(["", "EXPLAIN ", "EXPLAIN ANALYZE ", "explain (format json) ", "/* a */ "])) + text


@settings(max_examples=60)
@given(wrapped())
def test_it_is_found_wherever_it_stands(query):
    with duckdb.connect() as parser, pytest.raises(UsageError):
        reading_query(parser, query)


@pytest.mark.parametrize(
    "query",
    ["SELECT 'COPY x TO y', \"a\" FROM t", "SELECT 1 -- COPY", "EXPLAIN (SELECT 1)", "EXPLAIN (FORMAT json) SELECT 1",
     "EXPLAIN ANALYZE (SELECT 1) UNION ALL (SELECT 2)", "SELECT {'type': 'COPY_QUERY_NODE'}", "SHOW TABLES",
     "FROM json_each('[1]')", "SELECT * FROM histogram(t, a)", "WITH RECURSIVE a AS (SELECT 1) FROM a",
     "SELECT unnest(range(3))", "PIVOT t ON a IN (1, 2) USING count(*)", "SELECT * FROM (SUMMARIZE t)"],
)  # fmt: skip
def test_what_only_reads_is_taken(query):
    with duckdb.connect() as parser:
        assert reading_query(parser, query)


def test_a_query_nested_too_deeply_is_refused_in_one_line(bench):
    with pytest.raises(UsageError) as caught:
        run_query(bench.lake, bench.settings, "SELECT " + "(" * 5000 + "1" + ")" * 5000, NOW)
    assert "\n" not in str(caught.value)


def test_a_file_of_the_lake_that_is_gone_is_one_line(bench):
    next(Path(bench.lake.url).rglob("logs/**/*.parquet")).unlink()
    with pytest.raises(LakeError, match=r"No such file.*logs/stream=app.*; run: nw rebuild app \S+ \S+$") as caught:
        run_query(bench.lake, bench.settings, "SELECT message FROM app", NOW)
    assert "\n" not in str(caught.value)


def test_what_a_query_puts_on_disk_is_its_own_bounded_and_gone_afterwards(bench):
    spill = bench.lake.work / "spill"
    abandoned = spill / "query-of-a-process-that-died"
    abandoned.mkdir(parents=True)
    (abandoned / "lock").touch()
    (abandoned / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"x")
    connection = open_sql(bench.lake, bench.settings, NOW)
    other = open_sql(bench.lake, bench.settings, NOW)
    assert len(list(spill.glob("query-*"))) == 2
    limits = "SELECT current_setting('memory_limit'), current_setting('max_temp_directory_size')"
    memory, disk = connection.execute(limits).fetchone()
    assert memory == "732.4 MiB"
    assert "90%" not in disk
    sorted_rows = "SELECT count(*) FROM (SELECT row_number() OVER (ORDER BY md5(r::VARCHAR)) FROM range(10) AS t(r))"
    assert connection.execute(sorted_rows).fetchone() == (10,)
    connection.close()
    other.close()
    del connection, other
    assert not list(spill.glob("query-*"))


def test_a_read_only_lake_and_work_folder_are_enough(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    locked = bench.lake.work / "spill"
    monkeypatch.setattr(Path, "mkdir", _refusing(Path.mkdir, locked))
    before = tree(bench.lake.url)
    assert bench.sql("SELECT count(*) AS n FROM app") == [{"n": 1}]
    assert tree(bench.lake.url) == before


def _refusing(mkdir, folder):
    def refuse(path, *args, **kwargs):
        if path == folder or folder in path.parents:
            raise PermissionError(13, "Permission denied", str(path))
        return mkdir(path, *args, **kwargs)

    return refuse


def test_a_query_that_never_ends_is_ended_by_ctrl_c_with_one_line(bench, tmp_path):
    config = tmp_path / "neverwinter.yaml"
    config.write_text(f"lake: {bench.lake.url}\nstreams: {{app: {{path: '{tmp_path}/*.log'}}}}\n")
    spill = tmp_path / ".neverwinter" / "spill"
    endless = "SELECT count(*) FROM range(100000000) a, range(10000000) b WHERE hash(a.range + b.range) = 7"
    program = f"import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); {_MAIN}"
    command = [sys.executable, "-c", program, "-c", str(config), "sql", endless]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=_ROOT)
    try:
        deadline = time.monotonic() + 60
        while not list(spill.glob("query-*")) and time.monotonic() < deadline:
            assert running.poll() is None
            os.sched_yield()
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=20)
    finally:
        running.kill()
    assert (running.returncode, out, err) == (130, "", "nw: the query was interrupted\n")
    assert not list(spill.glob("query-*"))
