"""Where a command's words go: its result to standard output, everything else to standard error."""

from __future__ import annotations

import argparse
import csv
import html
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, Protocol, TextIO

from nw_platform.errors import UsageError

Format = Literal["table", "csv", "json", "html"]
FORMATS: Final[tuple[Format, ...]] = ("table", "csv", "json", "html")

Row = Mapping[str, Any]
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # how a formula begins (OWASP, "CSV Injection")


def clock() -> int:
    """Microseconds since the epoch: the only place, with Dagster's sensors, where a clock is read."""
    return time.time_ns() // 1000


def add_format(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say how rows are printed."""
    parser.add_argument("--format", choices=FORMATS, help="table (default), csv, json or html")
    parser.add_argument(
        "--safe-csv",
        action="store_true",
        help="csv for a spreadsheet: a text that begins with = + - @ tab or CR gets an apostrophe in front",
    )


def choose_format(args: argparse.Namespace, out: Output) -> Format | None:
    """Return the format that these arguments ask for, None if none; `out` is told to print safe CSV if that is it.

    Raises:
        UsageError: safe CSV is asked for, and another format too.
    """
    if not args.safe_csv:
        chosen: Format | None = args.format
        return chosen
    if args.format not in {None, "csv"}:
        raise UsageError(f"--safe-csv is CSV; leave --format {args.format} out")
    out.safe_csv = True
    return "csv"


class Bar(Protocol):
    """A running progress bar."""

    def advance(self, done: float = 1) -> None:
        """So much more is done."""

    def total(self, total: float) -> None:
        """There is so much to do in all."""

    def report(self, done: int, total: int, what: str) -> None:
        """So much of so much is done (`total` 0: not known), at `what` now. Fits `ingest.outcome.Progress`."""


class _NoBar:
    def advance(self, done: float = 1) -> None:
        """Nobody is looking."""

    def total(self, total: float) -> None:
        """Nobody is looking."""

    def report(self, done: int, total: int, what: str) -> None:
        """Nobody is looking."""


class Output:
    """Standard output holds only the result; notes, warnings and progress go to standard error."""

    def __init__(
        self, *, as_json: bool = False, stdout: TextIO | None = None, stderr: TextIO | None = None, debug: bool = False
    ) -> None:
        """Streams default to the process's own. Set `safe_csv` to quote texts in CSV that would be formulas."""
        self.as_json = as_json
        self.safe_csv = False
        self.debug = debug
        self._stdout = stdout
        self._stderr = stderr

    @property
    def stdout(self) -> TextIO:
        """Standard output as it is now."""
        return self._stdout or sys.stdout

    @property
    def stderr(self) -> TextIO:
        """Standard error as it is now."""
        return self._stderr or sys.stderr

    def result(
        self, result: str | Sequence[Row] | Row, fmt: Format | None = None, *, columns: Sequence[str] = ()
    ) -> None:
        """Print the result: text as it is, rows (mappings) as a table, csv, json or html.

        Args:
            result: text; or rows; or one mapping, printed as one JSON object, else as `key  value` lines.
            fmt: None: `json` where `--json` was given, else `table`.
            columns: the columns in order, needed where there may be no rows.
        """
        chosen = fmt or ("json" if self.as_json else "table")
        if isinstance(result, str):
            self._write(json.dumps({"result": result}) if chosen == "json" else result)
        elif chosen == "json":
            self._write(json.dumps(_plain(result), ensure_ascii=False, indent=2 if self.stdout.isatty() else None))
        elif isinstance(result, Mapping):
            width = max((len(key) for key in result), default=0)
            self._write("\n".join(f"{key:<{width}}  {_cell(value)}" for key, value in result.items()))
        else:
            names = list(columns) or list(dict.fromkeys(key for row in result for key in row))
            self._rows(names, [[row.get(name) for name in names] for row in result], chosen)

    def note(self, text: str) -> None:
        """Say something that is not the result."""
        print(text, file=self.stderr, flush=True)

    def error(self, text: str) -> None:
        """Say what went wrong: one line (or one line a problem) that names the fix."""
        print(f"nw: {text}", file=self.stderr, flush=True)

    @contextmanager
    def progress(self, total: float | None, label: str) -> Iterator[Bar]:
        """A progress bar on standard error, on a terminal only. `total` None: not known yet."""
        if not self.stderr.isatty() or self.as_json:
            yield _NoBar()
            return
        from nw_platform.cli.progress import running_bar  # noqa: PLC0415  (rich is slow to import)

        with running_bar(self.stderr, total, label) as bar:
            yield bar

    def _rows(self, names: list[str], rows: list[list[Any]], fmt: Format) -> None:
        if fmt == "csv":
            cell = _safe_csv_cell if self.safe_csv else _csv_cell
            _write_csv(self.stdout, (map(cell, row) for row in (names, *rows)))
            self.stdout.flush()
        elif fmt == "html":
            self._write(_html(names, rows))
        else:
            self._write(_table(names, rows))

    def _write(self, text: str) -> None:
        self.stdout.write(text + "\n" if text and not text.endswith("\n") else text)
        self.stdout.flush()


def _plain(value: Any) -> Any:  # noqa: ANN401  (any result)
    """The value with JSON types only: times in ISO 8601 with `Z`."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None  # noqa: PLR0124  (NaN is not JSON)
    return _cell(value)


def _cell(value: Any) -> str:  # noqa: ANN401, PLR0911  (any result; one return for each type)
    """The value as text. Null is a dash; times are ISO 8601 with `Z`."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z") if value.tzinfo else value.isoformat() + "Z"
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, (Mapping, list, tuple)):
        return json.dumps(_plain(value), ensure_ascii=False)
    return str(value)


