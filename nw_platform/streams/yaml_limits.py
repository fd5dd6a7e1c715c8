"""Refuses YAML that is small as a text and huge or deep as a document, before anything of it is built.

The parser's events are counted one after the other, without recursion: an alias counts as all that it stands for, so a
"billion laughs" is known by its first lines' sizes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import yaml

__all__ = ["MOST_ENTRIES", "too_much"]

MOST_DEPTH: Final = 64  # mappings and lists inside one another; the deepest key of a configuration is at 7
MOST_ENTRIES: Final = 500_000  # keys, values and items: no real file comes near
MOST_BY_ALIASES: Final = 50_000  # the same, where aliases repeat some


def too_much(events: Iterable[yaml.Event]) -> str | None:
    """What is too much about a document, with its line; None: nothing. Reads no further than it has to.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    entries = 0
    repeated = False
    sizes: dict[str, int] = {}  # of anchors whose end was seen
    above: list[tuple[str | None, int]] = []  # the collections around: anchor, entries before it
    for event in events:
        mark = event.start_mark
        line = mark.line + 1 if mark is not None else 1
        if isinstance(event, yaml.AliasEvent):
            entries += sizes.get(event.anchor or "", 1)
            repeated = True
        elif isinstance(event, yaml.ScalarEvent):
            entries += 1
            if event.anchor is not None:
                sizes[event.anchor] = 1
        elif isinstance(event, yaml.CollectionStartEvent):
            above.append((event.anchor, entries))
            entries += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = above.pop()
            if anchor is not None:
                sizes[anchor] = entries - before
        if len(above) > MOST_DEPTH:
            return f"{line}: mappings and lists are more than {MOST_DEPTH} deep inside one another; write it flatter"
        if entries > (MOST_BY_ALIASES if repeated else MOST_ENTRIES):
            return f"{line}: {'aliases make it' if repeated else 'it is'} too large; write out what is meant"
    return None
