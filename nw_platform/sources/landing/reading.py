"""Reading one span: its bytes through a framer, and at the end what the receipt has to know of it.

A planned span is read from where its content ended last, to about its planned end: it ends with a whole record, and
one that is longer than the plan is read on. A recorded span is read exactly, wherever its content lies now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from nw_platform.errors import DamagedFileError, SourceError
from nw_platform.files.evidence import HEAD as IDENTIFYING
from nw_platform.files.evidence import TAIL
from nw_platform.record.envelope import RAW_SCHEMA, TIMESTAMP
from nw_platform.record.spans import Span
from nw_platform.sources.contract import Problem, SpanReader
from nw_platform.sources.landing.files import Files, Stamp
from nw_platform.sources.landing.fingerprint import (
    HEAD,
    Fingerprint,
    Mark,
    begins_alike,
    head_of,
    last_piece_start,
)
from nw_platform.sources.landing.trail import Hashes, Trail
from nw_platform.sources.landing.unpack import ByteStream, codec_of, open_stream

BLOCK: Final = 8 << 20
_PROBE: Final = 64 << 10  # read at a planned end, to see whether the content ends there too

BATCH_SCHEMA: Final = pa.schema(
    [
        RAW_SCHEMA.field("value"),
        RAW_SCHEMA.field("key"),
        RAW_SCHEMA.field("headers"),
        RAW_SCHEMA.field("source_start"),
        RAW_SCHEMA.field("source_end"),
        RAW_SCHEMA.field("received_time"),
    ]
)


@dataclass(slots=True)
class OpenContent:
    """A content opened at a position, with its fingerprint up to there and bytes read ahead."""

    stream: ByteStream
    fingerprint: Fingerprint
    ahead: bytes = b""
    first: bytes = b""  # how the content begins, where that is known and a receipt should say more of it

    def read(self, size: int) -> bytes:
        """Up to `size` bytes, none at the end."""
        if self.ahead:
            data, self.ahead = self.ahead[:size], self.ahead[size:]
            return data
        return self.stream.read(size)


@dataclass(slots=True)
class Kept:
    """An open packed file, kept so that going on does not unpack it from its beginning again."""

    key: tuple[str, int]
    path: str
    stamp: Stamp
    position: int
    opened: OpenContent


class Reader:
    """Reads spans of one landing zone."""

    def __init__(self, files: Files, nothing: Callable[[Span], None]) -> None:
        """`nothing` is told of each planned span that had no whole record."""
        self._files = files
        self._nothing = nothing
        self._kept: Kept | None = None

    def close(self) -> None:
        """Release the file that was kept open."""
        if self._kept is not None:
            self._kept.opened.stream.close()
            self._kept = None

    def planned(self, span: Span, make_framer: Callable[[str | None, int], Any]) -> SpanReader:
        """Read a span that `plan` made.

        Raises (while iterated):
            SourceError: the file is gone, or holds another content than a moment ago; nothing was handed out.
        """
        reader = SpanReader(iter(()), span, span.state.get("header"))
        if not span.state.get("moved"):
            reader.batches = self._planned(reader, span, make_framer)
        return reader

    def recorded(self, span: Span, path: str, make_framer: Callable[[str | None, int], Any]) -> SpanReader:
        """Read the span of a receipt again, from the file at `path`.

        Raises (while iterated):
            SourceError: the bytes are not those of the receipt; this may show only at the end.
        """
        reader = SpanReader(iter(()), span, span.state.get("header") if span.start else None)
        reader.batches = self._recorded(reader, span, path, make_framer)
        return reader

    def _planned(
        self, reader: SpanReader, span: Span, make_framer: Callable[[str | None, int], Any]
    ) -> Iterator[pa.RecordBatch]:
        opened = self._open(span)
        framer = make_framer(reader.header, span.start)
        piece = _Piece(reader, span, framer, Trail(Hashes(opened.fingerprint, xxhash.xxh3_128())))
        ending = _Ending(first=opened.first)
        keep = False
        try:
            for data in _blocks(opened, piece, ending):
                yield piece.batch(framer.feed(data))
            if ending.exhausted:
                yield piece.batch(_finish(framer, whole=span.state["whole"], settled=span.state["settled"]))
            elif ending.damage is not None:
                yield piece.batch(_finish(framer, whole=False, settled=True))
            piece.close(_receipt_state(piece, ending), ending.damage)
            if ending.failure is not None:
                reader.problems.append(Problem("unreadable", span.state["path"], reader.span.end, ending.failure))
            elif reader.span.end == span.start and ending.damage is None:
                self._nothing(span)
            keep = self._keep(reader.span, opened, piece, ending)
        finally:
            if not keep:
                opened.stream.close()

    def _recorded(
        self, reader: SpanReader, span: Span, path: str, make_framer: Callable[[str | None, int], Any]
    ) -> Iterator[pa.RecordBatch]:
        framer = make_framer(reader.header, span.start)
        piece = _Piece(reader, span, framer, None)
        content = xxhash.xxh3_128()
        with_problem = (
            f"{path} does not hold bytes {span.start} to {span.end} of {span.source} any more as they were read"
        )
        opened = self._resume(span, path)
        position = span.start
        try:
            while position < span.end:
                try:
                    data = opened.read(min(BLOCK, span.end - position))
                except DamagedFileError:
                    data = b""
                if not data:
                    break
                position += len(data)
                content.update(data)
                yield piece.batch(framer.feed(data))
            rows = framer.finish(whole=True)
            if position < span.end or (span.state.get("range") and content.hexdigest() != span.state["range"]):
                raise SourceError(f"{with_problem}: replay from a copy of the original, or keep raw as it is")
            yield piece.batch(rows)
            reader.span = replace(span, records=piece.records, bytes=piece.bytes, skipped_lines=framer.skipped_lines)
            reader.header = framer.header
        finally:
            self._keep_recorded(span, path, position, opened)

    def _open(self, span: Span) -> OpenContent:
        """The planned content at the span's start; proves that it still is this content."""
        path, state = span.state["path"], span.state
        kept = self._take(span, path, Stamp(*state["stamp"]))
        if kept is not None:
            return kept
        stream = open_stream(self._files.open(path), path)
        opened = None
        try:
            if span.start:
                # The more of the beginning a receipt knows, the better; what is packed can only be read forwards.
                grows = state["head"][0] < IDENTIFYING and codec_of(path) is None
                first = fill(stream, IDENTIFYING) if grows else b""
                fingerprint = resume(stream, span.start, Mark(*state["mark"]) if state["mark"] else None)
                opened = OpenContent(stream, fingerprint, first=first) if fingerprint else None
            else:
                head = (state["head"][0], state["head"][1])
                first = fill(stream, head[0])
                opened = OpenContent(stream, Fingerprint(), first) if begins_alike(first, head) else None
        except DamagedFileError:
            opened = None
        finally:
            if opened is None:
                stream.close()
        if opened is None:
            raise SourceError(f"{path} changed while it was about to be read; the next batch looks at it again")
        return opened

    def _resume(self, span: Span, path: str) -> OpenContent:
        kept = self._take(span, path, None)
        if kept is not None:
            return kept
        stream = open_stream(self._files.open(path), path)
        try:
            stream.skip_to(span.start)
        except BaseException:
            stream.close()
            raise
        return OpenContent(stream, Fingerprint(position=span.start))

    def _take(self, span: Span, path: str, stamp: Stamp | None) -> OpenContent | None:
        kept, self._kept = self._kept, None
        if kept is None:
            return None
        same = kept.key == (span.source, span.partition) and kept.path == path and kept.position == span.start
        if same and (stamp is None or stamp == kept.stamp):
            return kept.opened
        kept.opened.stream.close()
        return None

    def _keep(self, span: Span, opened: OpenContent, piece: _Piece, ending: _Ending) -> bool:
        """Keep a packed file open that is to be gone on with."""
        if ending.exhausted or ending.damage is not None or ending.failure is not None or not span.state.get("codec"):
            return False
        found = piece.trail.at(span.end)
        if found is None or (span.end < piece.trail.position and not found[1]):
            return False
        opened.ahead = found[1] + opened.ahead
        opened.fingerprint = found[0].content
        self.close()
        key, stamp = (span.source, span.partition), Stamp(*span.state["stamp"])
        self._kept = Kept(key, span.state["path"], stamp, span.end, opened)
        return True

    def _keep_recorded(self, span: Span, path: str, position: int, opened: OpenContent) -> None:
        self.close()
        if codec_of(path) and position == span.end:
            key = (span.source, span.partition)
            self._kept = Kept(key, path, Stamp(*span.state["stamp"]), position, opened)
        else:
            opened.stream.close()


