"""`nw watch` against web servers that say what they are told to say; the message goes to a real HTTP endpoint."""

from __future__ import annotations

import json
import threading
import time
from contextlib import closing
from dataclasses import replace

import pytest
from vault_server import Answering, free_port

from nw_platform.alerts.evaluation import Alerting, scope_of
from nw_platform.alerts.platform import daemon_finding, platform_finding
from nw_platform.alerts.processes import TOLD_VARIABLE, ProcessNews, write_news
from nw_platform.alerts.webserver import WatchError, ask, judge
from nw_platform.cli.main import main
from nw_platform.cli.output import Output
from nw_platform.cli.watch import Watch
from nw_platform.lake.store import Lake
from nw_platform.settings import load

S = 1_000_000
NOW = 1_800_000_000 * S
URL = "http://dagster:3000"


def dagster(now=NOW, *, heartbeat=0, location=None, status="LOADED", tick=0, sensor="RUNNING", result="SKIPPED"):
    """What the web server of a platform answers; `heartbeat` and `tick` are seconds before `now`, None: never."""
    ticks = [] if tick is None else [{"status": result, "timestamp": now / S - tick}]
    loaded = {
        "__typename": "RepositoryLocation",
        "repositories": [{"sensors": [{"name": "alerts", "sensorState": {"status": sensor, "ticks": ticks}}]}],
    }
    failed = {"__typename": "PythonError", "message": location}
    entry = {"name": "neverwinter", "loadStatus": status, "locationOrLoadError": failed if location else loaded}
    daemons = [
        {"daemonType": name, "required": name != "ASSET", "lastHeartbeatTime": None if age is None else now / S - age}
        for name, age in (("SENSOR", heartbeat), ("SCHEDULER", 0), ("ASSET", None))
    ]
    return {
        "instance": {"daemonHealth": {"allDaemonStatuses": daemons}},
        "workspaceOrError": {"__typename": "Workspace", "locationEntries": [entry]},
    }


def wrong(data, *, since=0, **options):
    found, judged = judge(data, URL, NOW, since, **options)
    assert {finding.check for finding in found} == judged
    return {finding.key: finding.message for finding in found if not finding.passed}


class TestJudge:
    def test_all_is_well(self):
        assert wrong(dagster()) == {}

    def test_a_daemon_without_a_sign_of_life(self):
        assert wrong(dagster(heartbeat=299)) == {}
        (told,) = wrong(dagster(heartbeat=301)).items()
        assert told == (
            "daemon|platform||",
            "the Dagster daemon has stopped in part (SENSOR): the last sign of life was 2027-01-15T07:54:59Z",
        )
        assert "there was no sign of life" in wrong(dagster(heartbeat=None))["daemon|platform||"]
        assert wrong(dagster(heartbeat=31), silent_us=30 * S)

    def test_only_a_new_sign_of_life_ends_what_one_who_waits_less_long_found(self):
        for age, is_known in ((0, True), (45, True), (46, False), (299, False)):
            finding = daemon_finding({"SENSOR": (NOW - age * S) / 1e6}, NOW, 0)
            assert (finding.passed, finding.is_known) == (True, is_known)

    def test_right_after_its_start_the_old_heartbeat_says_nothing(self):
        assert wrong(dagster(heartbeat=86_400), since=NOW - 59 * S) == {}
        assert wrong(dagster(heartbeat=86_400), since=NOW - 61 * S)

    def test_code_that_cannot_be_loaded(self):
        data = dagster(location="ConfigError: streams.app: unknown key,\n see smb://u:hunter2@h")
        assert wrong(data) == {
            "code_location|platform||neverwinter": "the code location neverwinter cannot be loaded: "
            "ConfigError: streams.app: unknown key, see smb://***@h"
        }

    def test_while_code_is_being_loaded_nobody_knows(self):
        _, judged = judge(dagster(status="LOADING"), URL, NOW, 0)
        assert "code_location" not in judged
        _, judged = judge(dagster(location="x", status="LOADED"), URL, NOW, 0)
        assert "code_location" in judged
        assert "alerting" not in judged  # no code, no sensors

    def test_a_workspace_that_cannot_be_loaded(self):
        data = {**dagster(), "workspaceOrError": {"__typename": "PythonError", "message": "no such file"}}
        assert wrong(data) == {"code_location|platform||workspace": "the workspace cannot be loaded: no such file"}

    def test_alerts_that_are_not_evaluated(self):
        assert wrong(dagster(tick=299)) == {}
        assert "the last time was 2027-01-15T07:54:59Z" in wrong(dagster(tick=301))["alerting|platform||"]
        assert "the sensor alerts never ticked" in wrong(dagster(tick=None))["alerting|platform||"]
        assert "none of its last ticks came to its end" in wrong(dagster(result="FAILURE"))["alerting|platform||"]
        assert wrong(dagster(tick=None), since=NOW - 200 * S) == {}
        assert "stopped by hand" in wrong(dagster(sensor="STOPPED"))["alerting|platform||"]

    def test_an_answer_of_another_version(self):
        with pytest.raises(WatchError, match="its answer is not understood"):
            judge({"instance": {"daemonHealth": None}}, URL, NOW, 0)


