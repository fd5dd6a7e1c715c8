"""HTTP with what every channel needs of it: certificates verified, no redirect followed, bounded answers."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import requests
from requests import certs
from requests.adapters import HTTPAdapter

from nw_platform.alerts.channels.attempt import TIMEOUT_S, Declared, Outlet, RefusedError, http_address
from nw_platform.errors import ConfigError
from nw_platform.streams.secrets import Secret

__all__ = ["AnsweredError", "Poster", "PostingOutlet", "is_final_status", "said_of", "trusted", "trusting_session"]

_ANSWER_LIMIT: Final = 4096  # bytes of an answer that are read
_TRY_AGAIN: Final = frozenset({408, 425, 429})


def trusted(ca_file: str | None) -> ssl.SSLContext:
    """Verifies certificates and names, by the system's authorities (SSL_CERT_FILE replaces them) and `ca_file`.

    Raises:
        ConfigError: the file is not there, or holds no certificate.
    """
    context = ssl.create_default_context()
    paths = ssl.get_default_verify_paths()
    if paths.cafile is None and paths.capath is None:  # a small image without authorities of its own
        context.load_verify_locations(certs.where())
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # a file without certificates is an ssl.SSLError, which is one too
            why = "no certificate is in it" if Path(ca_file).is_file() else "it cannot be read"
            raise ConfigError(f"ca_file {ca_file}: {why}") from error
    return context


def trusting_session(ca_file: str | None) -> requests.Session:
    """A session that trusts as `trusted` says, and takes nothing from a netrc file."""
    session = requests.Session()
    session.auth = _as_it_is
    session.mount("https://", _Trusting(trusted(ca_file)))
    return session


def is_final_status(status: int) -> bool:
    """Whether asking again is useless: refused for what it is, or sent elsewhere."""
    return 300 <= status < 500 and status not in _TRY_AGAIN  # noqa: PLR2004  (kinds of HTTP statuses)


def said_of(status: int) -> str:
    """A status in words: `HTTP 404 Not Found`."""
    return f"HTTP {status} {http.client.responses.get(status, '')}".rstrip()


class Poster:
    """Posts JSON to one address. Safe for threads as far as connections are."""

    def __init__(self, ca_file: str | None) -> None:
        self._session = trusting_session(ca_file)

    def post(self, url: str, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> None:
        """Post.

        Raises:
            AnsweredError: the server answers with anything but 2xx.
        """
        sent = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "neverwinter", **(headers or {})}
        body = json.dumps(document, ensure_ascii=False).encode("utf-8", errors="replace")
        with self._session.post(
            url, data=body, headers=sent, timeout=TIMEOUT_S, allow_redirects=False, stream=True
        ) as response:
            is_taken = 200 <= response.status_code < 300  # noqa: PLR2004  (kinds of HTTP statuses)
            # What is taken is taken, whatever becomes of the answer; one that was read lets the connection go on.
            answer = "" if is_taken and not _is_short(response) else _beginning(response)
        if not is_taken:
            raise AnsweredError(response.status_code, answer)

    def close(self) -> None:
        """Hang up."""
        self._session.close()


def _is_short(response: requests.Response) -> bool:
    length = response.headers.get("Content-Length", "")
    return length.isdecimal() and int(length) <= _ANSWER_LIMIT


def _beginning(response: requests.Response) -> str:
    """What the server says, as far as it can be read."""
    try:
        return str(response.raw.read(_ANSWER_LIMIT, decode_content=True), "utf-8", errors="replace")
    except Exception:  # noqa: BLE001  (the status is what counts)
        return ""


class PostingOutlet(Outlet[Declared]):
    """A channel that posts JSON."""

    _poster: Poster | None = None

    def close(self) -> None:
        """Hang up."""
        if self._poster is not None:
            self._poster.close()

    def _address(self, url: Secret) -> str:
        """Where to post.

        Raises:
            NeverwinterError: it cannot be read.
            RefusedError: it is no http(s) URL.
        """
        return http_address(self._read(url), url)

    def _posting(self, ca_file: str | None) -> Poster:
        """The one poster of this channel, made at the first message."""
        self._poster = self._poster or Poster(ca_file)
        return self._poster


class AnsweredError(RefusedError):
    """A server answered with another status than 2xx. `answer`: the beginning of what it says, not yet scrubbed."""

    def __init__(self, status: int, answer: str) -> None:
        reason = f"the server answers {said_of(status)}"
        if 300 <= status < 400:  # noqa: PLR2004  (kinds of HTTP statuses)
            reason += ": redirects are not followed; declare the address it leads to"
        super().__init__(reason, is_final=is_final_status(status))
        self.status = status
        self.answer = answer


class _Trusting(HTTPAdapter):
    """Connections by a context of ours; the certificates that requests brings are not added to it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401  (as in the base class)
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401  (as in the base class)
        return super().proxy_manager_for(*args, **kwargs, ssl_context=self._context)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ANN401, ARG002  (as in the base class)
        conn.cert_reqs = "CERT_REQUIRED"


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request