class _Piece:
    """Counts and shapes the rows of one span."""

    def __init__(self, reader: SpanReader, span: Span, framer: Any, trail: Trail | None) -> None:  # noqa: ANN401  (a Framer: sources do not import parsing)
        self.reader = reader
        self.span = span
        self.framer = framer
        self._trail = trail
        self.records = 0
        self.bytes = 0
        self._received = pa.scalar(span.state["mtime"], TIMESTAMP)

    @property
    def trail(self) -> Trail:
        if self._trail is None:
            raise TypeError("a recorded span leaves no trail")
        return self._trail

    def batch(self, rows: Any) -> pa.RecordBatch:  # noqa: ANN401  (FramedRows: sources do not import parsing)
        count = len(rows.value)
        self.reader.header = self.framer.header
        if count:
            self.records += count
            self.bytes += pc.sum(pc.subtract(rows.end, rows.start)).as_py()
        return pa.RecordBatch.from_arrays(
            [
                rows.value,
                pa.nulls(count, BATCH_SCHEMA.field("key").type),
                pa.nulls(count, BATCH_SCHEMA.field("headers").type),
                rows.start,
                rows.end,
                pa.repeat(self._received, count),
            ],
            schema=BATCH_SCHEMA,
        )

    def close(self, state: dict[str, Any], damage: DamagedFileError | None) -> None:
        self.reader.span = replace(
            self.span,
            end=self.framer.position,
            records=self.records,
            bytes=self.bytes,
            skipped_lines=self.framer.skipped_lines,
            state=state,
        )
        if damage is not None:
            position, reason = state["damaged"]
            self.reader.problems.append(Problem("damaged", self.span.state["path"], position, reason))


