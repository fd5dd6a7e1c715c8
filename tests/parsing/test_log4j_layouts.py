"""log4j: lines of known programs by their layouts: Spring Boot of all versions, Tomcat, Jetty, Python; all times."""

from __future__ import annotations

from typing import Any

import pytest

from nw_platform.parsing.contract import ParseOptions
from tests.parsing.golden import Golden, check_golden

BOOT = "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %5p ${PID:- } --- [%15.15t] %-40.40logger{39} : %m%n%xwEx"
HEAD = "2026-11-20T10:00:00.123+01:00  INFO"
AT = "2026-11-20 09:00:00.123000"
APP: dict[str, Any] = {"severity": "INFO", "pid": 1234, "thread": "main", "logger": "c.x.App", "message": "Started"}
TRACE, SPAN = "0123456789abcdef0123456789abcdef", "fedcba9876543210"

# What stands between level and message, and what is read of it (None: a reject).
BOOT_FIELDS: list[tuple[str, dict[str, Any] | None]] = [
    ("1234 --- [           main] c.x.App                                  ", {}),
    ("1234 --- [main] c.x.App", {}),
    ("1234 --- [myapp] [   main] c.x.App", {"extra": '{"application":"myapp"}'}),
    ("1234 --- [my app] [           main] c.x.App", {"extra": '{"application":"my app"}'}),
    ("1234 --- [myapp] [grp] [main] c.x.App", {"extra": '{"application":"myapp","application_group":"grp"}'}),
    (
        f"1234 --- [myapp] [           main] [{TRACE}-{SPAN}] c.x.App",
        {"extra": f'{{"application":"myapp","trace_ids":"{TRACE}-{SPAN}"}}'},
    ),
    (f"1234 --- [           main] [{TRACE}-{SPAN}] c.x.App", {"extra": f'{{"trace_ids":"{TRACE}-{SPAN}"}}'}),
    (f"1234 --- [myapp] [           main] [{' ' * 49}] c.x.App", {"extra": '{"application":"myapp"}'}),
    (
        f"[myapp,{SPAN},{SPAN}] 1234 --- [           main] c.x.App",
        {"extra": f'{{"application":"myapp","trace_ids":"{SPAN},{SPAN}"}}'},
    ),
    (
        f"[myapp,{SPAN},{SPAN},true] 1234 --- [           main] c.x.App",
        {"extra": f'{{"application":"myapp","trace_ids":"{SPAN},{SPAN},true"}}'},
    ),
    (
        f"1234 --- [myapp,{TRACE},{SPAN}] [   main] c.x.App",
        {"extra": f'{{"application":"myapp","trace_ids":"{TRACE},{SPAN}"}}'},
    ),
    ("1234 --- [worker[1]-2] c.x.App", {"thread": "worker[1]-2"}),
    ("1234 --- [main] o.a.c.c.C.[Tomcat].[localhost].[/]", {"logger": "o.a.c.c.C.[Tomcat].[localhost].[/]"}),
    ("1234 --- [a]b] c.x.App", None),
    ("1234 --- [a] [b] [c] [d] c.x.App", None),
]


@pytest.mark.parametrize("thread", ["[%15.15t]", "[%t]", "[%X{application}] [%15.15t]"])
def test_the_fields_of_spring_boot_are_told_from_the_thread(make_rows, thread: str) -> None:
    table: list[Golden] = [
        (f"{HEAD} {fields} : Started", AT, "bad_format" if said is None else {**APP, **said})
        for fields, said in BOOT_FIELDS
    ]
    layout = BOOT.replace("[%15.15t]", thread)
    check_golden(make_rows, ParseOptions("s", "log4j", options={"layout": layout}), table)


def test_messages_keep_their_brackets(make_rows) -> None:
    line = f"{HEAD} 1234 --- [main] c.x.App : [a] --- [b] c.x.Y : z"
    table: list[Golden] = [(line, AT, {**APP, "message": "[a] --- [b] c.x.Y : z"})]
    check_golden(make_rows, ParseOptions("s", "log4j", options={"layout": BOOT}), table)


