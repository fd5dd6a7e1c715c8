"""Which content a file holds: one that is known (grown, touched, renamed, rotated, packed) or a new one.

Names say little: a rotated log has a new name, a file that comes again has an old one. What counts is whether the
first bytes of a file, unpacked, are those that were read of a content before, all of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from nw_platform.errors import DamagedFileError
from nw_platform.sources.landing.files import Files, Stamp
from nw_platform.sources.landing.fingerprint import HEAD, Fingerprint, head_hash, head_length
from nw_platform.sources.landing.ledger import Content, Ledger
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
class Match:
    """A file begins with all that was read of a content."""

    exhausted: bool  # packed: and has nothing more


def match(files: Files, path: str, stamp: Stamp, content: Content, *, thoroughly: bool) -> Match | None:
    """Whether the file begins with all that was read of a content.

    `thoroughly` reads every byte of it again; otherwise the first and the last bytes must do, where the file is plain.

    Raises:
        SourceError: it cannot be read.
    """
    codec = codec_of(path)
    if stamp == content.stamp and stamp.tag and codec == content.codec:  # renamed, not touched
        return Match(content.exhausted)
    if not content.end:
        return Match(exhausted=False)
    if codec is None and stamp.size < content.end:
        return None
    raw = files.open(path)
    try:
        stream = open_stream(raw, path)
        if not _begins_with(stream, content, thoroughly=thoroughly or codec is not None):
            return None
        return Match(codec is not None and _ends(stream))
    except DamagedFileError:
        return None
    finally:
        raw.close()


def _begins_with(stream: ByteStream, content: Content, *, thoroughly: bool) -> bool:
    length, expected = content.head
    first = fill(stream, length)
    if head_hash(first, length) != expected:
        return False
    if not thoroughly and content.mark is not None:
        return resume(stream, content.end, content.mark) is not None
    fingerprint = Fingerprint()
    fingerprint.update(first)
    return feed(stream, fingerprint, content.end) and content.mark in (None, fingerprint.mark())


def _ends(stream: ByteStream) -> bool:
    """Whether nothing follows; damage is something, which reading it will tell."""
    try:
        return not stream.read(1)
    except DamagedFileError:
        return False


class Orphans:
    """Contents whose file is gone, or holds another content now; looked up by the first bytes of a file."""

    def __init__(self, ledger: Ledger, present: Mapping[str, Stamp], displaced: Collection[tuple[str, int]]) -> None:
        """`present`: all files listed; `displaced`: contents whose file turned out to hold another one."""
        self._by_head: defaultdict[tuple[int, str], list[Content]] = defaultdict(list)
        self.by_name: defaultdict[str, list[Content]] = defaultdict(list)
        for content in ledger.contents.values():
            here = content.path in present and ledger.by_path.get(content.path) is content
            if content.end and (not here or content.key in displaced):
                self._by_head[content.head].append(content)
                self.by_name[content.name].append(content)

    def __bool__(self) -> bool:
        return bool(self._by_head)

    def like(self, first: bytes, path: str) -> list[Content]:
        """Those that begin as this file does, the newest first. A name never takes back what it held before."""
        found: list[Content] = []
        length = head_length(len(first))
        while length:
            found += self._by_head.get((length, head_hash(first, length)), ())
            length //= 2
        other = [content for content in found if path not in (content.name, content.path)]
        return sorted(other, key=lambda content: (content.end, content.generation), reverse=True)

    def remove(self, content: Content) -> None:
        """It was found."""
        self._by_head[content.head].remove(content)
        self.by_name[content.name].remove(content)


def stems(path: str) -> Iterable[str]:
    """Names that a rotated file of this name may have had: `a.log.2.gz` -> `a.log.2`, `a.log`, `a`."""
    folder, slash, name = path.rpartition("/")
    for at in range(len(name) - 1, 0, -1):
        if name[at] in ".-":
            yield f"{folder}{slash}{name[:at]}"
