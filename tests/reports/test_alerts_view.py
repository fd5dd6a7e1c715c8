"""The table `alerts` in SQL, and the alerts that are open now in the summary."""

from __future__ import annotations

from datetime import UTC, datetime

from nw_platform.alerts.alert import Delivery, Event
from nw_platform.alerts.rows import Filed
from nw_platform.alerts.table import AlertTable
from nw_platform.streams.declaration import StreamDecl

AT = datetime(2026, 3, 2, 10, tzinfo=UTC)
NOW = int(AT.timestamp()) * 1_000_000


def event(key: str, time: int, transition: str, partition: str, stream: str = "app") -> Filed:
    made = Event(
        time, key, "volume", "logs/app", stream, partition, "", "error", transition, "wrong", NOW,
        deliveries=(Delivery("mail", "i", "t"), Delivery("sms", "j", "u", "sent", 1, 0, time)),
    )  # fmt: skip
    return Filed(made)


def test_open_alerts_are_counted_in_the_periods_of_their_hours(make_bench, row):
    bench = make_bench(app=StreamDecl(name="app", format="json"))
    bench.write("app", [row(AT), row(AT.replace(day=20))])
    bench.build()
    rows = [
        event("a", NOW, "opened", "2026-03-02T10"),
        event("a", NOW + 5, "acknowledged", "2026-03-02T10"),
        event("b", NOW, "opened", "2026-03-02T10"),
        event("b", NOW + 5, "resolved", "2026-03-02T10"),
        event("c", NOW, "opened", "2026-03-02T23"),
        event("standing", NOW, "opened", ""),
        event("platform", NOW, "opened", "", ""),
    ]
    table = AlertTable(bench.lake)
    table.append(table.read(), rows, (), NOW)
    found = bench.sql("SELECT grain, period, open_alerts FROM summary_report ORDER BY ALL")
    assert {(one["grain"], one["period"]): one["open_alerts"] for one in found} == {
        ("hour", "2026-03-02T10"): 1, ("hour", "2026-03-20T10"): 0, ("day", "2026-03-02"): 2, ("day", "2026-03-20"): 0,
        ("week", "2026-03-02"): 2, ("week", "2026-03-16"): 0, ("month", "2026-03-01"): 2, ("all", "all"): 4,
    }  # fmt: skip


def test_what_there_is_none_of_is_null_and_channels_are_names(make_bench):
    bench = make_bench(app=StreamDecl(name="app", format="json"))
    table = AlertTable(bench.lake)
    table.append(table.read(), [event("platform", NOW, "opened", "", "")], (), NOW)
    (found,) = bench.sql('SELECT time, stream, "partition", channels, since, opened, claimed_by FROM alerts')
    at = AT.replace(tzinfo=None)
    assert tuple(found.values()) == (at, None, None, "mail, sms", None, at, None)
    pending = 'SELECT key FROM alerts WHERE contains(deliveries, \'"state":"pending"\')'
    assert bench.sql(pending) == [{"key": "platform"}]
