"""What `nw config check` says of a sample of each source, and that it says what cannot work as it is declared."""

from __future__ import annotations

import gzip
import json
import os
import re
import threading
from pathlib import Path

import pytest

from nw_platform.cli import probe
from nw_platform.cli.main import main
from nw_platform.cli.probe import probe_all
from nw_platform.errors import ConfigError, SourceError
from nw_platform.ingest.preview import stream_preview
from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.trial import try_parse
from nw_platform.settings import parse
from nw_platform.sources.memory import memory_log
from tests.sources.kafka_topics import Topics

NOW = 1_795_900_000_000_000  # 2026-11-28
SECOND = 1_795_168_800  # 2026-11-20T10:00:00Z


def lines(pattern: str, count: int = 50) -> str:
    """`pattern` with {i} from 0 and {s} from SECOND, a line each."""
    return "".join(pattern.replace("{i}", f"{i:02}").replace("{s}", str(SECOND + i)) + "\n" for i in range(count))


@pytest.fixture
def check(tmp_path):
    """Previews one stream of some files: `check({"a.log": text}, path="*.log", format="json")`."""

    def run(files, **stream):
        for name, content in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
            os.utime(tmp_path / name, (SECOND + 86_400, SECOND + 86_400))
        text = json.dumps({"streams": {"app": {"path": "*.log", **stream}}})
        (preview,) = probe_all(parse(text, base=str(tmp_path), origin="nw.yaml"), NOW)
        return preview

    return run


WIRE = '{"ts": {s}000, "host": "web-{i}", "type": "order", "severity": "info", "fields": {"n": {s}}}'


class TestFacts:
    def test_what_was_made_of_a_sample(self, check):
        preview = check({"a.log": lines(WIRE) + "broken\n"})
        assert (preview.format, preview.found_by, preview.options) == ("json", "recognised", {})
        assert preview.times.first == SECOND * 1_000_000
        assert preview.times.last == (SECOND + 49) * 1_000_000
        assert preview.times.reading.startswith("key ts, numbers as s, ms, us or ns since 1970 by their size")
        assert preview.hosts == ("web-00", "web-01", "web-02", "web-03", "web-04")
        assert preview.host_count == 50
        assert (preview.records, preview.rejected, preview.reasons) == (51, 1, {"bad_format": 1})
        (reject,) = preview.rejects
        assert (reject.reason, reject.position, reject.beginning) == ("bad_format", len(lines(WIRE)), "broken")
        assert len(preview.samples) == 3
        assert preview.samples[0]["host"] == "web-00"
        assert preview.samples[0]["severity"] == "INFO"
        assert preview.warnings == ("1 of 51 sampled records are rejected (2.0 %): 1 bad_format",)
        assert preview.problems == ()

    @pytest.mark.parametrize(("broken", "warns", "fails"), [(0, 0, 0), (1, 0, 0), (2, 1, 0), (20, 1, 0), (21, 0, 1)])
    def test_above_one_percent_is_a_warning_and_above_twenty_a_problem(self, check, broken, warns, fails):
        preview = check({"a.log": lines(WIRE, 100 - broken) + "broken\n" * broken}, format="json")
        assert preview.reject_share == broken / 100
        assert len([told for told in preview.warnings if "are rejected" in told]) == warns
        assert len(preview.problems) == fails

    def test_the_first_and_the_newest_file_are_sampled_also_packed(self, check):
        files = {f"{number}.log": lines(WIRE) for number in range(5)} | {
            "5.log.gz": gzip.compress(lines(WIRE).encode())
        }
        preview = check(files, path="*.log*")
        assert preview.found == 6
        assert [Path(name).name for name in preview.sampled_from] == ["0.log", "5.log.gz"]
        assert preview.records == 100

    def test_a_sample_is_bounded(self, check):
        preview = check({"a.log": lines("a line of text", 100_000), "b.log": b"x" * (9 << 20) + b"\n"}, format="lines")
        assert preview.records <= 2 * 500
        assert all(len(str(value)) < 200 for record in preview.samples for value in record.values())

    def test_a_format_that_receipts_keep_is_shown_as_it_is_kept(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "nw.yaml").write_text("streams: {app: {path: 'a.log'}}")
        (tmp_path / "a.log").write_text("Dear Sir,\n" * 5)
        assert main(["-c", "nw.yaml", "ingest", "--once"]) == 0
        (tmp_path / "a.log").write_text(lines(WIRE))
        capsys.readouterr()
        assert main(["-c", "nw.yaml", "config", "check", "--json"]) == 0
        (stream,) = json.loads(capsys.readouterr().out)["streams"]
        assert (stream["format"], stream["found_by"], stream["rejected"]) == ("lines", "kept", 0)

    @pytest.mark.parametrize(
        ("files", "why"),
        [
            ({}, "no file is there yet"),
            ({"b.txt": "x\n"}, "no file is there yet; beside it are: "),
            ({"a.log": ""}, "there is nothing in the files yet"),
            ({"a.log": "no end"}, "there is no whole record yet"),
        ],
    )
    def test_what_is_not_there_yet_is_said(self, check, files, why):
        preview = check(files)
        assert preview.why.startswith(why)
        assert (preview.format, preview.found_by, preview.problems, preview.warnings) == ("auto", "undecided", (), ())

    def test_what_is_ignored_is_named(self, check):
        preview = check({".a.log": "x\n", "_b.log": "x\n", "c.log._COPYING_": "x\n", "d.txt": "x\n"})
        (told,) = preview.warnings
        assert all(name in told for name in (".a.log", "_b.log", "c.log._COPYING_"))
        assert "d.txt" not in told
        assert check({"d.log": "x\n"}).warnings == ()


