"""The dbt project as Dagster's assets and checks: translated by dagster-dbt, then kept as plain data.

`dbt parse` and the import of dagster-dbt take seconds, and every run of Dagster loads the definitions anew, a tick each
minute. So the translation is done once for each state of the project and kept in the work folder under a digest of the
project's files and of the versions involved; loading it takes milliseconds. It can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Final, Self

from nw_platform.errors import ConfigError
from nw_platform.lake.scratch import scratch
from nw_platform.reports.build import dbt_arguments, project_dir

_VERSION: Final = 1  # of this module's output
_PARSE_SECONDS: Final = 300
_PACKAGES: Final = ("dagster-dbt", "dbt-core", "dbt-duckdb")
_IGNORED: Final = frozenset({"target", "logs", "dbt_packages"})


@dataclass(frozen=True, slots=True)
class Check:
    """A dbt test."""

    unique_id: str
    name: str
    key: tuple[str, ...]  # the asset it is shown on
    description: str | None


@dataclass(frozen=True, slots=True)
class Model:
    """A dbt model. `reads_logs`: a source of it is the snapshot of all streams' logs."""

    unique_id: str
    name: str
    layer: str  # staging, intermediate or marts
    key: tuple[str, ...]
    upstream: tuple[tuple[str, ...], ...]
    reads_logs: bool
    description: str
    kinds: tuple[str, ...]
    columns: tuple[tuple[str, str, str | None], ...]  # name, type, description


@dataclass(frozen=True, slots=True)
class DbtGraph:
    """All models and tests."""

    models: tuple[Model, ...]
    checks: tuple[Check, ...]

    def as_text(self) -> str:
        """JSON; `parse` is its inverse."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The graph that `as_text` wrote."""
        data = json.loads(text)
        models = (
            Model(
                **{
                    **model,
                    "key": tuple(model["key"]),
                    "upstream": tuple(tuple(key) for key in model["upstream"]),
                    "kinds": tuple(model["kinds"]),
                    "columns": tuple(tuple(column) for column in model["columns"]),
                }
            )
            for model in data["models"]
        )
        checks = (Check(**{**check, "key": tuple(check["key"])}) for check in data["checks"])
        return cls(tuple(models), tuple(checks))


def load_graph(work: Path) -> DbtGraph:
    """The graph of the project as it is now, from `work` if it was translated before.

    Raises:
        ConfigError: dbt refuses the project; says why.
    """
    kept = work / "dbt" / f"graph-{project_digest()}.json"
    if kept.is_file():
        return DbtGraph.parse(kept.read_text(encoding="utf-8"))
    kept = scratch(work, "dbt") / kept.name
    with tempfile.TemporaryDirectory(dir=kept.parent, prefix="parse-") as folder:
        graph = translate(_manifest(Path(folder)))
        whole = Path(folder) / "graph.json"
        whole.write_text(graph.as_text(), encoding="utf-8")
        whole.replace(kept)  # at once: several processes may do this at the same time
    return graph


def project_digest() -> str:
    """Of every file of the project and of the versions that translate it."""
    digest = hashlib.sha256(f"{_VERSION}".encode())
    for package in _PACKAGES:
        digest.update(f"{package}={metadata.version(package)}\n".encode())
    root = project_dir()
    for path in sorted(root.rglob("*")):
        relative = path.relative_to(root)
        if path.is_file() and relative.parts[0] not in _IGNORED and not path.name.startswith("."):
            content = path.read_bytes()
            digest.update(f"{relative.as_posix()}:{len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def translate(manifest: Mapping[str, Any]) -> DbtGraph:
    """A dbt manifest as plain data, through dagster-dbt's translator."""
    # Two to four seconds: only where the project is new, never in a run.
    from resources.dbt_translator import specs_of  # noqa: PLC0415

    specs, tests = specs_of(manifest)
    models = []
    for unique_id, spec in specs:
        upstream = [tuple(dep.asset_key.path) for dep in spec.deps]
        schema = spec.metadata.get("dagster/column_schema")
        models.append(
            Model(
                unique_id=unique_id,
                name=spec.key.path[-1],
                layer=manifest["nodes"][unique_id]["fqn"][1],
                key=tuple(spec.key.path),
                upstream=tuple(sorted(key for key in upstream if key[0] == "reports")),
                reads_logs=any(key[0] == "logs" for key in upstream),
                description=_text(manifest["nodes"][unique_id]),
                kinds=tuple(sorted(spec.kinds)),
                columns=tuple((c.name, c.type, c.description) for c in (schema.columns if schema else ())),
            )
        )
    checks = [Check(unique_id, spec.name, tuple(spec.asset_key.path), spec.description) for unique_id, spec in tests]
    return DbtGraph(tuple(models), tuple(checks))


def _text(node: Mapping[str, Any]) -> str:
    """A model's description, else the sentence on its grain at the top of its SQL."""
    if node["description"]:
        return str(node["description"])
    first = str(node["raw_code"]).lstrip().split("\n", 1)[0]
    return first.removeprefix("--").strip() if first.startswith("--") else ""


def _manifest(folder: Path) -> dict[str, Any]:
    """What `dbt parse` makes of the project. It needs no lake, no network and no connection."""
    command = [sys.executable, "-m", "dbt.cli.main", *dbt_arguments("parse", folder)]
    done = subprocess.run(  # noqa: S603  (our own arguments)
        command, capture_output=True, text=True, timeout=_PARSE_SECONDS, check=False, env=_environment(os.environ)
    )
    manifest = folder / "target" / "manifest.json"
    if done.returncode or not manifest.is_file():
        told = " ".join(f"{done.stdout} {done.stderr}".split())[-500:]
        raise ConfigError(f"dbt refuses the project {project_dir()}: {told}")
    return dict(json.loads(manifest.read_text(encoding="utf-8")))


def _environment(environ: Mapping[str, str], drop: Iterable[str] = ("NW_REPORTS_PLAN",)) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name not in set(drop)}
