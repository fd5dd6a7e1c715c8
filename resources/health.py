"""What Dagster itself says of the platform: failed runs, failing or silent sensors and schedules, stopped daemons.

Read through the instance's own methods, so SQLite and PostgreSQL are the same. Each question is bounded: by a time that
is shorter than what the job `prune` keeps, and by a number. Nothing is kept between two evaluations.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import dagster as dg
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorTick, TickStatus

from nw_platform.alerts.platform import daemon_finding, platform_finding
from nw_platform.alerts.processes import PROCESS, process_findings
from nw_platform.record.hours import to_datetime, to_iso
from nw_platform.watchdog.findings import Finding
from resources.pruning import KEEP_SUCCESS_US

CHECKS: Final = frozenset({"run", "tick", "daemon"})
OWN_SENSOR: Final = "alerts"  # whose ticks say since when the platform has been running

# A later success clears a failure. Successes are deleted after a while, so no failure is told for longer.
REMEMBERED_US: Final = KEEP_SUCCESS_US - 3_600_000_000
SENSOR_SILENT_US: Final = 300_000_000  # and more for sensors that tick more rarely: three times their interval

_MOST_RUNS: Final = 3_000  # failed runs of one job, newest first: one lane may fail every minute of the two days
_MOST_KINDS: Final = 100  # of them that differ in partition, lane or assets: each is asked about
_MOST_SUCCESSES: Final = 50
_MOST_REASONS: Final = 20  # failed runs whose events are read for the reason
_MOST_ENGINE_EVENTS: Final = 100  # of one run that failed before any of its steps
_FROM_OUTSIDE: Final = "marked as failed from outside the execution context"  # Dagster's words, which give no reason
_CONFIGURATION: Final = "ConfigError: "
_OWN_TICKS: Final = 80
_JUDGED_TICKS: Final = 5  # one that a killed process began stays begun, and says nothing
_OWN_FAILURES: Final = 2  # of its ticks, one after the other
_GAP_US: Final = 240_000_000  # between two ticks of the own sensor: longer means that the platform stood still
_PARTITION, _LAST = "dagster/partition", "dagster/asset_partition_range_end"
_FIRST: Final = "dagster/asset_partition_range_start"
_BACKFILL: Final = "dagster/backfill"
_LANE: Final = "neverwinter/lane"
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/\s@]+@")

_Identity = tuple[str, str, str, str]  # first and last partition, lane, assets


def health(
    instance: dg.DagsterInstance, now: int, repository: dg.RepositoryDefinition
) -> tuple[list[Finding], frozenset[str]]:
    """Findings about the platform (asset "platform", no stream), and the checks that were judged.

    Args:
        instance: with any storage.
        now: microseconds since the epoch.
        repository: says which jobs, sensors and schedules there are: what was removed is not judged.
    """
    states = _states(instance)
    since = _running_since(instance, states.get(OWN_SENSOR, ()), now)
    found = [*_runs(instance, now, repository), *_ticks(instance, now, repository, states, since)]
    processes = process_findings()
    judged = CHECKS | {PROCESS} if processes else CHECKS
    return [*found, _daemons(instance, now, since), *processes], judged


def _runs(instance: dg.DagsterInstance, now: int, repository: dg.RepositoryDefinition) -> Iterable[Finding]:
    after = to_datetime(now - REMEMBERED_US)
    failing: list[tuple[str, dg.RunRecord]] = []
    for job in sorted({job.name for job in repository.get_all_jobs()} | set(repository.get_implicit_asset_job_names())):
        filters = dg.RunsFilter(job_name=job, statuses=[dg.DagsterRunStatus.FAILURE], updated_after=after)
        newest: dict[_Identity, dg.RunRecord] = {}
        for record in instance.get_run_records(filters, limit=_MOST_RUNS):
            if len(newest) < _MOST_KINDS:
                newest.setdefault(_identity(record.dagster_run), record)
        repaired = [what for what, record in newest.items() if _succeeded(instance, job, what, record)]
        failing += [(_subject(job, what), record) for what, record in newest.items() if what not in repaired]
        for subject in [_subject(job, what) for what in repaired] if newest else [job]:
            yield platform_finding("run", subject, passed=True, message=f"no newest run of {subject} has failed")
    failing.sort(key=lambda one: -_end(one[1]))
    for place, (subject, record) in enumerate(failing):
        reason = _reason(instance, record.dagster_run.run_id) if place < _MOST_REASONS else ""
        at = int(_end(record) * 1e6)
        told = f"the run of {subject} failed at {to_iso(at)}" + (f": {reason}" if reason else "")
        run = f"run {record.dagster_run.run_id} in the Dagster UI"  # which the alert's link is read from
        repair = f"see {run}, and start it again there"
        if _CONFIGURATION in reason:
            repair = f"`nw config check`; then start {run} again"
        yield platform_finding("run", subject, passed=False, message=told, since=at, repair=repair)


def _identity(run: dg.DagsterRun) -> _Identity:
    """What a run was for. A sensor's range of days is none: it asks again, for another range."""
    tags = run.tags
    first = tags.get(_PARTITION) or (tags.get(_FIRST, "") if _BACKFILL in tags else "")
    last = tags.get(_PARTITION) or (tags.get(_LAST, "") if _BACKFILL in tags else "")
    chosen = run.asset_selection if run.job_name.startswith("__ASSET_JOB") else None
    return first, last, tags.get(_LANE, ""), " ".join(sorted(key.to_user_string() for key in chosen or ()))


