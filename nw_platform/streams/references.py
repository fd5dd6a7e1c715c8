"""Names in a configuration that point to nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from nw_platform.streams.channels import PLATFORM, Alerts, Selection
from nw_platform.streams.document import KeyPath
from nw_platform.streams.names import CHECK_NAMES, PLATFORM_CHECK_NAMES
from nw_platform.streams.problems import ConfigProblem, nearest

__all__ = ["alert_problems", "unknown"]

_CHECKS: Final = (*CHECK_NAMES, *PLATFORM_CHECK_NAMES)


def unknown(what: str, name: str, names: Collection[str]) -> str:
    """What is said of a name that is none of `names`."""
    declared = f"declared are: {', '.join(names)}" if names else f"no {what} is declared"
    return f"found {name!r}, which is no {what}; {declared}{nearest(name, names)}"


def alert_problems(alerts: Alerts, streams: Sequence[str]) -> list[ConfigProblem]:
    """Channels, streams and checks that are none. A name with `*` or `?` may fit nothing yet."""
    found = []
    for number, route in enumerate(alerts.routes):
        path = ("alerts", "routes", number)
        found += _problems((*path, "to"), "channel", route.to, alerts.channels)
        later = route.escalate.to if route.escalate else ()
        found += _problems((*path, "escalate", "to"), "channel", later, alerts.channels)
    selections: dict[str, Sequence[Selection]] = {"routes": alerts.routes, "maintenance": alerts.maintenance}
    for key, parts in selections.items():
        for number, part in enumerate(parts):
            path = ("alerts", key, number)
            found += _problems((*path, "streams"), "stream", part.streams, (*streams, PLATFORM), wild="*?")
            found += _problems((*path, "checks"), "check", part.checks, _CHECKS, wild="*?")
    return found


def _problems(
    path: KeyPath, what: str, found: Sequence[str] | None, names: Collection[str], *, wild: str = ""
) -> list[ConfigProblem]:
    """Those of the list at `path` that are none of `names`, and hold no letter of `wild`."""
    return [
        ConfigProblem((*path, place), unknown(what, name, names))
        for place, name in enumerate(found or ())
        if name not in names and not set(wild) & set(name)
    ]
