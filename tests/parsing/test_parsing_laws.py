"""What holds for every format, whatever the bytes: parsing is total, row by row, and loses nothing in silence."""

from __future__ import annotations

import codecs
import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.registry import FORMATS, make_format, rules_digest
from nw_platform.record.envelope import REJECT_REASONS, SERIES, logs_schema
from nw_platform.record.hosts import plain_host

WHEN = "[17/May/2015:10:05:03 +0000]"
SEEDS = {
    "json": ['{"ts":1700000000001,"host":"h","fields":{"n":1,"s":"x","f":1.5}}', '{"ts":1,"seq":"1"}', '{"n":[{}]}'],
    "combined": [f'h - - {WHEN} "GET / HTTP/1.1" 200 5 "-" "x"', f'h - - {WHEN} "GET / \\"" 200 5', WHEN],
    "lines": ["anything"],
}
# The marks of UTF-32 begin like those of UTF-16, so they come first.
WIDE_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip
OPTIONS = {"json": {"columns": {"n": "int32", "s": "string", "f": "float64", "b": "bool", "t": "timestamp"}}}
LAWS = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def make(name: str, **options):
    return make_format(ParseOptions("s", name, **(OPTIONS.get(name, {}) | options)))


def values_of(name: str) -> st.SearchStrategy[list[bytes]]:
    """Random bytes, and good records with a piece cut out, put in or doubled."""
    seeds = st.sampled_from(SEEDS[name]).map(str.encode)
    broken = st.builds(
        lambda seed, at, length, put: seed[:at] + put + seed[at + length :],
        seeds,
        st.integers(0, 80),
        st.integers(0, 20),
        st.one_of(
            st.binary(max_size=4), st.sampled_from([b'"', b"\\", b" ", b"\0", b"\xff", b"null", b"{", b"}", b","])
        ),
    )
    return st.lists(st.one_of(seeds, broken, st.binary(max_size=40)), max_size=12)


@pytest.mark.parametrize("name", SEEDS)
def test_every_row_comes_out_once_in_order_whatever_the_bytes_and_the_chunks(name, make_rows):
    made = make(name, max_record=60)

    @LAWS
    @given(values_of(name), st.integers(1, 5))
    def law(values, chunk):
        rows = make_rows(values)
        out = made.parse(rows)
        assert out.schema == pa.schema([f for f in logs_schema(made.columns) if f.name != "ingest_time"])
        out.validate(full=True)
        assert out.column("source_start").to_pylist() == rows.column("source_start").to_pylist()
        alone = [made.parse(rows.slice(at, chunk)) for at in range(0, len(values), chunk)]
        assert out.to_pylist() == [row for part in alone for row in part.to_pylist()]
        assert made.parse(make_rows(values, chunk=chunk)).to_pylist() == out.to_pylist()
        for value, row in zip(values, out.to_pylist(), strict=True):
            assert row["series"] in SERIES
            assert datetime(1970, 1, 1, tzinfo=UTC) <= row["event_time"] < datetime(2262, 1, 1, tzinfo=UTC)
            reason = row["reject_reason"]
            if reason is not None:
                assert reason in REJECT_REASONS
                assert row["series"] == "error"
                assert row["message"] == text_of(value, is_first=row["source_start"] == 0)
                assert all(row[column] is None for column in (*made.columns, "extra"))
            assert (reason == "too_large") == (len(value) > 60)

    law()


def text_of(value, *, is_first):
    """A record's text: in UTF-8, or in the encoding whose byte order mark it begins with, which no UTF-8 does."""
    for mark, encoding in WIDE_MARKS:
        if value.startswith(mark):
            return value.decode(encoding, "replace")
    text = value.decode("utf-8", "replace")
    return text.removeprefix("\ufeff") if is_first else text


