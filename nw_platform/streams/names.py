"""What a stream may be called: its name becomes a directory, an asset key and a SQL view. And names that are taken."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

# Tables and views of SQL (docs/tables.md), and the folders of the lake.
BUILT_IN_TABLES: Final = (
    "logs", "raw", "reports", "minute_counters", "summary_report", "log_type_report", "key_coverage",
    "value_coverage", "value_coverage_top", "host_status", "receipts", "duplicates", "sequence_gaps", "rejects",
    "alerts",
)  # fmt: skip

# Checks of a stream (docs/checks.md) and of the platform itself (docs/alerts.md): what routes can speak of.
CHECK_NAMES: Final = (
    "continuity", "lag", "expected_files", "completeness", "history", "loss", "volume", "silence", "error_rate", "late",
    "spill", "schema_drift", "unexpected_types", "rate", "balance", "values",
)  # fmt: skip
PLATFORM_CHECK_NAMES: Final = (
    "run", "tick", "daemon", "channel", "webserver", "code_location", "alerting", "configuration", "lake", "process",
)  # fmt: skip

STREAM_NAME: Final = "[A-Za-z0-9_]{1,100}"


def stream_name_problem(name: str, taken: Mapping[str, str]) -> str | None:
    """What is wrong with a name; None: nothing. `taken`: names before it, by their lower case."""
    if not re.fullmatch(STREAM_NAME, name):
        fixed = re.sub(r"[^A-Za-z0-9_]+", "_", name).strip("_")[:100] or "web"
        return f"found the name {name!r}; allowed: letters, digits and _, at most 100; like {fixed!r}"
    if name.lower() in BUILT_IN_TABLES:
        return f"found the name {name!r}, which is a table's; allowed: another, like '{name}_stream'"
    if name.lower() in taken:
        return f"found the name {name!r} beside {taken[name.lower()]!r}; allowed: names that differ in more than case"
    return None