@dataclass(slots=True)
class _Ending:
    """What stopped the reading of a planned span, other than its planned end; and how its content began."""

    exhausted: bool = False
    damage: DamagedFileError | None = None
    failure: str | None = None  # of the file system, behind records that are whole: the next batch starts there
    first: bytes = b""


def _blocks(opened: OpenContent, piece: _Piece, ending: _Ending) -> Iterator[bytes]:
    """Blocks of a planned span. Beyond its planned end only as long as not one record is whole."""
    span, framer = piece.span, piece.framer
    limit, position = span.end, span.start
    while piece.records < span.state["most"]:
        going_on = framer.position > span.start
        size = min(BLOCK, limit - position) if position < limit else _PROBE if going_on else BLOCK
        try:
            data = opened.read(size)
        except DamagedFileError as error:
            ending.damage = error
            return
        except SourceError as error:
            if not going_on:
                raise
            ending.failure = str(error)
            return
        if not data:
            ending.exhausted = True
            return
        if position >= limit:
            if going_on:
                opened.ahead = data
                return
            limit = position + len(data)
        if not span.start and len(ending.first) < HEAD:
            ending.first += data[: HEAD - len(ending.first)]
        position += len(data)
        piece.trail.push(data, framer.position)
        yield data


def _receipt_state(piece: _Piece, ending: _Ending) -> dict[str, Any]:
    """What the receipt keeps: enough to find the same bytes again."""
    planned, end = piece.span.state, piece.framer.position
    head = planned["head"]
    if ending.first:
        head = list(head_of(ending.first[:end]))
    found = piece.trail.at(end)
    state = {
        "path": planned["path"],
        "stamp": planned["stamp"],
        "mtime": planned["mtime"],
        "head": head,
        "mark": list(found[0].content.mark()) if found and end else None,
        "range": found[0].span.hexdigest() if found else "",
        "file": planned.get("file", ""),
    }
    if found and end:
        state["tail"] = list(found[0].content.tail())
    if codec := codec_of(planned["path"]):
        state |= {"codec": codec, "exhausted": ending.exhausted}
    if piece.framer.header is not None:
        state["header"] = piece.framer.header
    if piece.framer.skipped_bytes:
        state["skipped_bytes"] = piece.framer.skipped_bytes
    if ending.damage is not None:
        state["damaged"] = [end, f"{ending.damage}; what is whole before byte {end} is in"]
    return state


def _finish(framer: Any, *, whole: bool, settled: bool) -> Any:  # noqa: ANN401  (sources do not import parsing)
    return framer.finish(whole=whole, settled=True) if settled and not whole else framer.finish(whole=whole)


def fill(stream: ByteStream, size: int) -> bytes:
    """The next `size` bytes of a stream, fewer only where it ends."""
    parts = []
    while size > 0 and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def resume(stream: ByteStream, position: int, mark: Mark | None) -> Fingerprint | None:
    """The fingerprint of a content up to `position` (at least 1), read no more than needed; the stream stands there.

    Returns:
        None if the content is not the one that `mark` was taken of. Without a mark it is read from its beginning.
    """
    start = last_piece_start(position) if mark else 0
    fingerprint = Fingerprint(mark.chain if mark else "", start)
    before = min(TAIL, start)
    stream.skip_to(start - before)
    fingerprint.precede(fill(stream, before))
    return fingerprint if feed(stream, fingerprint, position) and mark in (None, fingerprint.mark()) else None


def feed(stream: ByteStream, fingerprint: Fingerprint, position: int) -> bool:
    """Read on up to `position`; False if the stream ends before."""
    while fingerprint.position < position:
        data = stream.read(min(BLOCK, position - fingerprint.position))
        if not data:
            return False
        fingerprint.update(data)
    return True
