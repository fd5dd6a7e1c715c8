"""The sensor `alerts`: what it asks, what it says, and that nothing else waits for it or breaks with it."""

from __future__ import annotations

import http.server
import json
import os
import threading

import dagster as dg
import pytest
from fakes import GRAPH

from definitions import build_definitions
from nw_platform.alerts.evaluation import Alerting
from nw_platform.alerts.platform import platform_finding
from nw_platform.errors import LakeError
from nw_platform.lake.store import Lake
from nw_platform.record.hours import hour_start
from nw_platform.settings import parse
from resources.health import CHECKS
from resources.lake_platform import LakePlatform
from resources.platform import Health, LastTick
from resources.reported import Reported

NOW = hour_start("2024-03-12T05")
MINUTE = 60_000_000
CONFIGURATION = """
lake: ./lake
streams:
  web:
    path: "in/web*.log"
    format: json
    late_after: never
    history: {from: 2024-03-10}
    event_time: {field: t, layout: "%Y-%m-%dT%H:%M:%SZ"}
    expect: [{kind: error_rate, max_pct: 10}]
alerts:
  channels: {hook: {kind: webhook, url: "http://127.0.0.1:PORT/hook"}}
  routes: [{to: [hook], streams: [web]}]
  dead_man: "http://127.0.0.1:PORT/alive"
  link: "http://dagster:3000"
"""
GOOD, BAD = '{"t": "2024-03-12T05:00:00Z", "message": "hello"}\n', "broken\n"


def look(definitions, instance, name="alerts"):
    context = dg.build_sensor_context(instance=instance, definitions=definitions, sensor_name=name)
    return definitions.get_sensor_def(name).evaluate_tick(context).skip_message


def test_it_runs_by_itself_each_minute(definitions):
    sensor = definitions.get_sensor_def("alerts")
    assert sensor.minimum_interval_seconds == 30
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING


def test_it_looks_with_eyes_of_its_own_and_says_what_was_done(definitions, instance, platform):
    assert look(definitions, instance) == "1 opened; 1 open"
    ((_, viewer, tick, health),) = [call for call in platform.calls if call[0] == "alert"]
    assert viewer.endswith("-alerts")
    assert tick == LastTick()
    assert set(health.judged) == set(CHECKS)


def test_an_error_is_one_line(definitions, instance, platform):
    platform.alert_error = LakeError("cannot read\nthe table  alerts")
    with pytest.raises(LakeError) as caught:
        look(definitions, instance)
    assert str(caught.value) == "alerts could not be evaluated: cannot read the table alerts"
    assert caught.value.__suppress_context__


def test_a_dagster_that_cannot_be_asked_keeps_no_alert_of_a_stream_back(definitions, instance, platform, monkeypatch):
    def broken(*_):
        raise RuntimeError("no\nstorage")

    monkeypatch.setattr("sensors.alerts.health", broken)
    assert look(definitions, instance) == "1 opened; 1 open; the platform was not judged: no storage"
    assert platform.calls[-1][-1] == Health()


class Receiver(http.server.ThreadingHTTPServer):
    """Takes webhooks and pings; answers when it is let to."""

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.pings = 0
        self.status = 200
        self.answering = threading.Event()
        self.answering.set()
        self.asked = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.set()
        self.server.answering.wait(30)
        if self.server.status == 200:
            self.server.got.append({**body, "header": self.headers["Idempotency-Key"]})
        self.send_response(self.server.status)
        self.end_headers()

    def do_GET(self) -> None:
        self.server.pings += self.path == "/alive"
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_) -> None:
        """Nothing."""


@pytest.fixture
def receiver():
    made = Receiver()
    thread = threading.Thread(target=made.serve_forever)
    thread.start()
    yield made
    made.answering.set()
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def real(tmp_path, receiver, monkeypatch):
    (tmp_path / "in").mkdir()
    text = CONFIGURATION.replace("PORT", str(receiver.server_address[1]))
    made = LakePlatform(parse(text, base=str(tmp_path), origin=str(tmp_path / "neverwinter.yaml")))
    times = [NOW + 10 * MINUTE]
    made.times = times
    monkeypatch.setattr(made, "clock", lambda: times[-1])
    yield made
    made.close()


@pytest.fixture
def defs(real):
    return build_definitions(real.settings, {"platform": real, "dbt": GRAPH})


def test_a_check_that_fails_is_told_and_so_is_its_end(defs, instance, real, receiver, tmp_path):
    log = tmp_path / "in" / "web.log"
    log.write_text(GOOD * 5 + BAD)
    real.tick()
    assert look(defs, instance).startswith("1 opened; 1 open; 1 sent")
    assert look(defs, instance).startswith("no change; 1 open")
    with log.open("a") as file:
        file.write(GOOD * 100)
    real.times.append(NOW + 11 * MINUTE)
    real.tick()
    assert look(defs, instance).startswith("1 resolved; 0 open; 1 sent")
    opened, resolved = receiver.got
    assert [opened["transition"], resolved["transition"]] == ["opened", "resolved"]
    assert opened["check"] == "error_rate"
    assert opened["header"] == opened["idempotency_key"] != resolved["idempotency_key"]
    assert opened["link"].startswith("http://dagster:3000/assets/")
    assert receiver.pings == 3