LOG4J = "2026-11-20 10:00:{i},123 INFO a.B - Grüße {i}"
ISO_JSON = '{"log": "x", "when": "2026-11-20T10:00:{i}Z"}'
PROPOSAL = re.compile(r"this would fit: (.*)")


class TestAdvice:
    """Each declaration is accepted, and cannot work: what is said names what would."""

    @pytest.mark.parametrize(
        ("text", "declared", "told"),
        [
            (WIRE, {"format": "json", "event_time": {"unit": "s"}}, "event_time: {field: ts, unit: ms}"),
            ('{"t": {s}000000}', {"format": "json", "event_time": {"field": "t", "unit": "ms"}},
             "{field: t, unit: us}"),
            ('{"t": {s}000000000}', {"format": "json", "event_time": {"field": "t", "unit": "ms"}},
             "{field: t, unit: ns}"),
            ("{s},b", {"format": "csv", "header": False, "columns": {"t": "int64", "n": "string"},
                       "event_time": {"field": "t", "unit": "ms"}}, "event_time: {field: t, unit: s}"),
            ("{s} x", {"format": "regex", "pattern": "^(?P<time>\\d+) (?P<m>.*)$", "event_time": {"field": "time",
             "unit": "ms"}},
             "event_time: {field: time, unit: s}"),
            (ISO_JSON, {"format": "json", "event_time": {"field": "nope"}}, "no sampled record has the key nope"),
            (ISO_JSON, {"format": "json", "event_time": {"field": "nope"}}, "event_time: {field: when}"),
            ('{"a": {"at": "2026-11-20T10:00:{i}Z"}}', {"format": "json", "event_time": {"field": "b.at"}},
             "no sampled record has the key b.at"),
            ('{"t": "20.11.2026 10:00:{i}"}', {"format": "json", "event_time": {"field": "t", "layout": "%Y"}},
             "event_time: {field: t}"),
            ('{"t": "10:00:{i} 20/11/26"}', {"format": "json", "event_time": {"field": "t"}}, "cannot be read"),
            ('{"a": 1}', {"format": "json"}, "no sampled record has a key of a time, like ts or time; they have a"),
            ('{"t": "2026-11-20T10:00:{i}Z"}', {"format": "json", "event_time": {"field": "t", "layout": "%d/%m"}},
             "event_time: {field: t}"),
            (LOG4J, {"format": "log4j"}, 'format: log4j, layout: "%d{ISO8601} %-5p %c - %m%n"'),
            (LOG4J, {"format": "combined"}, "format: log4j"),
            (WIRE, {"format": "syslog"}, "format: json"),
            (WIRE, {"format": "json", "columns": {"n": "bool"}}, "columns.n: 50 of 50 sampled records do not hold"),
            (LOG4J, {"format": "lines", "multiline": {"start": "^never"}},
             "multiline.start matches none of 50 sampled lines, which became 1 records"),
            (ISO_JSON, {}, "its lines are JSON objects, but with `format: json`"),
            ("{s}\n", {"format": "json"}, "are rejected"),
            (WIRE.replace("{s}000", "9{s}000"), {"format": "json"}, "cannot be read"),
            (WIRE.replace("{s}000", "4{s}00"), {"format": "json"}, "in the future"),
        ],
    )  # fmt: skip
    def test_of_lines(self, check, text, declared, told):
        preview = check({"a.log": lines(text)}, **declared)
        said = [*preview.warnings, *preview.problems]
        assert any(told in line for line in said), said

    @pytest.mark.parametrize(
        ("header", "row", "declared", "told"),
        [
            ("time,host", "{s},web-01", {"event_time": {"field": "time", "unit": "ms"}}, "{field: time, unit: s}"),
            ("when;n", "20.11.2026 10:00:{i};1", {}, 'with `delimiter: ";"` it has 2'),
            ("when;n", "20.11.2026 10:00:{i};1", {"delimiter": ";"}, "event_time: {field: when}"),
            ("n\tm", "1\t2", {}, 'with `delimiter: "\\t"` it has 2'),
            (
                "n,time",
                "x,2026-11-20T10:00:{i}Z",
                {"columns": {"n": "int32"}},
                "do not hold int32, but values like 'x'",
            ),
            ("n,time", "1,2026-11-20T10:00:{i}Z", {"event_time": {"field": "at"}}, "there is no column at"),
            ("n,time", "1,2026-11-20T10:00:{i}Z", {"event_time": {"field": "at"}}, "event_time: {field: time}"),
        ],
    )
    def test_of_tables(self, check, header, row, declared, told):
        preview = check({"a.log": f"{header}\n{lines(row)}"}, format="csv", **declared)
        said = [*preview.warnings, *preview.problems]
        assert any(told in line for line in said), said

    @pytest.mark.parametrize(
        ("written", "declared", "told"),
        [
            ("cp1252", "utf-8", "`encoding: cp1252` would read them"),
            ("utf-16-le", "utf-8", "declare `encoding: utf-16-le`"),
            ("utf-8", "cp1252", "declare `encoding: utf-8`"),
            ("utf-8", "ascii", "`encoding: utf-8` would read them"),
        ],
    )
    def test_of_encodings(self, check, written, declared, told):
        preview = check({"a.log": lines(LOG4J).encode(written)}, encoding=declared)
        said = [*preview.warnings, *preview.problems]
        assert any(told in line for line in said), said

    def test_a_mark_that_says_utf_16_is_no_problem(self, check):
        preview = check({"a.log": lines(LOG4J).encode("utf-16")})
        assert (preview.format, preview.rejected, preview.warnings, preview.problems) == ("log4j", 0, (), ())

    def test_of_binary_files(self, check):
        assert any("no text file" in told for told in check({"a.log": b"\x00\x01\x02\x03\n" * 99}).warnings)
        random = bytes(byte * 7 % 256 for byte in range(5000))
        assert any("is it text?" in told for told in check({"a.log": random.replace(b"\x00", b"\x90")}).warnings)

    def test_right_declarations_are_not_talked_about(self, check):
        for declared in ({}, {"format": "json"}, {"format": "json", "event_time": {"field": "ts", "unit": "ms"}}):
            preview = check({"a.log": lines(WIRE)}, **declared)
            assert (preview.warnings, preview.problems) == ((), ())

    def test_a_column_that_nothing_fills_is_a_remark(self, check):
        preview = check({"a.log": lines(WIRE)}, format="json", columns={"n": "int64", "typo": "string"})
        assert (preview.unfilled, preview.warnings) == (("typo",), ())

    def test_what_is_proposed_reads_the_sample(self, check):
        sample = lines(LOG4J)
        (told,) = [told for told in check({"a.log": sample}, format="log4j").warnings if "this would fit" in told]
        layout = re.search('layout: "(.*)"', told)[1]
        trial = try_parse(ParseOptions("s", "log4j", options={"layout": layout}), sample.encode())
        assert trial.good == trial.records == 50


