"""Keys that come, go, or change their kind: as timelines, and counted over a real lake."""

from __future__ import annotations

import json

import pytest

from nw_platform.watchdog.expectations import DriftRule, StreamRules
from nw_platform.watchdog.observations import Keys
from nw_platform.watchdog.observe import TickState
from tests.watchdog.simulated import DAY, MINUTE, at
from tests.watchdog.timeline import found, seen

USUAL = {"user": {"string": 100}, "status": {"number": 100}, "rare": {"string": 20}}
RULES = StreamRules("web", (DriftRule("", ignore=("debug.*",)),))


def hours(here: dict[str, dict[str, int]], before: int = 4, records: int = 100):
    """Hour 05 has these keys; so many hours before it the usual ones."""
    earlier = {f"{DAY}T{5 - n:02}": {"payment": Keys(100, USUAL)} for n in range(1, before + 1)}
    return earlier | {f"{DAY}T05": {"payment": Keys(records, here)}}


CASES = [
    ("as before", hours(USUAL), "06:10", True, ""),
    ("a new key", hours(USUAL | {"uesr": {"string": 40}}), "06:10", False, "new: uesr of payment"),
    ("a new key of a few records", hours(USUAL | {"uesr": {"string": 9}}), "06:10", True, ""),
    ("a key that may come and go", hours(USUAL | {"debug.x": {"string": 90}}), "06:10", True, ""),
    (
        "a key that vanished",
        hours({k: v for k, v in USUAL.items() if k != "user"}),
        "06:10",
        False,
        "vanished: user of",
    ),
    ("a rare key that is not there", hours({k: v for k, v in USUAL.items() if k != "rare"}), "06:10", True, ""),
    ("another kind", hours(USUAL | {"status": {"string": 90}}), "06:10", False, "status (string; before number)"),
    ("two kinds", hours(USUAL | {"status": {"string": 30, "number": 70}}), "06:10", False, "status (number, string;"),
    ("one broken value", hours(USUAL | {"status": {"string": 1, "number": 99}}), "06:10", True, ""),
    ("too few hours before: a stream that starts", hours({}, before=2), "06:10", None, ""),
    ("too few records of the type", hours({}, records=5), "06:10", None, ""),
    ("the hour is not over", hours({}), "06:09", None, ""),
]


@pytest.mark.parametrize(("name", "keys", "now", "passed", "words"), CASES, ids=[case[0] for case in CASES])
def test_timeline(name, keys, now, passed, words):
    results = found(RULES, seen(keys=keys, judge=[f"{DAY}T05"]), now, "schema_drift")
    assert [f.passed for f in results] == ([] if passed is None else [passed]), name
    if passed is False:
        assert words in results[0].message
        assert results[0].repair in results[0].message


def test_keys_of_a_lake_are_compared_hour_by_hour(make):
    stream = {"path": "in/*.log", "columns": {"status": "int32"}, "expect": [{"kind": "schema_drift", "at_least": 5}]}
    platform = make({"web": stream})

    def hour(name: str, **fields: object) -> None:
        begin = at(f"{name}:00")
        lines = [
            {"ts": (begin + n * MINUTE) // 1000, "status": 200, "a": {"b": [{"c": n}]}} | fields for n in range(20)
        ]
        (platform.landing / f"{name}.log").write_text("".join(json.dumps(line) + "\n" for line in lines))
        now = begin + 75 * MINUTE
        platform.tick(now)
        platform.tick_state = TickState(ingested_until=now)

    def drift(now: int, **options) -> dict[str | None, str]:
        return {
            f.partition: f.message for f in platform.look(now, **options) if f.check == "schema_drift" and not f.passed
        }

    for name in ("01", "02", "03", "04"):
        hour(name)
        assert drift(at(f"{name}:00") + 75 * MINUTE) == {}
    hour("05", a={"b": [{"c": "x"}]}, extra_key=True)
    [(partition, message)] = drift(at("06:15")).items()
    assert partition == f"{DAY}T05"
    assert "keys new: extra_key of web; of another kind: a.b[].c (string; before number) of web" in message
    assert drift(at("06:16"), from_scratch=True).keys() == {partition}
    platform.watch = platform.new_watch()
    hour("06", a={"b": [{"c": "x"}]}, extra_key=True)
    assert drift(at("07:15")).keys() <= {partition}
