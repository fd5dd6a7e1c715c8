"""What is known of every file content that was ever read: a fold over the spans of the lane's receipts.

A folded ledger is also kept in a hint file, so that a new process does not have to fold 100,000 spans. Nothing
depends on that file: it may be gone, damaged or of another time, and only costs time then.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

import xxhash

from nw_platform.files.evidence import compare_ids
from nw_platform.files.identity import Id, Old
from nw_platform.record.spans import Receipt, Span
from nw_platform.sources.landing.files import Stamp
from nw_platform.sources.landing.fingerprint import Mark
from nw_platform.sources.landing.unpack import codec_of

_LAYOUT: Final = 3  # of the hint file


@dataclass(slots=True, eq=False)
class Content:
    """One content of one name. What is below `settles_at` included is a hint: not in receipts, found out again."""

    name: str  # it was first read under
    generation: int
    incarnation: str
    path: str  # where it was last
    stamp: Stamp
    end: int  # read up to here, in unpacked bytes
    head: tuple[int, str]  # length and hash of its first bytes
    mark: Mark | None  # its fingerprint at `end`; None where that is 0 or was too costly
    codec: str | None
    exhausted: bool  # packed: the end was seen
    header: str | None
    damage: tuple[int, str] | None  # position and reason; holds while the stamp is the same
    seen: int  # when the stamp was first seen, microseconds
    tail: tuple[int, str] | None = None  # length and hash of the bytes before `end`; None in older receipts
    file_id: str = ""  # of the file system, see Files.identify; empty in older receipts, and where there is none
    vanished: int | None = None  # when a receipt said that it was not found any more
    is_replaced: bool | None = None  # another file got its name; False: its own file holds the next content of the name
    is_told: bool = True  # a receipt says that it was rotated
    doubt: str = ""  # what is not proven of it, until the span that it is read with has said so
    idle: bool = False  # what is unread holds no whole record yet
    settles_at: int | None = None  # ... but will then, if the stamp stays

    @property
    def key(self) -> tuple[str, int]:
        """What spans name it by."""
        return (self.name, self.generation)

    @property
    def id(self) -> str:
        """The file system's id of its file; receipts of earlier versions only have an inode or a file id."""
        if self.file_id or not self.stamp.tag:
            return self.file_id
        tag = self.stamp.tag
        return f"0:{tag}:0" if isinstance(tag, int) else tag

    def is_unread(self) -> bool:
        """Whether there is certainly or possibly more of it."""
        if self.damage is not None:
            return False
        return self.end < self.stamp.size if self.codec is None else not self.exhausted

    def see(self, path: str, stamp: Stamp, now: int, *, exhausted: bool = False) -> None:
        """It is at this path with this stamp now; `exhausted`: packed, and nothing follows what was read."""
        self.path, self.codec = path, codec_of(path)
        if stamp != self.stamp:
            self.stamp = stamp
            self.damage = None
            self.exhausted = exhausted
            self.seen = now
        self.idle = False
        self.settles_at = None
        self.is_replaced = None


