"""Maintenance windows: while one is in effect, what it covers opens no alert, and none is repeated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nw_platform.alerts.matching import Names, Timetable, stream_name
from nw_platform.record.hosts import plain_host
from nw_platform.streams.channels import Maintenance

__all__ = ["Window"]

_OF_HOSTS: Final = "silence"  # the check whose subjects are hosts


@dataclass(frozen=True, slots=True)
class Window:
    """One window: a span of time, a timetable, or a timetable within a span; and what it covers."""

    streams: Names
    checks: Names
    subjects: Names
    hosts: Names  # the same patterns, for subjects that are hosts
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
            hosts=Names.of(None if window.subjects is None else [plain_host(name) for name in window.subjects]),
            begin=begin,
            end=end,
            times=Timetable.of(window),
        )

    def is_on(self, now: int) -> bool:
        """Whether it is in effect at `now`."""
        return self.begin <= now < self.end and self.times.covers(now)

    def _holds(self, check: str, subject: str) -> bool:
        """Whether the subjects hold one: a host in any case, a file or an expectation as it is written."""
        return (self.hosts if check == _OF_HOSTS else self.subjects).hold(subject)

    def covers(self, *, stream: str, check: str, subject: str) -> bool:
        """Whether a finding is covered while the window is in effect."""
        return self.streams.hold(stream_name(stream)) and self.checks.hold(check) and self._holds(check, subject)
