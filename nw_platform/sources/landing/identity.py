"""Gathers the evidence on a file and a known content, and looks lost contents up. See nw_platform/files/identity.py.

Names say little: a rotated log has a new name, a file that comes again has an old one. Neither do first bytes: files
begin alike. So every piece of evidence is taken, and the decision table weighs them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from nw_platform.errors import DamagedFileError
from nw_platform.files.evidence import compare_ids, hash_of
from nw_platform.files.identity import Evidence, Id, Name, Old, Size, Verdict, decide
from nw_platform.files.names import key_of, originals, relation
from nw_platform.sources.landing.files import Files, Stamp
from nw_platform.sources.landing.fingerprint import HEAD, Fingerprint, begins_alike, heads_of
from nw_platform.sources.landing.ledger import Content
from nw_platform.sources.landing.reading import feed, fill, resume
from nw_platform.sources.landing.unpack import ByteStream, codec_of, open_stream

_RATIO: Final = 8  # unpacked bytes a packed byte, roughly
_TRAILER: Final = 4  # bytes at the end of a gzip member: its unpacked size, modulo 2**32


@dataclass(frozen=True, slots=True)
class Peek:
    """The beginning of a file."""

    first: bytes  # up to HEAD unpacked bytes
    size: int  # unpacked bytes, roughly where it is packed
    damaged: bool  # already within `first`


def peek(files: Files, path: str, stamp: Stamp) -> Peek:
    """Look at the beginning of a file.

    Raises:
        SourceError: it cannot be read.
    """
    codec = codec_of(path)
    size = stamp.size if codec is None else stamp.size * _RATIO
    raw = files.open(path)
    try:
        if codec == "gz" and files.local and stamp.size > _TRAILER:
            raw.seek(stamp.size - _TRAILER)
            size = max(stamp.size, int.from_bytes(raw.read(_TRAILER), "little"))
            raw.seek(0)
        stream = open_stream(raw, path)
        first, damaged = b"", False
        try:
            while len(first) < HEAD and (data := stream.read(HEAD - len(first))):
                first += data
        except DamagedFileError:
            damaged = True
        return Peek(first, size, damaged)
    finally:
        raw.close()


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a file turned out to be, held against one content."""

    verdict: Verdict
    file_id: str
    exhausted: bool = False  # packed: it has nothing behind what was read

    @property
    def is_same(self) -> bool:
        """Return True if the content is to be read on in this file."""
        return self.verdict is Verdict.SAME


def judge(
    files: Files,
    path: str,
    stamp: Stamp,
    content: Content,
    *,
    old: Old,
    is_declared: bool = False,
    thoroughly: bool = True,
) -> Judgement:
    """Decide whether the file holds a content.

    Without `thoroughly`, a plain file that the file system calls the same is looked at only at its beginning and just
    before the position; otherwise every byte that was read is compared.

    Raises:
        SourceError: the file cannot be read.
    """
    codec = codec_of(path)
    identity = files.identify(path, stamp)
    same_id = compare_ids(content.id, identity.id)
    name = relation(content.path, path)
    if name is Name.UNRELATED:
        name = relation(content.name, path)
        name = Name.ROTATED if name is not Name.UNRELATED else name
    if stamp == content.stamp and codec == content.codec and _is_plainly(same_id, name):
        return Judgement(Verdict.SAME, identity.id, content.exhausted)
    if not content.end:
        return Judgement(Verdict.SAME if name is Name.SAME or same_id is Id.SAME else Verdict.NEW, identity.id)
    size, is_head_equal, is_tail_equal = _compared(
        files, path, stamp, content, thoroughly=thoroughly or codec is not None or same_id is not Id.SAME
    )
    evidence = Evidence(
        id=same_id,
        name=name,
        size=size,
        is_head_equal=is_head_equal,
        is_tail_equal=is_tail_equal,
        old=old,
        compared=content.end,
        is_packed=codec is not None,
        is_declared=is_declared,
        came_by_rename=identity.came_by_rename,
        is_untouched=_is_untouched(stamp, content.stamp),
    )
    return Judgement(decide(evidence), identity.id, codec is not None and size is Size.EQUAL)


def _is_untouched(stamp: Stamp, known: Stamp) -> bool:
    """Return True if size and time of the last write are equal; the file system may know no such time (0)."""
    return bool(stamp.mtime_ns) and (stamp.size, stamp.mtime_ns) == (known.size, known.mtime_ns)


