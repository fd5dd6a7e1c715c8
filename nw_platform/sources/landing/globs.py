"""Globs over paths: `*`, `?` and `[..]` within a name, `**` for any folders, `{a,b}` for either of two.

A name that is written as it stands in the pattern matches too: `app[1].log` is the name of a file as well.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final, TypeAlias

# Where matching stands in one of a glob's alternatives: (alternative, component).
States: TypeAlias = frozenset[tuple[int, int]]

ANY_FOLDERS: Final = "**"
_MAGIC: Final = re.compile(r"[*?\[{]")
_BRACES: Final = re.compile(r"\{([^{}]*)\}")


class Glob:
    """One glob. `base` is its longest leading folder without a wildcard, without a slash at its end."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.base = _literal_folder(pattern)
        rest = pattern[len(self.base) :].lstrip("/")
        # The last one is the pattern itself, for a file whose name has braces.
        self._alternatives = tuple(dict.fromkeys(_components(text) for text in (*_expand(rest), rest)))
        self._names = [
            tuple(re.compile(_expression(part)).match for part in alternative) for alternative in self._alternatives
        ]
        self.recursive = any(ANY_FOLDERS in alternative for alternative in self._alternatives)
        self.depth = max(len(alternative) for alternative in self._alternatives)
        self._memo = lru_cache(maxsize=4096)(self._enter)
        self.matcher = lru_cache(maxsize=4096)(self._matcher)

    def spells_out(self, path: str) -> bool:
        """Return True if the pattern names this file or folder itself, without wildcards."""
        magic = _MAGIC.search(self.pattern)
        return magic is None and (self.pattern == path or self.pattern.startswith(f"{path}/"))

    def start(self) -> States:
        """The states in the folder `base`."""
        return self._closed((number, 0) for number in range(len(self._alternatives)))

    def enter(self, states: States, folder: str) -> States:
        """The states inside a folder; empty when nothing below it can match."""
        return self._memo(states, folder)

    def accepts(self, states: States, name: str) -> bool:
        """Whether a file of this name, in a folder with these states, matches."""
        return self.matcher(states)(name) is not None

    def names_it(self, states: States, name: str) -> bool:
        """Whether it matches by more than wildcards: then a folder of this name is likely a mistake."""
        return any(
            component + 1 == len(self._alternatives[number])
            and self._alternatives[number][component].strip("*?")
            and self._names[number][component](name)
            for number, component in states
        )

    def may_be_named(self, name: str) -> bool:
        """Whether a file of this name, in some folder, can match."""
        return any(components[-1](name) for components in self._names)

    def matches(self, below_base: str) -> bool:
        """Whether a path, relative to `base`, matches."""
        *folders, name = below_base.split("/")
        states = self.start()
        for folder in folders:
            states = self.enter(states, folder)
            if not states:
                return False
        return self.accepts(states, name)

    def _matcher(self, states: States) -> Callable[[str], object]:
        """What tells whether a file's name matches in a folder with these states: one call a file."""
        wanted = [
            _expression(self._alternatives[number][component])
            for number, component in states
            if component + 1 == len(self._alternatives[number])
        ]
        return re.compile("|".join(wanted) if wanted else r"(?!)").match

    def _enter(self, states: States, folder: str) -> States:
        found = []
        for number, component in states:
            if self._alternatives[number][component] == ANY_FOLDERS:
                found.append((number, component))
            elif component + 1 < len(self._alternatives[number]) and self._names[number][component](folder):
                found.append((number, component + 1))
        return self._closed(found)

    def _closed(self, states: Iterable[tuple[int, int]]) -> States:
        """`**` matches no folder too: whoever stands before it also stands behind it."""
        found = set(states)
        waiting = list(found)
        while waiting:
            number, component = waiting.pop()
            if self._alternatives[number][component] == ANY_FOLDERS and (number, component + 1) not in found:
                found.add((number, component + 1))
                waiting.append((number, component + 1))
        return frozenset(found)


def is_ready(name: str) -> bool:
    """Whether a file or folder of this name may be read: names with `.` or `_` in front are somebody's work."""
    return not name.startswith((".", "_")) and not name.endswith("._COPYING_")


def ready_name(name: str) -> str:
    """What a file that is not ready will be called, by the habits of those who write it, once it is."""
    return name.removesuffix("._COPYING_").lstrip("._")


def _literal_folder(pattern: str) -> str:
    magic = _MAGIC.search(pattern)
    literal = pattern[: magic.start()] if magic else pattern
    folder = literal.rpartition("/")[0]
    return folder or ("/" if pattern.startswith("/") else "")


def _expression(part: str) -> str:
    """A regular expression for the names that one component of a pattern matches."""
    as_glob = fnmatch.translate(part)
    return rf"(?:{as_glob})|(?:{re.escape(part)})\Z" if "[" in part else as_glob


def _components(text: str) -> tuple[str, ...]:
    parts = tuple(part for part in text.split("/") if part not in ("", "."))
    return (*parts, "*") if not parts or parts[-1] == ANY_FOLDERS else parts


def _expand(text: str) -> list[str]:
    """Every alternative of `{a,b}`; a brace without a partner stands for itself."""
    braces = _BRACES.search(text)
    if braces is None:
        return [text]
    before, after = text[: braces.start()], text[braces.end() :]
    return [full for option in braces.group(1).split(",") for full in _expand(before + option + after)]
