"""The landing source: files on any file system, as one lane of byte ranges. See sources/contract.py for the calls."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from nw_platform.errors import SourceError
from nw_platform.record.spans import Receipt, Span
from nw_platform.sources.contract import Budget, Plan, SpanReader, Survey
from nw_platform.sources.landing.files import Files, Listing, Stamp
from nw_platform.sources.landing.fingerprint import begins_alike
from nw_platform.sources.landing.globs import Glob
from nw_platform.sources.landing.identity import peek, stems
from nw_platform.sources.landing.ledger import Ledger, identity_of
from nw_platform.sources.landing.planning import Planner
from nw_platform.sources.landing.reading import Reader
from nw_platform.sources.landing.survey import survey
from nw_platform.sources.landing.systems import open_files
from nw_platform.sources.landing.unpack import codec_of

_SMALL: Final = 5_000  # contents whose hint file is written without a thought
_SHARE: Final = 50  # of more contents, one in so many has to have changed


class LandingSource:
    """One stream's view of a landing zone.

    Args:
        url: fsspec URL or local folder; None: local files, named by absolute paths.
        path: glob relative to the URL, or an absolute path.
        rotated: globs like `path`: where files may be found that are not in it any more.
        follow_links: local files: follow links that lead out of the landing zone, too; otherwise they are named.
        growing: files may be written to: a line without an end waits for it. False: a ready file is whole.
        cache: the hint file; None: none. It may be deleted at any time.
        options: fsspec storage options.
    """

    def __init__(
        self,
        *,
        url: str | None,
        path: str,
        growing: bool = False,
        rotated: Sequence[str] = (),
        follow_links: bool = False,
        cache: Path | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self._url, self._options = url, dict(options or {})
        self._glob = Glob(os.path.abspath(path) if url is None else path.removeprefix("./"))  # noqa: PTH100  (no link is resolved)
        self._rotated = [Glob(os.path.abspath(p) if url is None else p.removeprefix("./")) for p in rotated]  # noqa: PTH100
        self._growing, self._follow_links = growing, follow_links
        self._cache = cache
        self._opened: Files | None = None
        self._reader: Reader | None = None
        self._ledger = Ledger()
        self._unsaved = 0
        self._failed: dict[str, Stamp] = {}
        self._searched: tuple[Listing, dict[str, list[str]]] | None = None

    def genesis(self, now: int, before: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
        """Nothing was read yet."""
        del now, before
        return Ledger().positions()

    def restore(self, receipts: Sequence[Receipt]) -> None:
        """See Source. With a hint file only the receipts after it are looked at."""
        known = Ledger.load(self._cache, growing=self._growing) if self._cache and receipts else None
        after = 0
        if known is not None:
            after = known.sequence - receipts[0].sequence + 1
            if not 0 < after <= len(receipts) or identity_of(receipts[after - 1]) != known.receipt:
                known, after = None, 0
        self._ledger = known or Ledger()
        self._ledger.fold_all(receipts[after:])
        self._unsaved = len(self._ledger.contents) if receipts and not known else len(receipts) - after

    def advance(self, receipt: Receipt) -> None:
        """See Source."""
        self._ledger.fold(receipt)
        self._unsaved += len(receipt.spans)
        self._save()

    def plan(self, now: int, budget: Budget) -> Plan:
        """See Source."""
        listing = self._files.listing(self._glob)
        plan = Planner(
            self._files,
            self._ledger,
            listing,
            now,
            budget,
            growing=self._growing,
            rotated=self._rotated,
            failed=self._failed,
        ).plan()
        if self._ledger.learned:
            self._unsaved, self._ledger.learned = max(self._unsaved, len(self._ledger.contents)), False
        return plan

    def survey(self, now: int, budget: Budget) -> Survey:
        """See Source."""
        return survey(self._files, self._glob, now, budget, growing=self._growing)

    def read(self, span: Span, make_framer: Callable[[str | None, int], Any]) -> SpanReader:
        """See Source."""
        if self._reader is None:
            self._reader = Reader(self._files, self._nothing_in)
        if "whole" in span.state:
            reader = self._reader.planned(span, make_framer)
            reader.batches = self._watched(span, reader.batches)
            return reader
        return self._reader.recorded(span, self._find(span), make_framer)

    def _watched(self, span: Span, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """The same, remembering a file that cannot be read: it must not keep others waiting."""
        try:
            yield from batches
        except SourceError:
            self._failed[span.state["path"]] = Stamp(*span.state["stamp"])
            raise

    def positions(self, spans: Sequence[Span] = ()) -> dict[str, Any]:
        """`files` (contents), `bytes` read of them, and a digest of every span so far, in order."""
        return self._ledger.positions(spans)

    def close(self) -> None:
        """See Source."""
        self._save()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        self._opened = None

    @property
    def _files(self) -> Files:
        if self._opened is None:
            self._opened = open_files(self._url, self._options, follow_links=self._follow_links)
        return self._opened

    def _save(self) -> None:
        contents = len(self._ledger.contents)
        if self._cache and self._unsaved and (contents < _SMALL or self._unsaved * _SHARE >= contents):
            self._ledger.save(self._cache, growing=self._growing)
            self._unsaved = 0

    def _nothing_in(self, span: Span) -> None:
        """A planned span had no whole record: leave the file alone until it changes or has settled."""
        settles_at = None if span.state["settled"] else span.state["settles_at"]
        content = self._ledger.contents.get((span.source, span.partition))
        if content is not None:
            content.idle, content.settles_at = True, settles_at
        else:
            self._ledger.nothing_in[span.state["path"]] = (Stamp(*span.state["stamp"]), settles_at)

    def _find(self, span: Span) -> str:
        """Where the content of a recorded span lies now.

        Raises:
            SourceError: nowhere.
        """
        content = self._ledger.contents.get((span.source, span.partition))
        near: list[str] = [content.path] if content else []
        near += [span.state["path"], span.source]
        for path in dict.fromkeys(near):
            if self._begins_like(path, span):
                return path
        for path in self._elsewhere(span):
            if self._begins_like(path, span):
                return path
        raise SourceError(
            f"{span.source}: bytes {span.start} to {span.end} are gone from the landing zone (no file begins with this "
            "content any more); put the file back to replay it, or keep what raw has"
        )

    def _elsewhere(self, span: Span) -> Iterable[str]:
        """Names that the content may have been rotated to, then files that nothing is known of."""
        if self._searched is None:
            listing = self._files.listing(self._glob)
            rotated: dict[str, list[str]] = defaultdict(list)
            for path in (*listing.files, *listing.others):
                for stem in stems(path):
                    rotated[stem].append(path)
            self._searched = (listing, rotated)
        listed, after = self._searched
        unknown = [path for path in listed.files if path not in self._ledger.by_path]
        return dict.fromkeys([*after.get(span.source, ()), *unknown])

    def _begins_like(self, path: str, span: Span) -> bool:
        head = (span.state["head"][0], span.state["head"][1])
        try:
            stamp = self._files.stat(path)
            if codec_of(path) is None and stamp.size < span.end:
                return False
            return begins_alike(peek(self._files, path, stamp).first, head)
        except SourceError:
            return False
