"""Real receivers on 127.0.0.1: HTTPS with certificates of its own, SMTP with STARTTLS and logins, snmptrapd."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nw_platform.alerts import mib
from nw_platform.alerts.alert import Event
from nw_platform.alerts.message import Message

MIB = Path(next(iter(mib.__path__)))
OPENED = 1_763_800_000_000_000  # 2025-11-22T08:26:40Z


def event(**changes: Any) -> Event:
    fields: dict[str, Any] = {
        "time": OPENED,
        "check": "silence",
        "asset": "logs/app",
        "stream": "app",
        "partition": "",
        "subject": "web-07",
        "severity": "error",
        "transition": "opened",
        "message": "web-07 is down: silent for 37 min, expected every 1 min",
        "opened": OPENED,
        "repair": "nw sql \"SELECT * FROM host_status WHERE host = 'web-07'\"",
        "since": OPENED - 37 * 60_000_000,
        "group": "fra1",
    } | changes
    fields.setdefault("key", "|".join((fields["check"], fields["asset"], fields["partition"], fields["subject"])))
    return Event(**fields)


def message(*events: Event, **changes: Any) -> Message:
    fields: dict[str, Any] = {"id": "0123456789abcdef0123456789abcdef", "events": events or (event(),)} | changes
    fields.setdefault("thread", fields["id"])
    return Message(**fields)


def storm(hosts: int = 500, **changes: Any) -> Message:
    """One data centre goes down, and a few hosts elsewhere."""
    events = [event(subject=f"web-{n:03}", group="fra1" if n < hosts - 20 else "ams2", **changes) for n in range(hosts)]
    return message(*events)


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    pytest.fail("it did not happen in time")


@dataclass
class Authority:
    """Signs certificates; `file` is its own."""

    folder: Path
    _key: Any = field(init=False)
    _certificate: Any = field(init=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._certificate = self._sign("a test authority", self._key.public_key(), is_authority=True)
        self.file.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    @property
    def file(self) -> Path:
        return self.folder / "authority.pem"

    def server_context(self, *names: str) -> ssl.SSLContext:
        """For a server whose certificate is for these names or addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(names[0], key.public_key(), names=names)
        path = self.folder / f"server-{names[0]}.pem"
        path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _sign(self, name: str, key: Any, *, is_authority: bool = False, names: tuple[str, ...] = ()) -> Any:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        issuer = subject if is_authority else self._certificate.subject
        now = dt.datetime.now(dt.UTC)
        day = dt.timedelta(days=1)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - day)
            .not_valid_after(now + day)
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if names:
            alternatives = [_alternative(one) for one in names]
            made = made.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        return made.sign(self._key, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@dataclass
class Received:
    path: str
    headers: dict[str, str]
    body: bytes


class HttpReceiver:
    """Takes what is posted to it, and answers `status` and `answer`."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        self.received: list[Received] = []
        self.status = 200
        self.answer = b"ok"
        self.headers: dict[str, str] = {}
        self.silent = threading.Event()  # while it is set, nothing is answered
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.port = self._server.server_address[1]
        self.address = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.silent.clear()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                receiver.received.append(Received(self.path, {k.lower(): v for k, v in self.headers.items()}, body))
                wait_until(lambda: not receiver.silent.is_set(), 60)
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(receiver.answer)))
                self.end_headers()
                self.wfile.write(receiver.answer)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def http_receiver(context: ssl.SSLContext | None = None) -> Iterator[HttpReceiver]:
    receiver = HttpReceiver(context)
    try:
        yield receiver
    finally:
        receiver.close()


class SmtpReceiver:
    """Takes mails; recipients that begin with `no-` are refused with 550, those with `later-` with 450."""

    def __init__(self, context: ssl.SSLContext | None, *, tls: str = "starttls", login: tuple[str, str] | None) -> None:
        self.mails: list[EmailMessage] = []
        self.envelopes: list[tuple[str, list[str]]] = []
        self._login = login
        options: dict[str, Any] = {"auth_require_tls": tls == "starttls"}  # TLS from the start it does not see
        if tls == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if login is not None:
            options |= {"authenticator": self._authenticate, "auth_required": True}
        self._controller = Controller(
            self,
            hostname="127.0.0.1",
            port=free_port(),
            ssl_context=context if tls == "smtps" else None,
            **options,
        )
        self._controller.start()
        self.port = self._controller.port

    def close(self) -> None:
        self._controller.stop()

    def _authenticate(self, _server: SMTP, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        return AuthResult(success=(data.login.decode(), data.password.decode()) == self._login, handled=False)

    async def handle_RCPT(  # noqa: N802  (the name that aiosmtpd calls)
        self, _server: SMTP, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address.startswith("no-"):
            return "550 5.1.1 no such mailbox"
        if address.startswith("later-"):
            return "450 4.2.1 try again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(  # noqa: N802  (the name that aiosmtpd calls)
        self, _server: SMTP, _session: Any, envelope: Any
    ) -> str:
        self.envelopes.append((envelope.mail_from, list(envelope.rcpt_tos)))
        self.mails.append(message_from_bytes(envelope.content, policy=default))  # type: ignore[arg-type]
        return "250 taken"


@contextmanager
def smtp_receiver(
    context: ssl.SSLContext | None = None, *, tls: str = "starttls", login: tuple[str, str] | None = None
) -> Iterator[SmtpReceiver]:
    receiver = SmtpReceiver(context, tls=tls, login=login)
    try:
        yield receiver
    finally:
        receiver.close()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class TrapReceiver:
    """A real snmptrapd with our MIB; what it prints is in `text()`."""

    def __init__(self, folder: Path, configuration: str) -> None:
        program = shutil.which("snmptrapd", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            missing("snmptrapd")
        folder.mkdir(parents=True)
        (folder / "snmptrapd.conf").write_text(configuration)
        self.port = free_port(socket.SOCK_DGRAM)
        self._printed = folder / "printed.txt"
        # Its own folders: it keeps what it knows of senders in them.
        environment = os.environ | {"SNMP_PERSISTENT_DIR": str(folder / "kept"), "SNMPCONFPATH": str(folder)}
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(
                [
                    program, "-f", "-n", "-Lo", "-C", "-c", str(folder / "snmptrapd.conf"),
                    "-M", f"{MIB}:{MIB / 'base'}", "-m", "NEVERWINTER-MIB:SNMPv2-MIB", "-OQ",
                    "-F", "%V|%P\\n%v\\n", "-p", str(folder / "pid"), f"udp:127.0.0.1:{self.port}",
                ],
                stdout=printed, stderr=subprocess.STDOUT, env=environment, cwd=folder,
            )  # fmt: skip
        wait_until(lambda: self._process.poll() is not None or "NET-SNMP version" in self.text())
        assert self._process.poll() is None, self.text()

    def text(self) -> str:
        return self._printed.read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(10)


@contextmanager
def trap_receiver(folder: Path, configuration: str) -> Iterator[TrapReceiver]:
    receiver = TrapReceiver(folder, configuration)
    try:
        yield receiver
    finally:
        receiver.close()


def missing(program: str) -> None:
    """Skips, or fails where services are required."""
    said = f"{program} is not installed; apt-get install snmp snmptrapd"
    if os.environ.get("NW_REQUIRE_SERVICES") == "1":
        pytest.fail(f"NW_REQUIRE_SERVICES=1, but {said}")
    pytest.skip(said)
