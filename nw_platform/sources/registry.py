"""Sources by kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nw_platform.errors import ConfigError
from nw_platform.sources.contract import Source
from nw_platform.sources.kafka import KafkaSource
from nw_platform.sources.landing import LandingSource
from nw_platform.sources.memory import MemorySource, memory_log

KINDS = ("kafka", "landing", "memory")
WHOLE = (0, 1)  # the only lane of one


def open_source(
    kind: str,
    *,
    url: str | None = None,
    path: str | None = None,
    bootstrap: str | None = None,
    topics: Sequence[str] = (),
    start: str | int = "earliest",
    lane: tuple[int, int] = WHOLE,
    group: str = "neverwinter",
    growing: bool = False,
    rotated: Sequence[str] = (),
    follow_links: bool = False,
    cache: Path | None = None,
    options: Mapping[str, Any] | None = None,
) -> Source:
    """One lane of one stream's view of a source. Opens no connection yet.

    Args:
        kind: one of KINDS.
        url: where the source is; landing: None means local files named by absolute paths; memory: the log's name.
        path: landing: the glob.
        bootstrap: kafka: the brokers.
        topics: kafka: names, or one ^regular expression each; memory: the topic.
        start: kafka: where the first lanes of the stream begin: earliest, latest, or microseconds since the epoch.
        lane: (i, n): of the partitions p those with p mod n = i.
        group: kafka: the consumer group whose offsets follow the receipts, for lag tools.
        growing: landing: files may still be written to.
        rotated: landing: globs of the places where files go that are rotated out of `path`.
        follow_links: landing: links that lead out of the landing zone are followed.
        cache: a hint file of this stream's own, or None.
        options: of the source's client.

    Raises:
        ConfigError: there is no such kind, or something it needs was not given.
    """
    if kind == "landing":
        if not path:
            raise ConfigError('a stream of a landing source needs a path, as in: path: "access/*.log*"')
        return LandingSource(
            url=url,
            path=path,
            growing=growing,
            rotated=rotated,
            follow_links=follow_links,
            cache=cache,
            options=options,
        )
    if kind == "kafka":
        if not bootstrap:
            raise ConfigError('a kafka source needs its brokers, as in: bootstrap: "broker:9092"')
        return KafkaSource(bootstrap, topics, start=start, lane=lane, options=options, group=group)
    if kind == "memory":
        return MemorySource(memory_log(url or ""), topics[0] if topics else path or "", lane)
    raise ConfigError(f"there is no source of kind {kind!r}; known: {', '.join(KINDS)}")
