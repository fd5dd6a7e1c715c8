"""Maintenance windows: while one is in effect, what it covers opens no alert, and none is repeated."""

from __future__ import annotations

from dataclasses import dataclass

from nw_platform.alerts.matching import Names, Timetable, stream_name
from nw_platform.streams.channels import Maintenance

__all__ = ["Window"]


@dataclass(frozen=True, slots=True)
class Window:
    """One window: a span of time, a timetable, or a timetable within a span; and what it covers."""

    streams: Names
    checks: Names
    subjects: Names
    begin: int  # microseconds since the epoch
    end: int  # it is over then
    times: Timetable

    @classmethod
    def of(cls, window: Maintenance) -> Window:
        """What the configuration says."""
        begin, end = window.span()
        return cls(
            streams=Names.of(window.streams),
            checks=Names.of(window.checks),
            subjects=Names.of(window.subjects),
            begin=begin,
            end=end,
            times=Timetable.of(window),
        )

    def is_on(self, now: int) -> bool:
        """Whether it is in effect at `now`."""
        return self.begin <= now < self.end and self.times.covers(now)

    def covers(self, *, stream: str, check: str, subject: str) -> bool:
        """Whether a finding is covered while the window is in effect."""
        return self.streams.hold(stream_name(stream)) and self.checks.hold(check) and self.subjects.hold(subject)
