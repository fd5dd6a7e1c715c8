"""The platform opened for one configuration: its lake, and a pipeline for each lane, made when needed."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from nw_platform.ingest.opening import open_lake
from nw_platform.ingest.pipeline import Pipeline
from nw_platform.ingest.resolving import is_open, kept_format, resolve, to_be_kept
from nw_platform.ingest.sampling import first_bytes
from nw_platform.parsing.framing import make_framer
from nw_platform.parsing.registry import make_format, rules_digest
from nw_platform.settings import Settings
from nw_platform.sources.contract import Budget, Source
from nw_platform.sources.registry import open_source
from nw_platform.streams.declaration import StreamDecl


class Session:
    """Opens things late and keeps them. Construction does no I/O."""

    def __init__(self, settings: Settings, *, budget: Budget | None = None) -> None:
        self.settings = settings
        self.budget = budget or Budget()
        self.lake = open_lake(settings)
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
            sniffed = to_be_kept(resolved) if is_open(declared) else None
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
        """Stop, unless the lake is the one that is known. Raises LakeError."""
        self.lake.require()
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
                    rotated=declared.rotated,
                    follow_links=declared.follow_links,
                    cache=self.settings.work / "landing" / f"{declared.name}.hint",
                    options=declared.source.resolved_options(),
                )
                for index in range(declared.lanes)
            ]
        return self._sources[declared.name]

    def _resolved(self, declared: StreamDecl, sources: Sequence[Source]) -> StreamDecl | None:
        """The declaration with its format and, for csv, the names in its header: found out once, kept in receipts."""
        if not is_open(declared):
            return declared
        kept = kept_format(self.lake, declared.name, self.lake.receipts().snapshot())
        if kept is not None:
            return declared.with_changes(**kept)
        sample = next(filter(None, map(first_bytes, sources)), b"")
        return resolve(declared, sample) if sample else None
