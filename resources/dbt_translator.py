"""dagster-dbt's translator with our asset keys. Imported only where the dbt project is new: it takes seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings

_MARTS = "marts"
_PERIODS = "periods"  # what a build is to write: a plan, no data


class _Translator(DagsterDbtTranslator):  # type: ignore[misc]  # dagster-dbt is not followed by mypy
    """reports/<table> for marts, reports/<layer>/<model> for what they are made of, logs for the snapshot."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """The key of a model, or of a source."""
        name = dbt_resource_props["name"]
        if dbt_resource_props["resource_type"] == "source":
            return dg.AssetKey(["plan"]) if name == _PERIODS else dg.AssetKey(["logs"])
        layer = dbt_resource_props["fqn"][1]
        return dg.AssetKey(["reports", name] if layer == _MARTS else ["reports", layer, name])


def specs_of(
    manifest: Mapping[str, Any],
) -> tuple[list[tuple[str, dg.AssetSpec]], list[tuple[str, dg.AssetCheckSpec]]]:
    """(unique id, spec) of every model that is materialized, and of every data test on one."""
    translator = _Translator(DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True))
    models = {
        unique_id: translator.get_asset_spec(manifest, unique_id, None)
        for unique_id, node in sorted(manifest["nodes"].items())
        if node["resource_type"] == "model" and node["config"]["materialized"] != "ephemeral"
    }
    checks = []
    for unique_id, node in sorted(manifest["nodes"].items()):
        if node["resource_type"] != "test":
            continue
        on = node.get("attached_node") or next((id_ for id_ in node["depends_on"]["nodes"] if id_ in models), None)
        if on in models:
            spec = translator.get_asset_check_spec(
                asset_spec=models[on], manifest=manifest, unique_id=unique_id, project=None
            )
            if spec is not None:
                checks.append((unique_id, spec))
    return list(models.items()), checks
