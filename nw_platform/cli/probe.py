"""Tries the sources of a configuration: what is there, and in which format. Nothing is written."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nw_platform.errors import NeverwinterError
from nw_platform.ingest.sampling import first_bytes
from nw_platform.parsing.registry import make_format
from nw_platform.parsing.sniff import sniff
from nw_platform.sources.contract import Budget
from nw_platform.sources.registry import open_source
from nw_platform.streams.declaration import StreamDecl
from nw_platform.streams.sniffing import resolve_format

TIMEOUT_S: Final = 15.0
_SETTLED_US: Final = 3_600_000_000  # files that were just written count too
_EVERYTHING: Final = Budget(bytes=1 << 62, records=1 << 62, spans=1_000_000)


@dataclass(slots=True)
class Probe:
    """What was found of one stream. `problems`: one line each; none means it can be read."""

    stream: str
    where: str
    files: int = 0  # or topics
    unit: str = "file"
    records: int | None = None  # of topics
    format: str = "auto"
    sniffed: bool = False
    problems: tuple[str, ...] = ()


def probe_all(streams: Sequence[StreamDecl], now: int, *, timeout_s: float = TIMEOUT_S) -> list[Probe]:
    """Try every stream at once. One that does not answer in time is a problem of that one only."""
    found = [Probe(stream.name, _where(stream), format=stream.format) for stream in streams]
    threads = [
        threading.Thread(target=_probe, args=(stream, probe, now), daemon=True)
        for stream, probe in zip(streams, found, strict=True)
    ]
    for probe in found:
        probe.problems = (f"no answer within {timeout_s:g} s",)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout_s)
    return found


def _probe(stream: StreamDecl, probe: Probe, now: int) -> None:
    try:
        probe.problems = tuple(_look(stream, probe, now))
    except NeverwinterError as error:
        probe.problems = (str(error),)
    except Exception as error:  # noqa: BLE001  (whatever a file system raises is what is wrong with the source)
        probe.problems = (f"{type(error).__name__}: {' '.join(str(error).split())}",)


def _look(stream: StreamDecl, probe: Probe, now: int) -> list[str]:
    source = open_source(
        stream.source.kind,
        url=stream.source.url,
        path=stream.path,
        bootstrap=stream.source.bootstrap,
        topics=stream.topics,
        start=stream.start,
        growing=stream.growing,
        cache=None,
        options=stream.source.resolved_options(),
    )
    try:
        source.restore([])
        plan = source.plan(now + _SETTLED_US, _EVERYTHING)
        probe.files = len({span.source for span in plan.spans})
        if stream.source.kind == "kafka":
            probe.unit, probe.records = "topic", plan.waiting
        sample = first_bytes(source) if probe.files else b""
    finally:
        source.close()
    resolved = resolve_format(stream, sample, sniff) if sample else stream
    probe.format, probe.sniffed = resolved.format, resolved is not stream
    if resolved.format != "auto":
        make_format(resolved.parse_options())
    return [f"{problem.kind}: {problem.source}: {problem.reason}" for problem in plan.problems]


def _where(stream: StreamDecl) -> str:
    base = stream.source.url or stream.source.bootstrap
    what = stream.path or ", ".join(stream.topics)
    return f"{base}/{what}" if base else what
