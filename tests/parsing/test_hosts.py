"""Names of hosts: one host has one name, whoever writes it, in records, configuration, checks, reports and alerts."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nw_platform.cli.main import main
from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.registry import make_format
from nw_platform.parsing.typed import plain_hosts
from nw_platform.record.hosts import center_of, plain_host, plain_host_sql
from nw_platform.settings import parse
from nw_platform.watchdog.memory import StreamMemory

NAMES = {
    "web-01": "web-01", "WEB-01": "web-01", "Web-01.": "web-01", "web-01.East.": "web-01.east",
    "2001:DB8::1": "2001:db8::1", "BÜRO": "büro", "": "", ".": ".", "a..": "a.",
}  # fmt: skip


@pytest.mark.parametrize(("name", "plain"), NAMES.items())
def test_one_host_has_one_name(name: str, plain: str) -> None:
    assert plain_host(name) == plain
    assert plain_hosts(pa.array(["x", name, None, "Y"])).to_pylist() == ["x", plain, None, "y"]
    assert plain_hosts(pa.array([name])).to_pylist() == [plain]
    query = f"SELECT {plain_host_sql('h')} FROM (SELECT ? AS h)"
    assert duckdb.execute(query, [name]).fetchall() == [(plain,)]


@given(st.lists(st.none() | st.text("aZ.-é", max_size=4), max_size=6), st.integers(0, 3))
def test_columns_are_read_as_single_names_are(names: list[str | None], skipped: int) -> None:
    column = pa.array(names, pa.string()).slice(skipped)
    assert plain_hosts(column).to_pylist() == [None if name is None else plain_host(name) for name in names[skipped:]]


def test_the_data_centre_of_a_host_is_named_in_any_case() -> None:
    assert center_of("web-01.east", ["East", "west"]) == "East"
    assert center_of("web-01", ["East", "west"]) is None
    assert center_of("web-01", ["East"]) == "East"


@pytest.mark.parametrize(
    ("format_name", "line", "options"),
    [
        ("json", '{"ts":1790000000000,"host":"WEB-01."}', {}),
        ("json", '{"ts":1790000000000,"host":"WEB-01","n":"x"}', {"columns": {"n": "int32"}}),  # a reject
        ("syslog", "<34>Nov 20 10:00:00 Web-01 su: hi", {}),
        ("regex", "WEB-01 x", {"options": {"pattern": r"^(?P<host>\S+) (?P<word>\w+)$"}}),
    ],
)
def test_every_format_gives_the_plain_name(make_rows, format_name: str, line: str, options: dict) -> None:
    made = make_format(ParseOptions("s", format_name, **options))
    (row,) = made.parse(make_rows([line.encode()])).to_pylist()
    assert row["host"] == "web-01"


def test_a_host_is_declared_once_in_whatever_case(tmp_path: Path) -> None:
    rest = "streams: {web: {path: in/*.log}}\n"
    settings = parse(f"hosts: [WEB-01.East, web-02.]\n{rest}", base=str(tmp_path), origin="neverwinter.yaml")
    assert settings.hosts == ("web-01.east", "web-02")
    with pytest.raises(ConfigError, match="each host once"):
        parse(f"hosts: [WEB-01, web-01]\n{rest}", base=str(tmp_path), origin="neverwinter.yaml")


def test_a_memory_of_an_older_version_knows_a_host_by_its_plain_name() -> None:
    older = StreamMemory(first_look=0, rules="x").as_json()
    older |= {"hosts": {"WEB-01": 5, "web-01": 7, "Web-01.": 6}, "datacenters": {"WEB-01": "east"}}
    memory = StreamMemory.from_json(older)
    assert (memory.hosts, memory.datacenters) == ({"web-01": 7}, {"web-01": "east"})


def test_one_host_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    stream = "{path: in/*.log, format: json, growing: false, expect: [{kind: heartbeat}]}"
    (tmp_path / "neverwinter.yaml").write_text(f"hosts: [web-01]\nstreams: {{web: {stream}}}\n")
    now = time.time()
    records = [{"ts": int(now * 1000) - 7_200_000, "message": "m", "host": h} for h in ("WEB-01", "Web-01", "web-01.")]
    (tmp_path / "in" / "a.log").write_text("".join(json.dumps(record) + "\n" for record in records))
    assert main(["ingest", "--once"]) == 0
    assert main(["build"]) == 0
    capsys.readouterr()

    def asked(*arguments: str) -> list[dict[str, object]]:
        main(["--json", *arguments])
        rows = json.loads(capsys.readouterr().out)
        return rows["rows"] if isinstance(rows, dict) else rows

    silent = asked("check", "--all", "--at", datetime.fromtimestamp(now + 60, UTC).isoformat())
    assert [found["subject"] for found in silent if found["check"] == "silence"] == ["web-01"]
    assert [row["host"] for row in asked("sql", "SELECT host FROM host_status")] == ["web-01"]
    reported = asked("sql", "SELECT hosts_reporting AS n FROM summary_report WHERE grain = 'hour'")
    assert [row["n"] for row in reported] == [1]
