"""Ways out: everything that turns a message into bytes on a wire, a module each.

What is declared is in nw_platform/streams/channels.py; how an alert is worded, in nw_platform/alerts/text.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Final, cast

from nw_platform.alerts.message import Channel
from nw_platform.streams import channels as declared

__all__ = ["open_channel"]

# Each brings a library of its own, which takes up to a second to load: only what is declared is loaded.
_CLASSES: Final = {
    "slack": ("slack", "Slack"),
    "email": ("mail", "Email"),
    "snmp": ("snmp", "Snmp"),
    "sms": ("sms", "Sms"),
    "webhook": ("webhook", "Webhook"),
    "pagerduty": ("pagerduty", "PagerDuty"),
    "apprise": ("anyservice", "AnyService"),
}


def open_channel(
    name: str, declaration: declared.Channel, *, link: str | None = None, environ: Mapping[str, str] | None = None
) -> Channel:
    """A channel by its declaration. No secret is read and nothing is connected before the first message.

    Args:
        name: of the channel, for errors.
        declaration: what the configuration says of it.
        link: the address of the Dagster UI, for messages that bring no link of their own.
        environ: where references to the environment are looked up; by default this process's.
    """
    is_event = isinstance(declaration, declared.Webhook) and declaration.style == "pagerduty"
    module, name_of_class = _CLASSES["pagerduty" if is_event else declaration.kind]
    made = getattr(importlib.import_module(f"{__name__}.{module}"), name_of_class)
    return cast("Channel", made(name, declaration, link, environ))