@pytest.mark.parametrize(
    ("layout", "line", "expected"),
    [
        (  # Tomcat
            "%d{dd-MMM-yyyy HH:mm:ss.SSS} %p [%t] %c %m%n",
            "20-Nov-2026 10:00:00.123 WARNING [http-nio-8080-exec-1] org.apache.catalina.Session Slow [12 ms]",
            {
                "severity": "WARN", "thread": "http-nio-8080-exec-1", "logger": "org.apache.catalina.Session",
                "message": "Slow [12 ms]",
            },
        ),
        (  # Jetty
            "%d{yyyy-MM-dd HH:mm:ss.SSS}:%p:%c:%t: %m%n",
            "2026-11-20 10:00:00.123:INFO:oejs.Server:main: jetty-9.4.44 [x]",
            {"severity": "INFO", "logger": "oejs.Server", "thread": "main", "message": "jetty-9.4.44 [x]"},
        ),
        (  # Python's logging
            "%d{ISO8601} - %c - %p - %m%n",
            "2026-11-20 10:00:00,123 - app.db - ERROR - no - connection",
            {"severity": "ERROR", "logger": "app.db", "message": "no - connection"},
        ),
        (  # logback
            "%d{yyyy-MM-dd HH:mm:ss.SSS} [%thread] %-5level %logger{36} - %msg%n",
            "2026-11-20 10:00:00.123 [pool-1 [2]] WARN  c.x.App - [a] b",
            {"severity": "WARN", "thread": "pool-1 [2]", "logger": "c.x.App", "message": "[a] b"},
        ),
        (
            "%d{yyyy-MM-dd HH:mm:ss.SSS} [%thread] %-5level %logger{36} - %msg%n",
            "2026-11-20 10:00:00.123 [myapp] [main] WARN  c.x.App - b",
            "bad_format",
        ),
        (
            "%d{ISO8601} (%t) %p %m%n",
            "2026-11-20 10:00:00,123 (a (b)) INFO (c) d",
            {"severity": "INFO", "thread": "a (b)", "message": "(c) d"},
        ),
        (
            "%d{ISO8601} %p [%X{app},%X{traceId},%X{spanId}] %m%n",
            "2026-11-20 10:00:00,123 INFO [a,0f,] [b,c] d",
            {"severity": "INFO", "message": "[b,c] d", "extra": '{"app":"a","traceId":"0f"}'},
        ),
    ],
)  # fmt: skip
def test_lines_of_known_programs(make_rows, layout: str, line: str, expected: dict[str, Any] | str) -> None:
    options = ParseOptions("s", "log4j", options={"layout": layout})
    check_golden(make_rows, options, [(line, "2026-11-20 10:00:00.123000", expected)])


@pytest.mark.parametrize(
    ("pattern", "text", "time"),
    [
        ("yyyy-MM-dd HH:mm:ss.S", "2026-11-20 10:00:00.1", "2026-11-20 10:00:00.100000"),
        ("yyyy-MM-dd HH:mm:ss.SSSS", "2026-11-20 10:00:00.1234", "2026-11-20 10:00:00.123400"),
        ("yyyy-MM-dd HH:mm:ss.SSSSSS", "2026-11-20 10:00:00.123456", "2026-11-20 10:00:00.123456"),
        ("yyyy-MM-dd HH:mm:ss.SSSSSSS", "2026-11-20 10:00:00.1234567", "2026-11-20 10:00:00.123456"),
        ("yyyy-MM-dd HH:mm:ss.SSSSSSSSS", "2026-11-20 10:00:00.123456789", "2026-11-20 10:00:00.123456"),
        ("yyyy-MM-dd HH:mm:ss,nnnnnnnnn", "2026-11-20 10:00:00,123456789", "2026-11-20 10:00:00.123456"),
        ("yyyy-MM-dd'T'HH:mm:ss.SSSSSSSSSXXX", "2026-11-20T10:00:00.123456789+01:00", "2026-11-20 09:00:00.123456"),
        ("DEFAULT_NANOS", "2026-11-20 10:00:00,123456789", "2026-11-20 10:00:00.123456"),
        ("ISO8601_OFFSET_DATE_TIME_HH", "2026-11-20T10:00:00,123+01", "2026-11-20 09:00:00.123000"),
        ("ISO8601_OFFSET_DATE_TIME_HH", "2026-11-20T10:00:00,123Z", "2026-11-20 10:00:00.123000"),
        ("ISO8601_OFFSET_DATE_TIME_HHMM", "2026-11-20T10:00:00,123-0530", "2026-11-20 15:30:00.123000"),
        ("ISO8601_PERIOD", "2026-11-20T10:00:00.123", "2026-11-20 10:00:00.123000"),
        ("yyyy-MM-dd HH:mm:ssxxx", "2026-11-20 10:00:00+01:00", "2026-11-20 09:00:00"),
        ("ISO8601", "2026-11-20T10:00:00.123456Z", "2026-11-20 10:00:00.123456"),
        ("ISO8601", "2026-11-20 10:00:00,123+01:00", "2026-11-20 09:00:00.123000"),
        ("ISO8601", "2026-11-20T10:00:00+0100", "2026-11-20 09:00:00"),
        ("ISO8601", "2016-12-31 23:59:60,123", "2017-01-01 00:00:00.123000"),
        ("ISO8601", "2016-12-31T23:59:60Z", "2017-01-01 00:00:00"),
        ("yyyy-MM-dd'T'HH:mm:ssXXX", "2016-12-31T23:59:60Z", "2017-01-01 00:00:00"),
        ("yyyy-MM-dd HH:mm:ss.SSSSSSSSS", "2016-12-31 23:59:60.123456789", "2017-01-01 00:00:00.123456"),
        ("MMM dd HH:mm:ss", "Dec 31 23:59:60", "2026-01-01 00:00:00"),
        ("UNIX", "1795168800", "2026-11-20 10:00:00"),
        ("UNIX_MILLIS", "1795168800123", "2026-11-20 10:00:00.123000"),
        ("MMM dd HH:mm:ss", "Nov 20 10:00:00", "2026-11-20 10:00:00"),
        ("MMM dd HH:mm:ss", "Dec 31 23:59:59", "2025-12-31 23:59:59"),
        ("MMM dd HH:mm:ss.SSS", "Feb 29 10:00:00.123", "2024-02-29 10:00:00.123000"),
    ],
)
def test_times(make_rows, pattern: str, text: str, time: str) -> None:
    options = ParseOptions("s", "log4j", options={"layout": f"%d{{{pattern}}} %p %m%n"})
    check_golden(make_rows, options, [(f"{text} INFO hi", time, {"severity": "INFO", "message": "hi"})])
