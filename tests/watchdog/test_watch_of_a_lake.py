"""The watchdog over a real lake: files are landed and ingested at simulated times, and each look is compared."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nw_platform.ingest.completeness import hour_balances
from nw_platform.ingest.rebuild import rebuild
from nw_platform.ingest.retention import expire
from nw_platform.record.hours import HOUR_US
from nw_platform.watchdog.declared import CHECKS, checks_of, rules_of_all
from nw_platform.watchdog.findings import changes, remember
from nw_platform.watchdog.observe import TickState
from tests.watchdog.simulated import DAY, MINUTE, at, minutes


def test_an_empty_lake_and_the_first_hour_of_a_stream_raise_no_alarm(make):
    expect = [
        {"kind": "volume", "min_lines": 1, "every": "5m"},
        {"kind": "file", "name": "dialer-{date}.csv", "by": "05:00"},
        {"kind": "heartbeat", "every": "1m"},
    ]
    platform = make({"web": {"path": "in/*.log", "expect": expect}}, hosts=["web-01"])
    assert platform.failing(at("05:31")) == set()
    platform.tick(at("05:32"))
    assert platform.failing(at("05:32")) == set()
    platform.land("a.log", minutes("05:30", 4), host="web-01")
    platform.tick(at("05:34"))
    assert platform.failing(at("05:34")) == set()


def test_the_failure_that_was_found_after_five_days_is_found_when_its_grace_is_over(make):
    expect = [{"kind": "file", "name": "dialer-{date}.log", "by": "06:00", "grace": "30m"}]
    platform = make({"dialer": {"path": "in/*.log", "expect": expect}})
    platform.land("dialer-2026-11-22.log", minutes("05:00", 10))
    platform.tick(at("05:30"))
    assert platform.failing(at("05:30")) == set()
    state: dict[str, bool] = {}
    written = []
    now = at("05:31")
    while now < at("2026-11-23 08:00"):
        if now == at("2026-11-23 07:10"):
            platform.land("dialer-2026-11-23.log", minutes("2026-11-23 05:00", 10))
            platform.tick(now)
        platform.tick_state = TickState(ingested_until=now)
        found = [f for f in platform.look(now) if f.check == "expected_files"]
        written += [(now, f.subject, f.passed) for f in changes(state, found, now) if f.subject.endswith("23.log")]
        state = remember(state, found, now)
        now += 10 * MINUTE if now < at("2026-11-23 06:00") else MINUTE
    assert written == [
        (at("2026-11-23 06:30"), "dialer-2026-11-23.log", False),
        (at("2026-11-23 07:00"), "dialer-2026-11-23.log", False),  # the hour of the deadline is over
        (at("2026-11-23 07:10"), "dialer-2026-11-23.log", True),
    ]


def test_a_damaged_file_is_named_and_the_lines_around_it_are_in(make):
    platform = make({"web": {"path": "in/*.log*"}})
    platform.land("good.log", minutes("05:00", 10))
    whole = platform.land("bad.log.gz", minutes("05:00", 5000, step=1000), packed=True, host="web-01")
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    platform.tick(at("05:31"))
    found = [f for f in platform.look(at("05:31")) if not f.passed]
    assert {(f.check, f.partition, f.subject) for f in found} == {
        ("continuity", f"{DAY}T05", ""),
        ("continuity", None, "source"),
    }
    told = next(f for f in found if f.partition)
    assert "bad.log.gz" in told.message
    assert told.numbers["position"] > 0
    assert "nw ingest --stream web --once" in told.message
    whole.write_bytes(content)
    platform.tick(at("06:10"))
    assert platform.failing(at("06:10")) == set()


def test_rejects_and_late_lines_fail_the_hour_they_are_in(make):
    platform = make({"web": {"path": "in/*.log"}})
    platform.land("a.log", minutes("05:00", 20), more=b"{broken\n" * 5, host="web-01")
    platform.tick(at("05:31"))
    [finding] = [f for f in platform.look(at("05:31")) if not f.passed]
    assert (finding.check, finding.partition, finding.severity) == ("error_rate", f"{DAY}T05", "warn")
    assert "5 of 25 lines are errors (20.00 %; allowed: 5 %)" in finding.message
    assert "rejected bad_format 5" in finding.message
    platform.land("late.log", minutes("2026-11-20 03:00", 20), host="web-02")
    platform.tick(at("05:40"))
    found = {f.check: f for f in platform.look(at("05:41")) if not f.passed}
    assert set(found) == {"error_rate", "late"}
    assert found["late"].partition == "2026-11-20T03"
    assert "20 of 20 lines came late" in found["late"].message
    assert "most from host web-02 (20)" in found["late"].message


def test_conditions_and_values_are_counted_in_the_lake(make):
    expect = [
        {"kind": "rate", "name": "failing", "where": "status >= 500", "max_pct": 5, "every": "10m"},
        {"kind": "rate", "name": "typo", "where": "stauts >= 500", "max_pct": 5},
        {"kind": "balance", "name": "calls", "left": "message = 'begin'", "right": "message = 'end'"},
        {"kind": "values", "column": "status", "allowed": [200, 500]},
        {"kind": "values", "column": "colour", "allowed": ["red"]},
    ]
    platform = make({"web": {"path": "in/*.log", "columns": {"status": "int32"}, "expect": expect}})
    platform.tick(at("04:00"))
    platform.land("a.log", minutes("05:00", 60), status=200, colour="red")
    platform.land("b.log", minutes("05:10", 5), status=500, message="begin")
    platform.land("c.log", minutes("05:40", 3), status=418, message="begin", colour="green")
    platform.land("d.log", minutes("05:50", 5), status=200, message="end")
    platform.tick(at("06:30"))
    found = {(f.check, f.subject): f for f in platform.look(at("06:30")) if not f.passed and f.check != "volume"}
    assert set(found) == {
        ("rate", "failing"), ("rate", "typo"), ("balance", "calls"), ("values", "status"), ("values", "colour"),
    }  # fmt: skip
    assert "5 of 15 lines (33.33 %" in found["rate", "failing"].message
    assert "stauts" in found["rate", "typo"].message
    assert found["rate", "typo"].partition is None
    assert "8 on the left against 5 on the right" in found["balance", "calls"].message
    assert "3 of 73 values of status" in found["values", "status"].message
    assert "'green' (3)" in found["values", "colour"].message


def test_a_look_costs_what_is_new_and_misses_nothing(make):
    platform = make(
        {"web": {"path": "in/*.log", "late_after": "never", "expect": [{"kind": "volume", "min_lines": 1}]}}
    )
    platform.land("a.log", minutes("2026-11-20 00:00", 50, step=HOUR_US), host="web-01")
    platform.tick(at("05:31"))
    first = platform.look(at("05:31"))
    assert len({f.partition for f in first if f.check == "volume"}) == 49  # all but the last, which is not over
    second = platform.look(at("05:32"))
    assert {f.partition for f in second if f.asset == "logs/web" and f.partition} <= {
        f"{DAY}T03", f"{DAY}T04", f"{DAY}T05", *{f.partition for f in first if not f.passed},
    }  # fmt: skip
    platform.land("b.log", [at("2026-11-20 07:30")], host="web-02")
    platform.tick(at("05:33"))
    third = platform.look(at("05:33"))
    assert ("completeness", "2026-11-20T07") in {(f.check, f.partition) for f in third}
    assert ("completeness", "2026-11-20T08") not in {(f.check, f.partition) for f in third}


def test_a_look_that_was_not_committed_is_repeated_and_the_memory_is_only_a_hint(make):
    platform = make(
        {"web": {"path": "in/*.log", "late_after": "never", "expect": [{"kind": "volume", "min_lines": 1}]}}
    )
    platform.land("a.log", minutes("2026-11-20 00:00", 10, step=HOUR_US))
    platform.tick(at("05:31"))
    rules = rules_of_all(platform.settings)
    first = platform.watch.findings(rules, at("05:31"), platform.tick_state)
    assert platform.watch.findings(rules, at("05:31"), platform.tick_state) == first
    platform.watch.commit()
    remembered = platform.new_watch().findings(rules, at("05:32"), platform.tick_state)
    assert len(remembered) < len(first)
    for hint in (platform.root / "watch").iterdir():
        hint.write_text("{broken")
    forgotten = platform.new_watch().findings(rules, at("05:31"), platform.tick_state)
    assert {f.key: f.passed for f in forgotten} == {f.key: f.passed for f in first}


def test_records_outside_history_are_reported(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never"}})
    platform.land("a.log", [at("2026-10-31 23:30"), at("05:00")])
    platform.tick(at("05:31"))
    [finding] = [f for f in platform.look(at("05:31")) if not f.passed]
    assert (finding.check, finding.partition, finding.severity) == ("history", None, "warn")
    assert "1 records lie outside history (from 2026-11-01 until a day from now), from 2026-10-31T23" in finding.message


def test_records_of_a_future_are_outside_history_until_it_is_near(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never"}})
    platform.land("a.log", [at("2260-01-01 00:00"), at("2026-11-24 05:00"), at("2026-11-23 05:00"), at("05:00")])
    platform.tick(at("05:31"))
    failing = [f for f in platform.look(at("05:31")) if not f.passed]
    assert [(f.check, f.numbers["records"]) for f in failing] == [("history", 2)]
    assert "until a day from now" in failing[0].message
    history = [f for f in platform.look(at("2026-11-23 05:31")) if f.check == "history"]
    assert [f.numbers["records"] for f in history] == [1]


def test_as_of_leaves_out_what_was_ingested_later(make):
    platform = make({"web": {"path": "in/*.log"}})
    platform.land("a.log", minutes("05:00", 20))
    platform.tick(at("05:30"))
    platform.land("b.log", minutes("05:00", 1), more=b"{broken\n" * 5)
    platform.tick(at("05:40"))
    assert platform.failing(at("05:41")) == {("error_rate", f"{DAY}T05", "")}
    assert platform.failing(at("05:35"), as_of=at("05:35")) == set()


def test_as_of_tells_no_records_outside_history_that_were_ingested_later(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never"}})
    platform.land("a.log", [at("2026-10-31 23:30"), at("05:00")])
    platform.tick(at("05:30"))
    platform.land("b.log", [at("2026-10-31 23:31"), at("2026-10-31 22:30")])
    platform.tick(at("05:40"))

    def outside(moment: int) -> list[int]:
        return [f.numbers["records"] for f in platform.look(moment, as_of=moment) if f.check == "history"]

    assert outside(at("2020-01-01 00:00")) == [0]
    assert outside(at("05:35")) == [1]
    assert outside(at("05:45")) == [3]


def test_every_finding_is_of_a_declared_check(make):
    platform = make({"web": {"path": "in/*.log", "expect": [{"kind": "volume", "min_lines": 1}]}})
    platform.land("a.log", minutes("05:00", 20))
    platform.tick(at("05:30"))
    [rules] = rules_of_all(platform.settings)
    names = checks_of(rules)
    logs = ["completeness", "history", "loss", "volume", "error_rate", "late", "spill"]
    assert names == ["continuity", "lag", *logs]
    for finding in platform.look(at("07:30")):
        assert finding.check in names
        assert finding.asset == f"{CHECKS[finding.check].layer}/web"


def test_a_stream_whose_tables_are_broken_is_said_and_the_others_are_judged(make):
    platform = make({"web": {"path": "in/a*.log"}, "app": {"path": "in/b*.log"}})
    platform.land("a.log", minutes("05:00", 20))
    platform.land("b.log", minutes("05:00", 20), more=b"{broken\n" * 5)
    platform.tick(at("05:30"))
    for commit in (platform.root / "lake" / "logs" / "stream=web" / "_delta_log").iterdir():
        commit.write_bytes(b"{broken")
    found = [f for f in platform.look(at("05:31")) if not f.passed]
    assert {(f.stream, f.check) for f in found} == {("web", "continuity"), ("app", "error_rate")}
    [told] = [f for f in found if f.stream == "web"]
    assert "the lake cannot be read" in told.message
    assert told.repair == "nw repair web"
    assert told.message.endswith("nw repair web")


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"PAR1")], ids=["gone", "damaged"])
def test_a_file_of_logs_that_cannot_be_read_is_named_with_the_command_that_makes_it_anew(make, damage):
    platform = make({"web": {"path": "in/*.log"}})
    platform.land("a.log", minutes("04:00", 90))
    platform.tick(at("05:30"))
    [file] = (platform.root / "lake" / "logs" / "stream=web" / f"dt={DAY}" / "hour=04").glob("*.parquet")
    damage(file)
    [found] = [f for f in platform.look(at("05:31")) if not f.passed]
    assert (found.check, found.subject, found.repair) == ("continuity", "source", f"nw rebuild web {DAY}T04 {DAY}T05")
    assert file.name in found.message
    assert found.message.endswith(f"; the file is made anew by: {found.repair}")
    assert "SELECT" not in found.message
    assert "LINE 1" not in found.message
    rebuild(platform.session, "web", f"{DAY}T04", f"{DAY}T05", at("05:32"))
    assert platform.failing(at("05:33")) == set()


def test_what_is_counted_bit_by_bit_is_what_ingest_counts_from_the_whole_history(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never"}})
    last: dict[str, tuple[int, int, int]] = {}
    for step in range(6):
        now = at("05:00") + step * 20 * MINUTE
        times = [at("02:00") + n * 37 * MINUTE for n in range(step + 2)]
        lines = b"".join(json.dumps({"ts": t // 1000, "id": f"s-{t}", "v": 1}).encode() + b"\n" for t in times)
        (platform.landing / f"{step}.log").write_bytes(lines)
        platform.tick(now)
        for finding in platform.look(now):
            if finding.check == "completeness":
                assert finding.passed
                numbers = finding.numbers
                last[str(finding.partition)] = (numbers["raw"], numbers["logs"], numbers["duplicates"])
    whole = hour_balances(platform.session.lake, "web")
    assert last == {hour: (b.raw, b.logs, b.duplicates) for hour, b in whole.items()}
    assert sum(b.duplicates for b in whole.values()) > 0


def test_records_that_went_missing_from_logs_fail_completeness(make):
    platform = make({"web": {"path": "in/*.log", "late_after": "never"}})
    platform.land("a.log", minutes("04:00", 120))
    platform.tick(at("06:00"))
    assert platform.failing(at("06:01")) == set()
    logs = platform.session.lake.logs("web").snapshot()
    gone = logs.hour_files([f"{DAY}T04"])
    logs.commit(remove=gone, transactions={}, metadata={}, now=at("06:02"))
    [finding] = [f for f in platform.look(at("06:10")) if not f.passed]
    assert (finding.check, finding.partition, finding.severity) == ("completeness", f"{DAY}T04", "error")
    assert "60 records are missing from logs (raw 60, logs 0, duplicates 0)" in finding.message
    assert f"nw rebuild web {DAY}T04 {DAY}T05" in finding.message
    assert platform.failing(at("06:11")) == {("completeness", f"{DAY}T04", "")}


def test_what_retention_removed_is_not_missed(make):
    expect = [{"kind": "volume", "min_lines": 1}]
    stream = {"path": "in/*.log", "late_after": "never", "expect": expect, "retention": {"raw": "1d", "logs": "1d"}}
    platform = make({"web": stream})
    platform.land("a.log", minutes("2026-11-20 00:00", 120, step=30 * MINUTE))
    platform.tick(at("2026-11-21 00:05"))
    platform.land("b.log", minutes("2026-11-21 00:00", 60, step=30 * MINUTE))
    platform.tick(at("05:50"))
    assert platform.failing(at("05:51")) == set()
    [expired] = expire(platform.session, at("05:52"))
    assert len(expired.logs_hours) == 29
    platform.tick_state = TickState(ingested_until=at("05:54"))
    assert platform.failing(at("05:53")) == set()
    assert platform.failing(at("05:54"), from_scratch=True) == set()
