"""JSON: wire records and foreign objects, strictly."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime

import pytest

from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.registry import make_format

TS = 1_700_000_000_001
AT = datetime(2023, 11, 14, 22, 13, 20, 1000, tzinfo=UTC)
COLUMNS = {"user_id": "string", "status": "int32", "total": "int64", "ms": "float64", "ok": "bool"}


@pytest.fixture
def parse(make_rows):
    def run(*records, **options):
        made = make_format(ParseOptions("app", "json", late_after_us=None, **({"columns": COLUMNS} | options)))
        lines = [_line(one) for one in records]
        return made.parse(make_rows(lines)).to_pylist()

    return run


def _line(record) -> bytes:
    if isinstance(record, bytes):
        return record
    text = record if isinstance(record, str) else json.dumps(record, separators=(",", ":"), ensure_ascii=False)
    return text.encode()


def test_a_full_wire_record_fills_the_envelope(parse):
    record = {
        "v": 1,
        "id": "s-7",
        "ts": TS,
        "host": "h",
        "ip": "10.0.0.1",
        "process": "p",
        "pid": 5,
        "type": "pay",
        "type_version": 2,
        "series": "watchdog",
        "spilled": True,
        "session": "s",
        "seq": 2**53 + 1,
        "severity": "Warning",
        "message": 'say "hi"\n',
        "fields": {"user_id": "u", "status": 200, "z": [1]},
        "q": 1,
    }
    (row,) = parse(record)
    wanted = {
        "event_id": "s-7",
        "event_time": AT,
        "host": "h",
        "ip": "10.0.0.1",
        "process": "p",
        "pid": 5,
        "log_type": "pay",
        "log_version": 2,
        "series": "watchdog",
        "spilled": True,
        "session": "s",
        "seq": 2**53 + 1,
        "severity": "WARN",
        "message": 'say "hi"\n',
        "user_id": "u",
        "status": 200,
        "reject_reason": None,
        "total": None,
    }
    assert {key: row[key] for key in wanted} == wanted
    assert json.loads(row["extra"]) == {"q": 1, "z": [1]}


def test_ts_is_all_a_wire_record_needs(parse):
    (row,) = parse({"ts": TS})
    wanted = {
        "event_id": "c0ffee:0",
        "event_time": AT,
        "log_type": "app",
        "log_version": 0,
        "series": "normal",
        "spilled": False,
        "extra": None,
        "reject_reason": None,
        "message": None,
    }
    assert {key: row[key] for key in wanted} == wanted


# A value of a declared column -> what is stored, or the reason of its reject.
@pytest.mark.parametrize(
    ("column", "text", "wanted"),
    [
        ("status", "2147483647", 2**31 - 1),
        ("status", "-2147483648", -(2**31)),
        ("status", "-0", 0),
        ("total", "9007199254740993", 2**53 + 1),
        ("total", "9223372036854775807", 2**63 - 1),
        ("total", "-9223372036854775808", -(2**63)),
        ("ms", "1e3", 1000.0),
        ("ms", "1e-3", 0.001),
        ("ms", "5", 5.0),
        ("ms", "0.1", 0.1),
        ("ok", "true", True),
        ("ok", "false", False),
        ("user_id", '"u"', "u"),
        ("user_id", '""', ""),
        ("user_id", '"\\u00e9\\n\\ud83d\\ude00\\u0000"', "é\n😀\0"),
        ("user_id", '"null"', "null"),
        ("user_id", "5", "5"),
        ("user_id", "true", "true"),
        ("user_id", '{"a": [1, "x"]}', '{"a":[1,"x"]}'),
        ("user_id", "18446744073709551616", "18446744073709551616"),
    ],
)
@pytest.mark.parametrize("where", ["in fields", "in the record"])
def test_a_declared_column_takes_values_of_its_type(parse, column, text, wanted, where):
    member = f'"{column}":{text}'
    record = f'{{"ts":{TS},"fields":{{{member}}}}}' if where == "in fields" else f'{{"ts":{TS},{member}}}'
    plain = f'{{"ts":{TS}}}'
    for row in (parse(record)[0], parse(plain, record, plain)[1]):
        assert row["reject_reason"] is None
        assert row[column] == wanted
        assert row["extra"] is None


@pytest.mark.parametrize(
    "member",
    [
        *('"status":"1"', '"status":1.5', '"status":1.0', '"status":1e2', '"status":2147483648', '"status":true'),
        *('"status":[1]', '"total":9223372036854775808', '"total":"5"', '"ms":"1.5"', '"ms":true', '"ms":1e999'),
        *('"ok":1', '"ok":"true"', '"ok":"1"', '"ms":{}'),
    ],
)
def test_nothing_is_coerced(parse, member):
    record = f'{{"ts":{TS},"id":"a-1","host":"h","fields":{{{member}}}}}'
    good = f'{{"ts":{TS},"fields":{{"status":7}}}}'
    before, row, after = parse(good, record, good)
    assert (before["status"], after["status"]) == (7, 7)
    assert (row["reject_reason"], row["series"], row["message"]) == ("bad_type", "error", record)
    assert (row["event_time"], row["event_id"], row["host"]) == (AT, "a-1", "h")
    assert all(row[name] is None for name in (*COLUMNS, "extra"))


@pytest.mark.parametrize(
    "member",
    [
        *('"host":5', '"host":{}', '"pid":"5"', '"pid":2147483648', '"pid":1.5', '"seq":"1"', '"seq":1e2', '"id":5'),
        *('"series":"strange"', '"series":1', '"spilled":1', '"spilled":"true"', '"type":null,"type_version":"1"'),
        *('"fields":5', '"fields":[1]', '"fields":"x"', '"v":"1"', '"message":["x"]', '"severity":3', '"process":true'),
    ],
)
@pytest.mark.parametrize("columns", [{}, COLUMNS])
def test_a_wire_key_of_the_wrong_type_is_bad_type(parse, member, columns):
    (row,) = parse(f'{{"ts":{TS},{member}}}', columns=columns)
    assert (row["reject_reason"], row["event_time"], row["extra"]) == ("bad_type", AT, None)


@pytest.mark.parametrize(
    "text",
    [
        *("{}", '{"ts":null}', '{"ts":"1700000000001x"}', '{"ts":"-1700000000001"}', '{"ts":true}', '{"ts":-1}'),
        *('{"ts":99999999999999999999}', '{"ts":9223372036854775807}', '{"ts":[]}', '{"TS":1700000000001}'),
        '{"ts":"x","fields":{"status":"x"}}',
    ],
)
def test_a_record_without_a_usable_time_is_bad_time(parse, text):
    (row,) = parse(text)
    assert (row["reject_reason"], row["event_time"]) == ("bad_time", row["received_time"])


@pytest.mark.parametrize(
    "text",
    [
        *("", "  ", "[1]", "5", '"x"', "null", "true", "x", "{", "{]", "{}{}", "{} x", '{"a":1,}', '{"a":[1,],"b":1}'),
        *('{"a":NaN}', '{"a":-Infinity}', '{"a":01}', "{'a':1}", '{"a":1}\0', '{"a":"\x01"}', '{"a":"\\ud80"}'),
    ],
)
def test_what_is_no_json_object_is_bad_format(parse, text):
    good = {"ts": TS, "fields": {"status": 7}}
    before, row, after = parse(good, text, good)
    assert (before["status"], before["reject_reason"], after["status"]) == (7, None, 7)
    assert (row["reject_reason"], row["series"], row["message"]) == ("bad_format", "error", text)


def test_text_that_looks_loose_inside_a_string_is_fine(parse):
    message = 'a [1,] {"x":NaN,} :nan'
    (row,) = parse(json.dumps({"ts": TS, "message": message}))
    assert (row["reject_reason"], row["message"]) == (None, message)


def test_a_record_that_was_cut_keeps_its_time(parse):
    rows = parse(f'{{"ts":{TS},"host":"we', f'{{"host":"x","ts": {TS} ,"mess', '{"ts":17000', '{"host":"x')
    assert [row["reject_reason"] for row in rows] == ["bad_format"] * 4
    assert [row["event_time"] == AT for row in rows] == [True, True, False, False]


def test_bad_encoding_and_too_large_come_first_and_keep_the_time(parse):
    rows = parse(
        f'{{"ts":{TS},"host":5,"message":"'.encode() + b'\xff"}',
        f'{{"ts":{TS},"message":"{"x" * 20_000}"}}',
        max_record=10_000,
    )
    assert [row["reject_reason"] for row in rows] == ["bad_encoding", "too_large"]
    assert [row["event_time"] for row in rows] == [AT, AT]
    assert "\ufffd" in rows[0]["message"]
    assert len(rows[1]["message"]) == 8192


@pytest.mark.parametrize(
    ("record", "extra"),
    [
        ({"fields": {"x": 1}}, {"x": 1}),
        ({"fields": {}}, None),
        ({"fields": None}, {"fields": None}),
        ({"host": None}, {"host": None}),
        ({"v": None}, {"v": None}),
        ({"fields": {"status": None}}, {"status": None}),
        ({"status": None}, {"status": None}),
        ({"x": None, "y": {"z": None}}, {"x": None, "y": {"z": None}}),
        ({"x": 1, "fields": {"x": 2, "y": 3}}, {"x": 1, "fields.x": 2, "y": 3}),
        ({"status": 1, "fields": {"status": 2}}, {"status": 1}),
        ({"Host": "H", "STATUS": 1}, {"Host": "H", "STATUS": 1}),
        ({"a.b": 1, 'q"q': 2, "": 3, "é": 4}, {"a.b": 1, 'q"q': 2, "": 3, "é": 4}),
        ({"big": 12345678901234567890123, "f": 1.5}, {"big": 12345678901234567890123, "f": 1.5}),
    ],
)
@pytest.mark.parametrize("spaced", [False, True])
def test_what_fills_no_column_is_extra(parse, record, extra, spaced):
    separators = (", ", ": ") if spaced else (",", ":")
    (row,) = parse(json.dumps({"ts": TS} | record, separators=separators))
    assert row["reject_reason"] is None
    assert (None if row["extra"] is None else json.loads(row["extra"])) == extra


def test_without_declared_columns_the_fields_are_the_extra(parse):
    rows = parse(
        {"ts": TS, "fields": {"a": {"b": 1}}},
        {"ts": TS, "fields": {}},
        {"ts": TS, "u": 1, "fields": {"a": 1}},
        columns={},
    )
    assert [row["extra"] for row in rows] == ['{"a":{"b":1}}', None, '{"u":1,"a":1}']


def test_a_key_that_is_rare_is_found_although_no_sample_shows_it(parse):
    records = [{"ts": TS, "fields": {"status": 1}} for _ in range(3000)]
    records[1501] = {"ts": TS, "ip": "10.0.0.9", "fields": {"status": 2, "total": 9, "new": 1}}
    row = parse(*records)[1501]
    assert (row["ip"], row["status"], row["total"], row["extra"]) == ("10.0.0.9", 2, 9, '{"new":1}')


def test_keys_said_twice_and_deep_nesting_do_no_harm(parse):
    deep = '{"a":' * 50_000 + "1" + "}" * 50_000
    rows = parse(
        f'{{"ts":{TS},"ts":5,"host":"a","host":"b"}}',
        f'{{"ts":{TS},"deep":{deep}}}',
        f'{{"ts":{TS},"l":{"[" * 50_000}{"]" * 50_000}}}',
    )
    assert [row["reject_reason"] for row in rows] == [None, None, None]
    assert rows[1]["extra"] == f'{{"deep":{deep}}}'


def test_foreign_objects_keep_what_does_not_fit_the_envelope(parse):
    record = {
        "time": "2015-05-17T10:05:03.25+02:00",
        "id": 5,
        "host": {"name": "x"},
        "message": "m",
        "severity": 3,
        "series": "BTC",
        "pid": "7",
        "session": "s",
        "fields": 5,
    }
    (row,) = parse(record, event_time=EventTime("time", None), columns={})
    assert row["event_time"] == datetime(2015, 5, 17, 8, 5, 3, 250_000, tzinfo=UTC)
    assert (row["reject_reason"], row["event_id"], row["message"], row["session"]) == (None, "c0ffee:0", "m", "s")
    assert (row["host"], row["severity"], row["pid"], row["series"]) == (None, None, None, "normal")
    assert json.loads(row["extra"]) == {
        "id": 5,
        "host": {"name": "x"},
        "severity": 3,
        "series": "BTC",
        "pid": "7",
        "fields": 5,
    }


def test_equal_ids_of_foreign_objects_are_different_records(parse):
    rows = parse({"time": 1, "id": "x"}, {"time": 1, "id": "x"}, event_time=EventTime("time", "s"), columns={})
    assert len({row["event_id"] for row in rows}) == 2
    assert [row["extra"] for row in rows] == ['{"id":"x"}'] * 2


@pytest.mark.parametrize(
    ("time", "record", "wanted"),
    [
        (EventTime("t", "s"), {"t": 1_700_000_000}, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
        (EventTime("t", "s"), {"t": 1_700_000_000.25}, datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)),
        (EventTime("t", "ms"), {"t": TS}, AT),
        (EventTime("t", "us"), {"t": TS * 1000}, AT),
        (EventTime("t", "ns"), {"t": TS * 1_000_000 + 999}, AT),
        (EventTime("t", "ms"), {"t": "2023-11-14T22:13:20.001Z"}, AT),
        (EventTime("a.t"), {"a": {"t": TS}}, AT),
        (EventTime("a.t"), {"a.t": TS}, AT),
        (
            EventTime("t", None, "%d/%b/%Y:%H:%M:%S %z"),
            {"t": "17/May/2015:10:05:03 +0200"},
            datetime(2015, 5, 17, 8, 5, 3, tzinfo=UTC),
        ),
        # summer, the hour that comes twice (first), the hour that does not exist
        (
            EventTime("t", None, "%Y-%m-%d %H:%M", "Europe/Berlin"),
            {"t": "2024-07-01 12:00"},
            datetime(2024, 7, 1, 10, tzinfo=UTC),
        ),
        (
            EventTime("t", None, "%Y-%m-%d %H:%M", "Europe/Berlin"),
            {"t": "2024-10-27 02:30"},
            datetime(2024, 10, 27, 0, 30, tzinfo=UTC),
        ),
        (
            EventTime("t", None, "%Y-%m-%d %H:%M", "Europe/Berlin"),
            {"t": "2024-03-31 02:30"},
            datetime(2024, 3, 31, 1, 30, tzinfo=UTC),
        ),
    ],
)
def test_event_times_as_declared(parse, time, record, wanted):
    (row,) = parse(record, event_time=time, columns={})
    assert (row["reject_reason"], row["event_time"]) == (None, wanted)


@pytest.mark.parametrize("value", ["yesterday", "2023-02-30", None, [], "9999-01-01", "1969-12-31", 1e300, -5])
def test_a_foreign_time_that_cannot_be_used_is_bad_time(parse, value):
    (row,) = parse(json.dumps({"t": value}), event_time=EventTime("t", "ms"), columns={})
    assert (row["reject_reason"], row["event_time"]) == ("bad_time", row["received_time"])


def test_declared_columns_may_be_times_and_may_fill_the_envelope_in_any_case(parse):
    columns = {"day": "date", "paid": "timestamp", "Ip": "string", "type": "string"}
    record = {"ts": TS, "day": "2024-02-29", "paid": "2024-02-29T01:00:00+01:00", "Ip": "10.0.0.1", "type": "pay"}
    made = make_format(ParseOptions("app", "json", columns=columns))
    assert list(made.columns) == ["day", "paid", "type"]
    (row,) = parse(record, columns=columns)
    assert (row["day"], row["paid"]) == (date(2024, 2, 29), datetime(2024, 2, 29, tzinfo=UTC))
    assert (row["ip"], row["type"], row["log_type"], row["extra"]) == ("10.0.0.1", "pay", "pay", None)
    (bad,) = parse({"ts": TS, "day": 5}, columns=columns)
    assert bad["reject_reason"] == "bad_type"


def test_a_refusal_whose_message_cannot_be_decoded_is_a_refusal(parse):
    # the engine quotes the first bytes of what it refuses, and may cut U+FFFD in two
    (row,) = parse(b'{"ts":1700000000001,"host":"h","fields":{"n":\xff"x","f":1.5}}')
    assert (row["reject_reason"], row["event_time"]) == ("bad_encoding", AT)
