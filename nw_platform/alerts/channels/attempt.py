"""One attempt to send: bounded in time, silent in logs, and its failure told without secrets.

What libraries say of a failure holds addresses, and addresses of incoming webhooks are secrets. So their errors are
neither shown nor chained: what went wrong is said here, from the kind of the error.
"""

from __future__ import annotations

import base64
import logging
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPException
from typing import Final, Generic, TypeVar
from urllib.parse import quote, quote_plus, urlsplit

from nw_platform.alerts.message import Message
from nw_platform.alerts.text import one_line
from nw_platform.deadlines import DeadlineError, Patience
from nw_platform.errors import DeliveryError, NeverwinterError
from nw_platform.streams.secrets import Secret

__all__ = ["TIMEOUT_S", "Outlet", "RefusedError", "attempt", "http_address", "scrub"]

TIMEOUT_S: Final = 10.0
# Libraries whose loggers name addresses, numbers and texts.
_TALKATIVE: Final = ("apprise", "requests", "twilio.http_client", "urllib3.connectionpool", "urllib3.util.retry")
_REASON_LIMIT: Final = 200
_SHORTEST_SECRET: Final = 4
_HTTP: Final = re.compile(r"https?://[^\s/]\S*\Z", re.IGNORECASE)

Declared = TypeVar("Declared")


class RefusedError(Exception):
    """The other side said no. `reason` holds no secret; `is_final`: it would say so again."""

    def __init__(self, reason: str, *, is_final: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_final = is_final


def attempt(channel: str, call: Callable[[], None]) -> None:
    """Run `call`, which sends, for at most `TIMEOUT_S`; what takes longer is left behind.

    Raises:
        DeliveryError: it did not return, or raised anything.
    """
    failure = _failure(channel, call)
    if failure is not None:
        # Not from within the handler: the error that was caught would be chained, and shown with a traceback.
        raise failure


def http_address(found: str, declared: Secret) -> str:
    """The address to call: `found`, which `declared` stands for, if it is one.

    Raises:
        RefusedError: it is no http(s) URL (an empty secret, say). The text names the reference, and not what was found.
    """
    address = found.strip()
    try:
        parts = urlsplit(address)
        is_one = bool(_HTTP.match(address) and parts.hostname and (parts.port is None or parts.port > 0))
    except ValueError:  # of an IPv6 address, or of a port
        is_one = False
    if not is_one:
        place = declared.reference or "its url"
        raise RefusedError(f"the address in {one_line(place)} is no http(s) URL", is_final=True)
    return address


class Outlet(Generic[Declared]):
    """What channels have in common: `send` makes one attempt at `_deliver`.

    Args:
        name: of the channel, for errors.
        declaration: what the configuration says of it; its secrets are read at the first message.
        link: the address of the Dagster UI, for messages that bring no link of their own.
        environ: where references to the environment are looked up; None: in this process's.
    """

    def __init__(
        self, name: str, declaration: Declared, link: str | None = None, environ: Mapping[str, str] | None = None
    ) -> None:
        self._name, self._declaration, self._link, self._environ = name, declaration, link, environ

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._name})"

    def send(self, message: Message) -> None:
        """Send a message, in at most 10 s. See `nw_platform.alerts.message.Channel`.

        Raises:
            DeliveryError: it did not arrive, or that is not known.
        """
        attempt(self._name, lambda: self._deliver(message))

    def close(self) -> None:
        """Hang up. May be called twice."""

    def _deliver(self, message: Message) -> None:
        raise NotImplementedError

    def _read(self, secret: str | Secret) -> str:
        """A text, or what a reference names.

        Raises:
            NeverwinterError: it cannot be read.
        """
        return secret.resolve(self._environ) if isinstance(secret, Secret) else secret


def scrub(text: str, *secrets: str | None) -> str:
    """A text of the other side as one short line, with our secrets in none of their usual spellings."""
    line = one_line(text)
    for secret in secrets:
        if secret is None or len(secret) < _SHORTEST_SECRET:
            continue
        encoded = base64.b64encode(secret.encode(errors="replace")).decode().rstrip("=")
        for spelling in (secret, one_line(secret), quote(secret, safe=""), quote(secret), quote_plus(secret), encoded):
            if spelling:
                line = line.replace(spelling, "**********")
    return one_line(line, _REASON_LIMIT)


def _failure(channel: str, call: Callable[[], None]) -> DeliveryError | None:
    try:
        Patience("the server").wait(TIMEOUT_S, _quietly(call))
    except RefusedError as error:
        return DeliveryError(f"channel {channel}: {error.reason}", is_final=error.is_final)
    except DeadlineError:
        return DeliveryError(f"channel {channel}: no answer within {TIMEOUT_S:g} s")
    except NeverwinterError as error:  # a secret that cannot be read: such a text holds none
        return DeliveryError(f"channel {channel}: {error}")
    except Exception as error:  # noqa: BLE001  (whatever a library raises: said by its kind, for its text may be secret)
        return DeliveryError(f"channel {channel}: {_reason(error)}")
    return None


def _reason(error: BaseException) -> str:
    """What went wrong, by the kind of what lies at the root; encryption is told first."""
    found = list(_roots(error))
    said = [_encryption(root) for root in found] + [_connection(root) for root in found]
    return next((reason for reason in said if reason), f"it could not be sent ({type(error).__name__})")


def _encryption(root: BaseException) -> str:
    if isinstance(root, ssl.SSLCertVerificationError):
        why = one_line(root.verify_message or "it cannot be verified", _REASON_LIMIT)
        return f"the server's certificate is refused: {why}; if it is right, name its authority's in ca_file"
    if isinstance(root, ssl.SSLError):
        return f"no encrypted connection: {one_line(root.reason or 'the handshake failed', _REASON_LIMIT)}"
    return ""


def _connection(root: BaseException) -> str:
    if isinstance(root, TimeoutError):
        return f"no answer within {TIMEOUT_S:g} s"
    if isinstance(root, socket.gaierror):
        return "the server's name is not known here; is it right, and does name resolution work?"
    if isinstance(root, OSError) and isinstance(root.errno, int) and root.strerror:
        return f"no connection to the server: {one_line(str(root.strerror), _REASON_LIMIT)}"
    if isinstance(root, ConnectionError | HTTPException):
        return "the connection broke before the server answered"
    return ""


def _roots(error: BaseException) -> Iterator[BaseException]:
    """The error and all that it was made of, the innermost last."""
    seen: set[int] = set()
    waiting: list[BaseException] = [error]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        parts = (getattr(one, "reason", None), one.__cause__, one.__context__, *one.args)
        waiting += [part for part in parts if isinstance(part, BaseException)]


class _Mute(logging.Filter):
    """Drops what is logged while anything is being sent, by all threads: Apprise sends on threads of its own."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._sending = 0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  (the protocol of the base class)
        return self._sending == 0

    def count(self, change: int) -> None:
        with self._lock:
            self._sending += change


_MUTE: Final = _Mute()


def _quietly(call: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        for name in _TALKATIVE:
            logging.getLogger(name).addFilter(_MUTE)  # once: a filter that is there is not added again
        _MUTE.count(1)
        try:
            call()
        finally:
            _MUTE.count(-1)

    return run
