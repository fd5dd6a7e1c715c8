"""E-mail over SMTP: text and HTML, one thread an alert."""

from __future__ import annotations

import contextlib
import html
import ipaddress
import re
import smtplib
import socket
from collections.abc import Mapping, Sequence
from email.header import Header
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Final
from urllib.parse import urlsplit

from nw_platform.alerts import text
from nw_platform.alerts.channels.attempt import TIMEOUT_S, Outlet, RefusedError, scrub
from nw_platform.alerts.channels.posting import trusted
from nw_platform.alerts.message import Message
from nw_platform.record.hours import to_datetime
from nw_platform.streams import channels as declared

__all__ = ["Email", "compose"]

_NO_ID: Final = re.compile(r"[^A-Za-z0-9._-]")
_PORTS: Final = {"smtp": 25, "smtps": 465}
_FINAL: Final = 500  # SMTP: 5xx is for good, 4xx for now
_GOODBYE_S: Final = 1.0
_WORD: Final = 60  # characters of a word that fits into a line of a header

Refusals = Mapping[str, tuple[int, bytes]]


class Email(Outlet[declared.Email]):
    """Addresses that one mail server takes messages for."""

    def _deliver(self, message: Message) -> None:
        mail = compose(message, self._declaration.sender, self._declaration.to, self._link)
        login = self._login()
        server = self._connected()
        try:
            self._log_in(server, login)
            recipients = [parseaddr(address)[1] for address in self._declaration.to]
            refused = server.send_message(mail, parseaddr(self._declaration.sender)[1], recipients)
        except smtplib.SMTPRecipientsRefused as error:
            refused = error.recipients
        except smtplib.SMTPException as error:
            raise _refusal(error, *login) from None
        finally:
            _hang_up(server)
        if refused:
            raise _recipients_refused(refused, len(self._declaration.to), *login)

    def _login(self) -> tuple[str, ...]:
        """The account and its password, or nothing."""
        if self._declaration.user is None or self._declaration.password is None:
            return ()
        return self._read(self._declaration.user), self._read(self._declaration.password)

    def _connected(self) -> smtplib.SMTP:
        """Connected, and encrypted unless the declaration says otherwise."""
        address = urlsplit(self._declaration.smtp)
        host, port = address.hostname or "", address.port or _PORTS[address.scheme]
        context = trusted(self._declaration.ca_file)
        us = _greeting()
        try:
            if address.scheme == "smtps":
                return smtplib.SMTP_SSL(host, port, us, timeout=TIMEOUT_S, context=context)
            server = smtplib.SMTP(host, port, us, timeout=TIMEOUT_S)
        except smtplib.SMTPException as error:
            raise _refusal(error) from None
        if self._declaration.starttls:
            try:
                server.starttls(context=context)
            except smtplib.SMTPException as error:
                server.close()
                raise _no_encryption(error) from None
            except BaseException:
                server.close()
                raise
        return server

    def _log_in(self, server: smtplib.SMTP, login: Sequence[str]) -> None:
        if not login:
            return
        encrypted = isinstance(server, smtplib.SMTP_SSL) or self._declaration.starttls
        if not encrypted and not _is_here(server):
            raise RefusedError(
                "no password is sent in the clear; leave out starttls: false, or use smtps://", is_final=True
            )
        if not all(part.isascii() for part in login):
            raise RefusedError("the account or its password holds a character that is not ASCII", is_final=True)
        server.login(login[0], login[1])


def compose(message: Message, sender: str, recipients: Sequence[str], link: str | None = None) -> EmailMessage:
    """The e-mail that a message is. The same message makes the same e-mail, headers and all.

    Its subject is the same for each transition of an alert but for what is in the brackets, which mail programs leave
    out when they compare subjects (RFC 5256); and each refers to the first (RFC 5322, In-Reply-To and References).
    """
    domain = _domain(sender)
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail.set_raw("Subject", _subject(text.headline(message)))
    mail["Date"] = format_datetime(to_datetime(max(event.time for event in message.events)))
    mail["Message-ID"] = _message_id(message.id, domain)
    if message.thread != message.id:
        mail["In-Reply-To"] = _message_id(message.thread, domain)
        mail["References"] = _message_id(message.thread, domain)
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Auto-Response-Suppress"] = "All"
    mail.set_content(text.long_text(message, link) + "\n", cte="quoted-printable")
    mail.add_alternative(_as_html(message, link), subtype="html", cte="quoted-printable")
    mail.set_boundary(f"=_{_NO_ID.sub('-', message.id)[:60]}")  # "=_" is in no quoted-printable text
    return mail


