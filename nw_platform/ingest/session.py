"""The platform opened for one configuration: its lake, and a pipeline for each lane, made when needed."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from nw_platform.ingest.lanes import lanes_by_epoch
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.sampling import first_bytes
from nw_platform.lake.receipts import ReceiptLog
from nw_platform.lake.store import Lake
from nw_platform.parsing.csv import header_names
from nw_platform.parsing.framing import has_header, make_framer
from nw_platform.parsing.registry import make_format, rules_digest
from nw_platform.parsing.sniff import sniff
from nw_platform.settings import Settings
from nw_platform.sources.contract import Budget, Source
from nw_platform.sources.registry import open_source
from nw_platform.streams.declaration import StreamDecl
from nw_platform.streams.sniffing import resolve_format


class Session:
    """Opens things late and keeps them. Construction does no I/O."""

    def __init__(self, settings: Settings, *, budget: Budget | None = None) -> None:
        self.settings = settings
        self.budget = budget or Budget()
        self.lake = Lake(settings.lake, work=settings.work)
        self._pipelines: dict[str, list[Pipeline]] = {}
        self._sources: dict[str, list[Source]] = {}

    def pipeline(self, stream: str) -> Pipeline | None:
        """The stream's first lane: for what concerns the stream as a whole. Otherwise as `pipelines`."""
        return next(iter(self.pipelines(stream)), None)

    def pipelines(self, stream: str) -> Sequence[Pipeline]:
        """The stream's lanes. Empty: its format is to be sniffed, and there is nothing to sniff yet.

        Raises:
            ConfigError: there is no such stream, or its format's options are wrong.
            SourceError: the source cannot be reached.
        """
        if stream not in self._pipelines:
            declared = self.settings.stream(stream)
            sources = self._lanes(declared)
            resolved = self._resolved(declared, sources)
            if resolved is None:
                return ()
            options = resolved.parse_options()
            form, framer, rules = make_format(options), functools.partial(make_framer, options), rules_digest(options)
            sniffed = _sniffed(resolved) if _open(declared) else None
            self._pipelines[stream] = [
                Pipeline(
                    self.lake, stream, sources, form, framer,
                    rules=rules, work=self.settings.work, index=index, sniffed=sniffed,
                )
                for index in range(len(sources))
            ]  # fmt: skip
        return self._pipelines[stream]

    def forget(self, stream: str) -> None:
        """Drop what is known of a stream, after a failure: the next call starts from storage again."""
        self._pipelines.pop(stream, None)
        for source in self._sources.pop(stream, ()):
            source.close()

    def close(self) -> None:
        """Release connections."""
        for stream in list(self._sources):
            self.forget(stream)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _lanes(self, declared: StreamDecl) -> list[Source]:
        if declared.name not in self._sources:
            self._sources[declared.name] = [
                open_source(
                    declared.source.kind,
                    url=declared.source.url,
                    path=declared.path,
                    bootstrap=declared.source.bootstrap,
                    topics=declared.topics,
                    start=declared.start,
                    lane=(index, declared.lanes),
                    group=f"neverwinter.{declared.name}",
                    growing=declared.growing,
                    cache=self.settings.work / "landing" / f"{declared.name}.hint",
                    options=declared.source.resolved_options(),
                )
                for index in range(declared.lanes)
            ]
        return self._sources[declared.name]

    def _resolved(self, declared: StreamDecl, sources: Sequence[Source]) -> StreamDecl | None:
        """The declaration with its format and, for csv, the names in its header: found out once, kept in receipts."""
        if not _open(declared):
            return declared
        receipts = self.lake.receipts().snapshot()
        for lane in itertools.chain(*lanes_by_epoch(self.lake.raw(declared.name).snapshot())):
            log = ReceiptLog(self.lake, receipts, declared.name, lane)
            for receipt in (*log[1:9], *reversed(log[-8:])):
                if "format" in receipt.detail:
                    return declared.with_changes(**receipt.detail["format"])
        sample = next(filter(None, map(first_bytes, sources)), b"")
        if not sample:
            return None
        resolved = resolve_format(declared, sample, sniff)
        return _with_header(resolved, sample) if _open(resolved) else resolved


def _open(declared: StreamDecl) -> bool:
    """Whether the stream's columns are known only after a look at its first bytes."""
    options = declared.parse_options().options
    headed = declared.format == "csv" and has_header("csv", options) and "names" not in options
    return headed or declared.format == "auto"


def _with_header(declared: StreamDecl, sample: bytes) -> StreamDecl:
    """A csv stream's declaration with the names in the header of its first file."""
    options = declared.parse_options()
    header = sample.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].rstrip(b"\r")
    names = header_names(header.decode(declared.encoding, errors="replace"), options)
    return declared.with_changes(options={**declared.options, "names": names})


def _sniffed(resolved: StreamDecl) -> dict[str, Any]:
    return {"format": resolved.format, "options": dict(resolved.options)}
