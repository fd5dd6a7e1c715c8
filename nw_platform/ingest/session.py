"""The platform opened for one configuration: its lake, and one pipeline a stream, made when first needed."""

from __future__ import annotations

import functools
from types import TracebackType
from typing import Any, Self

from nw_platform.ingest.pipeline import LANE, Pipeline
from nw_platform.ingest.sampling import first_bytes
from nw_platform.lake.receipts import ReceiptLog
from nw_platform.lake.store import Lake
from nw_platform.parsing.framing import make_framer
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
        self._pipelines: dict[str, Pipeline] = {}
        self._sources: dict[str, Source] = {}

    def pipeline(self, stream: str) -> Pipeline | None:
        """The stream's pipeline. None: its format is to be sniffed, and there is nothing to sniff yet.

        Raises:
            ConfigError: there is no such stream, or its format's options are wrong.
            SourceError: the source cannot be reached.
        """
        if stream not in self._pipelines:
            declared = self.settings.stream(stream)
            source = self._source(declared)
            resolved = self._resolved(declared, source)
            if resolved is None:
                return None
            options = resolved.parse_options()
            work = self.settings.work
            self._pipelines[stream] = Pipeline(
                self.lake,
                stream,
                source,
                make_format(options),
                functools.partial(make_framer, options),
                rules=rules_digest(options),
                work=work,
                sniffed=_sniffed(resolved) if declared.format == "auto" else None,
            )
        return self._pipelines[stream]

    def forget(self, stream: str) -> None:
        """Drop what is known of a stream, after a failure: the next call starts from storage again."""
        self._pipelines.pop(stream, None)
        source = self._sources.pop(stream, None)
        if source is not None:
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

    def _source(self, declared: StreamDecl) -> Source:
        if declared.name not in self._sources:
            self._sources[declared.name] = open_source(
                declared.source.kind,
                url=declared.source.url,
                path=declared.path,
                growing=declared.growing,
                cache=self.settings.work / "landing" / f"{declared.name}.hint",
                options=declared.source.resolved_options(),
            )
        return self._sources[declared.name]

    def _resolved(self, declared: StreamDecl, source: Source) -> StreamDecl | None:
        """The declaration with its format. A sniffed format is sniffed once: receipts keep it."""
        if declared.format != "auto":
            return declared
        log = ReceiptLog(self.lake, self.lake.receipts().snapshot(), declared.name, LANE)
        for receipt in (*log[1:9], *reversed(log[-8:])):
            if "format" in receipt.detail:
                return declared.with_changes(**receipt.detail["format"])
        sample = first_bytes(source)
        return resolve_format(declared, sample, sniff) if sample else None


def _sniffed(resolved: StreamDecl) -> dict[str, Any]:
    return {"format": resolved.format, "options": dict(resolved.options)}
