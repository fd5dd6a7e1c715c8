"""What the watchdog says of data that waits at the source. Read a case as in test_timelines_of_files.py."""

from __future__ import annotations

import pytest

from nw_platform.settings import parse
from nw_platform.watchdog.declared import rules_of_all
from nw_platform.watchdog.expectations import MINUTE_US, LagRule, StreamRules
from nw_platform.watchdog.observations import LagSeen
from tests.watchdog.timeline import Case, at, found, holds, seen

RULE = LagRule("")
HALF_DAY = LagRule("", min_headroom_us=720 * MINUTE_US)
HOUR_S = 3600.0
DAY_S = 24 * HOUR_S


def lag(seconds=None, records=None, expires_in=None, when="06:00") -> LagSeen:
    return LagSeen(at(when), seconds, records, expires_in)


def case(name: str, observed: LagSeen | None, *, passed: bool, rule: LagRule = RULE, **more) -> Case:
    return Case(name, "lag", (rule,), seen(lag=observed, **more), "06:01", [(None, "", passed)], {"landing": False})


CASES = [
    case("nobody knows", None, passed=True),
    case("everything is in", lag(0.0, 0), passed=True),
    case("everything is in, of files", lag(0.0), passed=True),
    case("a minute's worth", lag(60.0, 1_200_000), passed=True),
    case("as long as allowed", lag(300.0, 1), passed=True),
    case("longer", lag(301.0, 1), passed=False),
    case("longer, of files", lag(301.0), passed=False),
    case("records, since when is not known", lag(None, 5_000_000), passed=True),
    case("longer, but so is allowed", lag(301.0, 1), passed=True, rule=LagRule("", max_age_us=30 * MINUTE_US)),
    case("old data that came just now", lag(9 * DAY_S, 7), passed=True, ingested_until=at("05:59")),
    case("old data, and when all was in is long ago", lag(9 * DAY_S, 7), passed=False, ingested_until=at("05")),
    case("a source that was not reached", lag(900.0, 7), passed=True, failure="no broker answers"),
    case("a week's topic, read at once", lag(10.0, 7, 7 * DAY_S), passed=True),
    case("a week's topic, six hours before the end", lag(6.8 * DAY_S, 7, 5.9 * HOUR_S), passed=False),
    case("a topic of ten minutes, read every minute", lag(60.0, 7, 540.0), passed=True),
    case("a topic of ten minutes, three quarters gone", lag(451.0, 7, 149.0), passed=False),
    case("a topic of four minutes, not late but nearly lost", lag(190.0, 7, 50.0), passed=False),
    case("already free to be deleted", lag(8 * DAY_S, 7, -DAY_S), passed=False),
    case("time left, as declared", lag(60.0, 7, 11 * HOUR_S), passed=False, rule=HALF_DAY),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_lag(case):
    holds(case)


def say(observed: LagSeen, rule: LagRule = RULE, *, landing: bool = False, **more):
    (finding,) = found(StreamRules("web", (rule,), landing=landing), seen(lag=observed, **more), "06:01", "lag")
    return finding


def test_what_waits_for_long_is_a_warning_with_numbers_and_what_to_do():
    finding = say(lag(720.0, 1_200, 6.5 * DAY_S))
    assert finding.message == (
        "raw/web: 1,200 records wait to be ingested, the oldest since 2026-11-22T05:48:00Z (12 min; 5 min are allowed)"
        "; the source deletes unread data in 6.5 days (2026-11-28T18:00:00Z); is `nw up` running? Ingest them: "
        "nw ingest --stream web --once, and if that cannot keep up, give the stream more `lanes`"
    )
    assert (finding.severity, finding.since, finding.partition) == ("warn", at("05:48"), None)
    assert finding.numbers == {"lag_records": 1200, "lag_seconds": 720.0, "lag_headroom_hours": 156.0, "max_age_s": 300}


def test_what_is_about_to_be_lost_is_an_error_whatever_the_severity_of_waiting():
    finding = say(lag(22 * HOUR_S, 5, 2 * HOUR_S))
    assert finding.severity == "error"
    assert "deletes unread data in 2 h (2026-11-22T08:00:00Z), at least 6 h should be left" in finding.message
    assert "at any moment, since 2026-11-22T05:00:00Z" in say(lag(22 * HOUR_S, 5, -HOUR_S)).message
    assert say(lag(720.0, 5), LagRule("", severity="error")).severity == "error"


def test_files_have_no_lanes():
    finding = say(lag(720.0), landing=True)
    assert finding.message.startswith("raw/web: data waits to be ingested, the oldest since")
    assert "lanes" not in finding.message


def test_what_is_not_known_is_said():
    assert "not known: it could not be read, see the check `continuity`" in say(lag(1.0), failure="gone").message
    assert [say(seen, failure=why).is_known for seen, why in ((lag(1.0), "gone"), (None, ""), (lag(0.0), ""))] == [
        False,
        False,
        True,
    ]
    assert say(lag(None, 1)).message == "raw/web: 1 record waits to be ingested, since when is not known"
    assert "numbers" not in say(lag(None, 1)).message
    assert say(lag(None, 1)).numbers == {"lag_records": 1, "max_age_s": 300}


def rule_of(stream: str) -> LagRule:
    text = f"streams: {{web: {{path: in/*, format: json, {stream}}}}}"
    (rules,) = rules_of_all(parse(text, base="/", origin="test"))
    (rule,) = rules.of(LagRule)
    return rule


def test_how_long_data_may_wait():
    assert rule_of("every: 1m").max_age_us == 5 * MINUTE_US
    assert rule_of("every: 10m").max_age_us == 30 * MINUTE_US
    declared = rule_of("every: 10m, expect: [{kind: lag, max_age: 12m, min_headroom: 2d, severity: error}]")
    assert declared == LagRule("", 12 * MINUTE_US, 2 * 1440 * MINUTE_US, "error")
    assert rule_of("every: 10m, expect: [{kind: lag, min_headroom: 2d}]").max_age_us == 30 * MINUTE_US
