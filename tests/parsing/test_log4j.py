"""log4j: real broker logs against a plain computation, layouts, what starts a record, rejects."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.framing import make_framer
from nw_platform.parsing.log4j import default_multiline_start
from nw_platform.parsing.registry import make_format

BROKER_LOGS = sorted((Path(__file__).parents[1] / "data" / "broker_logs").glob("kafka*"))
SPRING = "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %5p ${PID} --- [%15.15t] %-40.40logger{39} : %m%n"


def plain_records(text: str) -> list[dict[str, object]]:
    """What the brokers' files say, read line by line without any code of the platform."""
    groups: list[list[str]] = []
    for line in text.splitlines():
        if line.startswith("[20"):
            groups.append([line])
        else:
            groups[-1].append(line)
    return [plain_record(lines) for lines in groups]


def plain_record(lines: list[str]) -> dict[str, object]:
    first, *more = lines
    time, rest = first[1:24], first[26:]
    level, rest = rest.split(" ", 1)
    said, logger, trace = [], None, []
    for line in [rest, *more]:
        if logger is not None:
            trace.append(line)
            continue
        before, bracket, inside = line.rpartition(" (")
        if bracket and inside.endswith(")") and " " not in inside:
            said.append(before)
            logger = inside[:-1]
        else:
            said.append(line)
    message = "\n".join(["\n".join(said), *trace])
    moment = datetime.strptime(time[:19], "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    return {
        "event_time": moment + timedelta(milliseconds=int(time[20:])),
        "severity": level,
        "logger": logger,
        "message": message,
        "size_bytes": sum(len(line) + 1 for line in lines),
    }


def framed(content: bytes, options: ParseOptions, step: int) -> pa.Table:
    framer = make_framer(options, None, 0)
    pieces = [framer.feed(content[at : at + step]) for at in range(0, len(content), step)]
    pieces.append(framer.finish(whole=True))
    value = pa.concat_arrays([piece.value for piece in pieces])
    count = len(value)
    return pa.table(
        {
            "value": value,
            "received_time": pa.array([0] * count).cast(pa.timestamp("us", "UTC")),
            "source": ["server.log"] * count,
            "source_partition": pa.array([0] * count, pa.int32()),
            "source_start": pa.concat_arrays([piece.start for piece in pieces]),
            "source_end": pa.concat_arrays([piece.end for piece in pieces]),
            "incarnation": ["c0ffee"] * count,
        }
    )


@pytest.mark.parametrize("path", BROKER_LOGS, ids=lambda path: path.name)
@pytest.mark.parametrize("step", [1 << 20, 4099])
def test_broker_logs_say_what_a_plain_reading_finds(path: Path, step: int) -> None:
    content = path.read_bytes()
    options = ParseOptions(stream="kafka", format="log4j")
    rows = make_format(options).parse(framed(content, options, step)).to_pylist()
    expected = plain_records(content.decode())
    assert [{name: row[name] for name in expected[0]} for row in rows] == expected
    assert {row["series"] for row in rows} == {"normal"}
    assert sum(row["size_bytes"] for row in rows) == len(content)
    assert [row["event_id"] for row in rows] == [f"c0ffee:{row['source_start']}" for row in rows]


def test_broker_logs_hold_the_cases_that_matter() -> None:
    records = [record for path in BROKER_LOGS for record in plain_records(path.read_text())]
    assert len(records) > 900
    assert any("\n\tat " in str(record["message"]) for record in records)  # a stack trace
    assert any(str(record["message"]).startswith("KafkaConfig values: \n") for record in records)  # logger comes last
    assert {record["severity"] for record in records} >= {"INFO", "WARN", "TRACE"}


@pytest.mark.parametrize(
    ("layout", "line", "expected"),
    [
        (
            "%d{yyyy-MM-dd HH:mm:ss,SSS} [%t] %-5p %c - %m%n",
            "2016-12-19 15:59:28,017 [pool 1-thread 2] WARN  org.x.Y - a [b] - c",
            {"thread": "pool 1-thread 2", "severity": "WARN", "logger": "org.x.Y", "message": "a [b] - c"},
        ),
        (
            "%d{ISO8601} %p %c{1}:%L - %m%n",
            "2016-12-19T15:59:28.017 ERROR Y:42 - broken\njava.lang.X: y\n\tat a.b.C(C.java:1)",
            {
                "severity": "ERROR",
                "logger": "Y",
                "extra": '{"line":"42"}',
                "message": "broken\njava.lang.X: y\n\tat a.b.C(C.java:1)",
            },
        ),
        (
            SPRING,
            "2016-12-19T15:59:28.017Z  INFO 4711 --- [           main] o.s.b.Application                        : up",
            {"pid": 4711, "thread": "main", "logger": "o.s.b.Application", "message": "up", "severity": "INFO"},
        ),
        (
            SPRING,
            "2016-12-19T17:59:28.017+02:00 ERROR 4711 --- [main] o.s.b.Application : down",
            {"message": "down", "severity": "ERROR"},
        ),
        (
            "%-5p %d{dd MMM yyyy HH:mm:ss,SSS} [%X{user}] [%X{host}] %m (%F:%L)%n",
            "INFO  19 Dec 2016 15:59:28,017 [ann] [web-1] done (A.java:7)\nmore",
            {"host": "web-1", "message": "done\nmore", "extra": '{"user":"ann","file":"A.java","line":"7"}'},
        ),
        ("%d{UNIX_MILLIS} %level %msg%n", "1482163168017 fatal 100%", {"severity": "FATAL", "message": "100%"}),
        ("%d{yyyy-MM-dd HH:mm:ss.SSS}{UTC} %% %m%n", "2016-12-19 15:59:28.017 % ", {"message": ""}),
        ("[%d{ISO8601}] %p %m (%c)%n", "[2016-12-19 15:59:28,017] INFO  (a.B)", {"message": "", "logger": "a.B"}),
    ],
)
def test_layouts(make_rows, layout: str, line: str, expected: dict[str, object]) -> None:
    made = make_format(ParseOptions(stream="s", format="log4j", options={"layout": layout}))
    (row,) = made.parse(make_rows([line.encode()])).to_pylist()
    assert row["reject_reason"] is None
    assert row["event_time"] == datetime(2016, 12, 19, 15, 59, 28, 17000, tzinfo=UTC)
    assert {name: row[name] for name in expected} == expected
    assert re.search(default_multiline_start(ParseOptions("s", "log4j", options={"layout": layout})), line)


