"""One plan: what of the listed files is to be read next.

Old files cost a look at their stamp only. A file with another stamp, or under an unknown name, is looked into: see
identity.py. What may still be written to waits:
    - a line without its end, in a growing stream, until the end comes or the file was rotated away;
    - the last record of a growing multi-line stream, a rotated file, a copy or archive in the making: until the file
      has not changed for `SETTLED_US`, by its modification time and by when it was first seen so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from nw_platform.errors import SourceError
from nw_platform.files.identity import Verdict
from nw_platform.record.spans import Span
from nw_platform.sources.contract import Budget, Plan, Problem
from nw_platform.sources.landing.files import Files, Listing, Stamp
from nw_platform.sources.landing.fingerprint import begins_alike, head_of, incarnation_of
from nw_platform.sources.landing.globs import Glob
from nw_platform.sources.landing.identity import Lost, Peek, judge, peek, stems
from nw_platform.sources.landing.ledger import Content, Ledger
from nw_platform.sources.landing.recognition import Recognition, Unknown
from nw_platform.sources.landing.settling import Settling, settles_at
from nw_platform.sources.landing.unpack import codec_of

_SEARCHED: Final = 1 << 20  # bytes looked through at a time for a line's end
_SMALLEST: Final = 64 << 10  # bytes that a span is planned for at least


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
        rotated: Sequence[Glob] = (),
        failed: Mapping[str, Stamp] = MappingProxyType({}),
    ) -> None:
        self._failed = failed  # files that could not be read as they are now: they come last
        self._files, self._ledger, self._listing = files, ledger, listing
        self._now, self._growing = now, growing
        self._settling = Settling(listing, now, growing=growing)
        self._recognition = Recognition(files, ledger, listing, now, self._settling, growing=growing, rotated=rotated)
        self._problems: list[Problem] = []
        self._spans: list[Span] = []
        self._names: set[str] = set()
        self._left_bytes, self._left_spans = budget.bytes, budget.spans
        self._left_records = float(budget.records)
        self._average = max(1.0, ledger.bytes / ledger.records) if ledger.records else 0.0

    def plan(self) -> Plan:
        """The next batch."""
        known = self._recognition.recognise()
        self._problems += known.problems
        more = False
        waiting: list[Content | Unknown] = [*known.unread, *known.unknown]
        for what in sorted(waiting, key=self._turn):
            if not self._has_room():
                more = True
                break
            try:
                added = self._add(what) if isinstance(what, Content) else self._add_unknown(what, known.lost)
            except SourceError as error:
                self._problems.append(Problem("unreadable", what.path, 0, f"{error}; the other files go on"))
                continue
            more = more or not added
        more |= not self._add_moved()
        self._ledger.is_rotating |= more
        self._ledger.looked = self._now
        return Plan(
            tuple(self._spans),
            tuple(self._problems),
            more or self._cut_short(),
            self._settling.at,
            oldest=min((span.state["mtime"] for span in self._spans if "whole" in span.state), default=None),
        )

    def _turn(self, what: Content | Unknown) -> tuple[bool, int, str]:
        """Oldest first; those that could not be read after all others."""
        return self._failed.get(what.path) == what.stamp, what.stamp.mtime_ns, what.path

    def _has_room(self) -> bool:
        return self._left_spans > 0 and self._left_bytes > 0 and self._left_records >= 1

    def _cut_short(self) -> bool:
        """Whether a planned span does not reach the end of its file, or may not: what is packed does not say."""
        return any("codec" in span.state or span.end < span.state["stamp"][0] for span in self._spans)

    def _add_unknown(self, file: Unknown, lost: Lost) -> bool:
        """Plan a file whose content is not known. False: it is left for the next batch."""
        path, stamp = file.path, file.stamp
        seen = peek(self._files, path, stamp)
        if not seen.first and not seen.damaged:
            self._ledger.nothing_in[path] = (stamp, None)
            return True
        if self._is_in_the_making(file, seen):
            return True
        alike = file.like
        for content in lost.like(seen.first, path):
            judgement = judge(self._files, path, stamp, content, old=self._ledger.old_of(content))
            if judgement.is_same:
                self._recognition.find(content, path, stamp, judgement)
                return self._add(content, seen) if content.is_unread() else True
            if judgement.verdict is Verdict.NEW_IN_DOUBT and not self._recognition.is_found_elsewhere(content):
                alike = alike or content
        if alike is not None and self._recognition.is_found_elsewhere(alike):
            alike = None
        generation = self._ledger.generations.get(path, 0)
        content = Content(
            name=path,
            generation=generation,
            incarnation=incarnation_of(path, generation, seen.first),
            path=path,
            stamp=stamp,
            end=0,
            head=head_of(seen.first),
            mark=None,
            codec=codec_of(path),
            exhausted=False,
            header=None,
            damage=None,
            seen=self._now,
            file_id=self._files.identify(path, stamp).id,
            doubt="" if alike is None else _doubt(path, alike),
        )
        return self._add(content, seen)

    def _is_in_the_making(self, file: Unknown, seen: Peek) -> bool:
        """Whether it may be an archive or a copy that is just being made of a file that is still there."""
        at = settles_at(file.stamp, self._now)
        if self._now >= at:
            return False
        packed = codec_of(file.path) is not None
        for stem in stems(file.path):
            original = self._ledger.by_path.get(stem)
            if stem not in self._listing.files or not (packed or self._growing):
                continue
            alike = original is not None and begins_alike(seen.first, original.head)
            if alike or (packed and original is None):
                self._ledger.nothing_in[file.path] = (file.stamp, at)
                self._settling.note(at)
                return True
        return False

    def _add(self, content: Content, seen: Peek | None = None) -> bool:
        """Plan what is unread of a content. False: it is left for the next batch."""
        if content.name in self._names:
            return False
        packed = content.codec is not None
        growing = self._growing and not packed
        rotated = content.path != content.name or self._settling.follows_another(content.path)
        at = settles_at(content.stamp, content.seen)
        settled = self._now >= at
        whole = not growing or (rotated and settled)
        if not whole and not self._has_line_end(content):
            self._wait(content, None if settled or not rotated else at)
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
            "settles_at": at,
            "file": content.file_id,
            "most": int(self._left_records) + 1,
        }
        if packed:
            state["codec"] = content.codec
        if content.header is not None:
            state["header"] = content.header
        if content.doubt:
            state["doubt"] = content.doubt
            self._problems.append(Problem("repeat", content.path, content.end, content.doubt))
        end = content.end + size
        self._spans.append(Span(content.name, content.generation, content.end, end, content.incarnation, state=state))
        self._names.add(content.name)
        self._left_spans -= 1
        self._left_bytes -= size
        self._left_records -= size / average
        return True

    def _add_moved(self) -> bool:
        """Plan spans without bytes, by which receipts say where contents were rotated to. False: some are left."""
        wholly_read = [content for content in self._ledger.untold.values() if not content.is_unread()]
        for content in wholly_read:
            if content.name in self._names or not self._left_spans:
                return False
            state: dict[str, Any] = {
                "path": content.path,
                "stamp": list(content.stamp),
                "mtime": content.stamp.mtime_ns // 1000 or self._now,
                "head": list(content.head),
                "mark": list(content.mark) if content.mark else None,
                "tail": list(content.tail) if content.tail else None,
                "file": content.file_id,
                "range": "",
                "moved": True,
            }
            if content.codec is not None:
                state |= {"codec": content.codec, "exhausted": content.exhausted}
            if content.header is not None:
                state["header"] = content.header
            end = content.end
            self._spans.append(Span(content.name, content.generation, end, end, content.incarnation, state=state))
            self._names.add(content.name)
            self._left_spans -= 1
        return True

    def _wait(self, content: Content, at: int | None) -> None:
        """Nothing of it is whole; it is looked at again when its stamp changes, or at this time."""
        if content.key in self._ledger.contents:
            content.idle, content.settles_at = True, at
        else:
            self._ledger.nothing_in[content.path] = (content.stamp, at)
        self._settling.note(at)

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


def _doubt(path: str, content: Content) -> str:
    return (
        f"{path} begins like {content.path}, of which {content.end:,} bytes were read and which is gone, and nothing "
        "proves that they are one file: it was read as a new one, so records of its beginning may be there twice"
    )


def _average(seen: Peek | None) -> float:
    """Bytes a record, roughly."""
    return max(1.0, len(seen.first) / (seen.first.count(b"\n") + 1)) if seen and seen.first else 100.0
