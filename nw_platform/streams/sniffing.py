"""Turns `format: auto` into a format, given the first bytes of the stream. No input or output here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nw_platform.record.rules import ParseOptions
from nw_platform.streams.declaration import StreamDecl

# parsing.sniff.sniff: the first bytes, and what else is declared -> the format's name and its own options.
Sniff = Callable[[bytes, ParseOptions], tuple[str, Mapping[str, Any]]]


def resolve_format(stream: StreamDecl, sample: bytes, sniff: Sniff) -> StreamDecl:
    """The declaration with a real format: itself unless its format is `auto`. Declared keys win over sniffed ones."""
    if stream.format != "auto":
        return stream
    name, options = sniff(sample, stream.parse_options())
    return stream.with_changes(format=name, options=dict(options))