def _is_plainly(same_id: Id, name: Name) -> bool:
    """Return True if a file with an unchanged stamp needs no look inside."""
    return same_id is Id.SAME or (same_id is Id.NUMBER and name is not Name.UNRELATED)


def _compared(files: Files, path: str, stamp: Stamp, content: Content, *, thoroughly: bool) -> tuple[Size, bool, bool]:
    """Size against the position, whether the beginnings are equal, and the bytes before the position."""
    codec = codec_of(path)
    is_shorter = codec is None and stamp.size < content.end
    if is_shorter and stamp.size < content.head[0]:
        return Size.SHORTER, False, False
    size = Size.SHORTER if is_shorter else Size.LONGER
    raw = files.open(path)
    try:
        stream = open_stream(raw, path)
        first = fill(stream, content.head[0])
        is_head_equal = begins_alike(first, content.head)
        if is_shorter or not is_head_equal or not _is_tail_equal(stream, content, first, thoroughly=thoroughly):
            return size, is_head_equal, False
        is_whole = stamp.size == content.end if codec is None else _ends(stream)
    except DamagedFileError:
        return Size.LONGER, False, False
    else:
        return Size.EQUAL if is_whole else Size.LONGER, True, True
    finally:
        raw.close()


def _is_tail_equal(stream: ByteStream, content: Content, first: bytes, *, thoroughly: bool) -> bool:
    if not thoroughly and content.tail is not None:
        length, expected = content.tail
        stream.skip_to(content.end - length)
        return hash_of(fill(stream, length)) == expected
    if not thoroughly and content.mark is not None:
        return resume(stream, content.end, content.mark) is not None
    fingerprint = Fingerprint()
    fingerprint.update(first)
    if not feed(stream, fingerprint, content.end):
        return False
    return content.mark in {None, fingerprint.mark()} and content.tail in {None, fingerprint.tail()}


def _ends(stream: ByteStream) -> bool:
    """Whether nothing follows; damage is something, which reading it will tell."""
    try:
        return not stream.read(1)
    except DamagedFileError:
        return False


class Lost:
    """Contents whose file is not where it was, or holds another content now."""

    def __init__(self, contents: Iterable[Content]) -> None:
        """Contents of which nothing was read are of no interest."""
        self.contents = {content.key: content for content in contents if content.end}
        self._by_head: defaultdict[tuple[int, str], list[Content]] = defaultdict(list)
        self._by_tag: defaultdict[int | str, list[Content]] = defaultdict(list)
        self._by_name: defaultdict[str, list[Content]] = defaultdict(list)
        for content in self.contents.values():
            self._by_head[content.head].append(content)
            for name in {key_of(content.name), key_of(content.path)}:
                self._by_name[name].append(content)
            if content.stamp.tag:
                self._by_tag[content.stamp.tag].append(content)

    def __bool__(self) -> bool:
        return bool(self.contents)

    def by_id_or_name(self, path: str, stamp: Stamp) -> list[Content]:
        """Contents whose file had this id, then those whose file may have got this name by rotation."""
        candidates = list(self._by_tag.get(stamp.tag, ())) if stamp.tag else []
        for name in sorted(originals(path)):
            candidates += self._by_name.get(name, ())
        return self._still_lost(candidates, path)

    def like(self, first: bytes, path: str) -> list[Content]:
        """Contents that begin as this file does, those of which most was read first."""
        candidates = [content for head in heads_of(first) for content in self._by_head.get(head, ())]
        candidates.sort(key=lambda content: (content.end, content.generation), reverse=True)
        return self._still_lost(candidates, path)

    def remove(self, content: Content) -> None:
        """The content was found."""
        self.contents.pop(content.key, None)

    def _still_lost(self, candidates: Iterable[Content], path: str) -> list[Content]:
        """Without those that were found meanwhile. A name never takes back what it held before."""
        distinct = dict.fromkeys(content.key for content in candidates)
        found = [self.contents[key] for key in distinct if key in self.contents]
        return [content for content in found if path != content.path]


def stems(path: str) -> Iterable[str]:
    """Names that a rotated file of this name may have had: `a.log.2.gz` -> `a.log.2`, `a.log`, `a`."""
    folder, slash, name = path.rpartition("/")
    for at in range(len(name) - 1, 0, -1):
        if name[at] in ".-":
            yield f"{folder}{slash}{name[:at]}"
