"""Facts about the parsed records of a sample: rejects, times, hosts, and some records to show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.ingest.preview.model import Reject, Times
from nw_platform.record.envelope import FILLABLE_COLUMNS, TIMESTAMP, TRAILING_COLUMNS
from nw_platform.record.names import ENVELOPE_COLUMNS

__all__ = ["accepted", "columns_unfilled", "count_reasons", "frequent_hosts", "own_times", "sample_records", "times"]

_SAMPLES: Final = 3
_HOSTS: Final = 5
_SHORT: Final = 160  # characters of a text that is shown
_VALUES: Final = 12  # of a record that are shown
# Columns that a sample record shows, if they are filled, besides those of the format.
_SHOWN: Final = ("event_time", *FILLABLE_COLUMNS, "log_type", "series")


def accepted(parsed: pa.Table) -> pa.Table:
    """The records that are no rejects."""
    return parsed.filter(pc.is_null(parsed["reject_reason"]))


def count_reasons(parsed: pa.Table) -> dict[str, int]:
    """Reason -> rejected records, the most frequent first."""
    counted = pc.value_counts(pc.drop_null(parsed["reject_reason"]))
    counts: dict[str, int] = {item["values"]: item["counts"] for item in counted.to_pylist()}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def first_rejects(parsed: pa.Table, reasons: Mapping[str, int]) -> Iterator[Reject]:
    """The first record of each reason."""
    for reason in reasons:
        at = pc.index(parsed["reject_reason"], reason).as_py()
        row = parsed.select(["source", "source_start", "message"]).slice(at, 1).to_pylist()[0]
        yield Reject(reason, row["source"], row["source_start"], shortened(row["message"] or ""))


def own_times(parsed: pa.Table) -> pa.ChunkedArray | None:
    """The event times of accepted records; None if they are only the times when the records were received."""
    table = accepted(parsed)
    differs = pc.not_equal(table["event_time"], table["received_time"])
    return table["event_time"] if pc.any(differs).as_py() else None


def times(parsed: pa.Table, reading: str) -> Times | None:
    """First and last event time of the accepted records, however they came about; None without any record."""
    values = accepted(parsed)["event_time"].cast(TIMESTAMP).cast(pa.int64())
    bounds = pc.min_max(values).as_py()
    return None if bounds["min"] is None else Times(bounds["min"], bounds["max"], reading)


def frequent_hosts(parsed: pa.Table) -> tuple[tuple[str, ...], int]:
    """The most frequent hosts, and how many there are."""
    counted = pc.value_counts(pc.drop_null(accepted(parsed)["host"])).to_pylist()
    ordered = sorted(counted, key=lambda item: (-item["counts"], item["values"]))
    return tuple(item["values"] for item in ordered[:_HOSTS]), len(counted)


def columns_unfilled(parsed: pa.Table, declared: Mapping[str, str]) -> tuple[str, ...]:
    """The declared columns that no accepted record fills."""
    table = accepted(parsed)
    names = {name.lower(): name for name in table.column_names}
    places = {column: names.get(column.lower()) for column in declared}
    unfilled = (column for column, place in places.items() if place is None or _is_empty(table[place]))
    return tuple(unfilled) if table.num_rows else ()


def sample_records(parsed: pa.Table) -> tuple[dict[str, Any], ...]:
    """Some accepted records from the beginning, the middle and the end, with what is filled, texts shortened."""
    table = accepted(parsed)
    positions = sorted({0, table.num_rows // 2, table.num_rows - 1})[:_SAMPLES] if table.num_rows else []
    own = [name for name in table.column_names if name not in ENVELOPE_COLUMNS and name not in TRAILING_COLUMNS]
    names = [name for name in (*_SHOWN, *own, "extra") if name in table.column_names and name != "__sent"]
    rows = (table.select(names).slice(position, 1).to_pylist()[0] for position in positions)
    return tuple(_shown(row) for row in rows)


def shortened(text: str, length: int = _SHORT) -> str:
    """A text's beginning."""
    return text if len(text) <= length else text[: length - 3] + "..."


def _shown(row: Mapping[str, Any]) -> dict[str, Any]:
    filled = [(name, value) for name, value in row.items() if value is not None]
    return {name: shortened(value) if isinstance(value, str) else value for name, value in filled[:_VALUES]}


def _is_empty(values: pa.ChunkedArray) -> bool:
    return bool(values.null_count == len(values))
