"""Holds a listing against the ledger: which contents have something unread, which files are not known, what is lost.

Old files cost a look at their stamp only. A file with another stamp, or under an unknown name, is looked into (see
identity.py). A content that is not where it was is looked for by the id of its file, by names that rotation gives, and
by what it holds: among the files of the glob, beside them, and where the stream says that its files are rotated to.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from nw_platform.errors import SourceError
from nw_platform.files.identity import Old, Verdict
from nw_platform.sources.contract import Problem
from nw_platform.sources.landing.absence import Absences
from nw_platform.sources.landing.elsewhere import Elsewhere
from nw_platform.sources.landing.files import Files, Listing, Stamp
from nw_platform.sources.landing.globs import Glob
from nw_platform.sources.landing.identity import Judgement, Lost, judge
from nw_platform.sources.landing.ledger import Content, Ledger
from nw_platform.sources.landing.settling import Settling
from nw_platform.sources.landing.unpack import codec_of


@dataclass(frozen=True, slots=True)
class Unknown:
    """A file whose content is not known yet."""

    path: str
    stamp: Stamp
    like: Content | None = None  # it begins with all that was read of this content, and is not proven to be it


@dataclass(slots=True)
class _Replaced:
    """A known name with another file in it, which holds all that was read of the file before."""

    content: Content
    path: str
    stamp: Stamp
    judgement: Judgement


@dataclass(slots=True)
class Recognised:
    """What a listing means."""

    unread: list[Content] = field(default_factory=list)
    unknown: list[Unknown] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    lost: Lost = field(default_factory=lambda: Lost(()))


class Recognition:
    """One listing."""

    def __init__(
        self,
        files: Files,
        ledger: Ledger,
        listing: Listing,
        now: int,
        settling: Settling,
        *,
        growing: bool,
        rotated: Sequence[Glob] = (),
    ) -> None:
        self._files, self._ledger, self._listing = files, ledger, listing
        self._now, self._growing, self._settling = now, growing, settling
        self._elsewhere = Elsewhere(files, ledger, listing, rotated)
        self._absences = Absences(ledger, listing, now, growing=growing)
        self._result = Recognised(problems=list(listing.problems))
        self._second: set[str] = set()  # further names of files with hard links
        self._displaced: dict[tuple[str, int], Content] = {}
        self._replaced: list[_Replaced] = []

    def recognise(self) -> Recognised:
        """Compare, search, and say what is missing. Moves contents in the ledger to where they were found."""
        self._drop_second_names()
        self._compare()
        self._result.lost = Lost(self._contents_not_in_place())
        self._absences.note(self._result.lost.contents.values())
        if self._result.lost:
            self._search_in_glob()
            self._search_elsewhere()
        self._settle_replaced()
        self._result.problems += self._absences.problems(self._wanted())
        return self._result

    def _drop_second_names(self) -> None:
        """Of the names of one file, keep the one that it is known by, else the shortest."""
        by_id: dict[tuple[int, int], list[str]] = {}
        for path, identity in self._listing.twins:
            if path in self._listing.files:
                by_id.setdefault(identity, []).append(path)
        for paths in by_id.values():
            kept = min(paths, key=lambda path: (not self._is_known(path), len(path), path))
            self._second.update(path for path in paths if path != kept)
        for path in self._second:
            del self._listing.files[path]

    def _is_known(self, path: str) -> bool:
        content = self._ledger.by_path.get(path)
        return content is not None and content.stamp.tag == self._listing.files[path].tag

    def _compare(self) -> None:
        by_path, nothing_in, result = self._ledger.by_path, self._ledger.nothing_in, self._result
        waits = self._settling.waits
        changed: list[tuple[Content, Stamp]] = []
        for path, stamp in self._listing.files.items():
            content = by_path.get(path)
            if content is None:
                if stamp.size and not (path in nothing_in and waits(path, *nothing_in[path], stamp)):
                    result.unknown.append(Unknown(path, stamp))
            elif content.stamp == stamp:
                if content.damage is not None:
                    result.problems.append(Problem("damaged", path, *content.damage))
                elif content.is_unread() and not (content.idle and waits(path, stamp, content.settles_at, stamp)):
                    result.unread.append(content)
            else:
                changed.append((content, stamp))
        for content, stamp in changed:
            try:
                self._compare_changed(content, stamp)
            except SourceError as error:
                reason = f"{error}; the other files go on"
                result.problems.append(Problem("unreadable", content.path, content.end, reason))

    def _compare_changed(self, content: Content, stamp: Stamp) -> None:
        """A known name has another stamp: its file has grown, was touched, or is another one."""
        thoroughly = not self._growing or stamp.size == content.end
        judgement = judge(self._files, content.path, stamp, content, old=Old.GONE, thoroughly=thoroughly)
        is_other_file = bool(content.stamp.tag) and content.stamp.tag != stamp.tag
        if judgement.is_same and is_other_file and self._files.tags_are_ids:
            self._replaced.append(_Replaced(content, content.path, stamp, judgement))
            self._ledger.note_displaced(content, judgement.file_id)
            self._displaced[content.key] = content
        elif judgement.is_same:
            self._take(content, content.path, stamp, judgement)
            self._ledger.learned |= thoroughly
        else:
            self._displace(content, stamp, content if judgement.verdict is Verdict.NEW_IN_DOUBT else None)

    def _take(self, content: Content, path: str, stamp: Stamp, judgement: Judgement) -> None:
        """The content is here, and as the stamp says."""
        content.see(path, stamp, self._now, exhausted=judgement.exhausted)
        content.file_id = judgement.file_id
        if content.is_unread():
            self._result.unread.append(content)

    def _displace(self, content: Content, stamp: Stamp, like: Content | None) -> None:
        """Its file holds another content, which is to be looked into."""
        path, nothing_in = content.path, self._ledger.nothing_in
        self._displaced[content.key] = content
        self._ledger.note_displaced(content, self._files.identify(path, stamp).id)
        if stamp.size and not (path in nothing_in and self._settling.waits(path, *nothing_in[path], stamp)):
            self._result.unknown.append(Unknown(path, stamp, like))

    def _contents_not_in_place(self) -> Iterator[Content]:
        gone = self._ledger.by_path.keys() - self._listing.files.keys() - self._second
        yield from (self._ledger.by_path[path] for path in gone)
        yield from (c for c in self._ledger.homeless.values() if c.path not in self._second)
        yield from self._displaced.values()

    def _wanted(self) -> list[Content]:
        """Lost contents that may have something unread."""
        return [c for c in self._result.lost.contents.values() if self._absences.may_have_more(c)]

    def _search_in_glob(self) -> None:
        """Find lost contents among files of the glob, by id and by name; what else they hold is looked at later."""
        # A chain of renames puts known files under known names: their ids say which is which.
        self._replaced = [r for r in self._replaced if not self._recognise(Unknown(r.path, r.stamp), by_id_alone=True)]
        unknown, self._result.unknown = self._result.unknown, []
        for file in unknown:
            if not self._recognise(file):
                self._result.unknown.append(file)

    def _recognise(self, file: Unknown, *, by_id_alone: bool = False) -> bool:
        for content in self._result.lost.by_id_or_name(file.path, file.stamp):
            if by_id_alone and content.stamp.tag != file.stamp.tag:
                continue
            if codec_of(file.path) is not None and self._settling.is_fresh(file.stamp):
                return False  # an archive may be in the making: see Planner
            try:
                judgement = judge(self._files, file.path, file.stamp, content, old=self._ledger.old_of(content))
            except SourceError:
                return False  # reading it says so
            if judgement.is_same:
                self.find(content, file.path, file.stamp, judgement)
                return True
        return False

    def find(self, content: Content, path: str, stamp: Stamp, judgement: Judgement) -> None:
        """A lost content is in this file."""
        was_at_home = content.path == content.name
        self._ledger.move(content, path, stamp, self._now, exhausted=judgement.exhausted)
        self._ledger.learned = True
        self._result.lost.remove(content)
        self._displaced.pop(content.key, None)
        content.file_id = judgement.file_id
        if self._growing and (was_at_home or content.vanished is not None):
            self._ledger.remember(content)
        if content.is_unread():
            self._result.unread.append(content)

    def is_found_elsewhere(self, content: Content) -> bool:
        """Look for one lost content out of the glob's sight, too; moves it to where it is."""
        if content.key not in self._result.lost.contents:
            return True
        stamp = self._elsewhere.stamp_of(content)
        if stamp is not None and self._follow(content, stamp):
            return True
        for candidate, _, judgement in list(self._elsewhere.holders([content])):
            self.find(content, candidate.path, candidate.stamp, judgement)
            return True
        return False

    def _search_elsewhere(self) -> None:
        """Find lost contents in files that the glob does not match."""
        wanted = []
        searched = [c for c in self._result.lost.contents.values() if self._absences.is_searched(c)]
        for content in searched:
            stamp = self._elsewhere.stamp_of(content)
            if stamp is None or not self._follow(content, stamp):
                wanted.append(content)
        is_rotating = bool(wanted) or self._ledger.is_rotating
        for candidate, content, judgement in list(self._elsewhere.holders(wanted)):
            self.find(content, candidate.path, candidate.stamp, judgement)
        if is_rotating and self._growing:
            between = [Unknown(file.path, file.stamp) for file in self._elsewhere.never_read(self._settling)]
            self._result.unknown += [file for file in between if not self._recognise(file)]
        self._ledger.is_rotating = is_rotating

    def _follow(self, content: Content, stamp: Stamp) -> bool:
        """Look at a content that was found out of sight before. False: it is not there any more."""
        if self._files.tags_are_ids and stamp.tag != content.stamp.tag:
            return False
        if stamp != content.stamp:
            judgement = judge(self._files, content.path, stamp, content, old=Old.GONE, thoroughly=False)
            if not judgement.is_same:
                return False
            self._take(content, content.path, stamp, judgement)
        elif content.is_unread() and not (
            content.idle and self._settling.waits(content.path, stamp, content.settles_at, stamp)
        ):
            self._result.unread.append(content)
        self._result.lost.remove(content)
        return True

    def _settle_replaced(self) -> None:
        """Names with another file in them, that holds all that was read: is it the old one, put there anew (rsync)?

        It is not, if the old file was found elsewhere.
        """
        for replaced in self._replaced:
            content, stamp, judgement = replaced.content, replaced.stamp, replaced.judgement
            if content.key not in self._result.lost.contents:
                file = Unknown(replaced.path, stamp)
                if not self._recognise(file):
                    self._result.unknown.append(file)
                continue
            self._result.lost.remove(content)
            self._take(content, content.path, stamp, judgement)
            self._ledger.learned = True