def _write_csv(stream: TextIO, rows: Iterable[Iterable[str]]) -> None:
    """Write rows as CSV. A carriage return is quoted, which Python's writer does only if lines end with one."""
    plain = csv.writer(stream, lineterminator="\n")
    quoting = csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_ALL)
    for row in rows:
        cells = list(row)
        writer = quoting if any("\r" in cell for cell in cells) else plain
        writer.writerow(cells)


def _csv_cell(value: Any) -> str:  # noqa: ANN401  (any result)
    """The value as a cell of CSV: null is empty."""
    return "" if value is None else _cell(value)


def _safe_csv_cell(value: Any) -> str:  # noqa: ANN401  (any result)
    """As `_csv_cell`, with an apostrophe before any text that a spreadsheet would take for a formula; numbers stay."""
    text = _csv_cell(value)
    is_number = isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)
    return f"'{text}" if text.startswith(_FORMULA) and not is_number else text


def _table(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Aligned columns, numbers to the right, control characters escaped so that a record cannot write to a terminal."""
    texts = [[visible(_cell(value)) for value in row] for row in rows]
    widths = [max([len(name), *(len(row[i]) for row in texts)]) for i, name in enumerate(names)]
    numeric = [
        any(row[i] is not None for row in rows)
        and all(row[i] is None or (isinstance(row[i], (int, float)) and not isinstance(row[i], bool)) for row in rows)
        for i in range(len(names))
    ]

    def line(cells: Sequence[str]) -> str:
        pairs = zip(cells, widths, numeric, strict=True)
        return "  ".join(cell.rjust(width) if right else cell.ljust(width) for cell, width, right in pairs).rstrip()

    return "\n".join([line(names), line(["-" * width for width in widths]), *(line(row) for row in texts)])


def visible(text: str) -> str:
    """A text as tables show it: control characters, and others that show nothing, escaped."""
    return (
        text
        if text.isprintable()
        else "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    )


def _html(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = "\n".join("<tr>" + "".join(f"<td>{html.escape(_cell(v))}</td>" for v in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"