def test_a_declared_column_takes_what_the_layout_names(make_rows) -> None:
    options = ParseOptions("s", "log4j", columns={"line": "int32"}, options={"layout": "%d{ISO8601} %L %m"})
    made = make_format(options)
    good, bad = made.parse(
        make_rows([b"2016-12-19 15:59:28,017 42 hello", b"2016-12-19 15:59:28,017 ? hello"])
    ).to_pylist()
    assert (good["line"], good["extra"], good["message"]) == (42, None, "hello")
    assert (bad["line"], bad["reject_reason"], bad["series"]) == (None, "bad_type", "error")


def test_a_time_without_a_year(make_rows) -> None:
    line = b"Dec 01 15:59:28 x"
    layout = {"layout": "%d{MMM dd HH:mm:ss} %m%n"}
    (row,) = make_format(ParseOptions("s", "log4j", options=layout)).parse(make_rows([line])).to_pylist()
    assert row["event_time"] == datetime(2025, 12, 1, 15, 59, 28, tzinfo=UTC)
    (row,) = (
        make_format(ParseOptions("s", "log4j", options=layout | {"year": 2016})).parse(make_rows([line])).to_pylist()
    )
    assert row["event_time"] == datetime(2016, 12, 1, 15, 59, 28, tzinfo=UTC)


def test_a_zone_moves_the_time(make_rows) -> None:
    line = b"[2016-07-19 15:59:28,017] INFO x (y)"
    by_option = ParseOptions("s", "log4j", event_time=EventTime(zone="Europe/Berlin"))
    by_layout = ParseOptions("s", "log4j", options={"layout": "[%d{ISO8601}{Europe/Berlin}] %p %m (%c)%n"})
    for options in (by_option, by_layout):
        (row,) = make_format(options).parse(make_rows([line])).to_pylist()
        assert row["event_time"] == datetime(2016, 7, 19, 13, 59, 28, 17000, tzinfo=UTC)


@pytest.mark.parametrize(
    ("line", "reason", "time_kept"),
    [
        (b"[2016-12-19 15:59:28,017] INFO no logger", "bad_format", True),
        (b"[2016-12-19 15:59:28,017]", "bad_format", True),
        (b"[2016-12-19 15:59:28,01", "bad_format", False),
        (b"[2016-13-19 15:59:28,017] INFO x (y)", "bad_time", False),
        (b"[1816-12-19 15:59:28,017] INFO x (y)", "bad_time", False),
        (b"[2016-12-19 15:59:28,017] INFO \xff (y)", "bad_encoding", True),
        (b"[2016-12-19 15:59:28,017] INFO " + b"x" * 2000 + b" (y)", "too_large", True),
        (b"", "bad_format", False),
        (b"\tat a stack trace without a head", "bad_format", False),
        (b"\x00", "bad_format", False),
    ],
)
def test_rejects(make_rows, line: bytes, reason: str, *, time_kept: bool) -> None:
    made = make_format(ParseOptions("s", "log4j", max_record=1000))
    good = b"[2016-12-19 15:59:28,017] INFO x\x00 (y)"
    before, row, after = made.parse(make_rows([good, line, good])).to_pylist()
    assert (before["message"], after["message"]) == ("x\x00", "x\x00")
    assert (row["series"], row["reject_reason"], row["logger"]) == ("error", reason, None)
    assert row["message"] == line.decode("utf-8", "replace")
    kept = datetime(2016, 12, 19, 15, 59, 28, 17000, tzinfo=UTC)
    assert row["event_time"] == (kept if time_kept else row["received_time"])


@pytest.mark.parametrize(
    ("layout", "said"),
    [
        ("%d{HH:mm:ss} %m%n", "has no date, so nobody"),
        ("%p %m%n", "has no date; add"),
        ("%d %p%n", "has no message"),
        ("%d %q %m%n", "%q is not known"),
        ("%d{yyyy-MM-dd GGG} %m", "'GGG', which is not known"),
        ("%d %m 100%", "a lone %"),
        ("%d ${hostName} %m", "write out the value"),
        (7, "is no text"),
    ],
)
def test_a_layout_that_cannot_be_read_is_refused(layout: object, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        make_format(ParseOptions("s", "log4j", options={"layout": layout}))
