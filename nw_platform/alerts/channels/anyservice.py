"""Every other service: those that Apprise knows, a hundred and more."""

from __future__ import annotations

import os
import re
from typing import Final

import apprise

from nw_platform.alerts import text
from nw_platform.alerts.channels.attempt import Outlet, RefusedError
from nw_platform.alerts.channels.posting import trusted
from nw_platform.alerts.message import Message
from nw_platform.streams import channels as declared

__all__ = ["AnyService", "parted"]

_TITLE: Final = 200
_BODY: Final = 4000
_SECONDS: Final = 8.0  # connecting, and each wait for an answer
# What begins a mention or a tag in some service or other. Apprise escapes what the format of a service calls for; this
# is for those that read more than their format says.
_OPENERS: Final = re.compile(r"(?<=<)(?=[!@#/?A-Za-z])|(?<=@)(?=\w)|(?<=\])(?=[(\[])")
_KINDS: Final = {"error": apprise.NotifyType.FAILURE, "warn": apprise.NotifyType.WARNING}


class AnyService(Outlet[declared.Apprise]):
    """A service by its Apprise address."""

    def _deliver(self, message: Message) -> None:
        service = apprise.Apprise.instantiate(self._read(self._declaration.url), asset=_asset())
        if service is None:
            raise RefusedError("Apprise does not know such an address, or it is incomplete", is_final=True)
        service.socket_connect_timeout = service.socket_read_timeout = _SECONDS
        authorities = self._declaration.ca_file or os.environ.get("SSL_CERT_FILE")
        if authorities and service.verify_certificate:
            trusted(authorities)  # it says what is wrong with the file
            service.verify_certificate = authorities  # where requests takes a file, too
        first = message.events[0]
        kind = apprise.NotifyType.SUCCESS if first.transition == "resolved" else _KINDS[first.severity]
        sent = apprise.Apprise(services=[service]).notify(
            title=parted(text.headline(message, _TITLE)),
            body=parted(_body(message, self._link, service.body_maxlen)),
            notify_type=kind,
            body_format=apprise.NotifyFormat.TEXT,
        )
        if not sent:
            raise RefusedError("the service did not take it; Apprise does not say why", is_final=False)


def _asset() -> apprise.AppriseAsset:
    """Nothing of ours is kept on disk, no escape sequences and emojis are made of a text."""
    return apprise.AppriseAsset(
        app_id="Neverwinter",
        app_desc="Neverwinter",
        secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        interpret_escapes=False,
        interpret_emojis=False,
        async_mode=False,
    )


def _body(message: Message, link: str | None, most: int) -> str:
    """The long text if the service takes it whole, with room for what escaping adds; else the short one."""
    limit = min(_BODY, most) * 2 // 3
    whole = text.long_text(message, link, headed=False)
    return whole if len(whole) <= limit else text.short_text(message, limit, link)


def parted(said: str) -> str:
    """A text in which nothing begins a mention, a tag or a link."""
    return _OPENERS.sub("\u200b", said)
