"""When a process counts as one that works: of answers, heartbeats, and a clock that nobody sets."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
from concurrent import futures
from http.server import BaseHTTPRequestHandler, HTTPServer

import grpc
import psutil
import pytest

from nw_platform.cli.vital_signs import (
    AnswerSign,
    HeartbeatSign,
    NoSign,
    Pace,
    answers_grpc,
    answers_http,
    heartbeats,
    listens,
    stopped_processes,
)

PACE = Pace(silent=60, ready=180, heartbeat=90, part_heartbeat=600)


def test_who_answers_works_until_it_is_silent_for_too_long():
    sign = AnswerSign(PACE, 0.0)
    sign.saw(answered=True, asked=9.0, now=10.0)
    sign.saw(answered=False, asked=20.0, now=40.0)
    assert sign.problem(70.0) == ""
    assert sign.problem(71.0) == "has not answered for 61 s"
    sign.saw(answered=True, asked=71.0, now=72.0)
    assert sign.problem(100.0) == ""


def test_who_starts_has_longer():
    sign = AnswerSign(PACE, 0.0)
    assert sign.problem(180.0) == ""
    assert sign.problem(181.0) == "has not answered for 181 s"


def test_an_answer_of_the_process_before_is_none():
    sign = AnswerSign(PACE, 0.0)
    sign.reset(100.0)
    sign.saw(answered=True, asked=99.0, now=101.0)
    assert sign.problem(181.0) == ""  # it is still one that starts


@pytest.mark.parametrize("shift", [0.0, -10_800.0, 172_800.0], ids=["clock kept", "3 h back", "2 d forward"])
def test_heartbeats_count_by_their_change_whatever_the_clock_says(shift):
    sign = HeartbeatSign(PACE, 0.0)
    for second in range(0, 1000, 30):
        at = 1e9 + second + (shift if second > 300 else 0.0)
        sign.saw({"SENSOR": at, "SCHEDULER": at}, float(second))
        assert sign.problem(float(second)) == ""
    sign.saw({"SENSOR": at, "SCHEDULER": at}, 990.0 + 91)
    assert sign.problem(0.0) == "has given no sign of life for 91 s"


def test_heartbeats_of_the_daemon_before_are_none():
    sign = HeartbeatSign(PACE, 0.0)
    sign.saw({"SENSOR": 5.0}, 5.0)
    sign.saw({"SENSOR": 5.0}, 181.0)
    assert sign.problem(181.0) == "has given no sign of life for 181 s"


def test_while_nobody_can_be_asked_no_daemon_is_late():
    sign = HeartbeatSign(PACE, 0.0)
    sign.saw({"SENSOR": 5.0}, 5.0)
    sign.saw({"SENSOR": 35.0}, 35.0)
    for second in range(40, 1000, 5):
        sign.saw(None, float(second))
    assert sign.problem(1000.0) == ""
    sign.saw({"SENSOR": 995.0}, 1001.0)
    assert sign.problem(1001.0) == ""


def test_one_part_may_be_busy_for_long_and_a_backfill_for_as_long_as_it_takes():
    sign = HeartbeatSign(PACE, 0.0)
    beats = {"SENSOR": 0.0, "SCHEDULER": 0.0, "BACKFILL": 0.0}
    for second in range(0, 660, 30):
        beats["SENSOR"] = float(second)
        sign.saw(dict(beats), float(second))
        if second <= 600:
            assert sign.problem(0.0) == ""
    assert sign.problem(0.0) == "has given no sign of life in part (SCHEDULER) for 600 s"


def test_who_is_asked_nothing_works():
    assert NoSign().problem(1e9) == ""


@pytest.fixture
def code_server(tmp_path):
    """A gRPC server with a health service, as Dagster's is, that answers with what `state` holds."""
    state = {"answer": b"\x08\x01", "asked": []}

    class Health(grpc.GenericRpcHandler):
        def service(self, details):
            def check(request, _):
                state["asked"].append((details.method, request))
                return state["answer"]

            return grpc.unary_unary_rpc_method_handler(check)

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=[Health()])
    place = tmp_path / "code.sock"
    server.add_insecure_port(f"unix:{place}")
    server.start()
    yield place, state
    server.stop(0)


def test_the_code_server_is_asked_whether_it_serves(code_server, tmp_path):
    place, state = code_server
    link = tmp_path / "link.sock"
    link.symlink_to(place.name)
    assert listens(link)
    assert answers_grpc(link, 20)
    assert state["asked"] == [("/grpc.health.v1.Health/Check", b"\x0a\x0aDagsterApi")]
    state["answer"] = b"\x08\x02"  # NOT_SERVING
    assert not answers_grpc(link, 20)


def test_one_that_takes_connections_and_says_nothing_does_not_answer(tmp_path):
    place = tmp_path / "code.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place))
        server.listen()
        assert listens(place)
        assert not answers_grpc(place, 0.3)
    assert not answers_grpc(tmp_path / "none.sock", 0.3)
    assert not listens(tmp_path / "none.sock")


def served(answer):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if answer else 500)
            self.end_headers()

        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


def test_the_web_server_is_asked_for_heartbeats_without_a_proxy(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    text = (
        b'{"data": {"instance": {"daemonHealth": {"allDaemonStatuses": [{"daemonType": "SENSOR", "required": true, '
        b'"lastHeartbeatTime": 5.5}, {"daemonType": "ASSET", "required": false, "lastHeartbeatTime": null}]}}}}'
    )
    server, url = served(text)
    try:
        assert answers_http(url, 20)
        assert heartbeats(url, 20) == {"SENSOR": 5.5}
    finally:
        server.shutdown()
        server.server_close()
    assert not answers_http(url, 1)
    assert heartbeats(url, 1) is None


@pytest.mark.parametrize("text", [b"", b"no json", b'{"data": null}', b'{"errors": []}', b"[]"])
def test_an_answer_that_says_nothing_of_heartbeats_is_none(text):
    server, url = served(text)
    try:
        assert heartbeats(url, 20) is None
        assert answers_http(url, 20) == bool(text)
    finally:
        server.shutdown()
        server.server_close()


def test_stopped_processes_are_found_among_all_that_one_started():
    body = (
        "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'input()'], stdin=-1)\n"
        "print(p.pid, flush=True); input()"
    )
    with subprocess.Popen([sys.executable, "-c", body], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        try:
            assert stopped_processes(parent.pid) == []
            child.send_signal(signal.SIGSTOP)
            while child.status() != psutil.STATUS_STOPPED:
                pass
            assert stopped_processes(parent.pid) == [child]
        finally:
            child.kill()
            parent.kill()
    assert stopped_processes(parent.pid) == []
