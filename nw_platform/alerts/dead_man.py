"""The ping that tells an external service that alerts are still evaluated: it raises an alarm when the pings stop."""

from __future__ import annotations

from typing import Final

import requests

from nw_platform.alerts.channels.attempt import RefusedError, attempt, http_address
from nw_platform.errors import DeliveryError
from nw_platform.streams.secrets import Secret

__all__ = ["ping"]

_TIMEOUT_S: Final = 10.0
_REFUSED: Final = 400
_NAME: Final = "alerts.dead_man"


def ping(address: Secret | None) -> str:
    """Call the address, once. Returns what went wrong, in one line without the address, which is secret; '' if nothing.

    None: no address is configured, and nothing is called.
    """
    if address is None:
        return ""
    try:
        attempt(_NAME, lambda: _call(address))  # silent in logs: those of libraries name addresses
    except DeliveryError as error:
        return str(error).removeprefix("channel ")
    return ""


def _call(address: Secret) -> None:
    url = http_address(address.resolve(), address)
    answer = requests.get(url, timeout=_TIMEOUT_S, allow_redirects=False, headers={"User-Agent": "neverwinter"})
    if answer.status_code >= _REFUSED:
        raise RefusedError(f"answered with {answer.status_code}", is_final=False)
