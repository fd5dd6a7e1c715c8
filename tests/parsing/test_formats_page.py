"""Every example of docs/formats.md is run: stream, lines, rows."""

from __future__ import annotations

import json
import re
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pytest

from nw_platform.parsing.framing import make_framer
from nw_platform.parsing.registry import make_format
from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hours import to_us
from nw_platform.settings import parse

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```\n```text\n(.*?)```\n```json\n(.*?)```", PAGE, re.DOTALL)
RECEIVED = to_us(datetime.fromisoformat("2026-11-22T12:00:00Z"))
LEFT_OUT = {
    "received_time", "log_version", "spilled", "late", "size_bytes", "source", "source_partition", "source_start",
    "source_end",
}  # fmt: skip


def test_every_format_has_an_example() -> None:
    assert len(EXAMPLES) == PAGE.count("```yaml") >= 8


@pytest.mark.parametrize(("stream", "lines", "expected"), EXAMPLES, ids=[one[0].split()[1] for one in EXAMPLES])
def test_an_example_is_true(stream: str, lines: str, expected: str) -> None:
    (declared,) = parse(stream, base="/", origin="docs/formats.md").streams.values()
    options = declared.parse_options()
    framer = make_framer(options, None, 0)
    pieces = [framer.feed(lines.encode()), framer.finish(whole=True)]
    value = pa.concat_arrays([piece.value for piece in pieces])
    rows = pa.table(
        {
            "value": value,
            "received_time": pa.array([RECEIVED] * len(value)).cast(TIMESTAMP),
            "source": ["x"] * len(value),
            "source_partition": pa.array([0] * len(value), pa.int32()),
            "source_start": pa.concat_arrays([piece.start for piece in pieces]),
            "source_end": pa.concat_arrays([piece.end for piece in pieces]),
            "incarnation": ["c0ffee"] * len(value),
        }
    )
    assert [shown(row) for row in make_format(options).parse(rows, framer.header).to_pylist()] == [
        row | {"event_time": datetime.fromisoformat(row["event_time"])} for row in json.loads(expected)
    ]


def shown(row: dict) -> dict:
    """The columns that an example shows: not null, and neither default nor derived from the position."""
    default = {
        "log_type": lambda v: (
            v in ("app", "tailed", "web", "kafka", "orders", "system", "calls", "batch", "notes", "docker")
        )
    }
    derived = {"event_id": lambda v: v.startswith("c0ffee:")}
    hidden = default | derived
    return {
        name: value
        for name, value in row.items()
        if value is not None and name not in LEFT_OUT and not (name in hidden and hidden[name](value))
    }