def _subject(job: str, what: _Identity) -> str:
    first, last, lane, assets = what
    name = f"materialize {assets}".strip() if job.startswith("__ASSET_JOB") else job
    period = first if first == last else f"{first} to {last}"
    return " ".join(filter(None, (name, f"lane {lane}" if lane else "", period)))


def _succeeded(instance: dg.DagsterInstance, job: str, what: _Identity, failed: dg.RunRecord) -> bool:
    """Whether what failed has been done since."""
    first, last, lane, assets = what
    filters = dg.RunsFilter(
        job_name=job,
        statuses=[dg.DagsterRunStatus.SUCCESS],
        updated_after=failed.update_timestamp - timedelta(seconds=1),
        tags={_LANE: lane} if lane else {},
    )
    for record in instance.get_run_records(filters, limit=_MOST_SUCCESSES):
        done_first, done_last, done_lane, done_assets = _identity(record.dagster_run)
        covers = done_first <= first and last <= done_last if first else True
        same = done_lane == lane and set(assets.split()) <= set(done_assets.split())
        if covers and same and _end(record) >= _end(failed):
            return True
    if not first or first != last:
        return False
    # Of many partitions the newest successes may be others': ask for this one.
    exact = dg.RunsFilter(
        job_name=job,
        statuses=[dg.DagsterRunStatus.SUCCESS],
        updated_after=filters.updated_after,
        tags={_PARTITION: first},
    )
    return any(
        _identity(record.dagster_run) == what and _end(record) >= _end(failed)
        for record in instance.get_run_records(exact, limit=5)
    )


def _end(record: dg.RunRecord) -> float:
    return record.end_time or record.update_timestamp.timestamp()


def _reason(instance: dg.DagsterInstance, run_id: str) -> str:
    """Why a run failed, in one line: of its first failed step, else of the run."""
    wanted = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
    events = [
        record.event_log_entry.dagster_event
        for record in instance.get_records_for_run(run_id, of_type=wanted, limit=20).records
        if record.event_log_entry.dagster_event
    ]
    for event in events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            data = event.step_failure_data
            told = data.user_failure_data.description if data.user_failure_data else None
            return _one_line(told or _root(data.error))
    told = str(events[-1].message) if events else ""
    if _FROM_OUTSIDE in told:
        return _one_line(_before_any_step(instance, run_id) or told)
    return _one_line(told)


def _before_any_step(instance: dg.DagsterInstance, run_id: str) -> str:
    """What kept a run from beginning (its code could not be loaded, say), as the process that should do it noted."""
    found = instance.get_records_for_run(
        run_id, of_type=dg.DagsterEventType.ENGINE_EVENT, limit=_MOST_ENGINE_EVENTS, ascending=False
    )
    for record in found.records:
        event = record.event_log_entry.dagster_event
        if event and event.engine_event_data.error is not None:
            return _root(event.engine_event_data.error)
    return ""


def _root(error: Any) -> str:  # noqa: ANN401  (SerializableErrorInfo)
    """The message of the error that began it."""
    while error is not None and error.cause is not None:
        error = error.cause
    return "" if error is None else str(error.message)


