"""What a build has to do: which hours changed since their reports were made, and which longer periods hold them.

A small file beside the report files (`reports/_manifest.json`) remembers from which log files each hour was built. It
is a hint: without it every hour is built again, and files whose rows come out the same are left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nw_platform.lake.scratch import scratch
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import LakeFile
from nw_platform.record.hours import GRAINS, HOUR_US, hour_of, hour_start, hours_between, next_hour, period_of
from nw_platform.record.names import RESERVED_COLUMNS
from nw_platform.reports.damage import MERGED, bounds_of, look
from nw_platform.reports.gaps import Gap, gaps_as_json, gaps_of_json
from nw_platform.reports.publish import report_files, report_path
from nw_platform.reports.relations import StepPlan, StreamFiles, own_columns
from nw_platform.settings import Settings

RULES: Final = "2"  # of this package: a change that gives other rows raises it, and everything is built again
MANIFEST: Final = "_manifest.json"

# One dbt invocation takes at most this much, so that its memory is bounded. Steps end with a day.
STEP_RECORDS: Final = 10_000_000
STEP_HOURS: Final = 24 * 62

Incomplete = Callable[[str], Collection[str]]


@dataclass(frozen=True, slots=True)
class LogsState:
    """The snapshots that a build reads: files by stream and hour. Taken once, so that a build sees one moment."""

    streams: Sequence[StreamFiles]
    files: Mapping[str, Mapping[str, Sequence[LakeFile]]]  # stream -> hour -> files
    duplicates: Mapping[str, Sequence[LakeFile]]  # day -> files
    tokens: Mapping[str, str]  # hour -> what its rows are made from

    def step(self, hours: Sequence[str]) -> tuple[list[StreamFiles], list[str]]:
        """The files of some hours: of the streams, and of duplicates."""
        streams = []
        for stream in self.streams:
            by_hour = self.files[stream.stream]
            urls = tuple(f.url for hour in hours for f in by_hour.get(hour, ()))
            if urls:
                streams.append(StreamFiles(stream.stream, stream.always_present, stream.own, urls))
        days = sorted({hour[:10] for hour in hours})
        return streams, [f.url for day in days for f in self.duplicates.get(day, ())]


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What to build. `steps` are done in order; `tokens` is then what the manifest is to say of the hours."""

    steps: Sequence[StepPlan]
    tokens: Mapping[str, str | None]  # None: the hour has no logs (any more)
    refused: Sequence[tuple[str, str]] = ()
    records: Sequence[int] = field(default_factory=list)  # of each step


def read_state(lake: Lake, settings: Settings) -> LogsState:
    """Look at the newest snapshot of every declared stream's logs and of the duplicates."""
    streams: list[StreamFiles] = []
    files: dict[str, dict[str, list[LakeFile]]] = {}
    parts: dict[str, list[str]] = {}
    for name, declared in settings.streams.items():
        snapshot = lake.logs(name).snapshot()
        if snapshot is None:
            continue
        own = own_columns(snapshot.schema())
        undeclared = set(own) - set(declared.columns)
        # A stream whose format was sniffed is JSON exactly if it has no columns but the declared ones.
        json_like = declared.format == "json" or (declared.format == "auto" and not undeclared)
        streams.append(StreamFiles(name, not json_like, {n: k for n, k in own.items() if n not in RESERVED_COLUMNS}))
        by_hour = files.setdefault(name, {})
        for file in snapshot.files():
            by_hour.setdefault(file.hour, []).append(file)
        for hour, found in by_hour.items():
            parts.setdefault(hour, []).extend(f"{name}/{f.path}" for f in found)
    duplicates: dict[str, list[LakeFile]] = {}
    snapshot = lake.duplicates().snapshot()
    for file in snapshot.files() if snapshot is not None else ():
        duplicates.setdefault(file.partition["dt"], []).append(file)
        for hour in _hours_of(file):
            parts.setdefault(hour, []).append(f"duplicates/{file.path}")
    tokens = {
        hour: hashlib.sha256("\n".join([RULES, *sorted(paths)]).encode()).hexdigest()[:16]
        for hour, paths in sorted(parts.items())
    }
    return LogsState(streams, files, duplicates, tokens)


