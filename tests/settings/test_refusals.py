"""What a configuration may not say, and the line that says so. Read it as the specification of the messages."""

import pytest

from nw_platform.errors import ConfigError
from nw_platform.settings import parse


def refusal(text: str, base: str = "/etc/nw") -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse(text, base=base, origin="nw.yaml")
    return str(error.value).splitlines()


def stream(more: str) -> str:
    return f"streams: {{web: {{path: /var/log/web.log, {more}}}}}"


ALERTS = "streams: {web: {path: x}}\nalerts:\n  channels: {ops: {kind: webhook, url: 'https://h/x'}}\n"

# (a configuration, the whole message)
WHOLE = {
    "a misspelt key": (
        "lak: ./lake\nstreams: {web: {path: x}}",
        "nw.yaml:1: lak: unknown key; allowed: lake, lake_grace, sources, streams, hosts, alerts; did you mean 'lake'?",
    ),
    "a type that is none": (
        stream("columns: {status: int}"),
        (
            "nw.yaml:1: streams.web.columns.status: found 'int';"
            " allowed: string, int32, int64, float64, bool, timestamp,"
            " date; did you mean 'int32'?"
        ),
    ),
    "a format that is none": (
        stream("format: jsno"),
        (
            "nw.yaml:1: streams.web.format: found 'jsno';"
            " allowed: auto, json, combined, log4j, syslog, csv, regex, lines;"
            " did you mean 'json'?"
        ),
    ),
    "a source that is not declared": (
        "sources: {landing: {kind: landing, url: /data}}\nstreams: {web: {source: lading, path: x}}",
        (
            "nw.yaml:2: streams.web.source: found 'lading', which is no source; declared are: landing;"
            " did you mean 'landing'?"
        ),
    ),
    "a source where none is declared": (
        "streams: {web: {source: landing, path: x}}",
        "nw.yaml:1: streams.web.source: found 'landing', which is no source; no source is declared",
    ),
    "a stream declared twice": (
        "streams:\n  app: {path: a}\n  web: {path: b}\n  app: {path: c}\n",
        "nw.yaml:4: streams.app: declared twice, first on line 2; remove or rename one",
    ),
    "a key that stands twice anywhere": (
        "streams:\n  app:\n    path: a\n    columns: {a: string, b: string, a: int32}\n",
        "nw.yaml:4: streams.app.columns.a: declared twice, first on line 4; remove or rename one",
    ),
    "a duration without a unit": (
        stream("every: 60"),
        "nw.yaml:1: streams.web.every: found 60; allowed: a number and a unit (s, m, h, d) like 90s, 15m, 24h or 30d",
    ),
    "a duration where never is allowed too": (
        stream("late_after: soon"),
        (
            "nw.yaml:1: streams.web.late_after: found 'soon';"
            " allowed: a number and a unit (s, m, h, d) like 90s, 15m, 24h"
            " or 30d, or never"
        ),
    ),
    "a history of more hours than Dagster can show": (
        stream("history: {from: 2000-01-01, until: 2026-01-01}"),
        "nw.yaml:1: streams.web.history: allowed: at most 100,000 hours (Dagster's limit); this history has 227,928",
    ),
    "a secret with an unknown scheme": (
        (
            "sources: {k: {kind: kafka, bootstrap: b, options: {sasl.password: 'valut:secret/k#p'}}}\n"
            "streams: {web: {path: x}}"
        ),
        (
            "nw.yaml:1: sources.k.options.sasl.password: found the unknown scheme 'valut:';"
            " allowed: a reference: env:NAME,"
            " file:PATH or vault:PATH#KEY; did you mean 'vault:'?"
        ),
    ),
    "an option of Kafka's client that is not to be set": (
        (
            "sources:\n  k:\n    kind: kafka\n    bootstrap: b:9092\n    options:\n"
            "      isolation.level: read_uncommitted\n"
            "streams: {s: {source: k, topic: t}}"
        ),
        "nw.yaml:6: sources.k.options.isolation.level: cannot be set (only committed records are read): take it out",
    ),
    "an expectation of an unknown kind": (
        stream("expect: [{kind: volum, min_lines: 1}]"),
        (
            "nw.yaml:1: streams.web.expect[0].kind: found 'volum';"
            " allowed: heartbeat, volume, file, rate, balance, values,"
            " error_rate, late, spill, unexpected_types, loss, schema_drift, lag; did you mean 'volume'?"
        ),
    ),
    "a channel that is not declared": (
        (
            "streams: {web: {path: x}}\nalerts:\n  channels: {ops: {kind: webhook, url: 'https://h/x'}}\n"
            "  routes: [{severity: error, to: [opps]}]"
        ),
        "nw.yaml:4: alerts.routes[0].to[0]: found 'opps', which is no channel; declared are: ops; did you mean 'ops'?",
    ),
    "an escalation to a channel that is not declared": (
        ALERTS + "  routes: [{to: [ops], escalate: {after: 30m, to: [ops, 'op*']}}]",
        (
            "nw.yaml:4: alerts.routes[0].escalate.to[1]: found 'op*', which is no channel; declared are: ops;"
            " did you mean 'ops'?"
        ),
    ),
    "a route of a stream that is not declared": (
        ALERTS + "  routes:\n  - {to: [ops]}\n  - {streams: ['a*', web, wbe], to: [ops]}",
        (
            "nw.yaml:6: alerts.routes[1].streams[2]: found 'wbe', which is no stream; declared are: web, platform;"
            " did you mean 'web'?"
        ),
    ),
    "a text where a mapping belongs": (
        "streams: {web: /var/log/x}",
        "nw.yaml:1: streams.web: found '/var/log/x'; allowed: a mapping",
    ),
    "YAML that is none": (
        "streams:\n  web: {path: [\n",
        "nw.yaml:3:1: this is no YAML: did not find expected node content",
    ),
    "an empty file": (
        "# nothing but a remark\n",
        'nw.yaml: the file is empty; `nw init` writes one, or: {streams: {web: {path: "/var/log/nginx/access.log*"}}}',
    ),
    "a list": (
        "- streams",
        'nw.yaml: found a list; allowed: a mapping like {streams: {web: {path: "/var/log/nginx/access.log*"}}}',
    ),
    "no stream at all": ("streams: {}", "nw.yaml:1: streams: found nothing in it; allowed: at least one entry"),
}


