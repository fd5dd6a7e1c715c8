"""The JSON Schema (draft 2020-12) of the configuration, made from the models that check it."""

from __future__ import annotations

from typing import Any

from nw_platform.settings import ConfigFile
from nw_platform.streams.names import STREAM_NAME


def config_schema() -> dict[str, Any]:
    """The schema. Every key has a description; `x-type` names a type in words where a pattern would not."""
    schema = ConfigFile.model_json_schema()
    for part in schema["$defs"].values():
        for field in part["properties"].values():
            if "$ref" in field:  # pydantic leaves out a description that is the part's own
                field.setdefault("description", schema["$defs"][field["$ref"].rsplit("/", 1)[1]]["description"])
        kind = part["properties"].get("kind", {})
        if "const" in kind:
            kind["description"] = part["description"]
    schema["properties"]["streams"]["propertyNames"] = {"pattern": f"^{STREAM_NAME}$"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "neverwinter.yaml"}
