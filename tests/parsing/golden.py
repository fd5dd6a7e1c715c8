"""How the tables of known lines are judged: each line alone and among all others gives the same columns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.registry import make_format

# A line, its event time (None: it is that of receipt), and its columns, or the reason why it is rejected.
Golden = tuple[str, str | None, dict[str, Any] | str]

# What is the same for every record.
_COMMON = {
    "event_time", "received_time", "event_id", "source", "source_partition", "source_start", "source_end",
    "size_bytes", "series", "log_type", "log_version", "spilled", "late",
}  # fmt: skip


def check_golden(make_rows: Any, options: ParseOptions, table: list[Golden]) -> None:
    """Parse the lines of `table` together and one by one, and compare with what it says."""
    made = make_format(options)
    together = made.parse(make_rows([line.encode() for line, _, _ in table])).to_pylist()
    for row, (line, time, expected) in zip(together, table, strict=True):
        _check_row(row, line, time, expected)
        (alone,) = made.parse(make_rows([line.encode()])).to_pylist()
        _check_row(alone, line, time, expected)


def _check_row(row: dict[str, Any], line: str, time: str | None, expected: dict[str, Any] | str) -> None:
    event_time = row["received_time"] if time is None else datetime.fromisoformat(time).replace(tzinfo=UTC)
    assert row["event_time"] == event_time, line
    if isinstance(expected, str):
        assert (row["reject_reason"], row["series"], row["message"]) == (expected, "error", line), line
        assert row["host"] in (None, "web1"), line
        return
    found = {name: value for name, value in row.items() if value is not None and name not in _COMMON}
    assert found == expected, line