KEYS = st.text(max_size=6).filter(lambda key: key not in {"n", "s", "f", "b", "t", "fields"})
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.text(max_size=10),
    st.floats(-1e6, 1e6).map(lambda f: round(f, 3)),
)
JSON_VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=6,
)
WIRE = st.fixed_dictionaries(
    {"ts": st.integers(10**11, 9_000_000_000_000)},
    optional={
        "v": st.just(1),
        "id": st.text(min_size=1, max_size=10),
        "host": st.text(max_size=10),
        "ip": st.text(max_size=10),
        "process": st.text(max_size=10),
        "pid": st.integers(-(2**31), 2**31 - 1),
        "type": st.text(max_size=10),
        "type_version": st.integers(-(2**31), 2**31 - 1),
        "series": st.sampled_from(SERIES),
        "spilled": st.booleans(),
        "session": st.text(max_size=10),
        "seq": st.integers(-(2**63), 2**63 - 1),
        "message": st.text(max_size=20),
        "fields": st.dictionaries(KEYS, JSON_VALUES, max_size=4).flatmap(
            lambda others: st.fixed_dictionaries(
                {},
                optional={
                    "n": st.integers(-(2**31), 2**31 - 1),
                    "s": st.text(max_size=10),
                    "f": st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**53), 2**53)),
                    "b": st.booleans(),
                },
            ).map(lambda own: others | own)
        ),
    },
)
RENAMED = {"type": "log_type", "type_version": "log_version", "id": "event_id"}


@pytest.mark.parametrize("ascii_only", [False, True])
@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_what_a_wire_record_says_is_what_comes_out(make_rows, separators, ascii_only):
    made = make("json")

    @LAWS
    @given(
        st.lists(
            st.tuples(WIRE, st.dictionaries(KEYS.filter(lambda key: key not in ENVELOPE), JSON_VALUES, max_size=2)),
            min_size=1,
            max_size=8,
        )
    )
    @example(
        [({"ts": 10**12, "fields": {"f": 1e22}}, {}), ({"ts": 10**12, "fields": {"f": 1e16, "s": "1e3"}}, {"x": 1e16})]
    )
    def law(records):
        texts = [
            json.dumps(unknown | wire, separators=separators, ensure_ascii=ascii_only) for wire, unknown in records
        ]
        out = made.parse(make_rows([text.encode("utf-8", "replace") for text in texts])).to_pylist()
        for (wire, unknown), row in zip(records, out, strict=True):
            assert row["reject_reason"] is None
            assert round(row["event_time"].timestamp() * 1000) == wire["ts"]
            for key in ENVELOPE - {"ts", "v", "fields", "severity"}:
                if key in wire:
                    wanted = plain_host(wire[key]) if key == "host" else wire[key]
                    assert row[RENAMED.get(key, key)] == wanted
            fields = wire.get("fields", {})
            for key in ("n", "s", "f", "b"):
                assert row[key] == fields.get(key)
            others = {key: value for key, value in fields.items() if key not in made.columns}
            wanted = unknown | {f"fields.{key}" if key in unknown else key: value for key, value in others.items()}
            assert (None if row["extra"] is None else json.loads(row["extra"])) == (wanted or None)

    law()


ENVELOPE = {
    *("ts", "v", "id", "host", "ip", "process", "pid", "type", "type_version"),
    *("series", "spilled", "session", "seq", "severity", "message", "fields"),
}


def test_a_huge_line_and_its_neighbours(make_rows):
    big = b'{"ts":1700000000001,"m":"' + b"x" * (3 << 20) + b'"}'
    good = b'{"ts":1700000000001,"fields":{"n":1}}'
    out = make("json").parse(make_rows([good, big, good])).to_pylist()
    assert [row["reject_reason"] for row in out] == [None, "too_large", None]
    assert [row["n"] for row in out] == [1, None, 1]
    assert out[1]["message"] == big[:8192].decode()
    assert out[1]["size_bytes"] == len(big) + 1
    assert out[1]["event_time"] == out[0]["event_time"]


