"""Options of the Kafka client that a configuration may not set. Apart from the client, which is slow to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# What the client must be for records to be read exactly once, and why nobody else may set it.
REFUSED: Final[Mapping[str, str]] = {
    "bootstrap.servers": "`bootstrap` of the source says it",
    "metadata.broker.list": "`bootstrap` of the source says it",
    "enable.auto.commit": "positions are kept in receipts; group offsets follow them",
    "enable.auto.offset.store": "positions are kept in receipts; group offsets follow them",
    "auto.commit.interval.ms": "positions are kept in receipts; group offsets follow them",
    "auto.offset.reset": "a position that is gone is reported, never jumped over",
    "isolation.level": "only committed records are read",
    "enable.partition.eof": "it tells where a partition ends",
    "group.instance.id": "partitions are assigned, no group is joined",
    "group.protocol": "partitions are assigned, no group is joined",
    "allow.auto.create.topics": "looking for a topic must not make it",
    "logger": "the client's log is the platform's",
    "error_cb": "errors are reported by the platform",
    "stats_cb": "errors are reported by the platform",
    "on_commit": "errors are reported by the platform",
    "plugin.library.paths": "a plugin can change what is read",
}
