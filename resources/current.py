"""The configuration as its file says now: what runs use, as each reads it anew, and what must be judged by."""

from __future__ import annotations

from nw_platform.errors import ConfigError
from nw_platform.settings import Settings, load, written


class CurrentSettings:
    """Follows the file. One that cannot be used changes nothing (`nw watch` tells of it), nor does another lake."""

    def __init__(self, settings: Settings) -> None:
        """Does no I/O."""
        self._settings = settings
        self._written: tuple[int, int] | None = None

    def get(self) -> Settings:
        """The newest that could be used; the same object while nothing changed."""
        now = written(self._settings.path)
        if now is not None and now != self._written:
            first, self._written = self._written is None, now
            try:
                found = load(self._settings.path)
            except ConfigError:
                return self._settings
            if found.lake == self._settings.lake and not (first and found == self._settings):
                self._settings = found
        return self._settings
