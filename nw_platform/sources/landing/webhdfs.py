"""HDFS by WebHDFS (or HttpFS), with the `hdfs` package: one call a folder listed, one a piece of a file read.

Every call has its own timeout. A server that did not answer in time is not asked again for a while (deadlines.py), so
that of many files on a dead DataNode only the first is waited for.
"""

from __future__ import annotations

import getpass
import importlib
import logging
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import hdfs
import requests
import urllib3
from hdfs.util import HdfsError
from requests.adapters import HTTPAdapter

from nw_platform.deadlines import DeadlineError, patience_with
from nw_platform.errors import ConfigError
from nw_platform.sources.landing.files import RawFile, Stamp
from nw_platform.sources.landing.tree import Entry, TreeFiles

TIMEOUT_S: Final = 8.0  # to connect, and between bytes
_AHEAD: Final = 256 << 10  # read at least so much in one call: a look at a small file's beginning then reads it all
_OPTIONS: Final = {"user", "token", "proxy", "kerberos", "timeout", "verify", "cert", "mutual_auth"}
_MISSING: Final = frozenset({"FileNotFoundException"})
_REFUSED: Final = frozenset({"AccessControlException", "SecurityException"})


def webhdfs_files(url: str, options: Mapping[str, Any]) -> TreeFiles:
    """The landing zone at `webhdfs://host:port/path` or, with TLS, `swebhdfs://`; `host:port,host:port` for HA.

    Args:
        url: the landing zone.
        options: user (default HADOOP_USER_NAME, then the one that runs this), token (of delegation), proxy (the user to
            act for), kerberos (true), mutual_auth, timeout (seconds), verify (a file of certificates, or false), cert.

    Raises:
        ConfigError: an option is unknown, or needs a package that is not installed.
    """
    unknown = sorted(set(options) - _OPTIONS)
    if unknown:
        known = ", ".join(sorted(_OPTIONS))
        raise ConfigError(f"landing zone {url}: there is no option {unknown[0]!r}; the options are {known}")
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "swebhdfs" else "http"
    if not parts.netloc:
        raise ConfigError(f"landing zone {url}: it names no server, as in webhdfs://namenode:9870{parts.path}")
    addresses = ";".join(f"{scheme}://{host}" for host in parts.netloc.split(","))
    root = url.split("://", 1)[1][len(parts.netloc) :] or "/"
    return TreeFiles(_WebHdfs(_client(url, addresses, options)), root, url)


def _client(url: str, addresses: str, options: Mapping[str, Any]) -> hdfs.Client:
    session = requests.Session()
    timeout = float(options.get("timeout", TIMEOUT_S))
    session.mount("http://", _Patient(timeout))
    session.mount("https://", _Patient(timeout))
    session.headers["Accept-Encoding"] = "identity"  # a gateway must not pack what is read by byte ranges
    session.verify, session.cert = options.get("verify", True), options.get("cert")
    logging.getLogger("hdfs.client").setLevel(logging.CRITICAL)  # what it would say comes as an exception too
    shared = {"timeout": timeout, "session": session, "proxy": options.get("proxy")}
    if options.get("kerberos"):
        try:
            kerberos = importlib.import_module("hdfs.ext.kerberos")
        except ImportError:
            raise ConfigError(
                f"landing zone {url}: the option kerberos needs a package more; run pip install 'neverwinter[kerberos]'"
            ) from None
        return kerberos.KerberosClient(addresses, mutual_auth=options.get("mutual_auth", "OPTIONAL"), **shared)
    if options.get("token"):
        return hdfs.TokenClient(addresses, options["token"], **shared)
    user = options.get("user") or os.environ.get("HADOOP_USER_NAME") or getpass.getuser()
    return hdfs.InsecureClient(addresses, user=user, **shared)


class _Patient(HTTPAdapter):
    """Sends each request to its server, a redirected one too, unless that was silent a moment ago."""

    def send(self, request: requests.PreparedRequest, *args: Any, **options: Any) -> requests.Response:  # noqa: ANN401  (passed on)
        # Whatever goes wrong is a ConnectionError without the request's address in it: that holds the token.
        server = urlsplit(request.url or "").netloc
        patience = patience_with(server)
        try:
            patience.refuse_if_silent()
            return super().send(request, *args, **options)
        except DeadlineError as error:
            raise requests.ConnectionError(str(error)) from None
        except requests.Timeout:
            raise requests.ConnectionError(str(patience.was_silent(self._seconds))) from None
        except requests.exceptions.SSLError as error:
            raise requests.ConnectionError(f"{server} cannot be trusted: {_cause(error)}; see `verify`") from None
        except requests.ConnectionError as error:
            raise requests.ConnectionError(f"{server} cannot be reached: {_cause(error)}") from None

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds


def _cause(error: BaseException) -> str:
    """The innermost reason: `Connection refused`."""
    text = str(error).rstrip("')>\"")
    return text.rpartition("] ")[2] if "[Errno" in text or "[SSL" in text else text.rpartition(": ")[2]


class _WebHdfs:
    """See Tree."""

    def __init__(self, client: hdfs.Client) -> None:
        self._client = client

    def entries(self, folder: str) -> Iterable[Entry]:
        """See Tree."""
        found = _translated(lambda: self._client.list(folder, status=True))
        return [Entry(name, None if status["type"] == "DIRECTORY" else _stamp(status)) for name, status in found]

    def stamp(self, path: str) -> Stamp:
        """See Tree."""
        status = _translated(lambda: self._client.status(path))
        if status["type"] == "DIRECTORY":
            raise IsADirectoryError("it is a folder")
        return _stamp(status)

    def open(self, path: str) -> RawFile:
        """See Tree."""
        return _Pieces(self._client, path)


class _Pieces:
    """An open file: a call for each piece that is read. Nothing is held open between them."""

    def __init__(self, client: hdfs.Client, path: str) -> None:
        self._client, self._path = client, path
        self._position = 0
        self._ahead = b""
        self._ends = False  # where `_ahead` ends

    def read(self, size: int) -> bytes:
        """See RawFile."""
        if not self._ahead and not self._ends and size:
            wanted = max(size, _AHEAD)
            self._ahead = self._fetch(wanted)
            self._ends = len(self._ahead) < wanted
        data, self._ahead = self._ahead[:size], self._ahead[size:]
        self._position += len(data)
        return data

    def seek(self, position: int) -> None:
        """See RawFile."""
        if position != self._position:
            self._position, self._ahead, self._ends = position, b"", False

    def close(self) -> None:
        """See RawFile."""
        self._ahead = b""

    def _fetch(self, size: int) -> bytes:
        try:
            with self._client.read(self._path, offset=self._position, length=size) as response:
                data: bytes = response.read()
                return data
        except urllib3.exceptions.HTTPError as error:
            raise OSError(f"its server broke off at byte {self._position}: {_cause(error)}") from None
        except HdfsError as error:
            if "out of the range" in str(error):  # how it says that the file ends before
                return b""
            raise _error_of(error) from None


def _stamp(status: Mapping[str, Any]) -> Stamp:
    return Stamp(int(status["length"]), int(status["modificationTime"]) * 1_000_000, str(status.get("fileId") or ""))


def _translated(call: Any) -> Any:  # noqa: ANN401  (the package has no types)
    try:
        return call()
    except HdfsError as error:
        raise _error_of(error) from None


def _error_of(error: HdfsError) -> Exception:
    text = (str(error).splitlines() or [""])[0]
    kind = error.exception
    if kind in _MISSING:
        return FileNotFoundError(text)
    return PermissionError(text) if kind in _REFUSED else OSError(text)