def _hours_of(file: LakeFile) -> list[str]:
    """The hours a file of duplicates may have rows in: by its statistics, else its whole day."""
    low, high = (str(value)[:13].replace(" ", "T") for value in file.statistics.get("event_time", ("", "")))
    day = file.partition["dt"]
    if low[:10] == high[:10] == day and low[10:11] == "T":
        return [hour for hour in (f"{day}T{n:02d}" for n in range(24)) if low <= hour <= high]
    return [f"{day}T{n:02d}" for n in range(24)]


def read_manifest(root: str) -> dict[str, str]:
    """Hour -> token of what its reports were built from; empty if there is no (readable) manifest."""
    return {str(hour): str(token) for hour, token in _manifest(root).get("hours", {}).items()}


def read_gaps(root: str) -> list[Gap]:
    """What the report files lack, as far as the manifest says."""
    return gaps_of_json(_manifest(root).get("gaps", {}))


def _manifest(root: str) -> dict[str, Any]:
    try:
        data = json.loads(report_files(root).data(MANIFEST) or b"{}")
        gaps_of_json(data.get("gaps", {}))
        dict(data.get("hours", {}))
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    return dict(data)


def write_manifest(root: str, changes: Mapping[str, str | None], gaps: Iterable[Gap] = ()) -> None:
    """Remember hours that were built, and what they lack. Nothing is written if nothing changes.

    Args:
        root: of the report files.
        changes: hour -> token; None: the hour is to be built again, or has no logs any more.
        gaps: all gaps of the hours in `changes`; those of other hours stay.
    """
    known, known_gaps = read_manifest(root), gaps_as_json(read_gaps(root))
    after = {hour: token for hour, token in {**known, **changes}.items() if token is not None}
    kept = {hour: lacking for hour, lacking in known_gaps.items() if hour not in changes}
    gaps_after = dict(sorted({**kept, **gaps_as_json(gaps)}.items()))
    if after == known and gaps_after == known_gaps:
        return
    data: dict[str, object] = {"hours": dict(sorted(after.items()))}
    if gaps_after:
        data["gaps"] = gaps_after
    report_files(root).replace(MANIFEST, json.dumps(data, indent=0).encode())


def plan_build(
    lake: Lake,
    settings: Settings,
    *,
    now: int,
    first: str | None = None,
    last: str | None = None,
    incomplete: Incomplete | None = None,
    everything: bool = False,
) -> BuildPlan:
    """Decide what to build.

    Args:
        lake: what is read and written.
        settings: the declared streams.
        now: microseconds since the epoch.
        first: first hour of a range that is to be built whether it changed or not; `last` is the hour after it.
        last: see `first`.
        incomplete: stream -> hours whose logs are not whole; these are refused.
        everything: build every hour, changed or not.
    """
    state = read_state(lake, settings)
    known = read_manifest(lake.reports_root)
    asked: set[str] = set()
    if first is not None and last is not None:
        inside = (hour for hour in {*state.tokens, *known} if first <= hour < last)
        asked = set(inside)
        changed = asked
    elif everything:
        changed = set(state.tokens)
    else:
        changed = {hour for hour in {*state.tokens, *known} if state.tokens.get(hour) != known.get(hour)}
    changed |= damaged_hours(lake.reports_root, changed) & set(state.tokens)
    refused = _refusals(changed, state, settings, lake.reports_root, now, incomplete)
    hours = sorted(changed - set(refused))
    days = {hour[:10] for hour in hours}
    if first is not None and last is not None:  # a day that was asked for gets its files, also without a record
        days |= {hour[:10] for hour in hours_between(first, last)}
    if not days:
        return BuildPlan((), {}, sorted(refused.items()))
    steps, records = _steps(lake, state, hours, sorted(days))
    tokens = {hour: state.tokens.get(hour) for hour in hours}
    return BuildPlan(steps, tokens, sorted(refused.items()), records)


def damaged_hours(root: str, hours: Collection[str]) -> set[str]:
    """The hours to build again because a file of theirs is damaged that the build of some hours would merge."""
    if not hours:
        return set()
    days = {hour[:10] for hour in hours}
    months = {day[:7] for day in days}
    day_files = {period for period in _built(root, "int_type_counts", "day") if period[:7] in months}
    periods = {
        "hour": {f"{day}T{n:02d}" for day in days for n in range(24)},
        "day": day_files,
        "month": set(_built(root, "int_type_counts", "month")),
    }
    found: set[str] = set()
    for damage in look(root, MERGED, periods):
        first, last = bounds_of(damage.grain, damage.period)
        found |= {damage.period} if damage.grain == "hour" else set(hours_between(f"{first}T00", f"{last}T00"))
    return found


