"""One plan: what of the listed files is to be read next.

Old files cost a look at their stamp only. A file with another stamp, or under an unknown name, is looked into: see
identity.py. What may still be written to waits:
    - a line without its end, in a growing stream, until the end comes or the file was rotated away;
    - the last record of a growing multi-line stream, a rotated file, a copy or archive in the making: until the file
      has not changed for `SETTLED_US`, by its modification time and by when it was first seen so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from nw_platform.errors import SourceError
from nw_platform.record.spans import Span
from nw_platform.sources.contract import Budget, Plan, Problem
from nw_platform.sources.landing.files import Files, Listing, Stamp
from nw_platform.sources.landing.fingerprint import head_hash, head_length, incarnation_of
from nw_platform.sources.landing.identity import Orphans, Peek, match, peek, stems
from nw_platform.sources.landing.ledger import Content, Ledger
from nw_platform.sources.landing.unpack import codec_of

SETTLED_US: Final = 2_000_000
_SEARCHED: Final = 1 << 20  # bytes looked through at a time for a line's end
_SMALLEST: Final = 64 << 10  # bytes that a span is planned for at least


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A file whose content is not known yet."""

    path: str
    stamp: Stamp


class Planner:
    """Makes one plan."""

    def __init__(
        self,
        files: Files,
        ledger: Ledger,
        listing: Listing,
        now: int,
        budget: Budget,
        *,
        growing: bool,
        failed: Mapping[str, Stamp] = MappingProxyType({}),
    ) -> None:
        self._failed = failed  # files that could not be read as they are now: they come last
        self._files, self._ledger, self._listing = files, ledger, listing
        self._now, self._growing = now, growing
        self._problems = list(listing.problems)
        self._spans: list[Span] = []
        self._names: set[str] = set()
        self._left_bytes, self._left_spans = budget.bytes, budget.spans
        self._left_records = float(budget.records)
        self._average = max(1.0, ledger.bytes / ledger.records) if ledger.records else 0.0
        self._displaced: set[tuple[str, int]] = set()
        self._settles_at: int | None = None

    def plan(self) -> Plan:
        """The next batch."""
        unread, unknown = self._compare()
        orphans = (
            Orphans(self._ledger, self._listing.files, self._displaced) if self._may_have_orphans(unknown) else None
        )
        if orphans and self._listing.others:
            unread += self._rotated_out_of_sight(orphans)
        more = False
        waiting: list[Content | _Unknown] = [*unread, *unknown]
        for what in sorted(waiting, key=self._turn):
            if not self._has_room():
                more = True
                break
            try:
                added = self._add(what) if isinstance(what, Content) else self._add_unknown(what, orphans)
            except SourceError as error:
                self._problems.append(Problem("unreadable", what.path, 0, f"{error}; the other files go on"))
                continue
            more = more or not added
        return Plan(
            tuple(self._spans),
            tuple(self._problems),
            more or self._cut_short(),
            self._settles_at,
            oldest=min((span.state["mtime"] for span in self._spans), default=None),
        )

    def _turn(self, what: Content | _Unknown) -> tuple[bool, int, str]:
        """Oldest first; those that could not be read after all others."""
        return self._failed.get(what.path) == what.stamp, what.stamp.mtime_ns, what.path

    def _compare(self) -> tuple[list[Content], list[_Unknown]]:
        """Known contents with something to read, and files to look into."""
        unread: list[Content] = []
        unknown: list[_Unknown] = []
        by_path, nothing_in = self._ledger.by_path, self._ledger.nothing_in
        changed: list[tuple[Content, Stamp]] = []
        for path, stamp in self._listing.files.items():
            content = by_path.get(path)
            if content is None:
                if stamp.size and not (path in nothing_in and self._waits(path, *nothing_in[path], stamp)):
                    unknown.append(_Unknown(path, stamp))
            elif content.stamp == stamp:
                if content.damage is not None:
                    self._problems.append(Problem("damaged", path, *content.damage))
                elif content.is_unread() and not (content.idle and self._waits(path, stamp, content.settles_at, stamp)):
                    unread.append(content)
            else:
                changed.append((content, stamp))
        for content, stamp in changed:
            self._compare_changed(content, stamp, unread, unknown)
        return unread, unknown

    def _compare_changed(self, content: Content, stamp: Stamp, unread: list[Content], unknown: list[_Unknown]) -> None:
        path = content.path
        thoroughly = not self._growing or stamp.size == content.end
        try:
            found = match(self._files, path, stamp, content, thoroughly=thoroughly)
        except SourceError as error:
            self._problems.append(Problem("unreadable", path, content.end, f"{error}; the other files go on"))
            return
        if found is None:
            self._displaced.add(content.key)
            if stamp.size and not (
                path in self._ledger.nothing_in and self._waits(path, *self._ledger.nothing_in[path], stamp)
            ):
                unknown.append(_Unknown(path, stamp))
            return
        content.see(path, stamp, self._now, exhausted=found.exhausted)
        self._ledger.learned |= thoroughly
        if content.is_unread():
            unread.append(content)

    def _waits(self, path: str, known: Stamp, settles_at: int | None, stamp: Stamp) -> bool:
        """Whether a file that had nothing whole when it had the stamp `known` is to be left alone."""
        if known != stamp or (settles_at is not None and self._now >= settles_at):
            return False
        if settles_at is None and self._growing and codec_of(path) is None and self._follows_another(path):
            return False  # what it was rotated from may have come only now
        self._say_settles(settles_at)
        return True

    def _follows_another(self, path: str) -> bool:
        """Whether this looks like the rotated file of one that is there: `a.log.1` beside `a.log`."""
        return any("." in stem.rpartition("/")[2] and stem in self._listing.files for stem in stems(path))

    def _say_settles(self, at: int | None) -> None:
        if at is not None:
            self._settles_at = at if self._settles_at is None else min(at, self._settles_at)

    def _may_have_orphans(self, unknown: list[_Unknown]) -> bool:
        return bool(self._ledger.contents) and bool(unknown or self._displaced or self._listing.others)

    def _rotated_out_of_sight(self, orphans: Orphans) -> Iterator[Content]:
        """Contents that were rotated to a name that the glob does not match, with something unread in them."""
        for path in self._listing.others:
            wanted = [
                content
                for stem in stems(path)
                for content in orphans.by_name.get(stem, ())
                if self._growing or content.is_unread()
            ]
            if not wanted:
                continue
            try:
                stamp = self._files.stat(path)
                content = self._among(wanted, path, stamp)
            except SourceError as error:
                self._problems.append(Problem("unreadable", path, 0, f"{error}; the other files go on"))
                continue
            if content is None:
                self._ledger.nothing_in[path] = (stamp, None)
                continue
            orphans.remove(content)
            if content.is_unread() and not (content.idle and self._waits(path, stamp, content.settles_at, stamp)):
                yield content

    def _among(self, wanted: list[Content], path: str, stamp: Stamp) -> Content | None:
        for content in wanted:
            if content.path == path and content.stamp == stamp:
                return content
        if self._ledger.nothing_in.get(path) == (stamp, None):
            return None
        for content in wanted:
            found = match(self._files, path, stamp, content, thoroughly=True)
            if found is not None:
                self._ledger.move(content, path, stamp, self._now, exhausted=found.exhausted)
                self._ledger.learned = True
                return content
        return None

    def _has_room(self) -> bool:
        return self._left_spans > 0 and self._left_bytes > 0 and self._left_records >= 1

    def _cut_short(self) -> bool:
        """Whether a planned span does not reach the end of its file, or may not: what is packed does not say."""
        return any("codec" in span.state or span.end < span.state["stamp"][0] for span in self._spans)

    def _add_unknown(self, file: _Unknown, orphans: Orphans | None) -> bool:
        """Plan a file whose content is not known. False: it is left for the next batch."""
        path, stamp = file.path, file.stamp
        seen = peek(self._files, path, stamp)
        if not seen.first and not seen.damaged:
            self._ledger.nothing_in[path] = (stamp, None)
            return True
        if self._is_in_the_making(file, seen):
            return True
        for content in orphans.like(seen.first, path) if orphans else ():
            found = match(self._files, path, stamp, content, thoroughly=True)
            if found is not None:
                self._ledger.move(content, path, stamp, self._now, exhausted=found.exhausted)
                self._ledger.learned = True
                if orphans:
                    orphans.remove(content)
                return self._add(content, seen) if content.is_unread() else True
        generation = self._ledger.generations.get(path, 0)
        length = head_length(len(seen.first))
        content = Content(
            name=path,
            generation=generation,
            incarnation=incarnation_of(path, generation, seen.first),
            path=path,
            stamp=stamp,
            end=0,
            head=(length, head_hash(seen.first, length)),
            mark=None,
            codec=codec_of(path),
            exhausted=False,
            header=None,
            damage=None,
            seen=self._now,
        )
        return self._add(content, seen)

    def _is_in_the_making(self, file: _Unknown, seen: Peek) -> bool:
        """Whether it may be an archive or a copy that is just being made of a file that is still there."""
        settles_at = _settles_at(file.stamp, self._now)
        if self._now >= settles_at:
            return False
        packed = codec_of(file.path) is not None
        for stem in stems(file.path):
            original = self._ledger.by_path.get(stem)
            if stem not in self._listing.files or not (packed or self._growing):
                continue
            alike = original is not None and head_hash(seen.first, original.head[0]) == original.head[1]
            if alike or (packed and original is None):
                self._ledger.nothing_in[file.path] = (file.stamp, settles_at)
                self._say_settles(settles_at)
                return True
        return False

    def _add(self, content: Content, seen: Peek | None = None) -> bool:
        """Plan what is unread of a content. False: it is left for the next batch."""
        if content.name in self._names:
            return False
        packed = content.codec is not None
        growing = self._growing and not packed
        rotated = content.path != content.name or self._follows_another(content.path)
        settles_at = _settles_at(content.stamp, content.seen)
        settled = self._now >= settles_at
        whole = not growing or (rotated and settled)
        if not whole and not self._has_line_end(content):
            self._wait(content, None if settled or not rotated else settles_at)
            return True
        average = self._average or _average(seen)
        unread = (seen.size if seen else content.stamp.size) - content.end
        room = min(self._left_bytes, int(self._left_records * average) + 1)
        # What is packed does not say how much is left: as much as was read already, so that pieces soon are large.
        size = min(room, max(unread, content.end, _SMALLEST) if packed else unread if unread > 0 else _SMALLEST)
        state: dict[str, Any] = {
            "path": content.path,
            "stamp": list(content.stamp),
            "mtime": content.stamp.mtime_ns // 1000 or self._now,
            "head": list(content.head),
            "mark": list(content.mark) if content.mark else None,
            "whole": whole,
            "settled": settled,
            "settles_at": settles_at,
            "most": int(self._left_records) + 1,
        }
        if packed:
            state["codec"] = content.codec
        if content.header is not None:
            state["header"] = content.header
        end = content.end + size
        self._spans.append(Span(content.name, content.generation, content.end, end, content.incarnation, state=state))
        self._names.add(content.name)
        self._left_spans -= 1
        self._left_bytes -= size
        self._left_records -= size / average
        return True

    def _wait(self, content: Content, settles_at: int | None) -> None:
        """Nothing of it is whole; it is looked at again when its stamp changes, or at `settles_at`."""
        if content.key in self._ledger.contents:
            content.idle, content.settles_at = True, settles_at
        else:
            self._ledger.nothing_in[content.path] = (content.stamp, settles_at)
        self._say_settles(settles_at)

    def _has_line_end(self, content: Content) -> bool:
        raw = self._files.open(content.path)
        try:
            raw.seek(content.end)
            left = content.stamp.size - content.end
            while left > 0 and (data := raw.read(min(left, _SEARCHED))):
                if b"\n" in data:
                    return True
                left -= len(data)
            return False
        finally:
            raw.close()


def _settles_at(stamp: Stamp, seen: int) -> int:
    return min(stamp.mtime_ns // 1000, seen) + SETTLED_US if stamp.mtime_ns else seen + SETTLED_US


def _average(seen: Peek | None) -> float:
    """Bytes a record, roughly."""
    return max(1.0, len(seen.first) / (seen.first.count(b"\n") + 1)) if seen and seen.first else 100.0
