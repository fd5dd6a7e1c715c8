"""Secrets: a configuration holds references to them, resolved only when they are needed, and never shown.

A reference is `env:NAME`, `file:PATH` (the file's content without its final line break) or `vault:PATH#KEY` (PATH as
`vault kv get` takes it; see docs/secrets.md).
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, PlainValidator, WithJsonSchema
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from nw_platform.errors import ConfigError
from nw_platform.streams import vault

SCHEMES: Final = ("env", "vault", "file")
REFERENCE_HELP: Final = "a reference: env:NAME, file:PATH or vault:PATH#KEY"

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_FORMS: Final = {
    "env": re.compile(r"env:[A-Za-z_][A-Za-z0-9_]*\Z"),
    "file": re.compile(r"file:[^\x00]+\Z"),
    "vault": re.compile(r"vault:[^#\x00]+#[^#\x00]+\Z"),
}
_SECRET_KEY: Final = re.compile(
    r"password|passwd|passphrase|secret|token|credential|private|api[._-]?key|access[._-]?key|(^|[._-])key$",
    re.IGNORECASE,
)
_REFERENCE_SCHEMA: Final = "env:[A-Za-z_][A-Za-z0-9_]*|file:.+|vault:[^#]+#[^#]+"
_ADDRESS_SCHEMA: Final = "[a-z][a-z0-9+.-]*://.+"
_MASK: Final = "**********"


class Secret:
    """A reference to a secret, or (`SecretUrl`) a text that is one. Shows itself only as stars."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def resolve(self, environ: Mapping[str, str] | None = None) -> str:
        """The secret itself. See `resolve` for the errors."""
        return resolve(self._text, environ)

    @property
    def reference(self) -> str | None:
        """The reference, which is no secret; None: the text is the secret itself."""
        return self._text if is_reference(self._text) else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}('{_MASK}')"

    def __str__(self) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash((type(self), self._text))

    @classmethod
    def _parse(cls, value: Any) -> Secret:  # noqa: ANN401  (whatever the file holds)
        if isinstance(value, Secret):
            return value
        problem = reference_problem(value)
        if problem:
            # The value is not part of the error: it may be the secret itself.
            raise PydanticCustomError("secret", "{problem}", {"problem": problem})
        return cls(value)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return core_schema.no_info_plain_validator_function(
            cls._parse, serialization=core_schema.plain_serializer_function_ser_schema(lambda _: _MASK)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": f"^({_REFERENCE_SCHEMA})$", "x-type": "secret"}


class SecretAddress(Secret):
    """An address that is itself secret (it holds credentials), or a reference to one."""

    __slots__ = ()

    _ADDRESS: ClassVar[re.Pattern[str]] = re.compile(r"[a-z][a-z0-9+.-]*://[^\s]+\Z")
    _HELP: ClassVar[str] = "an address like discord://..."

    @classmethod
    def _parse(cls, value: Any) -> Secret:  # noqa: ANN401  (whatever the file holds)
        if isinstance(value, str) and cls._ADDRESS.match(value):
            return cls(value)
        if isinstance(value, str) and "://" in value:
            problem = f"found another address (not shown); allowed: {cls._HELP}, or {REFERENCE_HELP}"
            raise PydanticCustomError("secret", "{problem}", {"problem": problem})
        return super()._parse(value)

    def resolve(self, environ: Mapping[str, str] | None = None) -> str:
        """The address itself. See `resolve` for the errors."""
        return self._text if self._ADDRESS.match(self._text) else resolve(self._text, environ)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {
            "type": "string",
            "pattern": f"^({_ADDRESS_SCHEMA}|{_REFERENCE_SCHEMA})$",
            "x-type": "address or secret",
        }


class SecretUrl(SecretAddress):
    """An http(s) address that may itself be secret (an incoming webhook), or a reference to one."""

    __slots__ = ()

    _ADDRESS: ClassVar[re.Pattern[str]] = re.compile(r"https?://[^\s/]+[^\s]*\Z")
    _HELP: ClassVar[str] = "an http:// or https:// address"


def _text_or_secret(value: Any) -> str | Secret:  # noqa: ANN401  (whatever the file holds)
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str) or not value:
        raise PydanticCustomError("not_allowed", "allowed: {allowed}", {"allowed": f"a text, or {REFERENCE_HELP}"})
    if value.partition(":")[0] not in SCHEMES:
        return value
    return Secret._parse(value)  # noqa: SLF001  (the same module)


TextOrSecret = Annotated[
    str | Secret,
    PlainValidator(_text_or_secret),
    WithJsonSchema({"type": "string", "minLength": 1, "x-type": "text or secret"}),
]


def looks_secret(key: str) -> bool:
    """Whether a key by its name (`sasl.password`, `token`) holds a secret."""
    return _SECRET_KEY.search(key) is not None


def is_reference(value: object) -> bool:
    """Whether a value is a well-formed reference to a secret."""
    return isinstance(value, str) and any(form.match(value) for form in _FORMS.values())


def reference_problem(value: object) -> str | None:
    """What is wrong with a reference, without repeating what could be the secret itself; None: nothing."""
    if not isinstance(value, str):
        return f"found no text; allowed: {REFERENCE_HELP}"
    if is_reference(value):
        return None
    match = _SCHEME.match(value)
    scheme = match[1] if match else ""
    if scheme in SCHEMES:
        return f"found an incomplete {scheme}: reference; allowed: {REFERENCE_HELP}"
    near = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1, cutoff=0.5) if scheme else []
    if near:
        return f"found the unknown scheme '{scheme}:'; allowed: {REFERENCE_HELP}; did you mean '{near[0]}:'?"
    if scheme:
        return f"found a text with an unknown scheme (not shown); allowed: {REFERENCE_HELP}"
    return f"found a secret written out (not shown); allowed: {REFERENCE_HELP}"


def resolve(reference: str, environ: Mapping[str, str] | None = None) -> str:
    """The secret that a reference names, read now (from Vault: at most minutes ago). Keep it no longer than needed.

    Raises:
        ConfigError: the reference is malformed, or what it names is not there.
        SecretError: Vault does not answer, or refuses.
    """
    problem = reference_problem(reference)
    if problem:
        raise ConfigError(f"a secret cannot be read: {problem}")
    scheme, _, rest = reference.partition(":")
    if scheme == "env":
        found = (os.environ if environ is None else environ).get(rest)
        if found is None:
            raise ConfigError(
                f"the environment variable {rest} is not set, and the configuration takes a secret from it"
            )
        return found
    if scheme == "file":
        try:
            return Path(rest).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8 text"
            raise ConfigError(f"the secret file {rest} cannot be read: {reason}") from error
    path, _, key = rest.rpartition("#")
    return vault.client(environ).read(path, key)