@pytest.mark.parametrize(("text", "message"), WHOLE.values(), ids=WHOLE.keys())
def test_the_message_says_where_what_was_found_what_is_allowed_and_the_nearest(text, message):
    assert refusal(text) == [message]


LANDING = "sources: {land: {kind: landing, url: /data}, kafka: {kind: kafka, bootstrap: 'b:9092'}, m: {kind: memory}}\n"

# (a configuration, the path that is named, words of the message)
NAMED = {
    "no path": ("streams: {web: {format: json}}", "streams.web", "`path` is missing"),
    "no topic": (LANDING + "streams: {web: {source: kafka}}", "streams.web", "`topic` is missing"),
    "a topic on a landing source": (
        LANDING + "streams: {web: {source: land, path: x, topic: t}}",
        "streams.web.topic",
        "a topic, but a landing source has none",
    ),
    "a topic without a source": (stream("topic: t"), "streams.web.topic", "the files of this machine"),
    "a path on a kafka source": (
        LANDING + "streams: {web: {source: kafka, topic: t, path: x}}",
        "streams.web.path",
        "a path, but a kafka source has none",
    ),
    "a topic with a space": (
        LANDING + "streams: {web: {source: kafka, topic: a b}}",
        "streams.web.topic",
        "a topic of",
    ),
    "a broken topic regex": (LANDING + "streams: {w: {source: kafka, topic: '^a('}}", "streams.w.topic", "this one is"),
    "lanes on files": (stream("lanes: 2"), "streams.web.lanes", "found 2; allowed: 1"),
    "no lane": (stream("lanes: 0"), "streams.web.lanes", "greater than or equal to 1"),
    "a part of a lane": (stream("lanes: 1.5"), "streams.web.lanes", "found 1.5"),
    "a lane that is a truth": (stream("lanes: true"), "streams.web.lanes", "found true"),
    "an absolute path below a url": (
        LANDING + "streams: {web: {source: land, path: /x}}",
        "streams.web.path",
        "relative to the url of source land",
    ),
    "a path out of the url": (LANDING + "streams: {w: {source: land, path: ../x}}", "streams.w.path", "without '..'"),
    "a url as a path": ("streams: {web: {path: 's3://b/x'}}", "streams.web.path", "declare a source"),
    "a folder as a path": ("streams: {web: {path: /var/log/}}", "streams.web.path", "like /var/log/*.log"),
    "an open bracket": ("streams: {web: {path: '/a/[bc'}}", "streams.web.path", "closed by ']'"),
    "an empty path": ("streams: {web: {path: ''}}", "streams.web.path", "a text that is not empty"),
    "a path that is a number": ("streams: {web: {path: 3}}", "streams.web.path", "found 3; allowed: a text"),
    "a stream with a dash": ("streams: {web-1: {path: x}}", "streams.web-1", "like 'web_1'"),
    "a stream called like a table": ("streams: {logs: {path: x}}", "streams.logs", "which is a table's"),
    "a stream called Like A Table": ("streams: {Receipts: {path: x}}", "streams.Receipts", "which is a table's"),
    "streams alike but for case": ("streams: {web: {path: x}, Web: {path: y}}", "streams.Web", "more than case"),
    "a stream that is a number": ("streams: {404: {path: x}}", "streams.404", 'write it in quotes: "404"'),
    "a reserved column": (stream("columns: {event_time: string}"), "streams.web.columns", "other than event_time"),
    "a partition column": (stream("columns: {dt: string}"), "streams.web.columns", "the lake uses itself"),
    "a filled column retyped": (stream("columns: {Host: int32}"), "streams.web.columns", "string for Host"),
    "columns alike but for case": (stream("columns: {a: string, A: string}"), "streams.web.columns", "more than case"),
    "a broken regex": (stream("format: regex, pattern: '(?P<a>'"), "streams.web.pattern", "cannot be run by RE2"),
    "a look-ahead": (stream("format: regex, pattern: '(?P<a>x)(?=y)'"), "streams.web.pattern", "no look-around"),
    "a regex without groups": (stream("format: regex, pattern: 'a(b)'"), "streams.web.pattern", "has no named group"),
    "regex without a pattern": (stream("format: regex"), "streams.web", "a `pattern` with `format: regex`"),
    "a pattern for another format": (
        stream("format: json, pattern: '(?P<a>.)'"),
        "streams.web",
        "`pattern` only with `format: regex`; the format is json",
    ),
    "a log4j layout without a message": (stream("format: log4j, layout: '%d %p'"), "streams.web", "has no message"),
    "a delimiter that is the quote": (stream("format: csv, delimiter: '\"'"), "streams.web.delimiter", "the quote too"),
    "csv without any names": (stream("format: csv, header: false"), "streams.web", "`columns` in their order"),
    "a delimiter of two": (stream("format: csv, delimiter: '||'"), "streams.web.delimiter", "at most 1 character"),
    "a zone that is none": (stream("event_time: {zone: Europe/Berln}"), "streams.web.event_time.zone", "IANA"),
    "a unit that is none": (stream("event_time: {unit: h}"), "streams.web.event_time.unit", "s, ms, us, ns"),
    "unit and layout": (stream("event_time: {unit: s, layout: '%Y'}"), "streams.web.event_time", "not both"),
    "a layout without a %": (stream("event_time: {layout: yyyy}"), "streams.web.event_time.layout", "strptime"),
    "an encoding that is none": (stream("encoding: utf-9"), "streams.web.encoding", "like utf-8"),
    "a size without sense": (stream("max_record: 1 lakh"), "streams.web.max_record", "like 1MiB"),
    "a broken multiline": (stream("multiline: {start: '['}"), "streams.web.multiline.start", "this one is broken"),
    "a history backwards": (
        stream("history: {from: 2024-02-01, until: 2024-01-01}"),
        "streams.web.history",
        "an `until` that is after `from`",
    ),
    "a day that is none": (stream("history: {from: 2024-02-31}"), "streams.web.history.from", "found '2024-02-31'"),
    "a year before 1970": (stream("history: {from: 1969-01-01}"), "streams.web.history.from", "from 1970"),
    "a volume without bounds": (stream("expect: [{kind: volume}]"), "streams.web.expect[0]", "all are missing"),
    "a volume of nothing": (
        stream("expect: [{kind: volume, min_lines: 9, max_lines: 3}]"),
        "streams.web.expect[0]",
        "not above max_lines",
    ),
    "a window of seconds": (
        stream("expect: [{kind: volume, min_lines: 1, every: 90s}]"),
        "streams.web.expect[0].every",
        "a number of minutes",
    ),
    "a share above all": (
        stream("expect: [{kind: late, max_pct: 101}]"),
        "streams.web.expect[0].max_pct",
        "less than or equal to 100",
    ),
    "two statements": (
        stream("expect: [{kind: rate, name: r, where: 'a; drop', max_pct: 1}]"),
        "streams.web.expect[0].where",
        "one SQL condition",
    ),
    "two rates of one name": (
        stream("expect: [{kind: rate, name: r, where: a, max_pct: 1}, {kind: rate, name: r, where: b, max_pct: 1}]"),
        "streams.web",
        "are called r",
    ),
    "an unknown placeholder": (
        stream("expect: [{kind: file, name: 'x-{dat}.csv', by: '06:00'}]"),
        "streams.web.expect[0].name",
        "{date} for 2026-11-22",
    ),
    "a file without a time": (stream("expect: [{kind: file, name: x}]"), "streams.web.expect[0].by", "missing"),
    "a time that is none": (
        stream("expect: [{kind: file, name: x, by: '24:00'}]"),
        "streams.web.expect[0].by",
        'like "06:00"',
    ),
    "an expectation without a kind": (stream("expect: [{min_lines: 1}]"), "streams.web.expect[0].kind", "missing"),
    "a key of another kind": (
        stream("expect: [{kind: heartbeat, min_lines: 1}]"),
        "streams.web.expect[0].min_lines",
        "unknown key",
    ),
    "a kind of source that is none": (
        "sources: {k: {kind: kafak, bootstrap: b}}\nstreams: {w: {path: x}}",
        "sources.k.kind",
        "did you mean 'kafka'?",
    ),
    "kafka without brokers": (
        "sources: {k: {kind: kafka}}\nstreams: {w: {path: x}}",
        "sources.k",
        "`bootstrap`, which is missing",
    ),
    "landing with brokers": (
        "sources: {k: {kind: landing, url: /x, bootstrap: b}}\nstreams: {w: {path: x}}",
        "sources.k",
        "a landing source without `bootstrap`",
    ),
    "a check that is none": (
        ALERTS + "  maintenance: [{checks: [silense], days: [sun]}]",
        "alerts.maintenance[0].checks[0]",
        "did you mean 'silence'?",
    ),
    "a check of the platform that is none": (
        ALERTS + "  routes: [{checks: [deamon], to: [ops]}]",
        "alerts.routes[0].checks[0]",
        "did you mean 'daemon'?",
    ),
    "a day of the week that is none": (
        ALERTS + "  routes: [{days: [sat, sonday], to: [ops]}]",
        "alerts.routes[0].days[1]",
        "mon, tue, wed, thu, fri, sat, sun",
    ),
    "hours that are none": (
        ALERTS + "  routes: [{hours: 8-18, to: [ops]}]",
        "alerts.routes[0].hours",
        "found '8-18'; allowed: times of day like \"08:00-18:00\"",
    ),
    "hours without length": (
        ALERTS + "  routes: [{hours: '08:00-08:00', to: [ops]}]",
        "alerts.routes[0].hours",
        "times of day",
    ),
    "hours that are no text": (ALERTS + "  routes: [{hours: 8, to: [ops]}]", "alerts.routes[0].hours", "found 8"),
    "hours of another zone": (
        ALERTS + "  routes: [{hours: '08:00-18:00', zone: Berlin, to: [ops]}]",
        "alerts.routes[0].zone",
        "IANA time zone",
    ),
    "an escalation without a time": (
        ALERTS + "  routes: [{to: [ops], escalate: {to: [ops]}}]",
        "alerts.routes[0].escalate.after",
        "missing",
    ),
    "a route to nowhere": (ALERTS + "  routes: [{severity: warn}]", "alerts.routes[0].to", "missing"),
    "a route of no stream": (ALERTS + "  routes: [{streams: [], to: [ops]}]", "alerts.routes[0].streams", "not empty"),
    "a window without end": (
        ALERTS + "  maintenance: [{streams: [web]}]",
        "alerts.maintenance[0]",
        "a window that never ends hides everything",
    ),
    "a window that begins and never ends": (
        ALERTS + "  maintenance: [{from: 2026-11-22T22:00}]",
        "alerts.maintenance[0]",
        "an `until`, too",
    ),
    "a window that ends before it begins": (
        ALERTS + "  maintenance: [{from: 2026-11-22T22:00, until: 2026-11-22T22:30+01:00}]",
        "alerts.maintenance[0]",
        "an `until` that is after `from`",
    ),
    "a time that is no time": (
        ALERTS + "  maintenance: [{until: tomorrow}]",
        "alerts.maintenance[0].until",
        "found 'tomorrow'; allowed: a time like 2026-11-22T22:00",
    ),
    "a day that is no day": (
        ALERTS + "  maintenance: [{until: 2026-02-30T22:00}]",
        "alerts.maintenance[0].until",
        "found '2026-02-30T22:00'",
    ),
    "digests of nothing": (ALERTS + "  digest_over: 0", "alerts.digest_over", "greater than or equal to 1"),
    "a link that is none": (ALERTS + "  link: dagster:3000", "alerts.link", "found 'dagster:3000'"),
    "a host twice": ("hosts: [a, b, a]\nstreams: {w: {path: x}}", "hosts[2]", "each host once"),
    "a sender's number unquoted": (
        (
            "streams: {w: {path: x}}\n"
            "alerts: {channels: {t: {kind: sms, provider: twilio, account: a, token: 'env:T',"
            " from: +15550100, to: ['+1']}}}"
        ),
        "alerts.channels.t.from",
        "found 15550100; allowed: a text",
    ),
}


