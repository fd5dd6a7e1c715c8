"""What `nw config check` prints of each stream."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any, Final

from nw_platform.cli.output import visible
from nw_platform.ingest.preview.model import Preview
from nw_platform.record.hours import to_datetime, to_iso

__all__ = ["as_row", "as_text"]

_LONGEST_LINE: Final = 200
_MAGIC: Final = re.compile(r"[*?\[{]")
_FOUND_BY: Final = {
    "recognised": "recognised by the first lines",
    "kept": "as it was recognised when the stream was first read",
    "declared": "declared",
    "undecided": "found out when the first lines come",
}


def as_text(preview: Preview) -> str:
    """A few lines: a headline, and what was made of the sample."""
    lines = [f"{preview.stream}: {_found(preview)}: {preview.where}"]
    lines += [f"  {name:<9}{text}" for name, text in _facts(preview)]
    return "\n".join(_one_line(line) for line in lines)


def as_row(preview: Preview) -> dict[str, Any]:
    """The same for machines."""
    times = None
    if preview.times is not None:
        times = {
            "first": to_datetime(preview.times.first),
            "last": to_datetime(preview.times.last),
            "reading": preview.times.reading,
        }
    return {
        "stream": preview.stream,
        "where": preview.where,
        f"{preview.unit}s": preview.found,
        "empty": preview.empty,
        "waiting": preview.waiting,
        "format": preview.format,
        "found_by": preview.found_by,
        "why": preview.why,
        "options": preview.options,
        "times": times,
        "hosts": list(preview.hosts),
        "host_count": preview.host_count,
        "sampled_from": list(preview.sampled_from),
        "records": preview.records,
        "rejected": preview.rejected,
        "reject_pct": round(100 * preview.reject_share, 2),
        "reasons": preview.reasons,
        "rejects": [
            {"reason": r.reason, "source": r.source, "position": r.position, "beginning": r.beginning}
            for r in preview.rejects
        ],
        "unfilled_columns": list(preview.unfilled),
        "samples": list(preview.samples),
        "warnings": list(preview.warnings),
        "problems": list(preview.problems),
    }


def _found(preview: Preview) -> str:
    if not preview.found:
        return "could not be read" if preview.problems else "nothing there yet"
    found = f"{preview.found:,} {preview.unit}{'' if preview.found == 1 else 's'}"
    if preview.empty:
        found += f" ({preview.empty:,} empty)"
    if preview.waiting is not None:
        found += f" with {preview.waiting:,} records"
    return f"{found}, format {preview.format}"


def _facts(preview: Preview) -> Iterator[tuple[str, str]]:
    """Name and text of each line below the headline."""
    options = ", ".join(f"{name}: {value!r}" for name, value in preview.options.items())
    how = _FOUND_BY[preview.found_by]
    if preview.found or preview.why:
        yield "format", "; ".join(part for part in (how, options, preview.why) if part)
    if not preview.records:
        return
    if preview.times is not None:
        first, last = to_iso(preview.times.first), to_iso(preview.times.last)
        yield "times", f"{first} to {last}, {preview.times.reading}"
    if preview.hosts:
        more = preview.host_count - len(preview.hosts)
        yield "hosts", ", ".join(preview.hosts) + (f" and {more} more" if more > 0 else "")
    names = [_short(preview, source) for source in preview.sampled_from]
    plural = "" if preview.records == 1 else "s"
    yield "sample", f"{preview.records:,} record{plural} of {' and '.join(names)}"
    if preview.rejected:
        listed = ", ".join(f"{count:,} {reason}" for reason, count in preview.reasons.items())
        yield "rejects", f"{preview.rejected:,} ({100 * preview.reject_share:.1f} %): {listed}"
    for reject in preview.rejects:
        place = "byte" if preview.unit == "file" else "offset"
        yield (
            "",
            f"{reject.reason} at {_short(preview, reject.source)}, {place} {reject.position:,}: {reject.beginning}",
        )
    if preview.unfilled:
        yield "unfilled", f"declared columns that no sampled record fills: {', '.join(preview.unfilled)}"
    for number, record in enumerate(preview.samples):
        yield "" if number else "records", _record(record)


def _short(preview: Preview, source: str) -> str:
    """A file's name without the folders that are in the headline already."""
    folder = _MAGIC.split(preview.where)[0].rpartition("/")[0]
    return source.removeprefix(f"{folder}/") if folder else source


def _record(record: Mapping[str, Any]) -> str:
    """A record on one line: its time, then what else is filled."""
    values = dict(record)
    event_time = values.pop("event_time", None)
    if values.get("series") == "normal":
        values.pop("series")
    rest = " ".join(f"{name}={_value(value)}" for name, value in values.items())
    return f"{_value(event_time)} {rest}"


def _value(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, str):
        return value if value and not set(' "=') & set(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value, default=str)


def _one_line(text: str) -> str:
    shown = visible(text)
    return shown if len(shown) <= _LONGEST_LINE else f"{shown[: _LONGEST_LINE - 3]}..."
