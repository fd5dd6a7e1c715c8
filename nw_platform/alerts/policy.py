"""What the configuration says of alerts, made ready to be asked: who hears of what, when, and how often."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nw_platform.alerts.maintenance import Window
from nw_platform.alerts.matching import Names, Timetable, stream_name
from nw_platform.settings import Settings
from nw_platform.streams import channels as declared
from nw_platform.watchdog.findings import Severity

__all__ = ["Escalation", "Policy", "Route"]

_MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True)
class Escalation:
    """Who hears of an alert that nobody has acknowledged for a time."""

    after_us: int
    to: tuple[str, ...]  # names of channels

    @property
    def name(self) -> str:
        """How messages and the table speak of it: `30 min`. Escalations after the same time are one."""
        minutes, rest = divmod(self.after_us, _MINUTE_US)
        return f"{self.after_us // 1_000_000} s" if rest else f"{minutes} min"


@dataclass(frozen=True, slots=True)
class Route:
    """Which alerts go to some channels, and when."""

    severity: Severity | None
    streams: Names
    checks: Names
    times: Timetable
    to: tuple[str, ...]  # names of channels
    escalation: Escalation | None = None

    @classmethod
    def of(cls, route: declared.Route) -> Route:
        """What the configuration says."""
        later = route.escalate
        return cls(
            severity=route.severity,
            streams=Names.of(route.streams),
            checks=Names.of(route.checks),
            times=Timetable.of(route),
            to=route.to,
            escalation=Escalation(later.after_us, later.to) if later else None,
        )

    def takes(self, *, severity: Severity, stream: str, check: str) -> bool:
        """Whether an alert is for it, at times when it is in effect."""
        fits = self.severity is None or self.severity == severity
        return fits and self.streams.hold(stream_name(stream)) and self.checks.hold(check)


@dataclass(frozen=True, slots=True)
class Policy:
    """All that the state machine and the routing ask the configuration."""

    channels: tuple[str, ...] = ()  # names, in the order of the configuration
    routes: tuple[Route, ...] = ()
    reminder_us: int | None = 3_600_000_000  # None: nothing is repeated
    digest_over: int = 5
    maintenance: tuple[Window, ...] = ()
    link: str = ""  # address of the Dagster UI without a slash at its end; '': there are no links

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """What the configuration says."""
        alerts = settings.alerts
        return cls(
            channels=tuple(alerts.channels),
            routes=tuple(Route.of(route) for route in alerts.routes),
            reminder_us=alerts.reminder_us,
            digest_over=alerts.digest_over,
            maintenance=tuple(Window.of(window) for window in alerts.maintenance),
            link=(alerts.link or "").rstrip("/"),
        )

    def routes_at(self, now: int) -> Sequence[Route]:
        """The routes that are in effect at `now` (microseconds since the epoch), in order."""
        return [route for route in self.routes if route.times.covers(now)]

    def windows_at(self, now: int) -> Sequence[Window]:
        """The maintenance windows that are in effect at `now`."""
        return [window for window in self.maintenance if window.is_on(now)]
