"""The formats by name. A format's module is imported when the format is first made."""

from __future__ import annotations

import difflib
import hashlib
import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final, cast

from nw_platform.errors import ConfigError
from nw_platform.parsing.contract import Format, ParseOptions
from nw_platform.parsing.message_format import MessageFormat

__all__ = ["FORMATS", "FormatInfo", "make_format", "rules_digest"]


@dataclass(frozen=True, slots=True)
class FormatInfo:
    """Where a format lives: `module` has the class, and RULES_VERSION, raised whenever results change."""

    name: str
    description: str  # one line
    module: str
    type_name: str

    def load(self) -> Any:  # noqa: ANN401  (a class that makes a Format from ParseOptions)
        """The format's class."""
        return getattr(importlib.import_module(self.module), self.type_name)

    def rules_version(self) -> int:
        """The version of the format's parsing rules."""
        return int(importlib.import_module(self.module).RULES_VERSION)


def _info(name: str, type_name: str, description: str) -> tuple[str, FormatInfo]:
    return name, FormatInfo(name, description, f"nw_platform.parsing.{name}", type_name)


FORMATS: Final[Mapping[str, FormatInfo]] = dict(
    (
        _info("json", "JsonFormat", "one JSON object a line: a wire record, or any object"),
        _info("combined", "CombinedFormat", "Apache and nginx access logs, combined and common"),
        _info("log4j", "Log4jFormat", "log4j and its relatives by layout, stack traces joined"),
        _info("syslog", "SyslogFormat", "syslog, RFC 3164 and RFC 5424"),
        _info("csv", "CsvFormat", "delimited values with a header or declared columns"),
        _info("regex", "RegexFormat", "a pattern with named groups"),
        _info("lines", "LinesFormat", "anything; the line is the message, its time the time it was received"),
    )
)

# Raised when the shared rules (decoding, times, typing, rejects) give other results for the same bytes.
_SHARED_RULES_VERSION: Final = 6


def make_format(options: ParseOptions) -> Format:
    """The format a stream declares, made for its options.

    Raises:
        ConfigError: there is no such format, or its options are wrong.
    """
    if options.message_format is not None:
        return MessageFormat(options, make_format)
    return cast("Format", _info_of(options.format).load()(options))


def rules_digest(options: ParseOptions) -> str:
    """SHA-256 (hex) of all that decides what parsing makes of the same bytes: the options and the rules' versions.

    Raises:
        ConfigError: there is no such format.
    """
    versions = {"format": _info_of(options.format).rules_version(), "shared": _SHARED_RULES_VERSION}
    if options.message_format is not None:
        versions["message"] = _info_of(options.message_format).rules_version()
    rules = {"options": _plain(options), "versions": versions}
    text = json.dumps(rules, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _info_of(name: str) -> FormatInfo:
    info = FORMATS.get(name)
    if info is None:
        near = difflib.get_close_matches(name, FORMATS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(f"format: {name!r} is not known; use one of {', '.join(FORMATS)}{hint}")
    return info


def _plain(value: Any) -> Any:  # noqa: ANN401  (any value that options hold)
    """Dataclasses, mappings and sequences as JSON objects and arrays."""
    if is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return value
