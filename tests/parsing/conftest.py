"""Raw rows for the formats' tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hours import to_us

RECEIVED = to_us(datetime(2026, 11, 22, 12, tzinfo=UTC))


@pytest.fixture(scope="session")
def make_rows() -> Callable[..., pa.Table]:
    """Rows as a landing source delivers them: each value is a line of one file, with a line ending of one byte."""

    def make(values: Sequence[bytes], *, received: int = RECEIVED, chunk: int | None = None) -> pa.Table:
        ends, at = [], 0
        for value in values:
            at += len(value) + 1
            ends.append(at)
        count = len(values)
        table = pa.table(
            {
                "value": pa.array(values, pa.binary()),
                "received_time": pa.array([received] * count, pa.int64()).cast(TIMESTAMP),
                "source": pa.array(["app.log"] * count, pa.string()),
                "source_partition": pa.array([0] * count, pa.int32()),
                "source_start": pa.array([0, *ends[:-1]][:count], pa.int64()),
                "source_end": pa.array(ends, pa.int64()),
                "incarnation": pa.array(["c0ffee"] * count, pa.string()),
            }
        )
        return table if chunk is None else pa.Table.from_batches(table.to_batches(max_chunksize=chunk), table.schema)

    return make
