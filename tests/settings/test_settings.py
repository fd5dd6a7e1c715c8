import json
from datetime import date
from pathlib import Path

import pytest

from nw_platform import settings
from nw_platform.cli.config_docs import EXAMPLE
from nw_platform.errors import ConfigError
from nw_platform.record.rules import EventTime
from nw_platform.settings import check_history, load, parse

HOUR_US = 3_600_000_000


def of(text, base="/etc/nw"):
    return parse(text, base=base, origin=f"{base}/nw.yaml")


def test_one_stream_with_a_path_is_a_whole_file():
    got = of('streams: {web: {path: "/var/log/nginx/access.log*"}}')
    web = got.stream("web")
    assert (got.lake, got.lake_grace_us, got.work) == ("/etc/nw/lake", HOUR_US, Path("/etc/nw/.neverwinter"))
    assert (web.path, web.format, web.source.name, web.source.kind) == (
        "/var/log/nginx/access.log*", "auto", None, "landing",
    )  # fmt: skip
    assert (web.growing, web.every_us, web.late_after_us) == (True, 60_000_000, 24 * HOUR_US)
    assert (web.history_from, web.history_until, web.retention_raw_us) == (date(2024, 1, 1), None, None)


def test_files_grow_by_default_only_where_no_source_is_named():
    text = """
    sources: {land: {kind: landing, url: ./land}}
    streams:
      local: {path: x}
      landed: {source: land, path: x}
      local_whole: {path: x, growing: false}
      landed_growing: {source: land, path: x, growing: yes}
    """
    assert {name: s.growing for name, s in of(text).streams.items()} == {
        "local": True, "landed": False, "local_whole": False, "landed_growing": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("lake", "base", "resolved"),
    [
        ("./lake", "/etc/nw", "/etc/nw/lake"),
        ("../lake/", "/etc/nw", "/etc/lake"),
        ("/data/lake", "/etc/nw", "/data/lake"),
        ("file:///data/lake", "/etc/nw", "/data/lake"),
        ("s3://bucket/lake/", "/etc/nw", "s3://bucket/lake"),
        ("hdfs://namenode:8020/lake", "s3://conf", "hdfs://namenode:8020/lake"),
        ("./lake", "s3://bucket/conf", "s3://bucket/conf/lake"),
    ],
)
def test_relative_paths_start_from_the_file(lake, base, resolved):
    assert of(f"lake: {lake}\nstreams: {{w: {{path: /x}}}}", base).lake == resolved


def test_the_example_of_the_documentation_says_what_it_means():
    got = of(EXAMPLE)
    app = got.stream("app")
    assert app.topics == ("app.events",)
    assert app.columns == {"user_id": "string", "status": "int32", "latency_ms": "float64"}
    assert app.event_time == EventTime(field="ts", unit="ms", layout=None, zone="UTC")
    assert (app.retention_raw_us, app.retention_logs_us) == (30 * 24 * HOUR_US, 400 * 24 * HOUR_US)
    assert [e.kind for e in app.expect] == ["heartbeat", "rate", "balance", "values"]
    (file,) = got.stream("dialer").expect
    assert (file.kind, file.by_minute, file.grace_us) == ("file", 360, 30 * 60_000_000)
    access = got.stream("apache_access")
    assert (access.late_after_us, access.history_until, access.source.datacenter) == (None, date(2015, 5, 21), "east")
    assert got.alerts.routes[0].to == ("ops", "oncall")
    assert "KAFKA_PASSWORD" not in repr(got)


def test_a_layout_is_for_texts_and_a_unit_for_numbers():
    text = "streams: {w: {path: x, event_time: {field: t, layout: '%Y-%m-%d %H:%M:%S', zone: Europe/Berlin}}}"
    assert of(text).stream("w").event_time == EventTime("t", None, "%Y-%m-%d %H:%M:%S", "Europe/Berlin")


def test_parse_options_hold_the_formats_own_keys_and_only_those_that_were_said():
    text = "streams: {w: {path: x, format: csv, delimiter: ';', header: true, multiline: {start: '^a'}, log_type: t}}"
    options = of(text).stream("w").parse_options()
    assert options.options == {"delimiter": ";", "header": True, "multiline_start": "^a"}
    assert (options.stream, options.format, options.log_type, options.max_record) == ("w", "csv", "t", 1 << 20)