class Ledger:
    """All contents of one lane."""

    def __init__(self) -> None:
        self.contents: dict[tuple[str, int], Content] = {}
        self.generations: dict[str, int] = {}  # name -> the next generation's number
        self.by_path: dict[str, Content] = {}  # the newest content that was at a path
        # Hint: files of no known content that have no whole record, and when they will have if they stay as they are.
        self.nothing_in: dict[str, tuple[Stamp, int | None]] = {}
        self.bytes = 0
        self.records = 0
        self.digest = ""
        self.sequence = -1  # of the last receipt that is in
        self.receipt = ""  # its `identity_of`
        self.homeless: dict[tuple[str, int], Content] = {}  # another content is at their path now
        self.missing: dict[tuple[str, int], int] = {}  # hint: contents not found -> when they were there last
        self.looked = 0  # hint: when the files were listed last, microseconds
        self.planned = 0  # when the last receipt was planned
        self.untold: dict[tuple[str, int], Content] = {}  # rotated contents, which no receipt says yet
        self.lost_since: dict[tuple[str, int], int] = {}  # contents not in their place -> since when, of this process
        self.is_rotating = True  # files may have been rotated out of sight that nobody has looked for yet
        self.learned = False  # a file was read through to know it again: worth a hint, for no receipt says it

    def fold_all(self, receipts: Iterable[Receipt]) -> None:
        """Take in the spans of receipts, oldest first."""
        with _without_collections():
            for receipt in receipts:
                self.fold(receipt)

    def fold(self, receipt: Receipt) -> None:
        """Take in the spans of one more receipt."""
        if receipt.kind == "batch":
            for span in receipt.spans:
                self._fold_span(span, receipt.planned_time)
            for problem in receipt.detail.get("problems", ()):
                content = self.contents.get((problem["source"], problem.get("partition")))
                if problem["kind"] == "vanished" and content is not None:
                    content.vanished = receipt.planned_time
                    self.missing.pop(content.key, None)
        self.planned = receipt.planned_time
        self.sequence, self.receipt = receipt.sequence, identity_of(receipt)

    def positions(self, spans: Sequence[Span] = ()) -> dict[str, Any]:
        """Totals over the contents, once `spans` are read too, and a digest of all that was read, in order."""
        digest = self.digest
        for span in spans:
            digest = _chained(digest, span)
        added = {(span.source, span.partition) for span in spans} - self.contents.keys()
        return {
            "files": len(self.contents) + len(added),
            "bytes": self.bytes + sum(span.end - span.start for span in spans),
            "digest": digest,
        }

    def move(self, content: Content, path: str, stamp: Stamp, now: int, *, exhausted: bool = False) -> None:
        """A content was found at another path, or with another stamp."""
        if self.by_path.get(content.path) is content:
            del self.by_path[content.path]
        content.see(path, stamp, now, exhausted=exhausted)
        self._place(content)
        self.missing.pop(content.key, None)

    def _note_replacement(self, content: Content, file_id: str) -> None:
        """A new content of a name says what became of the file of the one before, if that was still there."""
        before = self.contents.get((content.name, content.generation - 1))
        if before is not None and before.path == before.name and file_id:
            before.is_replaced = compare_ids(before.id, file_id) in {Id.OTHER, Id.REUSED}

    def note_displaced(self, content: Content, file_id: str) -> None:
        """Something else is where a content was, in a file with this id."""
        if file_id and content.is_replaced is None:
            content.is_replaced = compare_ids(content.id, file_id) in {Id.OTHER, Id.REUSED}

    def old_of(self, content: Content) -> Old:
        """What became of the file of a content that is not in its place."""
        return Old.CUT if content.is_replaced is False else Old.GONE

    def remember(self, content: Content) -> None:
        """A receipt is to say where this content is now."""
        content.is_told = False
        self.untold[content.key] = content

    def last_there(self, content: Content) -> int:
        """When a content was certainly where it is said to be, microseconds."""
        return self.missing.get(content.key) or self.looked or content.seen

    def _place(self, content: Content) -> None:
        before = self.by_path.get(content.path)
        if before is not None and before is not content:
            self.homeless[before.key] = before
        self.by_path[content.path] = content
        self.homeless.pop(content.key, None)

    def save(self, path: Path, *, growing: bool) -> None:
        """Write the hint file. Does nothing where that is not possible: it is a hint."""
        lines = {
            "layout": [_LAYOUT, growing],
            "sequence": self.sequence,
            "receipt": self.receipt,
            "bytes": self.bytes,
            "records": self.records,
            "digest": self.digest,
            "paths": {path: content.key for path, content in self.by_path.items() if content.name != path},
            "nothing_in": self.nothing_in,
            "looked": self.looked,
            "missing": [[*key, at] for key, at in self.missing.items()],
            "planned": self.planned,
            "contents": [[getattr(content, name) for name in _COLUMNS] for content in self.contents.values()],
        }
        text = json.dumps(lines, separators=(",", ":")).encode()
        beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_bytes(xxhash.xxh3_128_hexdigest(text).encode() + b"\n" + text)
            os.replace(beside, path)  # noqa: PTH105  (the same, and readers see the old file or the new one)
        except OSError:  # a hint that cannot be kept costs time
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: Path, *, growing: bool) -> Self | None:
        """The ledger in a hint file; None where it is missing, damaged, of another layout or declaration."""
        try:
            checksum, _, text = path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if checksum.decode(errors="replace") != xxhash.xxh3_128_hexdigest(text):
            return None
        with _without_collections():
            return cls._parsed(text, growing=growing)

    @classmethod
    def _parsed(cls, text: bytes, *, growing: bool) -> Self | None:
        data = json.loads(text)
        if data["layout"] != [_LAYOUT, growing]:
            return None
        ledger = cls()
        ledger.sequence, ledger.receipt = data["sequence"], data["receipt"]
        ledger.bytes, ledger.records, ledger.digest = data["bytes"], data["records"], data["digest"]
        ledger.nothing_in = {name: (Stamp(*stamp), at) for name, (stamp, at) in data["nothing_in"].items()}
        ledger._fill(data["contents"])
        for name, (source, generation) in data["paths"].items():
            ledger.by_path[name] = ledger.contents[source, generation]
        ledger.homeless = {c.key: c for c in ledger.contents.values() if ledger.by_path[c.path] is not c}
        ledger.untold = {c.key: c for c in ledger.contents.values() if not c.is_told}
        ledger.missing = {(source, number): at for source, number, at in data["missing"]}
        ledger.looked, ledger.planned = data["looked"], data["planned"]
        return ledger

    def _fill(self, rows: Iterable[list[Any]]) -> None:
        contents, generations, by_path = self.contents, self.generations, self.by_path
        for row in rows:
            row[_STAMP] = Stamp(*row[_STAMP])
            row[_HEAD] = tuple(row[_HEAD])
            if row[_MARK]:
                row[_MARK] = Mark(*row[_MARK])
            if row[_TAIL]:
                row[_TAIL] = tuple(row[_TAIL])
            if row[_DAMAGE]:
                row[_DAMAGE] = tuple(row[_DAMAGE])
            content = Content(*row)
            name, generation = content.name, content.generation
            contents[name, generation] = by_path[content.path] = content
            if generation >= generations.get(name, 0):
                generations[name] = generation + 1

    def _fold_span(self, span: Span, planned: int) -> None:
        state = span.state
        stamp = Stamp(*state["stamp"])
        content = self.contents.get((span.source, span.partition))
        damage = (state["damaged"][0], state["damaged"][1]) if state.get("damaged") else None
        mark = Mark(*state["mark"]) if state.get("mark") else None
        if content is None:
            content = Content(
                name=span.source,
                generation=span.partition,
                incarnation=span.incarnation,
                path=state["path"],
                stamp=stamp,
                end=span.end,
                head=(state["head"][0], state["head"][1]),
                mark=mark,
                codec=codec_of(state["path"]),
                exhausted=bool(state.get("exhausted")),
                header=state.get("header"),
                damage=damage,
                seen=planned,
            )
            self._note_replacement(content, state.get("file", ""))
            self.contents[content.key] = content
            self.generations[span.source] = max(span.partition + 1, self.generations.get(span.source, 0))
            self._place(content)
        else:
            self.move(content, state["path"], stamp, planned)
            content.end, content.mark = span.end, mark
            content.head = (state["head"][0], state["head"][1])
            content.exhausted = bool(state.get("exhausted"))
            content.header, content.damage = state.get("header"), damage
        tail = state.get("tail")
        content.tail = (tail[0], tail[1]) if tail else None
        content.file_id, content.vanished, content.doubt = state.get("file", ""), None, ""
        content.is_told = True
        self.untold.pop(content.key, None)
        self.nothing_in.pop(content.path, None)
        self.bytes += span.end - span.start
        self.records += span.records
        self.digest = _chained(self.digest, span)


_COLUMNS: Final = tuple(f.name for f in fields(Content))
_STAMP: Final = _COLUMNS.index("stamp")
_HEAD: Final = _COLUMNS.index("head")
_MARK: Final = _COLUMNS.index("mark")
_TAIL: Final = _COLUMNS.index("tail")
_DAMAGE: Final = _COLUMNS.index("damage")


@contextlib.contextmanager
def _without_collections() -> Iterator[None]:
    """Many small objects are made and none dies: looking for dead ones would take half of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def identity_of(receipt: Receipt) -> str:
    """Tells receipts of one lane apart, without a hash over all their spans: positions and chain cover those."""
    what = [receipt.sequence, receipt.digest, receipt.previous_digest, receipt.positions, receipt.planned_time]
    return xxhash.xxh3_128_hexdigest(json.dumps(what, sort_keys=True).encode())


def _chained(digest: str, span: Span) -> str:
    """The digest of everything read so far, after one more span."""
    what = json.dumps([digest, span.source, span.partition, span.start, span.end, span.state.get("range", "")])
    return xxhash.xxh3_128_hexdigest(what.encode())
