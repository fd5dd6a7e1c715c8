"""A JSON record becomes the same whatever stands around it; what RFC 8259 does not allow is no JSON anywhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.registry import make_format

TS = 1_700_000_000_001
PLAIN = [b'{"ts":%d,"fields":{"m":%d}}' % (TS, number) for number in range(200)]
DECLARED = {"n": "string", "f": "float64", "host": "string"}
IDENTITY = ("source_start", "source_end", "event_id")


@pytest.fixture
def parse(make_rows):
    def run(lines, *, chunk=None, **options):
        made = make_format(ParseOptions("app", "json", late_after_us=None, **options))
        rows = made.parse(make_rows(lines, chunk=chunk)).to_pylist()
        return [{name: value for name, value in row.items() if name not in IDENTITY} for row in rows]

    return run


NOT_JSON = [
    *(
        '"n":NaN',
        '"n":-NaN',
        '"n":Infinity',
        '"n":-inf',
        '"n":nan',
        '"n":[1,]',
        '"n":{"a":1,}',
        '"n":[NaN]',
        '"n":"a",',
    ),
    *(
        '"n":01',
        '"n":+1',
        '"n":.5',
        '"n":1.',
        '"n":0x1',
        "\"n\":'a'",
        '"n":1 /*c*/',
        '"n":True',
        '"n":None',
        '"n":"\t"',
    ),
    # A number that is read longer than it was written makes room for what must not be there.
    *('"f":1e3,"n":[1,  ]', '"f":1e3,"n":"x",  ', '"pid":1e3,"x":[1,  ]', '"x":{"a":1e3,"b":[1,  ]}', '"x":[1e3,-inf]'),
]


@pytest.mark.parametrize("member", NOT_JSON)
@pytest.mark.parametrize("columns", [{}, DECLARED, {"n": "int64"}, {"x": "string"}])
@pytest.mark.parametrize("where", ["top", "fields"])
def test_what_rfc_8259_does_not_allow_is_bad_format_alone_and_among_others(parse, member, columns, where):
    body = f'"fields":{{{member}}}' if where == "fields" else member
    line = f'{{"ts":{TS},{body}}}'.encode()
    (alone,) = parse([line], columns=columns)
    assert (alone["reject_reason"], alone["extra"], alone["series"]) == ("bad_format", None, "error")
    assert alone["event_time"] == datetime(2023, 11, 14, 22, 13, 20, 1000, tzinfo=UTC)
    for before, after in ((PLAIN, []), ([], PLAIN), (PLAIN, PLAIN), ([line], [line])):
        assert parse([*before, line, *after], columns=columns)[len(before)] == alone


SCALARS = st.sampled_from(
    [
        *(
            "1",
            "-0",
            "1e3",
            "1e-3",
            "1.0",
            "1.50",
            "12345678901234567890123",
            "true",
            "null",
            "NaN",
            "-Infinity",
            "inf",
        ),
        *(
            '"x"',
            '"NaN"',
            '"a,]"',
            '"1e3"',
            '"\\ud800"',
            '"\\ud83d\\ude00"',
            '"\\u0041"',
            '""',
            '"2026-11-20 10:00:01"',
        ),
    ]
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.tuples(st.lists(inner, max_size=3), st.sampled_from(["", " ", ","])).map(
            lambda parts: f"[{','.join(parts[0])}{parts[1] if parts[0] else ''}]"
        ),
        st.dictionaries(st.sampled_from(["a", "n", "ts"]), inner, max_size=2).map(
            lambda members: "{" + ",".join(f'"{key}":{value}' for key, value in members.items()) + "}"
        ),
    ),
    max_leaves=4,
)
KEYS = st.sampled_from(["n", "f", "host", "pid", "id", "series", "fields", "time", "@timestamp", "timestamp", "x", "N"])
MEMBERS = st.lists(st.tuples(KEYS, VALUES), max_size=4)


@st.composite
def records(draw) -> bytes:
    members = draw(MEMBERS)
    time = draw(st.sampled_from([("ts", str(TS)), ("ts", '"2026-11-20T10:00:01Z"'), ("ts", "null"), None]))
    if time is not None:
        members.insert(draw(st.integers(0, len(members))), time)
    blank = draw(st.sampled_from(["", "", " "]))
    end = draw(st.sampled_from(["", "", "", ",", " ", "  "]))
    text = "{" + f",{blank}".join(f'"{key}":{blank}{value}' for key, value in members) + end + "}"
    return text[: draw(st.sampled_from([len(text), len(text), len(text), 5]))].encode()


def is_json(line: bytes) -> bool:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        return isinstance(json.loads(line, parse_constant=refuse), dict)
    except ValueError:
        return False


@pytest.mark.parametrize(
    "options",
    [
        {"columns": {}},
        {"columns": DECLARED},
        {"columns": {"n": "int64", "time": "timestamp"}},
        {"columns": {}, "event_time": EventTime("time")},
        {"columns": {"x": "string"}, "event_time": EventTime("a.n", "s")},
    ],
    ids=["nothing declared", "strings", "types", "another time", "nested time"],
)
def test_a_record_does_not_depend_on_order_or_chunks_or_neighbours(parse, options):
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(records(), min_size=1, max_size=12), st.integers(1, 5), st.booleans(), st.randoms())
    def law(lines, chunk, padded, random):
        alone = [parse([line], **options)[0] for line in lines]
        for line, row in zip(lines, alone, strict=True):
            assert (row["reject_reason"] == "bad_format") != is_json(line)
            if row["extra"] is not None:
                assert is_json(row["extra"].encode())
        order = list(range(len(lines)))
        random.shuffle(order)
        around = PLAIN if padded else []
        shuffled = parse([*around, *(lines[number] for number in order), *around], chunk=chunk, **options)
        assert shuffled[len(around) : len(around) + len(lines)] == [alone[number] for number in order]

    law()


def test_half_a_character_is_replaced_and_whole_ones_stay(parse):
    texts = [
        "\\ud800",
        "a\\udc00b",
        "\\ud83d\\ude00",
        "\\ud83d\\ud83d\\ude00",
        "\\\\ud800",
        "\\\\\\ud800",
        "\\uD800\\n",
    ]
    wanted = ["\ufffd", "a\ufffdb", "😀", "\ufffd😀", "\\ud800", "\\\ufffd", "\ufffd\n"]
    for columns in ({}, {"note": "string"}):
        lines = [f'{{"ts":{TS},"message":"{text}","note":"{text}"}}'.encode() for text in texts]
        rows = parse(lines, columns=columns)
        assert [row["message"] for row in rows] == wanted
        assert [row["reject_reason"] for row in rows] == [None] * len(texts)
        notes = [row.get("note") or json.loads(row["extra"])["note"] for row in rows]
        assert notes == wanted


AT = datetime(2026, 11, 20, 10, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("record", "declared", "wanted"),
    [
        (
            {"log": "a\n", "stream": "stdout", "time": "2026-11-20T10:00:00.123456789Z"},
            None,
            AT.replace(microsecond=123456),
        ),
        ({"@timestamp": "2026-11-20T10:00:00Z", "time": 5}, None, AT),
        ({"time": "yesterday", "timestamp": "2026-11-20T10:00:00Z"}, None, AT),
        ({"time": 1795168800}, None, AT),
        ({"time": 1795168800123}, None, AT.replace(microsecond=123_000)),
        ({"ts": 1795168800.123456}, EventTime(unit="s"), AT.replace(microsecond=123_456)),
        ({"ts": 1795168800.123456}, None, AT.replace(microsecond=123_456)),
        ({"ts": "2026-11-20T10:00:00Z"}, None, AT),
        ({"ts": "2026-11-20 11:00:00 +0100"}, None, AT),
        ({"ts": "2026-11-20 11:00:00"}, EventTime(zone="Europe/Berlin"), AT),
        ({"time": "2026-11-20 11:00:00"}, EventTime(zone="Europe/Berlin"), AT),
        ({"time": "Nov 20 10:00:00"}, None, AT),
        (
            {"__REALTIME_TIMESTAMP": "1795168800123456"},
            EventTime("__REALTIME_TIMESTAMP", "us"),
            AT.replace(microsecond=123_456),
        ),
        ({"__REALTIME_TIMESTAMP": "1795168800123456"}, None, AT.replace(microsecond=123_456)),
        ({"t": "20.11. 10:00:00"}, EventTime("t", layout="%d.%m. %H:%M:%S"), AT),
        ({"t": 20261120100000}, EventTime("t", layout="%Y%m%d%H%M%S"), AT),
        ({"ts": "2026-11-20 09:59:60"}, None, AT),
    ],
)
def test_times_that_are_not_milliseconds_in_ts(parse, record, declared, wanted):
    lines = [*PLAIN[:3], json.dumps(record).encode()]
    for columns in ({}, {"m": "int64"}):
        row = parse(lines, columns=columns, event_time=declared)[3]
        assert (row["reject_reason"], row["event_time"]) == (None, wanted)


def test_a_declared_year_is_that_of_times_without_one(parse):
    options = {"event_time": EventTime("t", layout="%b %d %H:%M:%S"), "options": {"year": 2019}}
    (row,) = parse([b'{"t":"Dec 24 10:00:01"}'], **options)
    assert row["event_time"] == datetime(2019, 12, 24, 10, 0, 1, tzinfo=UTC)


def test_only_the_key_that_held_the_time_leaves_extra(parse):
    record = {"time": "soon", "timestamp": "2026-11-20T10:00:00Z", "date": None, "host": {"name": "x"}, "id": "i"}
    rows = parse([json.dumps(record).encode(), *PLAIN[:2]], columns={})
    assert json.loads(rows[0]["extra"]) == {key: value for key, value in record.items() if key != "timestamp"}
    assert rows[0]["reject_reason"] is None


def test_a_record_that_was_cut_keeps_a_time_of_any_name(parse):
    (row,) = parse([b'{"log":"x","time":"2026-11-20T10:00:00Z","str'])
    assert (row["reject_reason"], row["event_time"]) == ("bad_format", AT)


def test_a_wire_record_without_ts_stays_a_wire_record(make_rows):
    made = make_format(ParseOptions("app", "json"))
    (row,) = made.parse(make_rows([b'{"id":"s-1","host":"h","session":"s","seq":1}'])).to_pylist()
    assert (row["reject_reason"], row["event_id"], row["host"]) == ("bad_time", "s-1", "h")
