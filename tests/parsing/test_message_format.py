"""Wire records whose message is in another format."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import EventTime, ParseOptions
from nw_platform.parsing.registry import make_format

TS = 1_790_000_000_000
SENT = datetime.fromtimestamp(TS / 1000, UTC)
LINE = '1.2.3.4 - ann [17/May/2015:10:05:03 +0000] "GET /a HTTP/1.1" 200 7 "-" "curl"'


def wire(message: object, **more: object) -> bytes:
    record = {"v": 1, "id": "s-1", "ts": TS, "host": "web-01", "process": "agent", "session": "s", "seq": 1}
    return json.dumps({**record, "message": message, **more}).encode()


def parsed(make_rows, message_format: str, lines: list[bytes], **options: object) -> list[dict]:
    declared = ParseOptions("s", "json", message_format=message_format, **options)
    return make_format(declared).parse(make_rows(lines)).to_pylist()


def test_the_columns_are_those_of_the_message(make_rows) -> None:
    (row,) = parsed(make_rows, "combined", [wire(LINE)], columns={"status": "int64", "team": "string"})
    assert (row["remote_host"], row["remote_user"], row["status"], row["referrer"]) == ("1.2.3.4", "ann", 200, None)
    assert row["event_time"] == datetime(2015, 5, 17, 10, 5, 3, tzinfo=UTC)
    assert (row["host"], row["process"], row["session"], row["seq"], row["event_id"]) == (
        "web-01", "agent", "s", 1, "s-1",
    )  # fmt: skip
    assert (row["series"], row["reject_reason"], row["late"]) == ("normal", None, True)
    form = make_format(
        ParseOptions("s", "json", message_format="combined", columns={"status": "int64", "team": "string"})
    )
    assert form.columns["status"] == pa.int64()
    assert list(form.columns)[-1] == "team"


def test_the_record_itself_wins_over_its_message(make_rows) -> None:
    line = "<11>Nov 22 05:00:01 db-01 postgres[77]: out of memory"
    said, open_ = parsed(
        make_rows, "syslog", [wire(line, severity="DEBUG"), json.dumps({"ts": TS, "message": line}).encode()]
    )
    assert (said["host"], said["process"], said["severity"], said["pid"]) == ("web-01", "agent", "DEBUG", 77)
    assert (open_["host"], open_["process"], open_["severity"], open_["pid"]) == ("db-01", "postgres", "ERROR", 77)
    assert said["message"] == open_["message"] == "out of memory"
    assert said["facility"] == "user"
    # the year that is not after the record's own time (September) by more than a day
    assert said["event_time"] == datetime(2025, 11, 22, 5, 0, 1, tzinfo=UTC)


def test_a_message_that_does_not_parse_makes_an_error_of_its_record(make_rows) -> None:
    good, broken, late = parsed(
        make_rows,
        "log4j",
        [
            wire("[2016-12-19 15:59:28,017] WARN x (a.B)", team="red"),
            wire("no log4j", team="red"),
            wire("[2016-12-19 15:59:28,017] cut", team="red"),
        ],
        columns={"team": "string"},
    )
    assert (good["severity"], good["logger"], good["team"], good["message"]) == ("WARN", "a.B", "red", "x")
    assert (broken["series"], broken["reject_reason"], broken["message"]) == ("error", "bad_format", "no log4j")
    assert (broken["host"], broken["session"], broken["seq"], broken["event_id"]) == ("web-01", "s", 1, "s-1")
    assert (broken["team"], broken["extra"], broken["event_time"]) == (None, None, SENT)
    assert late["event_time"] == datetime(2016, 12, 19, 15, 59, 28, 17000, tzinfo=UTC)
    assert late["late"] is True


def test_records_without_a_line_stay_as_they_are(make_rows) -> None:
    none, beat, sent_error, junk = parsed(
        make_rows,
        "combined",
        [
            wire(None, fields={"a": 1}),
            wire("hello", series="watchdog", type="nw.heartbeat"),
            wire(LINE, series="error"),
            b"{broken",
        ],
    )
    assert (none["series"], none["reject_reason"], none["event_time"]) == ("normal", None, SENT)
    assert json.loads(none["extra"])["a"] == 1
    assert (beat["series"], beat["message"], beat["reject_reason"]) == ("watchdog", "hello", None)
    assert (sent_error["series"], sent_error["reject_reason"], sent_error["status"]) == ("error", None, 200)
    assert (junk["series"], junk["reject_reason"], junk["message"]) == ("error", "bad_format", "{broken")


def test_what_is_left_over_of_both_is_in_extra(make_rows) -> None:
    layout = "%d{ISO8601} %L %m"
    line = "2016-12-19 15:59:28,017 42 x"
    both, one = parsed(make_rows, "log4j", [wire(line, team="red"), wire(line)], options={"layout": layout})
    assert json.loads(both["extra"]) == {"team": "red", "line": "42"}
    assert json.loads(one["extra"]) == {"line": "42"}


def test_the_declared_event_time_speaks_of_the_message(make_rows) -> None:
    options = {"pattern": r"^(?P<when>\S+) (?P<user>\w+)$"}
    declared = EventTime("when", None, "%d/%m/%Y", "Europe/Berlin")
    (row,) = parsed(make_rows, "regex", [wire("22/11/2025 ann")], options=options, event_time=declared)
    assert (row["user"], row["event_time"]) == ("ann", datetime(2025, 11, 21, 23, tzinfo=UTC))
    (row,) = parsed(make_rows, "regex", [wire("ann")], options={"pattern": r"(?P<user>\w+)"})
    assert (row["user"], row["event_time"]) == ("ann", SENT)


def test_only_wire_records_have_a_message() -> None:
    with pytest.raises(ConfigError, match="only wire records have a message"):
        make_format(ParseOptions("s", "csv", message_format="combined"))
