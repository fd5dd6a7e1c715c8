"""Landing zones on HDFS, as far as they can be shown without one: options, errors, pieces, a server that is silent."""

from __future__ import annotations

import http.server
import json
import socket
import sys
import threading
import time
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from nw_platform.deadlines import DeadlineError, Patience
from nw_platform.errors import ConfigError, SourceError
from nw_platform.sources.landing.globs import Glob
from nw_platform.sources.landing.systems import open_files


class Server(http.server.BaseHTTPRequestHandler):
    """A NameNode of one folder tree: enough of WebHDFS for listing and reading."""

    files: dict[str, bytes]
    calls: list[tuple[str, str]]

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path).removeprefix("/webhdfs/v1"), parse_qs(parts.query)
        operation = query["op"][0]
        self.calls.append((operation, path))
        if operation == "OPEN":
            offset, length = int(query["offset"][0]), int(query["length"][0])
            self.answer(200, self.files[path][offset : offset + length])
        elif operation == "LISTSTATUS":
            below = sorted({f[len(path) + 1 :].split("/")[0] for f in self.files if f.startswith(f"{path}/")})
            if not below:
                error = {"exception": "FileNotFoundException", "message": f"File {path} does not exist."}
                self.answer(404, json.dumps({"RemoteException": error}).encode())
                return
            listed = [self.status(f"{path}/{name}") | {"pathSuffix": name} for name in below]
            self.answer(200, json.dumps({"FileStatuses": {"FileStatus": listed}}).encode())
        else:
            self.answer(200, json.dumps({"FileStatus": self.status(path)}).encode())

    def status(self, path: str) -> dict:
        data = self.files.get(path)
        kind = "DIRECTORY" if data is None else "FILE"
        return {"type": kind, "length": len(data or b""), "modificationTime": 1_000, "fileId": 7}

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def zone():
    files = {"/z/in/a.log": b"0123456789" * 50_000, "/z/in/b.txt": b"b", "/z/other/deep/c.log": b"c"}
    mine = type("Mine", (Server,), {"files": files, "calls": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), mine) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"webhdfs://127.0.0.1:{server.server_port}/z", mine
        server.shutdown()


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_only_folders_that_the_glob_needs_are_listed(zone):
    url, server = zone
    listing = open_files(url, {}).listing(Glob("*/*.log"))
    assert (list(listing.files), listing.others) == (["in/a.log"], ["in/b.txt"])
    assert listing.files["in/a.log"] == (500_000, 1_000_000_000, "7")
    assert [call for call in server.calls if call[0] == "LISTSTATUS"] == [
        ("LISTSTATUS", "/z"), ("LISTSTATUS", "/z/in"), ("LISTSTATUS", "/z/other"),
    ]  # fmt: skip


def test_a_small_file_is_read_in_one_call_and_a_large_one_in_pieces(zone):
    url, server = zone
    files = open_files(url, {})
    file = files.open("in/b.txt")
    assert (file.read(5), file.read(5)) == (b"b", b"")
    assert server.calls == [("OPEN", "/z/in/b.txt")]
    file = files.open("in/a.log")
    file.seek(499_995)
    assert (file.read(3), file.read(3), file.read(3)) == (b"567", b"89", b"")
    file.seek(5)
    assert file.read(400_000) == (b"0123456789" * 50_000)[5:400_005]
    file.close()


def test_the_zone_must_be_there(zone):
    url, _ = zone
    with pytest.raises(SourceError, match="no such folder"):
        open_files(f"{url}/nothing", {}).listing(Glob("*.log"))


@pytest.mark.parametrize("scheme", ["webhdfs", "swebhdfs", "hdfs"])
def test_a_server_that_is_not_there_is_said_at_once_and_without_secrets(scheme):
    url = f"{scheme}://127.0.0.1:{closed_port()}/z"
    options = {} if scheme == "hdfs" else {"token": "s3cret"}
    with pytest.raises(SourceError) as error:
        open_files(url, options).listing(Glob("*.log"))
    assert "refused" in str(error.value)
    assert "\n" not in str(error.value)
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize("scheme", ["webhdfs", "hdfs"])
def test_a_server_that_says_nothing_is_waited_for_once(scheme):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/z"
        began = time.monotonic()
        for _ in range(5):
            with pytest.raises(SourceError, match="did not answer within 1 s"):
                open_files(url, {"timeout": 1}).listing(Glob("*.log"))
        assert time.monotonic() - began < 3


def test_of_two_namenodes_the_one_that_answers_is_asked(zone):
    url, _ = zone
    both = url.replace("webhdfs://", f"webhdfs://127.0.0.1:{closed_port()},")
    assert list(open_files(both, {}).listing(Glob("in/*.log")).files) == ["in/a.log"]


@pytest.mark.parametrize("url", ["webhdfs://h:1/z", "hdfs://h:1/z"])
def test_an_unknown_option_is_refused(url):
    with pytest.raises(ConfigError, match="usr"):
        open_files(url, {"usr": "me"})


def test_kerberos_without_its_package_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "hdfs.ext.kerberos", None)
    with pytest.raises(ConfigError, match=r"neverwinter\[kerberos\]"):
        open_files("webhdfs://h:1/z", {"kerberos": True})


def test_a_call_that_takes_too_long_is_left_behind():
    patience = Patience("server")
    release = threading.Event()
    with pytest.raises(DeadlineError, match="server did not answer within"):
        patience.wait(0.05, release.wait)
    with pytest.raises(DeadlineError):
        patience.wait(5, lambda: None)
    release.set()
    deadline = time.monotonic() + 5
    while patience._silent_since is not None:
        assert time.monotonic() < deadline
    assert patience.wait(5, lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        patience.wait(5, lambda: 1 // 0)


def test_a_client_that_panics_is_an_error_like_others():
    panic = type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})

    def give_up() -> None:
        raise panic("Cannot read past end of the file")

    with pytest.raises(OSError, match="gave up: Cannot read past end"):
        Patience("server").wait(5, give_up)