@pytest.mark.parametrize(("text", "path", "words"), NAMED.values(), ids=NAMED.keys())
def test_every_mistake_is_named_with_its_path_and_what_would_be_right(text, path, words):
    lines = refusal(text)
    assert len(lines) == 1
    assert f": {path}" in lines[0]
    assert words in lines[0]


def test_all_problems_are_said_at_once_a_line_each_in_the_order_of_the_file():
    text = "lake: 3\nstreams:\n  web:\n    every: x\n    format: y\n  b-c: {path: x}\nhost: [a]\n"
    assert [line.split(": ")[:2] for line in refusal(text)] == [
        ["nw.yaml:1", "lake"],
        ["nw.yaml:4", "streams.web.every"],
        ["nw.yaml:5", "streams.web.format"],
        ["nw.yaml:6", "streams.b-c"],
        ["nw.yaml:7", "host"],
    ]


def test_a_relative_path_needs_a_configuration_on_this_machine():
    assert "an absolute path" in refusal("streams: {web: {path: x.log}}", base="s3://bucket/conf")[0]


SECRETS = {
    "a password written out": "sources: {k: {kind: kafka, bootstrap: b, options: {sasl.password: hunter2}}}",
    "a password with a colon": "sources: {k: {kind: kafka, bootstrap: b, options: {sasl.password: 'hunter2:x'}}}",
    "a password in a url": "sources: {k: {kind: landing, url: 'sftp://me:hunter2@host/x'}}",
    "a password in the lake": "lake: 's3://key:hunter2@bucket/x'",
    "a token written out": "alerts: {channels: {c: {kind: sms, provider: twilio, account: a, token: hunter2,"
    " from: a, to: [b]}}}",
    "an address of another kind": "alerts: {channels: {c: {kind: slack, url: 'htp://hooks/hunter2'}}}",
    "a list as a password": "sources: {k: {kind: kafka, bootstrap: b, options: {password: [hunter2]}}}",
    "a half reference": "alerts: {channels: {c: {kind: slack, url: 'env:hunter2 x'}}}",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS.keys())