class TestBounds:
    def test_one_that_does_not_answer_hides_no_other_and_its_siblings_are_not_waited_for(self, monkeypatch, tmp_path):
        (tmp_path / "a.log").write_text(lines(WIRE))
        text = (
            "sources: {slow: {kind: memory, url: slow}}\n"
            "streams: {s1: {source: slow, topic: t}, app: {path: '*.log'}, s2: {source: slow, topic: t}}"
        )
        settings = parse(text, base=str(tmp_path), origin="nw.yaml")
        release = threading.Event()
        real = stream_preview.preview_stream

        def look(stream, kept, now):
            if stream.name == "s1":
                release.wait(120)
            return real(stream, kept, now)

        monkeypatch.setattr(probe, "preview_stream", look)
        monkeypatch.setattr(probe, "_AT_ONCE", 1)
        s1, app, s2 = probe_all(settings, NOW, timeout_s=4)
        release.set()
        assert s1.problems == ("no answer within 4 s",)
        assert (app.records, app.problems) == (50, ())
        assert s2.problems == ("not looked at: its source did not answer for stream s1",)

    def test_a_source_that_fails_is_one_line_without_its_secrets(self, monkeypatch, tmp_path):
        monkeypatch.setenv("NW_TEST_SECRET", "hunter2")
        text = (
            "sources: {z: {kind: landing, url: 'memory://x', options: {token: 'env:NW_TEST_SECRET'}}}\n"
            "streams: {app: {source: z, path: '*'}}"
        )

        def fail(*_args, **_kwargs):
            raise SourceError("https://x/?token=hunter2 said no")

        monkeypatch.setattr(stream_preview, "open_source", fail)
        (preview,) = probe_all(parse(text, base=str(tmp_path), origin="nw.yaml"), NOW)
        assert preview.problems == ("https://x/?token=*** said no",)

    def test_many_streams(self, tmp_path):
        streams = {}
        for number in range(60):
            (tmp_path / f"{number}.log").write_text(lines((WIRE, LOG4J, "text {i}")[number % 3]))
            os.utime(tmp_path / f"{number}.log", (SECOND + 86_400, SECOND + 86_400))
            streams[f"s{number}"] = {"path": f"{number}.log"}
        settings = parse(json.dumps({"streams": streams}), base=str(tmp_path), origin="nw.yaml")
        before = threading.active_count()
        previews = probe_all(settings, NOW, timeout_s=120)
        assert [preview.stream for preview in previews] == list(streams)
        assert [preview.format for preview in previews[:3]] == ["json", "log4j", "lines"]
        assert all(preview.records == 50 and not preview.problems for preview in previews)
        assert threading.active_count() == before


