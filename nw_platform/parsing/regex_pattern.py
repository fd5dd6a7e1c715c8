"""A user's regular expression made ready for RE2: named groups in both spellings, the others without capture."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from nw_platform.errors import ConfigError
from nw_platform.parsing.groups import check_pattern

__all__ = ["Pattern", "compile_pattern"]

_GROUP_NAME: Final = re.compile(r"\(\?P?<([^>=!]*)>")
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_]\w*\Z", re.ASCII)
_FLAGS: Final = re.compile(r"\(\?[a-zA-Z-]+\)")


@dataclass(frozen=True, slots=True)
class Pattern:
    """An expression that RE2 runs.

    `names` are its groups in order. `beginnings` holds, for each group that stands outside of all other groups, the
    expression cut off behind that group: what finds the group in a line whose rest does not match.
    """

    regex: str
    names: tuple[str, ...]
    beginnings: dict[str, str]


def compile_pattern(pattern: str) -> Pattern:
    """Prepare a pattern with named groups, `(?P<name>...)` or `(?<name>...)`.

    Raises:
        ConfigError: RE2 cannot run it (it has no look-around and no back-references), a group's name is no name or
            comes twice, or there is no named group.
    """
    reader = _Reader(pattern)
    reader.run()
    if problem := check_pattern(reader.out):
        raise ConfigError(
            f"pattern: {pattern!r} cannot be run by RE2 ({problem}); it has no look-around and no back-references,"
            " write it without"
        )
    if not reader.names:
        raise ConfigError(f"pattern: {pattern!r} has no named group; write (?P<name>...) around what is to be a column")
    beginnings = {} if reader.alternatives else reader.beginnings
    return Pattern(reader.out, tuple(reader.names), {n: b for n, b in beginnings.items() if check_pattern(b) is None})


class _Reader:
    """Goes through a pattern once, looking only at groups, classes and escapes."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.out = ""
        self.names: list[str] = []
        self.beginnings: dict[str, str] = {}
        self.alternatives = False
        self._open: list[str | None] = []  # the names of the groups that are open; None: without a name

    def run(self) -> None:
        """Fill `out`, `names`, `beginnings` and `alternatives`."""
        position = 0
        while position < len(self.pattern):
            position = self._step(position)

    def _step(self, at: int) -> int:
        character = self.pattern[at]
        if character == "\\":
            return self._copy(at, self._after_escape(at))
        if character == "[":
            return self._copy(at, self._after_class(at))
        if character == "(":
            return self._group(at)
        if character == ")" and self._open:
            name = self._open.pop()
            self.out += ")"
            if name is not None and not self._open:
                self.beginnings[name] = self.out
            return at + 1
        if character == "|" and not self._open:
            self.alternatives = True
        return self._copy(at, at + 1)

    def _copy(self, start: int, end: int) -> int:
        self.out += self.pattern[start:end]
        return end

    def _after_escape(self, at: int) -> int:
        r"""The position behind an escape; `\Q...\E` is one."""
        if self.pattern.startswith("\\Q", at):
            end = self.pattern.find("\\E", at)
            return len(self.pattern) if end < 0 else end + 2
        return at + 2

    def _after_class(self, at: int) -> int:
        """The position behind a character class. A bracket right at its beginning is one of its characters."""
        position = at + 1
        if self.pattern.startswith("^", position):
            position += 1
        first = position
        while position < len(self.pattern):
            if self.pattern[position] == "\\":
                position += 2
            elif self.pattern.startswith("[:", position) and ":]" in self.pattern[position + 2 :]:
                position = self.pattern.index(":]", position + 2) + 2
            elif self.pattern[position] == "]" and position > first:
                return position + 1
            else:
                position += 1
        return len(self.pattern)

    def _group(self, at: int) -> int:
        """An opening parenthesis: named, plain (made non-capturing), or any other kind (left as it is)."""
        named = _GROUP_NAME.match(self.pattern, at)
        if named:
            name = named.group(1)
            if not _PLAIN_NAME.match(name):
                raise ConfigError(f"pattern: the group name {name!r} is no name; use letters, digits and _")
            if name.lower() in (other.lower() for other in self.names):
                raise ConfigError(f"pattern: the group {name!r} comes twice; give each group a name of its own")
            self.names.append(name)
            self._open.append(name)
            self.out += f"(?P<{name}>"
            return named.end()
        flags = _FLAGS.match(self.pattern, at)
        if flags:
            return self._copy(at, flags.end())
        self._open.append(None)
        if self.pattern.startswith("(?", at):
            return self._copy(at, at + 1)
        self.out += "(?:"
        return at + 1
