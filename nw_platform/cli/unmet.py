"""Expectations that can never be met: a file whose name its stream does not read."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

from nw_platform.sources.landing.globs import Glob
from nw_platform.streams.declaration import StreamDecl
from nw_platform.streams.expectations import File
from nw_platform.watchdog.deadlines import expected_name

__all__ = ["never_met"]

_PACKED: Final = ("", ".gz", ".zst", ".bz2", ".xz")


def never_met(stream: StreamDecl, today: date) -> Iterator[str]:
    """One line for each `file` expectation whose alert would never end. Names with wildcards are not judged."""
    for number, expectation in enumerate(stream.expect):
        if not isinstance(expectation, File) or set("*?") & set(expectation.name):
            continue
        name = expected_name(expectation.name, today)
        told = f"expect[{number}]: a file {name} can never arrive: the stream reads "
        if stream.path is None:
            yield f"{told}topics, no files; move the expectation to the stream of that file"
        elif not any(Glob(stream.path).may_be_named(name + packed) for packed in _PACKED):
            yield f"{told}{stream.path}; widen `path`, or move the expectation to the stream of that file"
