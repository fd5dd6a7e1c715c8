"""Says what is wrong with a configuration.

One line a problem: the path of the key, what was found, what is allowed and the nearest valid name.
"""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from nw_platform.streams.document import Document, KeyPath, path_text
from nw_platform.streams.secrets import Secret, looks_secret

_LONGEST_VALUE: Final = 60
_LONGEST_LINE: Final = 2000
_MOST_PROBLEMS: Final = 200  # a file that is wrong in more places is not mended line by line
_TYPE_WORDS: Final = {
    "string_type": "a text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
    "tuple_type": "a list",
    "list_type": "a list",
    "string_too_short": "a text that is not empty",
    "too_short": "a list that is not empty",
    "date_type": "a day like 2024-01-01",
}


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong. `text` says what was found and what is allowed."""

    path: KeyPath
    text: str


def nearest(word: object, names: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the name that `word` most likely meant, else nothing."""
    if len(str(word)) > _LONGEST_VALUE:
        return ""
    by_low = {name.lower(): name for name in names}
    low = str(word).lower()
    longer = [name for name in by_low if len(low) > 1 and name.startswith(low)]  # int -> int32
    near = longer or difflib.get_close_matches(low, by_low, n=1, cutoff=0.55)
    return f"; did you mean {by_low[near[0]]!r}?" if near else ""


def shown(value: object) -> str:
    """A value as it is named in messages: short, and on one line."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if isinstance(value, Secret):
        return "a secret"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= _LONGEST_VALUE else text[: _LONGEST_VALUE - 3] + "..."


def of_validation(error: ValidationError, model: type[BaseModel]) -> list[ConfigProblem]:
    """The problems that pydantic found while it read a file as `model`."""
    details = error.errors(include_url=False)[:_MOST_PROBLEMS]
    return [_problem(detail, model) for detail in details]


def render(problems: Sequence[ConfigProblem], document: Document, origin: str) -> str:
    """One line a problem, in the order of the file: `neverwinter.yaml:12: streams.app.format: found ...`."""
    placed = sorted((document.line_of(problem.path), path_text(problem.path), problem.text) for problem in problems)
    lines = (f"{origin}:{line}: {path + ': ' if path else ''}{text}" for line, path, text in placed)
    return "\n".join(dict.fromkeys(_short(line) for line in lines))


def _short(line: str) -> str:
    """A line of a message: keys may be as long as they like, lines not."""
    return line if len(line) <= _LONGEST_LINE else f"{line[: _LONGEST_LINE - 3]}..."


def _problem(  # noqa: PLR0911  (one return for each kind of problem)
    detail: Any,  # noqa: ANN401  (pydantic's ErrorDetails)
    model: type[BaseModel],
) -> ConfigProblem:
    path, owner, here = _locate(detail["loc"], model)
    kind, found, context = detail["type"], detail.get("input"), detail.get("ctx", {})
    last = path[-1] if path else ""
    if kind == "extra_forbidden":
        names = _keys(owner)
        return ConfigProblem(path, f"unknown key; allowed: {', '.join(names)}{nearest(last, names)}")
    if kind == "missing":
        return ConfigProblem(path, f"missing; {_described(owner, str(last))}")
    if kind == "secret":
        path = (*path, context["key"]) if "key" in context else path
        return ConfigProblem(path, str(context["problem"]))
    if kind in {"union_tag_invalid", "union_tag_not_found"}:
        names = [str(tag) for member in _union_members(here) for tag in _tags(member)]
        tag = found.get("kind") if isinstance(found, dict) else None
        what = f"found {shown(tag)}" if kind == "union_tag_invalid" else "missing"
        return ConfigProblem((*path, "kind"), f"{what}; allowed: {', '.join(names)}{nearest(tag, names)}")
    if kind == "literal_error":
        names = _literals(here) or [str(context.get("expected"))]
        return ConfigProblem(path, f"found {_safe(path, found)}; allowed: {', '.join(names)}{nearest(found, names)}")
    if kind == "not_allowed":
        what = "" if isinstance(found, (BaseModel, dict)) else f"found {_safe(path, found)}; "
        return ConfigProblem(path, f"{what}allowed: {context['allowed']}")
    if kind == "too_short" and isinstance(found, dict):
        return ConfigProblem(path, "found nothing in it; allowed: at least one entry")
    return ConfigProblem(path, f"found {_safe(path, found)}; allowed: {_TYPE_WORDS.get(kind) or _plain(detail['msg'])}")


def _safe(path: KeyPath, value: object) -> str:
    """The value unless it could be a secret."""
    if any(isinstance(part, str) and looks_secret(part) for part in path) or (isinstance(value, str) and "@" in value):
        return "a value (not shown)"
    return shown(value)


def _plain(message: str) -> str:
    """A message of pydantic as the end of `allowed: ...`."""
    return message.removeprefix("Input should be ").removeprefix("Value should be ")


def _locate(loc: Sequence[str | int], model: type[BaseModel]) -> tuple[KeyPath, Any, Any]:
    """(path as in the file, the model that holds the last key, the type of what is there)."""
    path: list[str | int] = []
    here: Any = model
    owner: Any = model
    for part in loc:
        if part == "[key]":
            continue
        union = _union_members(here)
        member = next((m for m in union if part in _tags(m)), None)
        if member is not None:  # pydantic names the chosen member; the file does not
            here = member
            continue
        path.append(part)
        owner = here if _is_model(here) else owner
        here = _step(here, part)
    return tuple(path), owner, here


def _step(annotation: Any, part: str | int) -> Any:  # noqa: ANN401  (any type expression)
    """The type of what lies below `part`."""
    for option in _options(annotation):
        if _is_model(option):
            return _annotation(option, str(part))
        origin, arguments = get_origin(option), get_args(option)
        if origin is dict:
            return arguments[1]
        if origin is tuple and isinstance(part, int):
            return arguments[0]
    return None


def _options(annotation: Any) -> Iterator[Any]:  # noqa: ANN401  (any type expression)
    """What an annotation can be, `Annotated` and unions taken apart."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from _options(get_args(annotation)[0])
    elif origin in {Union, types.UnionType}:
        for argument in get_args(annotation):
            yield from _options(argument)
    elif annotation is not None:
        yield annotation


def _union_members(annotation: Any) -> list[Any]:  # noqa: ANN401  (any type expression)
    members = [option for option in _options(annotation) if _is_model(option)]
    return members if len(members) > 1 else []


def _is_model(annotation: Any) -> bool:  # noqa: ANN401  (any type expression)
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _annotation(model: Any, key: str) -> Any:  # noqa: ANN401  (a model class, or something else without fields)
    for name, field in getattr(model, "model_fields", {}).items():
        if key in {name, field.alias}:
            return field.annotation
    return None


def _keys(model: Any) -> list[str]:  # noqa: ANN401  (a model class)
    return [field.alias or name for name, field in getattr(model, "model_fields", {}).items()]


def _described(model: Any, key: str) -> str:  # noqa: ANN401  (a model class)
    for name, field in getattr(model, "model_fields", {}).items():
        if key in {name, field.alias}:
            return f"needed: {field.description or key}"
    return "it is needed"


def _tags(model: Any) -> tuple[Any, ...]:  # noqa: ANN401  (a model class)
    return get_args(_annotation(model, "kind")) if _is_model(model) else ()


def _literals(annotation: Any) -> list[str]:  # noqa: ANN401  (any type expression)
    found: list[str] = []
    for option in _options(annotation):
        if get_origin(option) is Literal:
            found += [str(value) for value in get_args(option)]
    return found
