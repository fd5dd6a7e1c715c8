"""Declarations of sources: where streams are read from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from nw_platform.streams.quantities import refusal
from nw_platform.streams.secrets import SCHEMES, Secret, looks_secret, reference_problem
from nw_platform.streams.strict import Part, Text

SourceKind = Literal["kafka", "landing", "memory"]

_CREDENTIALS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/@\s]*:[^/@\s]*@")


def _no_credentials(url: str) -> str:
    if _CREDENTIALS.match(url):
        # The address is not shown: it holds a password.
        raise refusal("an address without a password in it; put it below `options` as a reference: env:NAME")
    return url


def _options(options: dict[str, Any]) -> dict[str, Any]:
    """Options that are references become secrets; those that must be references are refused if they are not."""
    checked: dict[str, Any] = {}
    for key, value in options.items():
        scheme = value.partition(":")[0] if isinstance(value, str) else ""
        if looks_secret(key) or scheme in SCHEMES:
            problem = reference_problem(value)
            if problem:
                # The value is no part of the error: it may be the secret itself.
                raise PydanticCustomError("secret", "{problem}", {"problem": problem, "key": key})
            checked[key] = Secret(value)
        else:
            checked[key] = value
    return checked


Address = Annotated[Text, AfterValidator(_no_credentials)]
Options = Annotated[
    dict[Text, Any],
    AfterValidator(_options),
    WithJsonSchema({"type": "object", "additionalProperties": {"type": ["string", "number", "boolean", "null"]}}),
]


class SourceEntry(Part):
    """A source as the file declares it."""

    kind: SourceKind = Field(description="What it is: kafka, landing (files on any file system), memory (for tests).")
    url: Address | None = Field(
        default=None, description="landing: the folder, a path or an address like webhdfs://, hdfs://, s3://, ftp://."
    )
    bootstrap: Text | None = Field(default=None, description="kafka: the brokers, host:port, separated by commas.")
    datacenter: Text | None = Field(default=None, description="The data centre that records from here belong to.")
    options: Options = Field(
        default={}, description="Passed on to the client or file system; secrets as env:, file: or vault: references."
    )

    @model_validator(mode="after")
    def _fits_kind(self) -> SourceEntry:
        needs = {"kafka": "bootstrap", "landing": "url"}.get(self.kind)
        for key in ("url", "bootstrap"):
            if key == needs and getattr(self, key) is None:
                raise refusal(f"a {self.kind} source with `{key}`, which is missing")
            if key != needs and getattr(self, key) is not None and self.kind != "memory":
                raise refusal(f"a {self.kind} source without `{key}`" + (f", but with `{needs}`" if needs else ""))
        return self


@dataclass(frozen=True, slots=True)
class SourceDecl:
    """A source, resolved. The implicit one of streams without `source` has no name and no url: absolute local paths."""

    name: str | None
    kind: SourceKind
    url: str | None = None  # landing: an absolute path, or an address
    bootstrap: str | None = None
    datacenter: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)  # values may be `Secret`

    def resolved_options(self, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The options with secrets resolved: keep the result no longer than needed.

        Raises:
            ConfigError: a secret cannot be read.
        """
        return {k: v.resolve(environ) if isinstance(v, Secret) else v for k, v in self.options.items()}


LOCAL: Final = SourceDecl(name=None, kind="landing")
