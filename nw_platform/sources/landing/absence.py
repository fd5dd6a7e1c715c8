"""Contents that were not found: which of them may have unread bytes, and what is said of them.

It is derived from receipts (what was read, of which file, when) and the listing. What a hint file adds, when a content
was certainly there last, only spares findings and delays them: without it they come at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from nw_platform.record.hours import to_iso
from nw_platform.sources.contract import Problem
from nw_platform.sources.landing.files import Listing
from nw_platform.sources.landing.ledger import Content, Ledger

_MINUTE_US: Final = 60_000_000
GRACE_US: Final = 3 * _MINUTE_US  # for so long a content is looked for before a receipt says that it is gone
QUIET_US: Final = 10 * _MINUTE_US  # a file that was not written to for so long may be deleted
ROTATED_QUIET_US: Final = _MINUTE_US  # likewise one that was rotated already: its writer has let go of it
SEARCHED_US: Final = 7 * 24 * 60 * _MINUTE_US  # for so long it is looked for after a receipt said so
_MOST: Final = 100  # said by one plan; the next ones say the others


class Absences:
    """What one plan says of contents that are not where they were."""

    def __init__(self, ledger: Ledger, listing: Listing, now: int, *, growing: bool) -> None:
        self._ledger, self._listing, self._now, self._growing = ledger, listing, now, growing

    def note(self, contents: Iterable[Content]) -> None:
        """Note since when contents are not in their place; those that are again are forgotten."""
        before = self._ledger.lost_since
        self._ledger.lost_since = {c.key: before.get(c.key, self._now) for c in contents}

    def is_searched(self, content: Content) -> bool:
        """Return True if it is worth a search out of the glob's sight: for a while also if all of it seems read."""
        if self.may_have_more(content):
            return True
        is_plain = self._growing and content.codec is None and content.path == content.name
        return is_plain and self._now - self._ledger.lost_since.get(content.key, self._now) < GRACE_US

    def may_have_more(self, content: Content) -> bool:
        """Return True if a content that is not in its place may have bytes that were not read."""
        if content.damage is not None:
            return False
        if content.vanished is not None and self._now > content.vanished + SEARCHED_US:
            return False
        if content.is_unread():
            return True
        if not self._growing or content.codec is not None:
            return False
        quiet = self._last_there(content) - content.stamp.mtime_ns // 1000
        if content.path != content.name:
            return quiet < ROTATED_QUIET_US
        return quiet < QUIET_US or self._is_replaced(content)

    def _last_there(self, content: Content) -> int:
        """When it was there last. A receipt that does not say that it vanished was planned while it was there."""
        if content.key in self._ledger.missing:
            return self._ledger.missing[content.key]
        return max(self._ledger.last_there(content), self._ledger.planned - GRACE_US)

    def _is_replaced(self, content: Content) -> bool:
        """Return True if another file has its name: then it was in use, however quiet it was.

        Receipts of earlier versions do not tell files apart well enough to say so afterwards.
        """
        if not content.file_id:
            return False
        if content.is_replaced is not None:
            return content.is_replaced
        stamp = self._listing.files.get(content.path)
        return stamp is not None and bool(content.stamp.tag) and stamp.tag != content.stamp.tag

    def problems(self, contents: Iterable[Content]) -> Iterator[Problem]:
        """One for each of these contents that no receipt has named yet. Notes since when each is missing."""
        unreadable = tuple(p.source for p in self._listing.problems if p.kind == "unreadable")
        said = 0
        for content in contents:
            if content.vanished is not None or content.path.startswith(unreadable) or said == _MOST:
                continue
            if content.key not in self._ledger.missing:
                self._ledger.missing[content.key] = self._ledger.last_there(content)
                self._ledger.learned = True
            said += 1
            yield self._problem(content, self._ledger.missing[content.key])

    def _problem(self, content: Content, last_there: int) -> Problem:
        is_given_up = self._now - last_there >= GRACE_US
        unread = content.stamp.size - content.end if content.codec is None else 0
        is_taken = content.path in self._listing.files
        where = "another file has its name" if is_taken else "it is not there any more"
        certain = f"{unread:,} bytes of it are unread, and more" if unread > 0 else "what was appended later"
        if content.codec is not None:
            certain = "the rest of it"
        state = "was not found" if is_given_up else "is looked for"
        reason = (
            f"{content.path}: {where}, and what it held {state} ({content.stamp.size:,} bytes when it was last seen at "
            f"{to_iso(last_there)}, read up to byte {content.end:,}); {certain} may be lost: bring it back, or declare "
            "with `rotated:` where files are rotated to"
        )
        kind = "vanished" if is_given_up else "missing"
        return Problem(
            kind, content.name, content.end, reason, content.generation, max(content.end, content.stamp.size)
        )
