"""Files that may still be written to: which are to be left alone for now, and until when."""

from __future__ import annotations

from typing import Final

from nw_platform.sources.landing.files import Listing, Stamp
from nw_platform.sources.landing.identity import stems
from nw_platform.sources.landing.unpack import codec_of

SETTLED_US: Final = 2_000_000


class Settling:
    """What one plan waits for."""

    def __init__(self, listing: Listing, now: int, *, growing: bool) -> None:
        self._listing, self._now, self._growing = listing, now, growing
        self.at: int | None = None  # microseconds: when the first of them is looked at again

    def waits(self, path: str, known: Stamp, settles_at: int | None, stamp: Stamp) -> bool:
        """Whether a file that had nothing whole when it had the stamp `known` is to be left alone; notes until when."""
        if known != stamp or (settles_at is not None and self._now >= settles_at):
            return False
        if settles_at is None and self._growing and codec_of(path) is None and self.follows_another(path):
            return False  # what it was rotated from may have come only now
        self.note(settles_at)
        return True

    def note(self, at: int | None) -> None:
        """Something is to be looked at again then."""
        if at is not None:
            self.at = at if self.at is None else min(at, self.at)

    def is_fresh(self, stamp: Stamp) -> bool:
        """Return True if a file changed so lately that it may be a copy or an archive in the making."""
        return self._now < settles_at(stamp, self._now)

    def follows_another(self, path: str) -> bool:
        """Whether this looks like the rotated file of one that is there: `a.log.1` beside `a.log`."""
        return any("." in stem.rpartition("/")[2] and stem in self._listing.files for stem in stems(path))


def settles_at(stamp: Stamp, seen: int) -> int:
    """When a file is settled that has had this stamp since `seen`, by its own time or by ours."""
    return min(stamp.mtime_ns // 1000, seen) + SETTLED_US if stamp.mtime_ns else seen + SETTLED_US