def test_memory_sources_are_sampled_at_their_end(tmp_path):
    log = memory_log(f"{tmp_path}/previews")
    log.append("t", lines(WIRE, 2000).encode().splitlines(), time=NOW)
    text = "sources: {m: {kind: memory, url: previews}}\nstreams: {app: {source: m, topic: t, format: json}}"
    (preview,) = probe_all(parse(text, base=str(tmp_path), origin="nw.yaml"), NOW)
    assert (preview.unit, preview.found, preview.waiting, preview.records) == ("topic", 1, 2000, 500)
    assert preview.times.last == (SECOND + 1999) * 1_000_000


@pytest.mark.services
def test_topics_are_sampled_at_their_end_and_no_group_is_left(kafka, tmp_path):
    topics = Topics(kafka)
    topic = topics.make(3)
    for partition in range(3):
        topic.append(lines(WIRE, 900).encode().splitlines(), partition=partition)
    source = f"sources: {{k: {{kind: kafka, bootstrap: '{kafka.bootstrap}'}}}}\n"
    text = f"{source}streams: {{app: {{source: k, topic: {topic.name}}}, gone: {{source: k, topic: no-such}}}}"
    before = groups(kafka)
    app, gone = probe_all(parse(text, base=str(tmp_path), origin="nw.yaml"), NOW)
    assert (app.found, app.waiting, app.format, app.found_by, app.records) == (1, 2700, "json", "recognised", 1500)
    assert app.times.first == (SECOND + 400) * 1_000_000
    assert app.times.last == (SECOND + 899) * 1_000_000
    assert "topic no-such does not exist" in gone.problems[0]
    assert groups(kafka) == before


def groups(kafka):
    from confluent_kafka.admin import AdminClient  # noqa: PLC0415  (only where a broker runs)

    found = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_consumer_groups().result(timeout=10)
    return {group.group_id for group in found.valid}


class TestDamagedFiles:
    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (lines(WIRE).encode(), "is not gzip"),
            (gzip.compress(lines(WIRE).encode())[:-20], "is cut short"),
            (gzip.compress(gzip.compress(lines(WIRE).encode())), "packed gzip archive"),
        ],
    )
    def test_what_ingest_will_say_of_a_packed_file_is_said(self, check, content, why):
        preview = check({"a.log.gz": content}, path="*.log.gz", format="json")
        (told,) = preview.problems
        assert why in told


class TestDeclaredEncodings:
    @pytest.mark.parametrize(
        "encoding",
        [
            "utf-16",
            "UTF-16LE",
            "utf_16_be",
            "utf-32",
            "utf-32-le",
            "utf-32-be",
            "utf-8-sig",
            "latin-1",
            "cp1252",
            "gb18030",
        ],
    )
    def test_every_encoding_of_the_documentation_can_be_declared(self, check, encoding):
        preview = check({"a.log": lines("gr\u00fcn {i}").encode(encoding)}, format="lines", encoding=encoding)
        assert (preview.records, preview.rejected, preview.problems, preview.warnings) == (50, 0, (), ())
        assert preview.samples[0]["message"] == "gr\u00fcn 00"

    @pytest.mark.parametrize("encoding", ["hex", "rot13", "base64", "utf-17"])
    def test_what_is_no_encoding_of_text_is_refused(self, check, encoding):
        with pytest.raises(ConfigError, match="allowed: an encoding like"):
            check({}, encoding=encoding)
