"""The table `alerts`: one of two wins, nothing is read twice, and what is known is what the rows say."""

from __future__ import annotations

import json
import random
import threading

import pytest
from alerts.alert_bench import HOUR, MINUTE, NOW, Bench, finding

from nw_platform.alerts.alert import Delivery, Event
from nw_platform.alerts.rows import Filed, from_rows, to_rows
from nw_platform.alerts.state import AlertState
from nw_platform.alerts.table import AlertTable
from nw_platform.errors import CommitConflictError, LakeError
from nw_platform.ingest.compact import _merge_partitions
from nw_platform.lake.store import Lake

DAY = 24 * HOUR


def event(key: str, time: int, transition: str = "opened", opened: int | None = None, *channels: str) -> Event:
    deliveries = tuple(Delivery(name, f"{key}-{time}-{name}", f"{key}-{name}") for name in channels)
    return Event(
        time, key, "volume", "logs/web", "web", "", key, "error", transition, "wrong", opened or time,
        deliveries=deliveries,
    )  # fmt: skip


def put(table: AlertTable, *rows: Filed, changed=()) -> None:
    table.append(table.read(), rows, changed, NOW)


def files(lake: Lake):
    return lake.alerts().snapshot().files()


def merge(lake: Lake, now: int):
    return _merge_partitions("alerts", "", lake.alerts(), now, sort=("time",), watched=("time",))


def test_rows_hold_all_that_an_event_is():
    whole = Event(
        NOW + 1, "k|a|p|s", "silence", "logs/web", "web", "2026-11-24T05", "web-01 \u2028 \U0001f600", "warn",
        "acknowledged", "it's\nwrong", NOW, "nw x", NOW - 5, "anna: 'soon'", "east",
        (Delivery("mail", "i", "t", "given_up", 3, NOW, NOW + 2, 'a "reason"'), Delivery("sms", "j", "u")),
    )  # fmt: skip
    bare = Event(NOW, "k", "run", "platform", "", "", "", "error", "opened", "", NOW)
    filed = [Filed(whole, "me", NOW + 7), Filed(bare)]
    assert from_rows(to_rows(filed).to_pylist()) == filed
    assert to_rows(filed).to_pylist()[1]["stream"] is None


def test_of_two_that_read_the_same_one_writes(tmp_path):
    lake = Lake(str(tmp_path / "lake"), work=tmp_path / "a")
    one, other = AlertTable(lake), AlertTable(Lake(lake.url, work=tmp_path / "b"))
    first, second = one.read(), other.read()
    one.append(first, [Filed(event("k", NOW))], (), NOW)
    with pytest.raises(CommitConflictError):  # also of two that both found no table
        other.append(second, [Filed(event("k", NOW))], (), NOW)
    first, second = one.read(), other.read()
    other.append(second, [Filed(event("l", NOW))], (), NOW)
    with pytest.raises(CommitConflictError):
        one.append(first, [Filed(event("l", NOW))], (), NOW)
    assert set(one.read().state.open) == {"k", "l"}
    assert sum(file.records for file in files(lake)) == 2
    assert [path for path in (tmp_path / "lake" / "alerts").rglob("*.parquet") if path.is_file()].__len__() == 2


def test_of_many_at_once_each_change_is_made_once(tmp_path):
    errors: list[BaseException] = []
    made: list[int] = []
    start = threading.Barrier(4)

    def work(number: int) -> None:
        try:
            table = AlertTable(Lake(str(tmp_path / "lake"), work=tmp_path / str(number)))
            start.wait(30)
            while True:
                reading = table.read()
                if (done := len(reading.state.open)) == 12:
                    return
                try:
                    table.append(reading, [Filed(event(f"k{done}", NOW + done))], (), NOW)
                    made.append(done)
                except CommitConflictError:
                    pass
        except BaseException as error:  # a thread's error is the test's
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    assert sorted(made) == list(range(12))


def test_rows_whose_deliveries_change_keep_the_others_of_their_file(tmp_path):
    lake = Lake(str(tmp_path / "lake"), work=tmp_path / "work")
    table = AlertTable(lake)
    rows = [Filed(event(key, NOW, "opened", None, "mail"), "me", NOW) for key in "abc"]
    put(table, *rows)
    sent = Delivery("mail", f"b-{NOW}-mail", "b-mail", "sent", 1, 0, NOW)
    put(table, changed=[Filed(Event(**{**_fields(rows[1].event), "deliveries": (sent,)}))])
    fresh = AlertTable(Lake(lake.url, work=tmp_path / "other")).read().state
    known = table.read().state
    assert fresh == known
    assert set(known.open) == {"a", "b", "c"}
    assert {key for key, _ in known.pending} == {"a", "c"}
    assert known.open["b"].last.deliveries == (sent,)
    assert sum(file.records for file in files(lake)) == 3


def _fields(one: Event) -> dict:
    return {name: getattr(one, name) for name in Event.__slots__}


def history(lake: Lake, alerts: int) -> None:
    """Alerts of long ago that were opened and resolved, in one compacted file."""
    rows = []
    for n in range(alerts):
        opened = NOW - 40 * DAY + n * 1000
        rows.append(Filed(event(f"old {n % 997}-{n}", opened)))
        rows.append(Filed(event(f"old {n % 997}-{n}", opened + 500, "resolved", opened)))
    table = AlertTable(lake)
    put(table, *rows)


