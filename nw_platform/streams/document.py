"""Reads YAML (JSON included) exactly: duplicate keys are errors, and every key's line is known.

The scalars are those of YAML 1.2: `yes`, `no`, `on`, `off` are texts, and so are `16:30`, `2026-11-22` and `.inf`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import yaml

from nw_platform.errors import ConfigError
from nw_platform.streams.yaml_limits import too_much

KeyPath = tuple[str | int, ...]

_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml where it is there: ten times as fast


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file: plain values, and the line (from 1) of every key and item by its path."""

    data: Any
    lines: dict[KeyPath, int]

    def line_of(self, path: KeyPath) -> int:
        """The line of a path, or of the nearest thing above it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


_TEXT: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "tag:yaml.org,2002:merge"


class _Loader(_Base):  # type: ignore[misc]  # libyaml's loader is chosen at run time
    """Safe, with the scalars of YAML 1.2."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}


_SCALARS: Final = (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?|[-+]?[0-9]+[eE][-+]?[0-9]+", "-+0123456789."),
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", r"<<", "<"),
)
for _name, _pattern, _first in _SCALARS:
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def read(text: str, origin: str) -> Document:
    """Parse a YAML document. An empty one has the data None.

    Raises:
        ConfigError: it is no YAML (line and column are named), holds several documents, or a key twice.
    """
    text = _json_with_tabs(text)
    loader = _Loader(text)
    try:
        excess = too_much(yaml.parse(text, _Loader))
        if excess is not None:
            raise ConfigError(f"{origin}:{excess}")
        root = loader.get_single_node()
        if root is None:
            return Document(None, {})
        lines: dict[KeyPath, int] = {}
        problems = list(_walk(root, (), lines, frozenset()))
        if problems:
            raise ConfigError("\n".join(f"{origin}:{problem}" for problem in problems))
        return Document(loader.construct_document(root), lines)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
        raise ConfigError(f"{origin}:{where}: this is no YAML: {error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise ConfigError(f"{origin}: this is no YAML: {told}") from error
    finally:
        loader.dispose()


def path_text(path: KeyPath) -> str:
    """A path as it is written in messages: `streams.app.expect[0].every`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text if text.isprintable() else text.encode("unicode_escape").decode()


def _walk(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], above: frozenset[int]) -> Iterator[str]:
    """Note every line, and name the keys that stand twice. An alias to something that holds it is an error too."""
    lines.setdefault(path, node.start_mark.line + 1)
    if id(node) in above:
        yield f"{node.start_mark.line + 1}: {path_text(path)}: an alias that contains itself"
        return
    above |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        seen: dict[Hashable, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == _MERGE:
                yield from _walk(value_node, path, lines, above)
                continue
            key = str(key_node.value) if isinstance(key_node, yaml.ScalarNode) else "?"
            inner = (*path, key)
            if key_node.tag != _TEXT:
                yield f'{line}: {path_text(inner)}: a key must be a text; write it in quotes: "{key}"'
            elif key in seen:
                yield f"{line}: {path_text(inner)}: declared twice, first on line {seen[key]}; remove or rename one"
            else:
                seen[key] = line
                lines[inner] = line
            yield from _walk(value_node, inner, lines, above)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield from _walk(item, (*path, number), lines, above)


def _json_with_tabs(text: str) -> str:
    """JSON may be indented with tabs, YAML may not: in JSON a raw tab is never part of a value."""
    if "\t" in text and text.lstrip().startswith("{"):
        try:
            json.loads(text)
        except ValueError:
            return text
        return text.replace("\t", " ")
    return text
