"""The ping that tells an external service that alerts are still evaluated: it raises an alarm when the pings stop."""

from __future__ import annotations

from typing import Final

import requests

from nw_platform.errors import ConfigError
from nw_platform.streams.secrets import Secret

__all__ = ["ping"]

_TIMEOUT_S: Final = 10.0
_REFUSED: Final = 400


def ping(address: Secret | None) -> str:
    """Call the address, once. Returns what went wrong, in one line without the address, which is secret; '' if nothing.

    None: no address is configured, and nothing is called.
    """
    if address is None:
        return ""
    try:
        answer = requests.get(
            address.resolve(), timeout=_TIMEOUT_S, allow_redirects=False, headers={"User-Agent": "neverwinter"}
        )
    except ConfigError as error:
        return f"alerts.dead_man: {error}"
    except requests.RequestException as error:
        return f"alerts.dead_man does not answer ({type(error).__name__})"
    if answer.status_code >= _REFUSED:
        return f"alerts.dead_man answered with {answer.status_code}"
    return ""