class TestAsk:
    @pytest.mark.parametrize(
        ("status", "said", "reason"),
        [
            (500, {"data": None}, "it answers with HTTP 500"),
            (200, "<html>", "no answer of a Dagster web server"),
            (200, {"errors": [{"message": "no field"}]}, "it answers with an error: .*no field"),
            (200, [], "it answers with an error"),
        ],
    )
    def test_answers_that_are_none(self, status, said, reason):
        with Answering(lambda *_: (status, said)) as server, pytest.raises(WatchError, match=reason):
            ask(server.address)

    def test_nobody_is_there(self):
        with pytest.raises(WatchError, match=r"^no connection$"):
            ask(f"http://127.0.0.1:{free_port()}")


class Site:
    """A configuration, a web server that can be told what to say, and everything the alerts' endpoint was sent."""

    def __init__(self, folder):
        self.folder = folder
        self.says = dagster
        self.sent, self.pinged = [], 0

    def configure(self, lake):
        (self.folder / "neverwinter.yaml").write_text(
            f"lake: {lake}\nstreams: {{web: {{path: 'in/*.log', format: lines}}}}\n"
            f"alerts: {{channels: {{hook: {{kind: webhook, url: '{self.hook.address}/hook'}}}}, reminder: never,\n"
            f"  dead_man: '{self.hook.address}/alive', routes: [{{to: [hook]}}]}}\n"
        )

    def answer(self, *_):
        said = self.says(time.time_ns() // 1000)
        return (200, {"data": said}) if said else (503, "away")

    def heard(self, _, path, body):
        if path == "/alive":
            self.pinged += 1
        else:
            told = json.loads(body)
            self.sent.append((told["key"], told["transition"]))
        return 200, {}

    def look(self):
        """The exit code of one look, and what was sent at it."""
        before = len(self.sent)
        code = main(["-c", str(self.folder / "neverwinter.yaml"), "watch", "--once", "--url", self.server.address])
        return code, self.sent[before:]


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.setattr("nw_platform.cli.watch._PAUSE_S", 0.01)
    made = Site(tmp_path)
    with Answering(made.heard) as made.hook, Answering(made.answer) as made.server:
        made.configure("./lake")
        yield made


def test_one_message_when_it_opens_and_one_when_it_is_over(site):
    assert site.look() == (0, [])
    assert site.pinged == 1
    site.says = lambda now: dagster(now, heartbeat=600)
    assert site.look() == (1, [("daemon|platform||", "opened")])
    assert site.look() == (1, [])
    assert site.pinged == 1  # only while all is well
    site.says = dagster
    assert site.look() == (0, [("daemon|platform||", "resolved")])
    assert site.look() == (0, [])
    assert site.pinged == 3


def test_what_the_web_server_says_is_not_judged_while_it_is_away(site):
    site.says = lambda now: dagster(now, location="broken")
    assert site.look() == (1, [("code_location|platform||neverwinter", "opened")])
    site.says = lambda _: None
    assert site.look() == (1, [("webserver|platform||", "opened")])
    site.says = lambda now: dagster(now, location="broken")
    assert site.look() == (1, [("webserver|platform||", "resolved")])
    site.says = dagster
    assert site.look() == (0, [("code_location|platform||neverwinter", "resolved")])


def test_what_nw_up_started_again_is_told_once_and_resolved(site, tmp_path, monkeypatch):
    place = tmp_path / "processes.json"
    monkeypatch.setenv(TOLD_VARIABLE, str(place))
    write_news(place, [ProcessNews("daemon", works=False, message="the daemon was started again")])
    assert site.look() == (1, [("process|platform||daemon", "opened")])
    site.says = lambda _: None  # also while the web server is away
    assert site.look() == (1, [("webserver|platform||", "opened")])
    site.says = dagster
    write_news(place, [ProcessNews("daemon", works=True, message="the daemon works")])
    code, sent = site.look()
    assert (code, sorted(sent)) == (0, [("process|platform||daemon", "resolved"), ("webserver|platform||", "resolved")])


def test_a_web_server_that_is_being_started_again_is_no_alert(site):
    answers = [None, None, dagster]
    site.says = lambda now: said(now) if (said := answers.pop(0)) else None
    assert site.look() == (0, [])


def test_without_its_lake_it_tells_all_the_same_and_once(site):
    assert site.look() == (0, [])
    site.configure(f"hdfs://127.0.0.1:{free_port()}/lake")
    assert site.look() == (1, [("lake|platform||", "opened")])
    site.says = lambda _: None
    assert site.look() == (1, [("webserver|platform||", "opened")])
    assert site.look() == (1, [])
    site.says = dagster
    assert site.look() == (1, [("webserver|platform||", "resolved")])
    site.configure("./lake")
    assert site.look() == (0, [("lake|platform||", "resolved")])
    assert site.look() == (0, [])


def test_a_configuration_that_changes_while_it_runs(site):
    path = site.folder / "neverwinter.yaml"
    with Answering(lambda *_: (503, "later")) as broken:
        watch = Watch(load(str(path)), site.server.address, 300 * S, threading.Event())
        watch.look(Output(), answering_since=0)
        old = path.read_text()
        path.write_text(
            old.replace("channels: {", f"channels: {{pager: {{kind: webhook, url: '{broken.address}/'}}, ")
            .replace("to: [hook]", "to: [hook, pager]")
            .replace("streams: {", "streams: {new: {path: 'new/*.log', format: lines}, ")
        )
        settings, now = load(str(path)), time.time_ns() // 1000 - 120 * S
        missing = replace(platform_finding("continuity", "", passed=False, message="x"), asset="raw/new", stream="new")
        with closing(Alerting.of(settings, Lake(settings.lake, work=settings.work))) as daemon:
            at, _ = daemon.begin(now)
            daemon.evaluate([missing], scope_of(settings, ["new"]), at, lambda: now)
            watch.look(Output(), answering_since=0)
            (alert,) = daemon.state().open.values()  # of a stream that the watch had not heard of when it began
        tries = {delivery.channel: (delivery.state, delivery.attempts) for delivery in alert.last.deliveries}
        assert tries == {"hook": ("sent", 1), "pager": ("pending", 2)}
        watch.close()


def test_a_configuration_that_cannot_be_used_is_an_alert_until_it_is_mended(site, capsys):
    path = site.folder / "neverwinter.yaml"
    written = path.read_text()
    watch, other = (Watch(load(str(path)), site.server.address, 300 * S, threading.Event()) for _ in range(2))
    with closing(watch), closing(other):
        assert watch.look(Output(), answering_since=0) == other.look(Output(), answering_since=0) == []
        assert (site.sent, site.pinged) == ([], 2)
        path.write_text(written + "  bad: [\n")
        for _ in range(2):
            (wrong,) = watch.look(Output(), answering_since=0)
            assert (wrong.check, wrong.severity, wrong.repair) == ("configuration", "error", "nw config check")
            assert "\n" not in wrong.message
            assert "neverwinter.yaml" in wrong.message
        assert site.sent == [("configuration|platform||", "opened")]  # to the channels it knew
        assert site.pinged == 2  # only while all is well
        assert "configuration: the configuration cannot be used: " in capsys.readouterr().err
        path.write_text(written)
        other.look(Output(), answering_since=0)  # whose file was never broken: it says nothing of ours
        assert site.sent == [("configuration|platform||", "opened")]
        assert watch.look(Output(), answering_since=0) == []
        assert site.sent[1:] == [("configuration|platform||", "resolved")]
        assert site.pinged == 4


def test_who_begins_with_a_configuration_that_was_mended_meanwhile_ends_the_alert(site):
    path = site.folder / "neverwinter.yaml"
    written = path.read_text()
    with closing(Watch(load(str(path)), site.server.address, 300 * S, threading.Event())) as watch:
        path.unlink()
        assert [finding.check for finding in watch.look(Output(), answering_since=0)] == ["configuration"]
    path.write_text(written)
    assert site.look() == (0, []), "who looks once, from elsewhere perhaps, knows nothing of it"
    with closing(Watch(load(str(path)), site.server.address, 300 * S, threading.Event())) as watch:
        assert watch.look(Output(), answering_since=0) == []
    assert site.sent[-1:] == [("configuration|platform||", "resolved")]


def test_it_goes_on_whatever_happens_and_ends_when_it_is_told(site, monkeypatch, capsys):
    looks = []
    stop = threading.Event()
    monkeypatch.setattr("nw_platform.cli.watch._EVERY_S", 0.01)
    watch = Watch(load(str(site.folder / "neverwinter.yaml")), site.server.address, 300 * S, stop)

    def look(_):
        looks.append(1)
        if len(looks) == 5:
            stop.set()
        raise RuntimeError("never thought of")

    monkeypatch.setattr(watch, "look", look)
    watch.keep_looking(Output())
    assert len(looks) == 5
    assert capsys.readouterr().err.count("RuntimeError: never thought of") == 1  # said once


@pytest.mark.parametrize("wrong_use", [["--url", "dagster:3000"], ["--after", "soon"]])
def test_used_wrongly(site, wrong_use, capsys):
    assert main(["-c", str(site.folder / "neverwinter.yaml"), "watch", "--once", *wrong_use]) == 2
    assert wrong_use[0] in capsys.readouterr().err
