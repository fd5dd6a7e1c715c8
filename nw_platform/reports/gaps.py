"""What report files lack: the streams whose part of an hour could not be built, and why (ADR 20).

The rows of such a stream are in no file of the hour, and its share is missing in the files of the day, the week, the
month and of `all`. `reports/_manifest.json` says so, until a build succeeds; the hour counts as changed until then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from nw_platform.lake.engine import literal
from nw_platform.record.hours import GRAINS, next_hour, period_directory, period_of

Part = Literal["keys", "all"]

# The tables that are made from the counts of keys and values; a gap of part `keys` is in these only.
KEY_TABLES: Final = ("key_coverage", "value_coverage", "value_coverage_top")
_LONGEST: Final = 300  # characters of a reason


@dataclass(frozen=True, slots=True, order=True)
class Gap:
    """A stream's part of an hour that is in no report."""

    hour: str
    stream: str
    part: Part  # keys: of the tables of KEY_TABLES only; all: of every table
    reason: str


def one_line(error: BaseException) -> str:
    """What an error says, in one line that is not too long."""
    text = " ".join(str(error).split("\n\n", 1)[0].split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def gaps_as_json(gaps: Iterable[Gap]) -> dict[str, dict[str, list[str]]]:
    """Hour -> stream -> part and reason, in order; `gaps_of_json` is its inverse."""
    found: dict[str, dict[str, list[str]]] = {}
    for gap in sorted(gaps):
        found.setdefault(gap.hour, {})[gap.stream] = [gap.part, gap.reason]
    return found


def gaps_of_json(data: Mapping[str, Mapping[str, Collection[str]]]) -> list[Gap]:
    """The gaps that `gaps_as_json` wrote."""
    found = []
    for hour, streams in data.items():
        for stream, (part, reason) in streams.items():
            found.append(Gap(hour, stream, "keys" if part == "keys" else "all", reason))
    return found


def told_gaps(gaps: Collection[Gap]) -> list[str]:
    """A line for each stream and reason: what is missing, where, and the command that tries again."""
    by_reason: dict[tuple[str, Part, str], list[str]] = {}
    for gap in sorted(gaps):
        by_reason.setdefault((gap.stream, gap.part, gap.reason), []).append(gap.hour)
    lines = []
    for (stream, part, reason), hours in by_reason.items():
        what = "keys and values are" if part == "keys" else "records are"
        span = hours[0] if len(hours) == 1 else f"{len(hours)} hours from {hours[0]} to {hours[-1]}"
        again = f"nw build {hours[0]} {next_hour(hours[-1])}"
        lines.append(f"{stream}: its {what} in no report of {span}: {reason}; try again with: {again}")
    return lines


def gaps_sql(gaps: Iterable[Gap]) -> str:
    """A SELECT of the table `report_gaps`: a row for each period of each grain that a gap is in."""
    typed = "grain VARCHAR, dt VARCHAR, period VARCHAR, stream VARCHAR, part VARCHAR, hours BIGINT, reason VARCHAR"
    names = [column.split()[0] for column in typed.split(", ")]
    kinds = dict(column.split() for column in typed.split(", "))
    empty = "SELECT " + ", ".join(f"NULL::{kinds[name]} AS {name}" for name in names) + " WHERE false"
    rows: dict[tuple[str, str, str], list[Gap]] = {}
    for gap in sorted(gaps):
        for grain in GRAINS:
            rows.setdefault((grain, period_of(grain, gap.hour), gap.stream), []).append(gap)
    if not rows:
        return empty
    values = []
    for (grain, period, stream), inside in rows.items():
        part = "all" if any(gap.part == "all" for gap in inside) else "keys"
        texts = [grain, period_directory(grain, period), period, stream, part]
        listed = ", ".join(map(literal, texts))
        values.append(f"({listed}, {len(inside)}::BIGINT, {literal(inside[-1].reason)})")
    return f"SELECT * FROM (VALUES {', '.join(values)}) AS t({', '.join(names)})"