def _refusals(
    hours: Collection[str],
    state: LogsState,
    settings: Settings,
    root: str,
    now: int,
    incomplete: Incomplete | None,
) -> dict[str, str]:
    """Hour -> why no report is made of it."""
    refused: dict[str, str] = {}
    # Of an hour that has no logs any more every stream may have lost its own.
    has_lost = not state.tokens.keys() >= set(hours)
    for name, declared in settings.streams.items():
        if declared.retention_logs_us is not None:
            expired = hour_of(now - declared.retention_logs_us - HOUR_US)
            old = {report_path("int_type_counts", "hour", hour): hour for hour in sorted(hours) if hour <= expired}
            if old:
                for hour in map(old.__getitem__, report_files(root).there(old)):
                    refused[hour] = f"older than the retention of {name}'s logs: its reports stay as they are"
        concerned = has_lost or not state.files.get(name, {}).keys().isdisjoint(hours)
        broken = set(incomplete(name)) if incomplete is not None and concerned else set()
        for hour in broken & set(hours):
            repair = f"nw ingest --once; if it stays: nw rebuild {name} {hour} {next_hour(hour)}"
            refused[hour] = f"logs/{name} is not whole (raw = logs + duplicates fails): {repair}"
    return refused


def _steps(lake: Lake, state: LogsState, hours: Sequence[str], days: Sequence[str]) -> tuple[list[StepPlan], list[int]]:
    """Cut the work at ends of days; the last step also makes the weeks, the months and the whole."""
    steps: list[StepPlan] = []
    records: list[int] = []
    chunks = list(_chunks(state, hours, days))
    work = str(scratch(lake.work, "reports"))
    for index, (chunk_days, chunk_hours, count) in enumerate(chunks):
        streams, duplicates = state.step(chunk_hours)
        periods: dict[str, list[str]] = {"hour": list(chunk_hours), "day": list(chunk_days)}
        inputs = {"hour": [f"{day}T{n:02d}" for day in chunk_days for n in range(24)]}
        if index == len(chunks) - 1:
            for grain in ("week", "month"):
                periods[grain] = sorted({period_of(grain, f"{day}T00") for day in days})
            periods["all"] = ["all"]
            inputs["day"] = _days_within(periods)
            inputs["month"] = _built(lake.reports_root, "int_type_counts", "month")
        steps.append(
            StepPlan(
                root=lake.reports_root,
                work=work,
                streams=streams,
                duplicates=duplicates,
                hours=chunk_hours,
                periods={grain: periods[grain] for grain in GRAINS if grain in periods},
                inputs=inputs,
            )
        )
        records.append(count)
    return steps, records


def _chunks(state: LogsState, hours: Sequence[str], days: Sequence[str]) -> Iterator[tuple[list[str], list[str], int]]:
    by_day: dict[str, list[str]] = {day: [] for day in days}
    for hour in hours:
        by_day[hour[:10]].append(hour)
    chunk_days: list[str] = []
    chunk_hours: list[str] = []
    count = 0
    for day, its_hours in by_day.items():
        size = sum(f.records for files in state.files.values() for hour in its_hours for f in files.get(hour, ()))
        if chunk_days and (count + size > STEP_RECORDS or len(chunk_hours) + len(its_hours) > STEP_HOURS):
            yield chunk_days, chunk_hours, count
            chunk_days, chunk_hours, count = [], [], 0
        chunk_days.append(day)
        chunk_hours.extend(its_hours)
        count += size
    yield chunk_days, chunk_hours, count


def _days_within(periods: Mapping[str, Sequence[str]]) -> list[str]:
    """Every day of the weeks and months to be written."""
    days: set[str] = set()
    for grain, length in (("week", 7), ("month", 31)):
        for period in periods[grain]:
            start = hour_start(f"{period}T00")
            run = (hour_of(start + n * 24 * HOUR_US) for n in range(length))
            days |= {hour[:10] for hour in run if period_of(grain, hour) == period}
    return sorted(days)


def _built(root: str, table: str, grain: str) -> list[str]:
    """The periods of a grain that have a file."""
    found = report_files(root).below(f"{table}/grain={grain}")
    return sorted(path.rpartition("/")[2].removesuffix(".parquet") for path in found)