def _one_line(text: str | None) -> str:
    line = _CREDENTIALS.sub("***@", " ".join((text or "").split()))
    return line if len(line) <= 300 else f"{line[:297]}..."  # noqa: PLR2004  (a line)


def _ticks(
    instance: dg.DagsterInstance,
    now: int,
    repository: dg.RepositoryDefinition,
    states: Mapping[str, Sequence[InstigatorState]],
    running_since: int,
) -> Iterable[Finding]:
    silent = {
        s.name: max(SENSOR_SILENT_US, 3_000_000 * (s.minimum_interval_seconds or 30))
        for s in repository.sensor_defs
        if s.default_status is dg.DefaultSensorStatus.RUNNING
    }
    schedules = {s.name for s in repository.schedule_defs if s.default_status is dg.DefaultScheduleStatus.RUNNING}
    for name in sorted(silent.keys() | schedules):
        told = states.get(name, ())
        ticks = sorted(
            (tick for state in told for tick in _newest_ticks(instance, state, _JUDGED_TICKS)),
            key=lambda tick: -tick.timestamp,
        )
        kind = "sensor" if name in silent else "schedule"
        if told and all(state.status is InstigatorStatus.STOPPED for state in told):
            message = f"the {kind} {name} was stopped by hand: nothing does its work"
            repair = f"start the {kind} {name} in the Dagster UI"
            yield platform_finding("tick", name, passed=False, message=message, repair=repair, severity="warn")
            continue
        yield _judged(name, kind, ticks, running_since, now, silent.get(name))


def _judged(
    name: str, kind: str, ticks: Sequence[InstigatorTick], running_since: int, now: int, silent_us: int | None
) -> Finding:
    """The finding about one sensor or schedule that is to run. `ticks`: newest first."""
    newest = int(ticks[0].timestamp * 1e6) if ticks else None
    waited_since = max(running_since, newest or 0)
    if silent_us is not None and now - waited_since > silent_us:
        last = "it has not ticked yet" if newest is None else f"its last tick was {to_iso(newest)}"
        message = f"the {kind} {name} does not tick: {last}"
        repair = "see the daemon's log; start `nw up` again"
        return platform_finding("tick", name, passed=False, message=message, since=newest, repair=repair)
    finished = [tick for tick in ticks if tick.status is not TickStatus.STARTED]
    # The own sensor is at work while this is judged: one tick that the last process died in says nothing any more.
    needed = _OWN_FAILURES if name == OWN_SENSOR else 1
    if len(finished) >= needed and all(tick.status is TickStatus.FAILURE for tick in finished[:needed]):
        reason = _one_line(_root(finished[0].error))
        at = int(finished[0].timestamp * 1e6)
        message = f"the {kind} {name} failed at {to_iso(at)}" + (f": {reason}" if reason else "")
        repair = f"see the {kind} {name} in the Dagster UI"
        return platform_finding("tick", name, passed=False, message=message, since=at, repair=repair)
    return platform_finding("tick", name, passed=True, message=f"the {kind} {name} works")


def _states(instance: dg.DagsterInstance) -> dict[str, list[InstigatorState]]:
    """What is stored of sensors and schedules, by name."""
    found: dict[str, list[InstigatorState]] = {}
    for state in instance.all_instigator_state():
        found.setdefault(state.instigator_name, []).append(state)
    return found


def _newest_ticks(instance: dg.DagsterInstance, state: InstigatorState, limit: int) -> Sequence[InstigatorTick]:
    return instance.get_ticks(state.instigator_origin_id, state.selector_id, limit=limit)


def _running_since(instance: dg.DagsterInstance, own: Sequence[InstigatorState], now: int) -> int:
    """Since when we ourselves have ticked without a gap: after a standstill nobody is late at once."""
    since = now
    ticks = [tick for state in own for tick in _newest_ticks(instance, state, _OWN_TICKS)]
    for time in sorted((tick.timestamp for tick in ticks), reverse=True):
        if since - time * 1e6 > _GAP_US:
            break
        since = min(since, int(time * 1e6))
    return since


def _daemons(instance: dg.DagsterInstance, now: int, running_since: int) -> Finding:
    required = {name: status for name, status in instance.get_daemon_statuses().items() if status.required}
    heartbeats = {name: one.last_heartbeat.timestamp if one.last_heartbeat else None for name, one in required.items()}
    return daemon_finding(heartbeats, now, running_since)