def test_names_that_records_fill_may_be_declared_with_their_own_type():
    text = "streams: {w: {path: x, format: csv, columns: {Ip: string, pid: int32, seq: int64, note: string}}}"
    assert dict(of(text).stream("w").columns) == {"Ip": "string", "pid": "int32", "seq": "int64", "note": "string"}


@pytest.mark.parametrize("group", ["(?P<at>", "(?<at>"])
def test_a_pattern_may_name_its_groups_in_both_spellings(group):
    text = f"streams: {{w: {{path: x, format: regex, pattern: '^{group}.+)$', event_time: {{field: at}}}}}}"
    assert of(text).stream("w").parse_options().options == {"pattern": f"^{group}.+)$"}


def test_json_is_yaml_too_also_with_tabs():
    text = json.dumps({"streams": {"w": {"path": "/x", "growing": False}}}, indent="\t")
    assert "\t" in text
    assert of(text).stream("w").growing is False


def test_an_unknown_stream_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'web'"):
        of("streams: {web: {path: x}}").stream("wbe")


class TestFinding:
    def test_c_goes_before_nw_config_which_goes_before_the_folder(self, tmp_path, monkeypatch):
        for name in ("a", "b", "neverwinter"):
            (tmp_path / f"{name}.yaml").write_text(f"streams: {{{name}: {{path: x}}}}")
        monkeypatch.chdir(tmp_path)
        environ = {"NW_CONFIG": str(tmp_path / "b.yaml")}
        assert list(load("a.yaml", environ=environ).streams) == ["a"]
        assert list(load(environ=environ).streams) == ["b"]
        assert list(load(environ={}).streams) == ["neverwinter"]

    def test_the_path_is_absolute_and_nothing_is_written(self, tmp_path, monkeypatch):
        (tmp_path / "neverwinter.yaml").write_text("streams: {w: {path: x.log}}")
        monkeypatch.chdir(tmp_path)
        got = load(environ={})
        assert got.path == str(tmp_path / "neverwinter.yaml")
        assert got.stream("w").path == str(tmp_path / "x.log")
        assert [p.name for p in tmp_path.iterdir()] == ["neverwinter.yaml"]

    def test_it_may_lie_on_any_file_system(self, tmp_path):
        fsspec = pytest.importorskip("fsspec")
        with fsspec.open("memory://conf/nw.yaml", "wb") as file:
            file.write(b"lake: ./lake\nstreams: {w: {path: /x}}")
        got = load("memory://conf/nw.yaml", environ={"XDG_STATE_HOME": str(tmp_path)})
        assert got.lake == "memory://conf/lake"
        assert got.work.is_relative_to(tmp_path)

    @pytest.mark.parametrize("path", ["/nowhere/nw.yaml", "memory://nowhere/nw.yaml"])
    def test_a_missing_file_names_nw_init(self, path):
        with pytest.raises(ConfigError, match="nw init"):
            load(path, environ={})

    def test_a_folder_and_binary_are_refused_in_one_line(self, tmp_path):
        (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00")
        for path in (tmp_path, tmp_path / "x.yaml"):
            with pytest.raises(ConfigError) as error:
                load(str(path), environ={})
            assert "\n" not in str(error.value)


class TestHistory:
    def test_an_open_history_may_not_outgrow_dagster(self):
        got = of("streams: {w: {path: x, history: {from: 2010-01-01}}, v: {path: x}}")
        year_2020, year_2026 = 1_577_836_800_000_000, 1_767_225_600_000_000
        check_history(got, year_2020)
        with pytest.raises(ConfigError, match=r"streams\.w\.history\.from: .* 100,000 hours .* start after 2014"):
            check_history(got, year_2026)

    def test_a_closed_one_of_exactly_100000_hours_is_allowed(self):
        until = date.fromordinal(date(2000, 1, 1).toordinal() + 100_000 // 24)
        got = of(f"streams: {{w: {{path: x, history: {{from: 2000-01-01, until: {until}}}}}}}")
        assert got.stream("w").history_until == until


def test_the_public_surface():
    assert settings.__all__ == [
        "BUILT_IN_TABLES", "CONFIG_NAME", "ConfigFile", "Settings", "check_history", "load", "locate", "parse",
    ]  # fmt: skip
