"""Says which unit, field or layout would fit the times of a sample that cannot be read, or are read wrongly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.ingest.preview.evidence import AHEAD_US, EARLIEST_US, Evidence
from nw_platform.ingest.preview.summary import own_times
from nw_platform.parsing.contract import EventTime
from nw_platform.parsing.csv import header_names
from nw_platform.parsing.csv_fields import split
from nw_platform.parsing.groups import match_groups
from nw_platform.parsing.regex_pattern import compile_pattern
from nw_platform.parsing.text_times import TIME_NAMES, find_time_field, is_default_field, parse_text
from nw_platform.record.envelope import TIMESTAMP
from nw_platform.record.hours import to_datetime

__all__ = ["keys_of", "time_advice"]

_ENOUGH: Final = 0.8  # of the records have to fit what is proposed
_UNITS: Final = ("s", "ms", "us", "ns")
_HAS_FIELD: Final = ("json", "csv", "regex")  # formats whose time is a field by name
_MOST_FIELDS: Final = 40
_LIKE_A_TIME: Final = re.compile(r"\d[-:/. ]?\d")
_FEW: Final = 50  # records that are looked at one by one
# strptime layouts that are met often, besides ISO 8601.
_LAYOUTS: Final = (
    "%d/%b/%Y:%H:%M:%S %z", "%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%m/%d/%Y %H:%M:%S",
    "%Y/%m/%d %H:%M:%S", "%Y.%m.%d %H:%M:%S", "%Y%m%d%H%M%S", "%Y%m%dT%H%M%S%z", "%Y%m%d %H%M%S", "%d-%b-%Y %H:%M:%S",
    "%d %b %Y %H:%M:%S", "%a, %d %b %Y %H:%M:%S %z", "%a %b %d %H:%M:%S %Y", "%m/%d/%Y %I:%M:%S %p",
    "%d-%m-%Y %H:%M:%S", "%Y-%m-%d %H:%M:%S.%f %z", "%Y-%m-%d %H.%M.%S",
)  # fmt: skip


def time_advice(evidence: Evidence) -> Iterator[str]:
    """Yield warnings about times that cannot be, and about a field that is not there."""
    missing = _missing_field(evidence)
    unreadable = evidence.reasons.get("bad_time", 0) > 0.01 * evidence.records
    odd = _implausible(evidence)
    if not (missing or unreadable or odd):
        yield from _unread(evidence)
        return
    advice = _advice(evidence) if evidence.options.format in _HAS_FIELD else ""
    told = odd or missing or f"{evidence.reasons['bad_time']} of {evidence.records} sampled times cannot be read"
    yield f"{told}{advice}"


def _unread(evidence: Evidence) -> Iterator[str]:
    """Yield that records have a time that is not read, where a table declares none and none is found by its name."""
    options = evidence.options
    if (
        options.format not in ("csv", "regex")
        or options.event_time is not None
        or own_times(evidence.parsed) is not None
    ):
        return
    advice = _advice(evidence)
    if advice:
        yield f"the records' own times are not read, they count as of when they were received{advice}"


def _implausible(evidence: Evidence) -> str:
    """Say how many times are before 2000 or in the future; empty: none."""
    times = own_times(evidence.parsed)
    if times is None:
        return ""
    values = times.cast("int64")
    early = int(pc.sum(pc.less(values, EARLIEST_US)).as_py() or 0)
    late = int(pc.sum(pc.greater(values, evidence.now + AHEAD_US)).as_py() or 0)
    bounds = pc.min_max(values).as_py()
    if early:
        return f"{early} of {evidence.records} sampled times are before the year 2000, like {_shown(bounds['min'])}"
    if late:
        return f"{late} of {evidence.records} sampled times are in the future, like {_shown(bounds['max'])}"
    return ""


def _missing_field(evidence: Evidence) -> str:
    """Say that no sampled record has the field of the time; empty: some have."""
    options = evidence.options
    if options.format == "json" and options.message_format is None:
        records = _objects(evidence)
        fields = TIME_NAMES if is_default_field(options.event_time) else (_declared(evidence).field,)
        has_it = any(_member(record, field) is not None for record in records for field in fields)
        if not records or has_it or not evidence.reasons.get("bad_time"):
            return ""
        wanted = f"the key {fields[0]}" if len(fields) == 1 else f"a key of a time, like {fields[0]} or {fields[3]}"
        return f"no sampled record has {wanted}; they have {_listed(keys_of(evidence))}"
    if options.format == "csv" and options.event_time is not None:
        names = _csv_names(evidence)
        if names and find_time_field(names, options.event_time) is None:
            return f"there is no column {options.event_time.field} for the event time; there are {_listed(names)}"
    return ""


def _advice(evidence: Evidence) -> str:
    """`; this would fit: event_time: {...}`, by what the real parser makes of it; empty: nothing fits."""
    for proposal, values in _proposals(evidence):
        if _reads(proposal, values, evidence) and evidence.plausible_share(proposal) >= _ENOUGH:
            return f"; this would fit: event_time: {_written(proposal)}"
    return ""


def _reads(proposal: EventTime, values: Sequence[str], evidence: Evidence) -> bool:
    """Return True if some values of a field are plausible times as proposed: a quick look before all is parsed."""
    received = pa.repeat(pa.scalar(evidence.now, TIMESTAMP), len(values))
    try:
        times = parse_text(pa.array(values, pa.string()), proposal, received)
    except pa.ArrowInvalid:
        return False
    return evidence.plausible(times) >= _ENOUGH * len(values)


def _proposals(evidence: Evidence) -> Iterator[tuple[EventTime, list[str]]]:
    """Yield other units of the same field, other layouts of it, then other fields; with some values of the field."""
    declared = _declared(evidence)
    fields = list(dict.fromkeys([declared.field, *_fields(evidence)]))[:_MOST_FIELDS]
    for field in fields:
        values = _values_of(evidence, field)
        base = replace(declared, field=field, layout=None)
        if any(value.replace(".", "", 1).isdigit() for value in values):
            for unit in _UNITS:
                yield replace(base, unit=unit), values
        elif any(_LIKE_A_TIME.search(value) for value in values):
            yield replace(base, unit=None), values
            for layout in _LAYOUTS:
                yield replace(base, unit=None, layout=layout), values


def _fields(evidence: Evidence) -> list[str]:
    """Names of fields that may hold a time: those whose names say so first."""
    if evidence.options.format == "csv":
        names = _csv_names(evidence)
    elif evidence.options.format == "json":
        names = keys_of(evidence)
    else:
        names = list(compile_pattern(str(evidence.options.options.get("pattern"))).names)
    return sorted(names, key=lambda name: not any(word in name.lower() for word in ("time", "date", "ts", "when")))


def _values_of(evidence: Evidence, field: str) -> list[str]:
    """Some values of a field as text, to see of which kind they are."""
    if evidence.options.format == "json":
        members = (_member(record, field) for record in _objects(evidence))
        return [str(value) for value in members if isinstance(value, (str, int, float))]
    texts = pa.array([value.decode(evidence.options.encoding, "replace") for value in evidence.values(_FEW)])
    own = evidence.options.options
    if evidence.options.format == "csv":
        names = _csv_names(evidence)
        columns = split(texts, max(1, len(names)), own.get("delimiter") or ",", own.get("quote", '"') or None).columns
        table = dict(zip((name.lower() for name in names), columns, strict=False))
    else:
        groups, _ = match_groups(texts, compile_pattern(str(own.get("pattern"))).regex)
        table = {name.lower(): values for name, values in groups.items()}
    values = table.get(field.lower())
    return [] if values is None else [value for value in values.to_pylist() if value]


def keys_of(evidence: Evidence) -> list[str]:
    """The keys of the first JSON records; empty for other formats."""
    if evidence.options.format != "json":
        return []
    return list(dict.fromkeys(key for record in _objects(evidence) for key in record))


def _declared(evidence: Evidence) -> EventTime:
    """How times are read, with the field that is taken where none is declared."""
    declared = evidence.options.event_time or EventTime()
    return replace(declared, field=_default_field(evidence)) if is_default_field(declared) else declared


def _default_field(evidence: Evidence) -> str:
    """The field that is taken where nothing is declared."""
    keys = keys_of(evidence)
    if keys:
        return next((name for name in TIME_NAMES if name in keys), EventTime().field)
    if evidence.options.format != "csv":
        return EventTime().field
    names = _csv_names(evidence)
    at = find_time_field(names, None)
    return names[at] if at is not None else EventTime().field


def _csv_names(evidence: Evidence) -> list[str]:
    header = evidence.header()
    if header is None or evidence.options.options.get("header") is False:
        return list(evidence.options.columns)
    return header_names(header, evidence.options)


def _objects(evidence: Evidence) -> list[dict[str, Any]]:
    """The first records that are JSON objects."""
    found: list[dict[str, Any]] = []
    for value in evidence.values(_FEW):
        try:
            record = json.loads(value.decode(evidence.options.encoding, "replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(record, dict):
            found.append(record)
    return found


def _member(record: Mapping[str, Any], field: str) -> Any:  # noqa: ANN401  (any JSON value)
    """The member of this name, or the one that its dots lead to."""
    if field in record:
        return record[field]
    here: Any = record
    for part in field.split("."):
        here = here.get(part) if isinstance(here, Mapping) else None
    return here


def _written(proposal: EventTime) -> str:
    """An event time as it is written in the configuration."""
    parts = [f"field: {proposal.field}"]
    if proposal.layout is not None:
        parts.append(f'layout: "{proposal.layout}"')
    elif proposal.unit is not None:
        parts.append(f"unit: {proposal.unit}")
    if proposal.zone != "UTC":
        parts.append(f"zone: {proposal.zone}")
    return "{" + ", ".join(parts) + "}"


def _listed(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(name[:40] for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def _shown(time_us: int) -> str:
    return to_datetime(time_us).strftime("%Y-%m-%dT%H:%M:%SZ")
