"""Column schemas as Dagster shows them."""

from __future__ import annotations

from typing import Final

import dagster as dg
import pyarrow as pa

from nw_platform.errors import ConfigError
from nw_platform.parsing.registry import make_format
from nw_platform.record.envelope import RAW_SCHEMA, logs_schema
from nw_platform.streams.declaration import StreamDecl

_PARTITION_COLUMNS: Final = (("dt", "day"), ("hour", "hour of the day"))
_ABOUT: Final = {
    "event_time": "when it happened, UTC",
    "received_time": "when the source or the platform got it, UTC",
    "ingest_time": "planned time of the batch, UTC",
    "event_id": "the sender's id, else derived from the source's incarnation and position",
    "series": "normal, error or watchdog",
    "spilled": "it went through a spool",
    "late": "it arrived long after it happened",
    "reject_reason": "why it did not parse; null if it did",
    "size_bytes": "of the original, with its line ending",
    "extra": "JSON of what has no column",
    "lane": "lane of the batch",
    "sequence": "number of the batch in its lane",
    "value": "the record's exact bytes, line ending excluded",
    "source": "topic or path",
    "source_start": "offset or byte where it starts",
    "source_end": "offset or byte after its end",
}


def raw_columns() -> dg.TableSchema:
    """The columns of every stream's raw table."""
    return _shown(RAW_SCHEMA, "arrival")


def logs_columns(stream: StreamDecl) -> dg.TableSchema:
    """The columns of a stream's logs; only the common ones while its format is not known (`auto`)."""
    own: dict[str, pa.DataType] = {}
    if stream.format != "auto":
        try:
            own = make_format(stream.parse_options()).columns
        except ConfigError:  # the tick says so, for this stream only: the others' definitions must still load
            own = {}
    return _shown(logs_schema(own), "event")


def _shown(schema: pa.Schema, which: str) -> dg.TableSchema:
    columns = [
        dg.TableColumn(name=field.name, type=str(field.type), description=_ABOUT.get(field.name)) for field in schema
    ]
    columns += [
        dg.TableColumn(name=name, type="string", description=f"{which} {what}, UTC (partition column)")
        for name, what in _PARTITION_COLUMNS
    ]
    return dg.TableSchema(columns=columns)
