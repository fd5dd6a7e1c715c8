"""What is wrong with the globs of a stream of files, as far as the configuration alone can tell."""

from __future__ import annotations

import math
import re
from typing import Final

from nw_platform.streams.entry import StreamEntry
from nw_platform.streams.problems import ConfigProblem

_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_MOST_ALTERNATIVES: Final = 1000


def glob_problems(stream: StreamEntry, base: str) -> list[ConfigProblem]:
    """What is wrong with the globs of a stream of files."""
    found = [] if stream.path is None else _path_problems(("path",), stream.path, stream.source, base)
    for number, pattern in enumerate(stream.rotated):
        found += _path_problems(("rotated", number), pattern, stream.source, base)
    return found


def _path_problems(key: tuple[str | int, ...], path: str, source: str | None, base: str) -> list[ConfigProblem]:
    text = None
    if "\x00" in path or "\n" in path:
        text = "a path without control characters"
    elif source is not None and (path.startswith("/") or ".." in path.split("/") or _URL.match(path)):
        text = f"a glob relative to the url of source {source}, without '..', like access/*.log*"
    elif source is None and _URL.match(path):
        text = "a path of this machine; for another file system declare a source of kind landing with its url"
    elif source is None and _URL.match(base) and not path.startswith("/"):
        text = "an absolute path, because the configuration is not on this machine"
    elif path.endswith("/"):
        text = f"a glob of files, like {path}*.log"
    elif path.count("[") > path.count("]"):
        text = "a glob whose '[' is closed by ']'"
    elif _alternatives(path) > _MOST_ALTERNATIVES:
        text = f"a glob whose braces stand for at most {_MOST_ALTERNATIVES:,} paths"
    return [ConfigProblem(key, f"found {path!r}; allowed: {text}")] if text else []


def _alternatives(path: str) -> int:
    """The number of paths that the braces of a glob stand for."""
    return math.prod(inside.count(",") + 1 for inside in re.findall(r"\{([^{}]*)\}", path))
