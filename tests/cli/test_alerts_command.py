"""`nw check` delivers, `nw alerts` lists, acknowledges and tests: on a real lake, to a real receiver."""

from __future__ import annotations

import http.server
import json
import os
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from nw_platform.alerts.evaluation import Alerting, scope_of
from nw_platform.cli.check import parse_instant
from nw_platform.cli.main import main
from nw_platform.cli.output import clock
from nw_platform.ingest.session import Session
from nw_platform.ingest.tick import run_tick
from nw_platform.lake.store import Lake
from nw_platform.record.hours import hour_start, to_iso
from nw_platform.settings import load
from nw_platform.watchdog.findings import Finding
from nw_platform.watchdog.observe import Watch

CONFIGURATION = """
sources: {l: {kind: landing, url: ./landing}}
streams:
  dialer: {source: l, path: "*.csv", format: csv, expect: [{kind: file, name: "d-{date}.csv", by: "06:00", grace: 30m}]}
  web: {source: l, path: "*.log", format: lines}
"""
ALERTS = """
alerts:
  channels: {hook: {kind: webhook, url: "ROOT/hook-s3cret"}, other: {kind: webhook, url: "ROOT/other"}}
  routes: [{to: [hook]}]
  dead_man: "ROOT/alive"
"""
INGESTED = hour_start("2026-11-21T05")
ON_TIME, MISSED, LATER = "2026-11-22T06:29:00Z", "2026-11-22T06:30:30Z", "2026-11-22T07:31:00Z"
KEY = "expected_files|raw/dialer|2026-11-22T06|d-2026-11-22.csv"


class Receiver(http.server.ThreadingHTTPServer):
    def __init__(self) -> None:
        self.got: list[dict] = []
        self.pings = 0
        self.status = 200
        super().__init__(("127.0.0.1", 0), Handler)


class Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 200:
            self.server.got.append(body)
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
    made.shutdown()
    thread.join()
    made.server_close()


