"""Everything that users rely on is documented: commands, configuration keys, formats, tables, columns, checks."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nw_platform.cli.config_schema import config_schema
from nw_platform.cli.main import COMMANDS, SUMMARIES, load_command
from nw_platform.parsing.registry import FORMATS
from nw_platform.record.envelope import ENVELOPE_COLUMNS, RAW_SCHEMA, REJECT_REASONS, TRAILING_FIELDS
from nw_platform.reports.tables import TABLES
from nw_platform.watchdog.declared import CHECKS

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def tracked() -> list[Path]:
    """The files of the repository."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    if not names:  # not a checkout: take everything that is no cache
        return [p for p in ROOT.rglob("*") if p.is_file() and not any(part.startswith(".") for part in p.parts)]
    return [path for name in names if name and (path := ROOT / name).is_file()]


def words(text: str) -> set[str]:
    """Everything that could be a name, dotted or not."""
    return set(re.findall(r"[A-Za-z_][A-Za-z0-9_]*", text))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_in_operations_and_has_help_with_an_example(name):
    assert f"`nw {name}" in page("operations.md"), f"docs/operations.md does not speak of `nw {name}`"
    command = load_command(name)
    assert command.HELP.strip()
    assert f"nw {name}" in command.EXAMPLE


def test_commands_and_their_summaries_are_the_same():
    assert list(COMMANDS) == list(SUMMARIES)


def keys(node: Any, seen: frozenset[str], definitions: dict[str, Any]) -> Iterator[str]:
    """The names of all properties in a JSON Schema."""
    if isinstance(node, list):
        for item in node:
            yield from keys(item, seen, definitions)
    elif isinstance(node, dict):
        reference = node.get("$ref", "").rpartition("/")[2]
        if reference and reference not in seen:
            yield from keys(definitions[reference], seen | {reference}, definitions)
        for name, inner in node.get("properties", {}).items():
            yield name
            yield from keys(inner, seen, definitions)
        for key, inner in node.items():
            if key not in {"properties", "$defs", "enum", "default", "examples"}:
                yield from keys(inner, seen, definitions)


def test_every_configuration_key_is_in_the_reference():
    tree = config_schema()
    known = set(keys(tree, frozenset(), tree.get("$defs", {})))
    assert {"lake", "streams", "format", "late_after", "history", "min_lines"} <= known
    assert not sorted(known - words(page("configuration.md")))


def test_every_format_has_a_section():
    text = page("formats.md")
    missing = [name for name in FORMATS if not re.search(rf"^#+ .*`?{name}`?", text, re.MULTILINE | re.IGNORECASE)]
    assert not missing


def test_every_reject_reason_is_explained():
    assert not set(REJECT_REASONS) - words(page("formats.md"))


def test_every_column_of_raw_and_logs_is_in_the_tables_reference():
    columns = {*RAW_SCHEMA.names, *ENVELOPE_COLUMNS, *(field.name for field in TRAILING_FIELDS), "dt", "hour", "stream"}
    assert not sorted(columns - words(page("tables.md")))


def section(text: str, name: str) -> str:
    """The part of a page under the heading that names `name`, up to the next heading of that level or above."""
    head = re.search(rf"^(#+) .*`{name}`.*$", text, re.MULTILINE) or re.search(
        rf"^(#+) {name}\b.*$", text, re.MULTILINE
    )
    if head is None:
        return ""
    rest = text[head.end() :]
    end = re.search(rf"^#{{1,{len(head.group(1))}}} ", rest, re.MULTILINE)
    return head.group() + (rest[: end.start()] if end else rest)


PUBLIC_TABLES = sorted(name for name, table in TABLES.items() if not table.internal)


@pytest.mark.parametrize("name", PUBLIC_TABLES)
def test_every_table_has_a_section_with_all_its_columns(name):
    text = section(page("tables.md"), name)
    assert text, f"docs/tables.md has no heading that names `{name}`"
    columns = {column.name for column in TABLES[name].columns}
    assert not sorted(columns - words(page("tables.md") if name == "logs" else text))


@pytest.mark.parametrize("name", CHECKS)
def test_every_check_has_a_section_that_names_what_to_do(name):
    text = section(page("checks.md"), name)
    assert text, f"docs/checks.md has no heading that names `{name}`"
    assert f"`{name}`" in page("operations.md"), f"docs/operations.md does not say what to do when `{name}` fails"


def links(text: str) -> list[str]:
    """Targets of links and images, code left out."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    return re.findall(r"\]\(([^)\s]+)\)", prose)


def anchors(text: str) -> set[str]:
    """What a heading can be linked by."""
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    heads = re.findall(r"^#+ +(.*)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_relative_link_is_dead(path):
    dead = []
    for target in links(path.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        found = (path.parent / name).resolve() if name else path
        if not found.exists() or (anchor and anchor not in anchors(found.read_text(encoding="utf-8"))):
            dead.append(target)
    assert not dead


def test_every_page_is_reached_from_the_readme():
    reached = {target.partition("#")[0] for target in links((ROOT / "README.md").read_text(encoding="utf-8"))}
    pages = {f"docs/{path.name}" for path in DOCS.glob("*.md")}
    assert not sorted(pages - reached)


def test_decisions_are_numbered_without_gap_and_have_their_parts():
    records = sorted((DOCS / "adr").glob("*.md"))
    assert [path.name[:4] for path in records] == [f"{i:04d}" for i in range(1, len(records) + 1)]
    for path in records:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {int(path.name[:4])}. "), path.name
        for part in ("Status: ", "Date: ", "## Context", "## Decision", "## Consequences"):
            assert part in text, f"{path.name} has no {part!r}"


# Composed here, so that this file does not hold what it forbids.
HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("registry", "npmjs", "org"),
    ("anaconda", "org"),
    ("repo", "maven", "apache", "org"),
    ("crates", "io"),
    ("proxy", "golang", "org"),
)
FOLDERS = (("work", "main"), ("work", "shared"), ("opt", "nwvenv"), ("root", ""), ("tmp", "design"))
FORBIDDEN = [".".join(parts) for parts in HOSTS] + ["/".join(("", *parts)) for parts in FOLDERS]


def test_no_file_names_a_package_registry_or_a_path_of_a_developers_machine():
    found = []
    for path in tracked():
        content = path.read_bytes()
        found += [f"{path.relative_to(ROOT)}: {word}" for word in FORBIDDEN if word.encode() in content]
    assert not found