def test_while_a_channel_does_not_answer_nothing_else_waits(defs, instance, real, receiver, tmp_path):
    (tmp_path / "in" / "web.log").write_text(GOOD * 5 + BAD)
    real.tick()
    receiver.answering.clear()
    sensor = threading.Thread(target=look, args=(defs, instance))
    sensor.start()
    assert receiver.asked.wait(30)
    assert "evaluations written" in look(defs, instance, "watchdog")
    (tmp_path / "in" / "web2.log").write_text(GOOD)
    assert real.tick().numbers["web"]
    assert sensor.is_alive()
    receiver.answering.set()
    sensor.join(30)
    assert [one["transition"] for one in receiver.got] == ["opened"]


def test_a_channel_that_fails_is_no_error_of_the_sensor(defs, instance, real, receiver, tmp_path):
    (tmp_path / "in" / "web.log").write_text(GOOD * 5 + BAD)
    real.tick()
    receiver.status = 503
    assert look(defs, instance).startswith("1 opened; 1 open; 1 failed; 1 waiting")
    receiver.status = 200
    real.times.append(real.times[-1] + 2 * MINUTE)
    assert look(defs, instance).startswith("no change; 1 open; 1 sent")


def test_a_broken_table_stops_neither_ingestion_nor_checks(defs, instance, real, receiver, tmp_path):
    log = tmp_path / "lake" / "alerts" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("no log\n")
    (tmp_path / "in" / "web.log").write_text(GOOD * 5 + BAD)
    assert real.tick().failures == {}
    assert "evaluations written" in look(defs, instance, "watchdog")
    with pytest.raises(LakeError, match=r"^alerts could not be evaluated: .*alerts") as caught:
        look(defs, instance)
    assert "\n" not in str(caught.value)
    assert receiver.pings == 0


def test_checks_that_cannot_be_evaluated_keep_nothing_else_waiting(
    defs, instance, real, receiver, tmp_path, monkeypatch
):
    (tmp_path / "in" / "web.log").write_text(GOOD * 5 + BAD)
    real.tick()
    receiver.status = 503
    assert look(defs, instance).startswith("1 opened; 1 open; 1 failed; 1 waiting")
    receiver.status = 200
    real.times.append(real.times[-1] + 2 * MINUTE)
    failed = platform_finding("run", "prune", passed=False, message="the run of prune failed")
    monkeypatch.setattr("sensors.alerts.health", lambda *_: ([failed], frozenset({"run"})))
    for commit in (tmp_path / "lake" / "receipts" / "_delta_log").iterdir():
        commit.write_text("no log\n")
    for checkpoint in (tmp_path / "lake" / "receipts").rglob("*.parquet"):
        checkpoint.unlink()
    pings = receiver.pings
    with pytest.raises(LakeError, match=r"^alerts could not be evaluated: .*receipts"):
        look(defs, instance)
    assert [(message["check"], message["transition"]) for message in receiver.got] == [("error_rate", "opened")]
    alerts = Alerting.of(real.settings, Lake(real.settings.lake, work=tmp_path / "elsewhere")).state().open.values()
    assert sorted(alert.last.check for alert in alerts) == ["error_rate", "run"]
    assert receiver.pings == pings


FILE = '{kind: file, name: "web-{date}.log", by: "05:30"}'


def test_a_file_that_falls_due_is_missed_at_once_and_not_after_the_next_tick(defs, instance, real, receiver, tmp_path):
    """Until the last tick all was in; after it nobody but this look has asked the source."""
    (tmp_path / "in" / "web.log").write_text(GOOD * 20)
    real.tick()
    (tmp_path / "neverwinter.yaml").write_text(configuration(receiver).replace("{kind: error_rate, max_pct: 10}", FILE))
    reported = Reported(instance.daemon_cursor_storage, real.settings.lake)
    before, after = NOW + 29 * MINUTE, NOW + 30 * MINUTE + 20_000_000
    reported.save_tick(LastTick(ingested_until=before, looked_at=before, lags={"web": {"lag_seconds": 0.0}}))
    real.times.append(before)
    assert look(defs, instance).startswith("no change; 0 open")
    waiting = tmp_path / "in" / "web-2024-03-12.log"
    waiting.write_text(GOOD)
    os.utime(waiting, (before / 1e6, before / 1e6))
    real.times.append(after)
    assert look(defs, instance).startswith("no change; 0 open")  # it is there, and waits to be ingested
    waiting.unlink()
    assert look(defs, instance).startswith("1 opened; 1 open; 1 sent")
    assert (receiver.got[0]["check"], receiver.got[0]["subject"]) == ("expected_files", "web-2024-03-12.log")


def test_what_the_changed_configuration_expects_is_judged_at_once(defs, instance, real, receiver, tmp_path):
    (tmp_path / "in" / "web.log").write_text(GOOD * 5 + BAD)
    real.tick()
    assert look(defs, instance).startswith("1 opened; 1 open")
    path = tmp_path / "neverwinter.yaml"
    path.write_text("streams: [")
    assert look(defs, instance).startswith("no change; 1 open")  # what cannot be used changes nothing
    path.write_text(configuration(receiver).replace("max_pct: 10", "max_pct: 50"))
    assert look(defs, instance).startswith("1 resolved; 0 open")
    path.write_text(configuration(receiver).replace("./lake", "./other").replace("max_pct: 10", "max_pct: 1"))
    assert look(defs, instance).startswith("no change; 0 open")  # another lake is another platform


def configuration(receiver) -> str:
    return CONFIGURATION.replace("PORT", str(receiver.server_address[1]))