@pytest.fixture
def home(tmp_path, monkeypatch, receiver):
    monkeypatch.delenv("NW_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "landing").mkdir()
    root = f"http://127.0.0.1:{receiver.server_address[1]}"
    (tmp_path / "neverwinter.yaml").write_text(CONFIGURATION + ALERTS.replace("ROOT", root))
    (tmp_path / "landing" / "d-2026-11-21.csv").write_text("a,b\n1,2\n")
    with Session(load()) as session:  # it has been running for a day: before that nothing is missed
        assert not run_tick(session, lambda: INGESTED, until_caught_up=True).failures
    return tmp_path


@pytest.fixture
def nw(home, capsys):  # noqa: ARG001  (the folder it runs in)
    capsys.readouterr()

    def run(*argv):
        code = main(list(argv))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def version(home) -> int:
    snapshot = Lake(str(home / "lake"), work=home).alerts().snapshot()
    return -1 if snapshot is None else snapshot.version


def told(receiver) -> list[tuple[str, str]]:
    return [(one["transition"], one["subject"]) for one in receiver.got]


def test_a_look_at_another_time_judges_and_sends_nothing(nw, home, receiver):
    code, out, err = nw("check", "--at", MISSED)
    assert code == 1
    assert "d-2026-11-22.csv" in out
    assert "alerts:" not in err
    assert (version(home), receiver.got, receiver.pings) == (-1, [], 0)
    assert nw("check", "--no-deliver")[0] in {0, 1}
    assert (version(home), receiver.got, receiver.pings) == (-1, [], 0)


def test_simulated_time_delivers_when_it_is_told_to(nw, home, receiver):
    nw("check", "--at", ON_TIME, "--deliver", "--stream", "dialer")
    assert not [one for one in receiver.got if one["subject"] == "d-2026-11-22.csv"]
    receiver.got.clear()
    code, _, err = nw("check", "--at", MISSED, "--deliver")
    assert code == 1
    assert "alerts: " in err
    assert "1 opened" in err
    assert told(receiver) == [("opened", "d-2026-11-22.csv")]
    assert receiver.got[0]["time"] == MISSED
    before = version(home)
    code, _, err = nw("check", "--at", "2026-11-22T06:31:30Z", "--deliver")
    assert (code, "no change" in err, version(home), len(receiver.got)) == (1, True, before, 1)
    nw("check", "--at", LATER, "--deliver")
    assert told(receiver)[-1] == ("reminded", "d-2026-11-22.csv")
    assert receiver.pings == 0  # the dead man's switch is not for drills


@pytest.mark.parametrize("later", ["2026-11-22T07:00:00Z", "2026-11-22T23:00:00Z"])
def test_a_drill_does_not_go_back_behind_what_was_written(nw, home, receiver, later):
    nw("check", "--at", MISSED, "--deliver")
    (home / "landing" / "d-2026-11-22.csv").write_text("a,b\n1,2\n")
    settings = load()
    with closing(Alerting.of(settings, Lake(settings.lake, work=home / "daemon"))) as daemon:
        daemon.evaluate([], scope_of(settings, ["dialer"]), parse_instant(later), lambda: parse_instant(later))
    before = version(home), len(receiver.got)
    code, out, err = nw("check", "--at", MISSED, "--deliver")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert later in err
    assert (version(home), len(receiver.got)) == before
    assert nw("check", "--at", MISSED)[0] == 1, "which writes nothing"
    assert nw("check", "--at", later, "--deliver")[0] in {0, 1}


@pytest.mark.parametrize("at", ["9999-12-31T23:59:59Z", "0001-01-01", "0001-01-01T00:00:00+14:00", "1970-01-01"])
def test_a_time_at_the_end_of_all_times_is_refused(nw, at):
    code, out, err = nw("check", "--at", at)
    assert (code, out) == (2, "")
    assert err == f"nw: {at!r} cannot be judged; give a time of the years 1971 to 2199\n"
    for end in ("1971-01-01", "2199-12-31T23:59:59Z"):
        assert nw("check", "--at", end)[0] in {0, 1}


def test_a_check_of_now_delivers_and_calls_the_dead_mans_address(nw, receiver):
    _, _, err = nw("check")
    assert "alerts: " in err
    assert receiver.pings == 1
    nw("check", "--stream", "web")
    assert receiver.pings == 1


def test_what_another_found_out_during_a_check_stays(nw, home, receiver, monkeypatch):
    settings, moment = load(), parse_instant(MISSED)
    judge = Watch.findings

    def slowly(watch, *args, **options):
        found = judge(watch, *args, **options)
        (missing,) = (f for f in found if f.key == KEY)
        with closing(Alerting.of(settings, Lake(settings.lake, work=home / "daemon"))) as daemon:
            for later, finding in ((1, missing), (2, replace(missing, passed=True))):
                at, _ = daemon.begin(moment + later)
                daemon.evaluate([finding], scope_of(settings, ()), at, lambda: moment)
        return found

    monkeypatch.setattr(Watch, "findings", slowly)
    nw("check", "--at", MISSED, "--deliver")
    assert told(receiver) == [("opened", "d-2026-11-22.csv"), ("resolved", "d-2026-11-22.csv")]


def test_a_channel_that_fails_ends_with_1_and_shows_no_secret(nw, receiver):
    receiver.status = 500
    code, out, err = nw("check", "--at", MISSED, "--deliver")
    assert code == 1
    assert "1 failed; 1 waiting" in err
    assert "channel hook: 1 waiting: " in err
    assert "500" in err.partition("channel hook: ")[2]
    assert "s3cret" not in out + err + nw("alerts", "list", "--all", "--json")[1]


def test_a_broken_table_of_alerts_stops_no_check(nw, home):
    log = home / "lake" / "alerts" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("no log\n")
    code, out, err = nw("check", "--at", MISSED, "--deliver", "--json")
    assert code == 1
    assert any("d-2026-11-22.csv" in one["message"] for one in json.loads(out))
    assert [line for line in err.splitlines() if line.startswith("nw: alerts could not be delivered: ")]
    code, out, err = nw("alerts", "list")
    assert (code, out, len(err.splitlines())) == (1, "", 1)


def test_list_shows_what_is_open_and_all_that_was(nw):
    assert nw("alerts", "list")[:2] == (0, nw("alerts", "list")[1])
    assert json.loads(nw("alerts", "list", "--json")[1]) == []
    nw("check", "--at", MISSED, "--deliver")
    code, out, err = nw("alerts", "list")
    assert (code, err.splitlines()[-1]) == (0, "1 open")
    assert KEY in out
    (alert,) = json.loads(nw("alerts", "list", "--json", "--stream", "dialer")[1])
    assert (alert["key"], alert["opened"], alert["state"], alert["severity"]) == (
        KEY,
        "2026-11-22T06:30:30Z",
        "open",
        "error",
    )
    assert alert["channels"] == ["hook"]
    assert json.loads(nw("alerts", "list", "--json", "--stream", "web")[1]) == []
    nw("check", "--at", LATER, "--deliver")
    transitions = json.loads(nw("alerts", "list", "--all", "--json")[1])
    assert [one["transition"] for one in transitions] == ["reminded", "opened"]
    assert json.loads(nw("sql", "SELECT transition, channels FROM alerts ORDER BY time", "--format", "json")[1]) == [
        {"transition": "opened", "channels": "hook"}, {"transition": "reminded", "channels": "hook"},
    ]  # fmt: skip


def test_acknowledged_alerts_are_told_once_and_not_repeated(nw, receiver):
    nw("check", "--at", MISSED, "--deliver")
    code, out, err = nw("alerts", "ack", "expected_files", "--by", "anna", "--comment", "they know")
    assert code == 0
    assert "anna: they know" in out
    assert "1 acknowledged; 1 open; 1 sent" in err
    assert told(receiver)[-1] == ("acknowledged", "d-2026-11-22.csv")
    assert receiver.got[-1]["note"] == "anna: they know"
    (alert,) = json.loads(nw("alerts", "list", "--json")[1])
    assert alert["state"] == "acknowledged"
    code, _, err = nw("alerts", "ack", KEY)
    assert (code, "1 acknowledged before" in err, len(receiver.got)) == (0, True, 2)


def test_a_stream_that_nobody_knows_has_no_alerts_to_list(nw, home):
    nw("check", "--at", MISSED, "--deliver")
    for options in ((), ("--all",)):
        code, out, err = nw("alerts", "list", "--stream", "dialr", *options)
        assert (code, out) == (2, "")
        assert err == "nw: there is no stream 'dialr'; declared are: dialer, web; did you mean 'dialer'?\n"
    assert nw("alerts", "list", "--stream", "platform")[2] == "0 open\n"
    text = (home / "neverwinter.yaml").read_text()
    (home / "neverwinter.yaml").write_text(text.replace("  dialer:", "  other:"))
    nw("check", "--at", LATER, "--deliver")  # withdrawn: what was declared once can be asked about
    assert nw("alerts", "list", "--stream", "dialer")[0] == 0
    assert "withdrawn" in nw("alerts", "list", "--stream", "dialer", "--all")[1]


def test_list_says_how_many_messages_wait(nw, receiver):
    receiver.status = 500
    nw("check", "--at", MISSED, "--deliver")
    counted, why = nw("alerts", "list")[2].splitlines()
    assert counted == "1 open; 1 message waiting"
    assert why.startswith("channel hook: 1 waiting: ")
    assert "500" in why
    receiver.status = 200
    nw("check", "--at", LATER, "--deliver")
    assert nw("alerts", "list")[2] == "1 open\n"


@pytest.mark.parametrize("part", ["whole", "beginning"])
def test_a_key_is_taken_as_it_is_shown(nw, home, part):
    settings, now = load(), parse_instant(MISSED)
    odd = Finding(
        check="continuity", asset="raw/web", stream="web", partition=None, subject="a\n\x1b[2Jb.log", passed=False,
        severity="error", message="it cannot be parsed", repair="", since=None,
    )  # fmt: skip
    with closing(Alerting.of(settings, Lake(settings.lake, work=home / "daemon"))) as daemon:
        daemon.evaluate([odd], scope_of(settings, ()), now, lambda: now)
    shown = r"continuity|raw/web||a\n\x1b[2Jb.log"
    assert shown in nw("alerts", "list")[1]
    code, _, err = nw("alerts", "ack", shown if part == "whole" else shown[:-6])
    assert (code, "1 acknowledged; 1 open" in err) == (0, True)


def test_what_cannot_be_acknowledged_is_said_in_one_line(nw):
    nw("check", "--at", MISSED, "--deliver")
    code, out, err = nw("alerts", "ack", "silence")
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert "nw alerts list" in err
    assert nw("alerts", "ack", " ")[0] == 2
    assert nw("alerts", "ack")[0] == 2
    assert nw("alerts")[0] == 2
    assert nw("alerts", "lst")[0] == 2


def test_a_test_goes_to_all_channels_or_to_those_named(nw, receiver):
    code, out, _ = nw("alerts", "test", "--json")
    assert code == 0
    assert json.loads(out) == [
        {"channel": "hook", "result": "sent", "error": None}, {"channel": "other", "result": "sent", "error": None},
    ]  # fmt: skip
    assert [one["test"] for one in receiver.got] == [True, True]
    assert nw("alerts", "test", "other")[0] == 0
    assert len(receiver.got) == 3
    receiver.status = 403
    code, out, err = nw("alerts", "test", "hook")
    assert (code, "failed" in out, "s3cret" in out + err) == (1, True, False)
    code, _, err = nw("alerts", "test", "hok")
    assert (code, err) == (2, "nw: there is no channel 'hok'; declared are: hook, other; did you mean 'hook'?\n")


def test_without_channels_alerts_are_recorded_and_a_test_is_refused(nw, home):
    (home / "neverwinter.yaml").write_text(CONFIGURATION)
    assert "1 opened; 1 open" in nw("check", "--at", MISSED, "--deliver")[2]
    code, out, err = nw("alerts", "test")
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert "alerts: channels:" in err


@pytest.mark.parametrize("words", [["alerts"], ["alerts", "list"], ["alerts", "ack"], ["alerts", "test"]])
def test_each_says_how_it_is_used(nw, words):
    code, out, _ = nw(*words, "--help")
    assert code == 0
    assert "example:\n  nw alerts" in out


def test_a_look_at_listings_ends_no_alert_of_a_source_that_could_not_be_read(nw, home, receiver):
    """The sensor knows that reading failed; a listing does not."""
    settings = load()
    now = clock()
    unread = home / "landing" / "new.log"
    unread.write_text("one\n")
    os.utime(unread, (now / 1e6 - 600, now / 1e6 - 600))
    broken = Finding(
        check="continuity", asset="raw/web", stream="web", partition=None, subject="source", passed=False,
        severity="error", message="raw/web: it cannot be parsed", repair="", since=None,
    )  # fmt: skip
    with closing(Alerting.of(settings, Lake(settings.lake, work=home / "daemon"))) as daemon:
        daemon.evaluate([broken], scope_of(settings, ()), now, lambda: now)
    nw("check", "--stream", "web")
    assert ("resolved", "source") not in told(receiver)
    with Session(settings) as session:
        assert not run_tick(session, clock, until_caught_up=True).failures
    nw("check", "--stream", "web")
    assert told(receiver).count(("resolved", "source")) == 1  # all of it was read


def test_a_host_whose_records_wait_to_be_ingested_is_not_said_to_be_silent(nw, home):
    text = (home / "neverwinter.yaml").read_text()
    rule = "format: json, expect: [{kind: heartbeat, every: 1m}]}"
    (home / "neverwinter.yaml").write_text(text.replace("format: lines}", rule))
    now = clock()
    then = now - 30 * 60_000_000
    (home / "landing" / "a.log").write_text(
        json.dumps({"time": to_iso(then), "host": "pbx1", "message": "hello"}) + "\n"
    )
    with Session(load()) as session:
        assert not run_tick(session, lambda: then, until_caught_up=True).failures
    waiting = home / "landing" / "b.log"
    waiting.write_text(json.dumps({"time": to_iso(then + 1), "host": "pbx2", "message": "hello"}) + "\n")
    os.utime(waiting, (then / 1e6 + 60, then / 1e6 + 60))

    def silent() -> list[str]:
        found = json.loads(nw("check", "--stream", "web", "--all", "--no-deliver", "--json")[1])
        hosts = [one for one in found if one["check"] == "silence"]
        assert hosts
        return [one["subject"] for one in hosts if one["state"] != "ok"]

    assert silent() == []
    with Session(load()) as session:
        assert not run_tick(session, clock, until_caught_up=True).failures
    assert silent() == ["pbx1", "pbx2"]