def test_no_message_repeats_what_may_be_a_secret(text):
    lines = refusal(text + "\nstreams: {web: {path: x}}\n")
    assert len(lines) == 1
    assert "hunter2" not in lines[0]


@pytest.mark.parametrize("name", ["../x", "..", ".", "a/b", "/etc/passwd", "a\\\\b", "..\\\\x", "a\\nb", "a\\0b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    quoted = f'"{name}"'
    for text in (
        f"streams: {{{quoted}: {{path: x}}}}",
        f"sources: {{{quoted}: {{kind: memory}}}}\nstreams: {{web: {{path: x}}}}",
        f"streams: {{web: {{path: x}}}}\nalerts: {{channels: {{{quoted}: {{kind: webhook, url: 'https://h/x'}}}}}}",
    ):
        assert all("found the name" in line or "this is no YAML" in line for line in refusal(text))


def test_braces_that_stand_for_too_many_paths_are_refused() -> None:
    (line,) = refusal(f"streams: {{web: {{path: '/{'{a,b}' * 24}'}}}}")
    assert line.endswith("allowed: a glob whose braces stand for at most 1,000 paths")


@pytest.mark.parametrize("encoding", ["hex", "rot13", "base64", "undefined", "utf-9", "x" * 500])
def test_what_is_no_encoding_of_text_is_refused(encoding: str) -> None:
    assert "allowed: an encoding like utf-8" in refusal(stream(f"encoding: {encoding}"))[0]


def test_a_file_that_is_wrong_everywhere_is_told_in_bounded_lines() -> None:
    keys = ", ".join(f"{'k' * 1000}{number}: x" for number in range(1000))
    lines = refusal(stream(f"columns: {{{keys}}}"))
    assert 1 < len(lines) <= 200
    assert max(map(len, lines)) <= 2000
