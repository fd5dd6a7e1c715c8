"""Text messages by Twilio's API."""

from __future__ import annotations

from typing import Final

from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from nw_platform.alerts import text
from nw_platform.alerts.channels.attempt import TIMEOUT_S, Outlet, RefusedError, scrub
from nw_platform.alerts.channels.posting import is_final_status, said_of, trusting_session
from nw_platform.alerts.message import Message
from nw_platform.streams import channels as declared

__all__ = ["Sms"]

_WANTED: Final = 320  # characters: two or three parts on the phone
_MOST: Final = 1600  # what Twilio takes


class Sms(Outlet[declared.Sms]):
    """Telephone numbers."""

    _http: TwilioHttpClient | None = None

    def close(self) -> None:
        """Hang up."""
        if self._http is not None:
            self._http.session.close()

    def _deliver(self, message: Message) -> None:
        account, token = self._read(self._declaration.account), self._read(self._declaration.token)
        if self._http is None:
            self._http = TwilioHttpClient(timeout=TIMEOUT_S)
            self._http.session = trusting_session(self._declaration.ca_file)
        client = Client(account, token, http_client=self._http)
        if self._declaration.url is not None:
            client.api.base_url = self._declaration.url
        said = body(message, self._link)
        refused = []
        for recipient in self._declaration.to:
            try:
                client.messages.create(to=recipient, from_=self._declaration.sender, body=said)
            except TwilioRestException as error:
                refused.append((recipient, error))
        if refused:
            raise _refusal(refused, len(self._declaration.to), account, token)


def body(message: Message, link: str | None = None) -> str:
    """What the phone shows: a short text that ends with the id; a link only where it fits in."""
    return text.short_text(message, min(_MOST, max(_WANTED, len(message.id) + 100)), link)


def _refusal(refused: list[tuple[str, TwilioRestException]], of: int, *secrets: str) -> RefusedError:
    """Tried again if one may be taken later; those that were taken then get it once more."""
    recipient, error = refused[0]
    status = said_of(error.status)
    code = f", error {error.code}" if error.code else ""
    return RefusedError(
        f"{len(refused)} of {of} numbers are refused: {text.one_line(recipient, 40)}: {status}{code}: "
        f"{scrub(str(error.msg), *secrets)}",
        is_final=all(is_final_status(error.status) for _, error in refused),
    )
