"""How the lake's Parquet files are written: zstd, row groups of at most 1M rows or 128 MB, encodings by column.

A file is written under its final, unique name and becomes part of a table only when a commit names it, so a file that
a dead run left half-written is never read. Encodings were chosen by measurement (docs/benchmarks.md).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from nw_platform.lake.durable import sync_file

ROW_GROUP_ROWS: Final = 1_000_000
ROW_GROUP_BYTES: Final = 128 << 20

# Long or unique texts: a dictionary would be built in vain, and their minimum and maximum help nobody.
_PLAIN: Final = frozenset({"value", "key", "message", "event_id", "extra", "headers"})
_DELTA: Final = frozenset(
    {"source_start", "source_end", "sequence", "event_time", "received_time", "ingest_time", "seq", "size_bytes"}
)
# Texts that queries filter by. Minimum and maximum of the others cost a third of the writing and prune nothing.
_PRUNED: Final = frozenset({"lane", "host", "log_type", "series", "severity", "reject_reason"})
_PAGE_ROWS: Final = 16_384
_SAMPLE: Final = 2_000  # rows by which it is decided whether a column has a dictionary
LEVEL: Final = 1
# Of files that compaction soon merges: a fifth less CPU for two thirds more bytes.
QUICK_LEVEL: Final = -5


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """A Parquet file that was written, and that no commit names yet."""

    path: str  # relative to the table
    partition: dict[str, str]
    records: int
    size: int
    statistics: dict[str, tuple[Any, Any]] = field(default_factory=dict)  # column -> (minimum, maximum), JSON values

    def delta_statistics(self) -> str:
        """The statistics of a Delta `add` action, as JSON."""
        return json.dumps(
            {
                "numRecords": self.records,
                "minValues": {name: low for name, (low, _) in self.statistics.items()},
                "maxValues": {name: high for name, (_, high) in self.statistics.items()},
                "nullCount": {},
            }
        )


class FileWriter:
    """Writes one Parquet file in bounded memory; `close` makes it durable and says what was written.

    Leaving the context by an error removes the file.
    """

    def __init__(
        self,
        files: pafs.FileSystem,
        table_path: str,
        path: str,
        schema: pa.Schema,
        *,
        partition: dict[str, str],
        statistics: Iterable[str] = (),
        sorting: Iterable[str] = (),
        durable_root: str | None = None,
        level: int = LEVEL,
    ) -> None:
        """`level`: of zstd."""
        self._files, self._full, self._path, self._partition = files, f"{table_path}/{path}", path, partition
        self._watched = tuple(statistics)
        self._bounds: dict[str, tuple[Any, Any]] = {}
        self._records = 0
        self._durable_root = durable_root
        files.create_dir(self._full.rsplit("/", 1)[0], recursive=True)
        self._schema, self._level, self._sorting = schema, level, tuple(sorting)
        self._opened: pq.ParquetWriter | None = None

    def write(self, rows: pa.Table) -> None:
        """Append rows of the file's schema."""
        if not rows.num_rows:
            return
        self._records += rows.num_rows
        for name in self._watched:
            low, high = (value.as_py() for value in pc.min_max(rows[name]).values())
            if low is None:
                continue
            old = self._bounds.get(name)
            self._bounds[name] = (low, high) if old is None else (min(low, old[0]), max(high, old[1]))
        per_row = max(1, rows.nbytes // rows.num_rows)
        self._writer(rows).write_table(rows, row_group_size=max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // per_row)))

    def close(self) -> WrittenFile:
        """Finish the file; on local disk also sync it, since a commit will rely on it."""
        self._writer(self._schema.empty_table()).close()
        if self._durable_root is not None:
            sync_file(self._durable_root, self._full)
        size = self._files.get_file_info(self._full).size
        bounds = {name: (_json(low), _json(high)) for name, (low, high) in self._bounds.items()}
        return WrittenFile(self._path, self._partition, self._records, size, bounds)

    def abort(self) -> None:
        """Remove what was written so far."""
        self._writer(self._schema.empty_table()).close()
        self._files.delete_file(self._full)

    def _writer(self, first: pa.Table) -> pq.ParquetWriter:
        if self._opened is None:
            self._opened = self._open(first)
        return self._opened

    def _open(self, first: pa.Table) -> pq.ParquetWriter:
        """Open the file, its encodings chosen by its first rows."""
        names = self._schema.names
        return pq.ParquetWriter(
            self._full,
            self._schema,
            filesystem=self._files,
            compression="zstd",
            compression_level=self._level,
            use_dictionary=[n for n in names if n not in _PLAIN and n not in _DELTA and _repeats(first[n])],
            column_encoding={n: "DELTA_BINARY_PACKED" for n in names if n in _DELTA},
            write_statistics=[
                f.name
                for f in self._schema
                if f.name in _PRUNED or not (f.name in _PLAIN or pa.types.is_string(f.type))
            ],
            write_batch_size=_PAGE_ROWS,
            write_page_index=False,
            sorting_columns=[pq.SortingColumn(names.index(name)) for name in self._sorting] or None,
            version="2.6",
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is not None:
            self.abort()


def _repeats(values: pa.ChunkedArray) -> bool:
    """Whether a dictionary is worth trying: most of a sample's values are in it more than once."""
    sample = values[:_SAMPLE]
    return len(sample) < _SAMPLE or pc.count_distinct(sample, mode="all").as_py() < _SAMPLE // 2


def _json(value: Any) -> Any:  # noqa: ANN401  (a column's value)
    """A statistic as Delta writes it: an instant as ISO 8601."""
    return value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else value


def plain_field(field: pa.Field) -> pa.Field:
    """Delta reads back some types in their view or large form; the platform uses the plain ones."""
    kinds = {
        pa.string_view(): pa.string(), pa.large_string(): pa.string(),
        pa.binary_view(): pa.binary(), pa.large_binary(): pa.binary(),
    }  # fmt: skip
    if pa.types.is_map(field.type):
        return pa.field(field.name, pa.map_(pa.string(), pa.binary()))
    return pa.field(field.name, kinds.get(field.type, field.type))
