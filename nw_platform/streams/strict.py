"""What every part of the configuration has in common: unknown keys are refused, values never change."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, StringConstraints


class Part(BaseModel):
    """A mapping of the configuration. Frozen; defaults are checked like values, so they read as in a file."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_default=True, hide_input_in_errors=True, defer_build=True
    )


def as_written(text: str) -> Any:  # noqa: ANN401  (the field's own type is another)
    """A default as a file would say it: `validate_default` turns it into the field's type."""
    return text


Text = Annotated[str, StringConstraints(strict=True, min_length=1)]