def test_latin_1_and_other_encodings_are_read(make_rows):
    (row,) = make("lines", encoding="latin-1").parse(make_rows(["Grüße".encode("latin-1")])).to_pylist()
    assert (row["message"], row["reject_reason"]) == ("Grüße", None)
    rows = make("lines", encoding="cp1252").parse(make_rows([b"\x80 ok", b"a\x81b", b"", b"\xe9"])).to_pylist()
    assert [row["message"] for row in rows] == ["€ ok", "a\ufffdb", "", "é"]
    assert [row["reject_reason"] for row in rows] == [None, "bad_encoding", None, None]
    rows = make("lines", encoding="shift_jis").parse(make_rows(["日本".encode("shift_jis"), b"\x81"])).to_pylist()
    assert [row["reject_reason"] for row in rows] == [None, "bad_encoding"]
    assert rows[0]["message"] == "日本"


def test_lines_take_anything_and_happen_when_they_arrive(make_rows):
    rows = (
        make("lines").parse(make_rows([b"\xef\xbb\xbffirst", b"", b"a\0b", b"\xef\xbb\xbfx", b"bad \xc3"])).to_pylist()
    )
    assert [row["message"] for row in rows] == ["first", "", "a\0b", "\ufeffx", "bad \ufffd"]
    assert [row["reject_reason"] for row in rows] == [None, None, None, None, "bad_encoding"]
    assert all(row["event_time"] == row["received_time"] for row in rows)
    assert rows[1]["event_id"] == "c0ffee:9"


def test_late_is_judged_by_arrival_and_severities_are_mapped(make_rows):
    received = 1_700_000_000_000_000
    texts = [
        f'{{"ts":{received // 1000 - age},"severity":"{name}"}}'.encode()
        for age, name in ((0, "err"), (5001, " odd "), (5000, ""))
    ]
    rows = make("json", late_after_us=5_000_000).parse(make_rows(texts, received=received)).to_pylist()
    assert [row["late"] for row in rows] == [False, True, False]
    assert [row["severity"] for row in rows] == ["ERROR", "ODD", None]
    rows = make("json", late_after_us=None).parse(make_rows(texts, received=received)).to_pylist()
    assert [row["late"] for row in rows] == [False, False, False]


def test_parsing_does_not_touch_the_clock_or_the_order_of_large_inputs(make_rows):
    texts = [f'{{"ts":1700000000001,"seq":{number}}}'.encode() for number in range(300_000)]
    out = make("json").parse(make_rows(texts, chunk=70_000))
    assert out.column("seq").to_pylist() == list(range(300_000))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_loads_and_has_a_version_and_a_line_about_it(name):
    info = FORMATS[name]
    assert callable(info.load())
    assert info.rules_version() >= 1
    assert "\n" not in info.description


def test_the_digest_of_the_rules_changes_with_every_option():
    base = {"stream": "s", "format": "json"}
    variants = [
        {},
        {"encoding": "latin-1"},
        {"columns": {"a": "int32"}},
        {"columns": {"a": "int64"}},
        {"event_time": EventTime("t")},
        {"late_after_us": None},
        {"options": {"year": 2016}},
        {"format": "lines"},
    ]
    digests = [rules_digest(ParseOptions(**(base | one))) for one in variants]
    assert len(set(digests)) == len(variants)
    assert digests[0] == rules_digest(ParseOptions(**base))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"format": "jsno"}, "did you mean 'json'"),
        ({"encoding": "utf-9"}, "utf-9"),
        ({"encoding": "base64"}, "base64"),
        ({"columns": {"a": "int"}}, "int32"),
        ({"columns": {"Event_Time": "string"}}, "platform's own"),
        ({"event_time": EventTime("t", None, "%Q")}, "%Q"),
        ({"event_time": EventTime("t", zone="Europe/Berlim")}, "Europe/Berlim"),
    ],
)
def test_wrong_options_are_refused_with_what_is_wrong(options, said):
    with pytest.raises(ConfigError, match=said):
        make_format(ParseOptions(**({"stream": "s", "format": "json"} | options)))
