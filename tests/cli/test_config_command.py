import json
from pathlib import Path

import jsonschema
import pytest

from nw_platform.cli import config_docs
from nw_platform.cli.config_schema import config_schema
from nw_platform.cli.main import main
from nw_platform.settings import parse
from nw_platform.streams.document import read
from tests.sources.kafka_topics import Topics

DOCS = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"
JSON_LINES = '{"ts": 1447777777000, "message": "a", "id": "1"}\n' * 3


@pytest.fixture
def nw(tmp_path, capsys, monkeypatch):
    """Runs `nw -c <a configuration of this text> ...`; returns exit code, output, errors."""
    monkeypatch.delenv("NW_CONFIG", raising=False)
    path = tmp_path / "nw.yaml"

    def run(text, *argv):
        path.write_text(text)
        code = main(["-c", str(path), *argv])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def as_json(text):
    """A YAML text as the values that settings see."""
    return read(text, "x").data


class TestCheck:
    def test_it_says_what_was_made_of_each_stream(self, nw, tmp_path):
        (tmp_path / "a.log").write_text(JSON_LINES)
        (tmp_path / "b.log").write_text(JSON_LINES)
        code, out, err = nw(f"streams: {{app: {{path: '{tmp_path}/*.log', late_after: never}}}}", "config", "check")
        assert (code, err) == (0, "")
        said = out.splitlines()
        reading = (
            "key ts, numbers as s, ms, us or ns since 1970 by their size, texts as ISO 8601 and other common forms,"
            " zone UTC where they name none"
        )
        assert said[:2] == [f"{tmp_path}/nw.yaml: valid, 1 stream", ""]
        assert said[2] == f"app: 2 files, format json: {tmp_path}/*.log"
        assert said[3:] == [
            "  format   recognised by the first lines",
            f"  times    2015-11-17T16:29:37Z to 2015-11-17T16:29:37Z, {reading}",
            "  sample   6 records of a.log and b.log",
            "  records  2015-11-17T16:29:37Z message=a log_type=app",
            "           2015-11-17T16:29:37Z message=a log_type=app",
            "           2015-11-17T16:29:37Z message=a log_type=app",
        ]
        assert sorted(p.name for p in tmp_path.iterdir()) == ["a.log", "b.log", "nw.yaml"]

    def test_rejects_are_shown_with_their_place_and_nothing_writes_to_the_terminal(self, nw, tmp_path):
        (tmp_path / "a.log").write_text(JSON_LINES + "\x1b[31mred\n")
        code, out, err = nw("streams: {app: {path: '*.log', format: json}}", "config", "check")
        assert code == 1
        assert "  rejects  1 (25.0 %): 1 bad_format\n" in out
        assert f"           bad_format at a.log, byte {len(JSON_LINES)}: \\x1b[31mred\n" in out
        assert "app: 1 of 4 sampled records are rejected (25.0 %): 1 bad_format" in err
        assert "\x1b" not in out + err

    def test_json_for_machines(self, nw, tmp_path):
        (tmp_path / "a.log").write_text(JSON_LINES)
        code, out, _ = nw("streams: {app: {path: '*.log'}}", "config", "check", "--json")
        assert code == 0
        (stream,) = json.loads(out)["streams"]
        first, *_ = stream.pop("samples")
        assert (first["event_time"], first["message"], first["log_type"]) == ("2015-11-17T16:29:37Z", "a", "app")
        assert stream.pop("times")["first"] == "2015-11-17T16:29:37Z"
        assert stream == {
            "stream": "app", "where": f"{tmp_path}/*.log", "files": 1, "empty": 0, "waiting": None, "format": "json",
            "found_by": "recognised", "why": "", "options": {}, "hosts": [], "host_count": 0,
            "sampled_from": [f"{tmp_path}/a.log"], "records": 3, "rejected": 0, "reject_pct": 0.0, "reasons": {},
            "rejects": [], "unfilled_columns": [], "warnings": [], "problems": [],
        }  # fmt: skip

    def test_a_wrong_file_is_2_with_a_line_for_each_problem_and_nothing_else(self, nw, tmp_path):
        code, out, err = nw("streams: {app: {pth: x, every: y}}", "config", "check")
        assert (code, out) == (2, "")
        first, second = err.splitlines()
        assert first.startswith(f"nw: {tmp_path}/nw.yaml:1: streams.app.every: found 'y'")
        assert second.startswith(f"{tmp_path}/nw.yaml:1: streams.app.pth: unknown key")

    def test_files_that_are_not_there_yet_are_no_problem_but_a_missing_folder_is(self, nw, tmp_path):
        code, out, _ = nw("streams: {app: {path: '*.log'}}", "config", "check")
        assert code == 0
        assert "app: nothing there yet" in out
        code, _, err = nw("streams: {app: {path: 'logs/*.log'}}", "config", "check")
        assert code == 1
        assert f"app: {tmp_path}/logs cannot be listed: no such file or directory" in err

    def test_one_source_that_cannot_be_reached_hides_no_other(self, nw, tmp_path):
        (tmp_path / "a.log").write_text(JSON_LINES)
        text = (
            "sources: {gone: {kind: landing, url: 'nosuch://host/x', options: {password: 'env:NW_TEST_UNSET'}}}\n"
            "streams: {gone: {source: gone, path: '*'}, app: {path: '*.log'}}"
        )
        code, out, err = nw(text, "config", "check")
        assert code == 1
        assert "app: 1 file, format json" in out
        assert "gone: the environment variable NW_TEST_UNSET is not set" in err

    def test_a_pattern_that_cannot_be_run_is_2(self, nw):
        text = "streams: {app: {path: '*.log', format: regex, pattern: '(?P<a>x)(?=y)'}}"
        code, _, err = nw(text, "config", "check")
        assert code == 2
        assert "streams.app.pattern: " in err

    def test_an_open_history_that_is_too_long_is_refused(self, nw):
        code, _, err = nw("streams: {app: {path: x, history: {from: 1990-01-01}}}", "config", "check")
        assert code == 2
        assert "100,000 hours" in err