def _as_html(message: Message, link: str | None) -> str:
    first = message.events[0]
    parts = [f"<h3>{html.escape(text.headline(message))}</h3>"]
    if message.is_digest:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in text.summary(message))
        parts += [f"<ul>{items}</ul>", "<p>All of them: <code>nw alerts list</code></p>"]
    else:
        rows = "".join(
            f"<tr><th align=left>{html.escape(label)}</th><td>{html.escape(value)}</td></tr>"
            for label, value in text.facts(first)
        )
        parts += [f"<p>{html.escape(text.one_line(first.message, 2000))}</p>", f"<table>{rows}</table>"]
    address = text.link_of(message, link)
    if address:
        parts.append(f'<p><a href="{html.escape(address)}">{text.link_label(message)}</a></p>')
    parts.append(f"<p><small>id {html.escape(message.id)}</small></p>")
    return "<!DOCTYPE html>\n<html><body>\n" + "\n".join(parts) + "\n</body></html>\n"


def _subject(said: str) -> str:
    """A subject as it stands in the header: folded, and in encoded words (RFC 2047) where it has to be.

    The library's own way for whole messages breaks encoded words where it folds them.
    """
    said = said.replace("=?", "= ?")  # which begins an encoded word: in a log line it would be read as one
    is_plain = said.isascii() and all(len(word) <= _WORD for word in said.split())
    return Header(said, "us-ascii" if is_plain else "utf-8", header_name="Subject").encode()


def _message_id(name: str, domain: str) -> str:
    return f"<{_NO_ID.sub('-', name)}@{domain}>"


def _domain(sender: str) -> str:
    domain = parseaddr(sender)[1].rpartition("@")[2]
    try:
        return _NO_ID.sub("-", domain.encode("idna").decode("ascii")) or "neverwinter.invalid"
    except UnicodeError:
        return "neverwinter.invalid"


def _greeting() -> str:
    """Our name for the server. smtplib would look the full one up, which can take longer than all the rest."""
    name = socket.gethostname()
    return name if re.fullmatch(r"[A-Za-z0-9.-]+", name) else "localhost"


def _is_here(server: smtplib.SMTP) -> bool:
    peer = server.sock.getpeername()[0] if server.sock else ""
    return bool(peer) and ipaddress.ip_address(peer.partition("%")[0]).is_loopback


def _hang_up(server: smtplib.SMTP) -> None:
    """What was taken is taken, whatever the server says to a goodbye."""
    with contextlib.suppress(OSError, smtplib.SMTPException):
        if server.sock:
            server.sock.settimeout(_GOODBYE_S)
            server.quit()
    server.close()


def _no_encryption(error: smtplib.SMTPException) -> RefusedError:
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return RefusedError(
            "the mail server offers no STARTTLS; use smtps://, or say starttls: false if the way to it is safe",
            is_final=False,
        )
    return _refusal(error)


def _refusal(error: smtplib.SMTPException, *secrets: str) -> RefusedError:
    """What the server said, by its kind; `secrets` are left out of it."""
    if isinstance(error, smtplib.SMTPServerDisconnected):
        return RefusedError("the mail server hung up before it had taken the message", is_final=False)
    if isinstance(error, smtplib.SMTPResponseException):
        what = "the login" if isinstance(error, smtplib.SMTPAuthenticationError) else "the message"
        said = scrub(_decoded(error.smtp_error), *secrets)
        return RefusedError(
            f"the mail server refuses {what}: {error.smtp_code} {said}", is_final=error.smtp_code >= _FINAL
        )
    return RefusedError("the mail server does not offer what is needed to log in or to send this", is_final=False)


def _recipients_refused(refused: Refusals, of: int, *secrets: str) -> RefusedError:
    """Said once for all; tried again if one may be taken later. Those that were taken then get it once more."""
    address, (code, said) = next(iter(refused.items()))
    others = f" and {len(refused) - 1} more" if len(refused) > 1 else ""
    return RefusedError(
        f"the mail server refuses {len(refused)} of {of} recipients: {text.one_line(address, 100)}: {code} "
        f"{scrub(_decoded(said), *secrets)}{others}",
        is_final=all(code >= _FINAL for code, _ in refused.values()),
    )


def _decoded(said: bytes | str) -> str:
    return said.decode("utf-8", errors="replace") if isinstance(said, bytes) else said