def test_a_steady_evaluation_reads_nothing_of_the_history(tmp_path):
    bench = Bench(tmp_path)
    history(bench.lake(), 50_000)  # 100,000 transitions
    assert sum(file.records for file in files(bench.lake())) == 100_000
    bench.evaluate(finding("a"))
    for path in (tmp_path / "lake" / "alerts").rglob("*.parquet"):
        path.unlink()  # whoever reads it fails
    version = bench.version()
    assert bench.evaluate(finding("a"), after=MINUTE).told() == "no change; 1 open"
    again = bench.evaluator()  # a new process: it has the hint
    assert bench.evaluate(finding("a"), by=again, after=MINUTE).told() == "no change; 1 open"
    assert bench.version() == version
    assert bench.evaluate(finding("a", passed=True), by=again, after=MINUTE).told() == "1 resolved; 0 open; 1 sent"
    with pytest.raises(LakeError):
        bench.evaluator("elsewhere").begin(bench.now)  # and this one has none


def test_what_another_process_wrote_is_all_that_is_read(tmp_path):
    bench = Bench(tmp_path)
    history(bench.lake(), 100)
    other = bench.evaluator("b")
    other.begin(NOW)
    before = set((tmp_path / "lake" / "alerts").rglob("*.parquet"))
    bench.evaluate(finding("a"))
    for path in before:
        path.unlink()
    assert bench.evaluate(finding("a"), by=other).told() == "no change; 1 open"


@pytest.mark.parametrize("damage", ["{", "[]", '{"form": 1}', '{"form": 99}', ""])
def test_a_hint_that_is_broken_costs_one_query(tmp_path, damage):
    bench = Bench(tmp_path)
    bench.evaluate(finding("a"), finding("b"))
    bench.alerting.acknowledge(lambda alert: alert.last.subject == "b", "anna", "", bench.now + 5, lambda: bench.now)
    known = bench.alerting.state()
    (tmp_path / "work" / "alerts" / "state.json").write_text(damage)
    assert bench.evaluator().state() == known


def test_a_table_that_was_made_anew_is_not_taken_for_the_old_one(tmp_path):
    bench = Bench(tmp_path)
    bench.evaluate(finding("a"))
    (tmp_path / "lake" / "alerts").rename(tmp_path / "away")
    assert bench.evaluator().state() == AlertState()
    assert bench.evaluate(finding("b"), by=bench.evaluator(), after=MINUTE).told() == "1 opened; 1 open; 1 sent"
    assert set(bench.alerting.state().open) == {finding("b").key}


def test_compaction_changes_nothing_that_is_known_and_pending_is_found_in_the_merged_file(tmp_path):
    bench = Bench(tmp_path, ("mail", "sms"))
    bench.evaluate(finding("a"))
    bench.channels["mail"].is_down = True
    bench.evaluate(*(finding(one) for one in "abc"), after=MINUTE)
    slow = bench.evaluator("b")
    slow.begin(bench.now)
    assert len(files(bench.lake())) > 1
    before = bench.alerting.state()
    [merged] = merge(bench.lake(), NOW + 3 * DAY)
    assert merged.files > 1
    assert len(files(bench.lake())) == 1
    assert bench.evaluator("c").state() == bench.alerting.state() == before
    bench.channels["mail"].is_down = False
    bench.evaluate(*(finding(one) for one in "abc"), after=10 * MINUTE)
    assert not bench.alerting.state().pending
    assert slow.state() == bench.alerting.state() == bench.evaluator("d").state()
    assert sorted(bench.told()) == ["mail opened"] * 3 + ["sms opened"] * 3
    assert sum(file.records for file in files(bench.lake())) == 3


def test_what_is_caught_up_is_what_the_whole_table_says(tmp_path):
    """Random changes by two processes, compaction in between, one reader that looks now and then: all say the same."""
    chance = random.Random(7)  # noqa: S311  (a test's dice)
    bench = Bench(tmp_path, ("mail", "sms"), digest_over=2)
    ways = [bench.alerting, bench.evaluator("b")]
    reader = bench.evaluator("reader")
    for number in range(60):
        for channel in bench.channels.values():
            channel.is_down = chance.random() < 0.4
        passed = {name: chance.random() < 0.5 for name in "abcdef"}
        found = [finding(name, passed=ok) for name, ok in passed.items() if chance.random() < 0.8]
        bench.evaluate(*found, by=chance.choice(ways), after=chance.randrange(1, 4 * HOUR))
        if chance.random() < 0.2:
            bench.alerting.acknowledge(lambda a: a.last.subject < "c", "anna", "", bench.now + 1, lambda: bench.now)
        if chance.random() < 0.15:
            merge(bench.lake(), bench.now)
        if chance.random() < 0.3:
            fresh = bench.evaluator(f"fresh {number}").state()
            assert reader.state() == fresh == ways[0].state() == ways[1].state()
            assert AlertState.from_json(json.loads(json.dumps(fresh.as_json()))) == fresh
    ids = [(one["channel"], one["id"]) for one in bench.sent()]
    assert len(ids) == len(set(ids)) > 60


def test_the_table_works_through_the_client_of_remote_lakes(tmp_path):
    bench = Bench(tmp_path)
    bench.lake = lambda work="work": Lake(f"file://{tmp_path}/lake", work=tmp_path / work, native=True)
    bench.alerting = bench.evaluator()
    bench.evaluate(finding("a"))
    bench.evaluate(finding("a", passed=True), after=MINUTE)
    assert bench.told() == ["mail opened", "mail resolved"]
    assert bench.evaluator("new").state() == bench.alerting.state()