class TestSchema:
    def test_it_is_printed_as_it_is(self, capsys):
        assert main(["config", "schema", "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == config_schema()

    def test_it_is_valid_and_every_key_is_described(self):
        schema = config_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        for part in (schema, *schema["$defs"].values()):
            assert part["additionalProperties"] is False
            assert all(len(field["description"]) > 5 for field in part["properties"].values())

    def test_it_accepts_what_is_accepted(self):
        jsonschema.validate(as_json(config_docs.EXAMPLE), config_schema())

    @pytest.mark.parametrize(
        "text",
        [
            "streams: {}",
            "streams: {a-b: {path: x}}",
            "streams: {a: {path: x, every: 3}}",
            "streams: {a: {path: x, expect: [{kind: nope}]}}",
            "streams: {a: {path: x}}\nlak: x",
            "sources: {k: {kind: kafka, bootstrap: 3}}\nstreams: {a: {path: x}}",
        ],
    )
    def test_it_refuses_what_is_refused(self, text):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(as_json(text), config_schema())


class TestReference:
    def test_the_file_is_what_the_schema_says(self):
        assert DOCS.read_text() == config_docs.page(), (
            "run: python -m nw_platform.cli.config_docs > docs/configuration.md"
        )

    def test_every_key_is_in_it(self):
        text = DOCS.read_text()
        schema = config_schema()
        for part in (schema, *schema["$defs"].values()):
            for key, field in part["properties"].items():
                assert f"| `{key}` |" in text or f"`kind: {field.get('const')}`" in text, key

    def test_its_example_is_valid(self):
        assert config_docs.EXAMPLE in DOCS.read_text()
        streams = parse(config_docs.EXAMPLE, base="/x", origin="x").streams
        assert set(streams) == {"web", "apache_access", "dialer", "app"}


KAFKA = "sources: {{k: {{kind: kafka, bootstrap: '{0}'}}}}\nstreams: {{app: {{source: k, topic: {1}, format: auto}}}}"


@pytest.mark.services
def test_topics_are_tried_too(nw, kafka):
    topic = Topics(kafka).make(2)
    topic.append([line.encode() for line in JSON_LINES.splitlines()], partition=1)
    code, out, err = nw(KAFKA.format(kafka.bootstrap, topic.name), "config", "check")
    assert (code, err) == (0, "")
    assert f"app: 1 topic with 3 records, format json: {kafka.bootstrap}/{topic.name}" in out
    code, out, err = nw(KAFKA.format(kafka.bootstrap, f"[{topic.name}, no-such]"), "config", "check", "--json")
    assert code == 1
    assert "topic no-such does not exist" in err
    assert json.loads(out)["streams"][0]["topics"] == 1


def test_brokers_that_do_not_answer_are_named(nw):
    code, _, err = nw(KAFKA.format("127.0.0.1:9", "t"), "config", "check")
    assert code == 1
    assert "kafka 127.0.0.1:9" in err
    assert "refused" in err
    assert len(err.splitlines()) == 1


EXPECTING = "streams: {{app: {{path: '{0}', format: json, expect: [{{kind: file, name: '{1}', by: '06:00'}}]}}}}"


@pytest.mark.parametrize(
    ("path", "name", "warns"),
    [
        ("in/app-*.json", "dialer-{date}.csv", True),
        ("in/app.json", "app-{date}.json", True),
        ("in/*.csv", "dialer-{date}.csv", False),
        ("in/*.csv.gz", "dialer-{date}.csv", False),
        ("in/**/{a,dialer}-*", "dialer-{date:%Y%m%d}.csv", False),
        ("in/app-*.json", "dialer-*.csv", False),  # not judged
    ],
)
def test_a_file_that_its_stream_does_not_read_is_warned_of(nw, tmp_path, path, name, warns):
    (tmp_path / "in").mkdir()
    code, _, err = nw(EXPECTING.format(path, name), "config", "check")
    assert code == 0
    told = [line for line in err.splitlines() if "warning: streams.app.expect[0]: a file " in line]
    assert bool(told) is warns
    assert all(f"can never arrive: the stream reads {tmp_path / path}; widen" in line for line in told)


def test_a_file_expected_of_topics_is_warned_of(nw):
    text = KAFKA.format("127.0.0.1:9", "t").replace("format: auto", "expect: [{kind: file, name: x.csv, by: '06:00'}]")
    _, _, err = nw(text, "config", "check")
    assert "streams.app.expect[0]: a file x.csv can never arrive: the stream reads topics" in err
