"""What is found of the platform in Dagster's own records, on SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
import time

import dagster as dg
import pytest
from dagster._core.events import EngineEventData
from dagster._core.remote_origin import RegisteredCodeLocationOrigin, RemoteRepositoryOrigin
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    ScheduleInstigatorData,
    SensorInstigatorData,
    TickData,
    TickStatus,
)
from dagster._core.test_utils import create_run_for_test
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo
from postgres_server import server

from nw_platform.alerts.alert import Scope
from nw_platform.alerts.machine import step
from nw_platform.alerts.platform import DAEMON_SILENT_US
from nw_platform.alerts.policy import Policy
from nw_platform.alerts.processes import TOLD_VARIABLE, ProcessNews, write_news
from nw_platform.alerts.routing import link_to
from nw_platform.cli.dagster_home import POSTGRES_VARIABLE, postgres_url
from resources.health import CHECKS, OWN_SENSOR, REMEMBERED_US, health

__all__ = ["server"]  # a fixture
S = 1_000_000
BROKEN = set()  # names of what is to fail
REPOSITORY = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("neverwinter"), "__repository__")
DAYS = dg.DailyPartitionsDefinition("2024-03-01")


def breaking(name):
    if name in BROKEN:
        raise ValueError(f"no way to hdfs://u:hunter2@nn:8020\nfor {name}")


@dg.job
def tick():
    @dg.op(name="ingest")
    def ingest():
        breaking("tick")

    ingest()


@dg.op
def lane_op(context):
    breaking(f"lane {context.run.tags['neverwinter/lane']}")


@dg.job
def ingest_lane():
    lane_op()


@dg.asset(partitions_def=DAYS)
def hours(context):
    breaking(context.partition_key)


def running(name, interval):
    @dg.sensor(name=name, job=tick, minimum_interval_seconds=interval, default_status=dg.DefaultSensorStatus.RUNNING)
    def sensor():
        return None

    return sensor


DEFINITIONS = dg.Definitions(
    assets=[hours],
    jobs=[tick, ingest_lane, dg.define_asset_job("reports", [hours])],
    sensors=[running("arrivals", 60), running("reports", 300), running(OWN_SENSOR, 60)],
    schedules=[
        dg.ScheduleDefinition(
            name="nightly", job=tick, cron_schedule="0 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING
        )
    ],
)


@pytest.fixture(params=["sqlite", "postgres"])
def instance(request, tmp_path, empty_storage, monkeypatch):
    BROKEN.clear()
    if request.param == "sqlite":
        home = shutil.copytree(empty_storage, tmp_path / "home")
        with dg.instance_for_test(temp_dir=str(home)) as made:
            yield made
        return
    monkeypatch.setenv(POSTGRES_VARIABLE, postgres_url(request.getfixturevalue("server")))
    storage = {"storage": {"postgres": {"postgres_url": {"env": POSTGRES_VARIABLE}}}}
    with dg.instance_for_test(temp_dir=str(tmp_path), overrides=storage) as made:
        made.wipe()
        made.wipe_all_schedules()
        made.wipe_daemon_heartbeats()
        yield made


def clock():
    return time.time_ns() // 1000


def failing(instance, check, now=None):
    """Subject -> message of what fails."""
    found, judged = health(instance, clock() if now is None else now, DEFINITIONS.get_repository_def())
    assert judged == CHECKS
    assert {finding.asset for finding in found} == {"platform"}
    assert len({finding.key for finding in found}) == len(found)
    assert all(finding.message and (finding.passed or finding.repair) for finding in found)
    return {finding.subject: finding.message for finding in found if finding.check == check and not finding.passed}


def judged_now(instance):
    return health(instance, clock(), DEFINITIONS.get_repository_def())[0]


def dg_engine_data(error=None):
    """What an engine event of Dagster carries."""
    return EngineEventData.engine_error(error) if error else EngineEventData()


def passing(instance, check):
    found, _ = health(instance, clock(), DEFINITIONS.get_repository_def())
    return {finding.subject for finding in found if finding.check == check and finding.passed}


def run(instance, job, broken=(), **options):
    BROKEN.clear()
    BROKEN.update(broken)
    result = DEFINITIONS.get_job_def(job).execute_in_process(instance=instance, raise_on_error=False, **options)
    assert result.success is not bool(broken)


class TestRuns:
    def test_a_failure_is_told_with_its_reason_until_a_run_succeeds(self, instance):
        run(instance, "tick")
        assert failing(instance, "run") == {}
        run(instance, "tick", ["tick"])
        told = failing(instance, "run")["tick"]
        assert "the run of tick failed at 20" in told
        assert told.endswith("ValueError: no way to hdfs://***@nn:8020 for tick")
        run(instance, "tick", ["tick"])
        assert set(failing(instance, "run")) == {"tick"}
        run(instance, "tick")
        assert failing(instance, "run") == {}
        assert "tick" in passing(instance, "run")

    def test_each_lane_has_to_succeed_for_itself(self, instance):
        run(instance, "ingest_lane", ["lane 1"], tags={"neverwinter/lane": "1"})
        run(instance, "ingest_lane", tags={"neverwinter/lane": "2"})
        assert set(failing(instance, "run")) == {"ingest_lane lane 1"}
        run(instance, "ingest_lane", tags={"neverwinter/lane": "1"})
        assert failing(instance, "run") == {}
        assert "ingest_lane lane 1" in passing(instance, "run")

    def test_each_partition_has_to_succeed_for_itself(self, instance):
        run(instance, "reports", ["2024-03-02"], partition_key="2024-03-02")
        run(instance, "reports", partition_key="2024-03-03")
        assert set(failing(instance, "run")) == {"reports 2024-03-02"}
        run(instance, "reports", partition_key="2024-03-02")
        assert failing(instance, "run") == {}

    def test_a_range_that_a_backfill_failed_on_is_cleared_by_a_wider_one(self, instance):
        first, last = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
        backfill = {"dagster/backfill": "b"}
        failed = create_run_for_test(instance, "reports", tags={first: "2024-03-02", last: "2024-03-04", **backfill})
        instance.report_run_failed(failed)
        self._succeed(instance, {first: "2024-03-03", last: "2024-03-09", **backfill})
        assert set(failing(instance, "run")) == {"reports 2024-03-02 to 2024-03-04"}
        self._succeed(instance, {first: "2024-03-01", last: "2024-03-04", **backfill})
        assert failing(instance, "run") == {}

    def test_what_is_older_than_successes_are_kept_is_told_no_more(self, instance):
        run(instance, "tick", ["tick"])
        assert failing(instance, "run", clock() + REMEMBERED_US - 60 * S)
        assert failing(instance, "run", clock() + REMEMBERED_US + 60 * S) == {}

    def test_a_run_whose_code_could_not_be_loaded_says_why(self, instance):
        run_id = create_run_for_test(instance, "tick").run_id
        cause = SerializableErrorInfo("ConfigError: neverwinter.yaml, line 9: this is no YAML\n", [], "ConfigError")
        error = SerializableErrorInfo("DagsterUserCodeLoadError: no", [], "DagsterUserCodeLoadError", cause=cause)
        instance.report_engine_event("Started process", instance.get_run_by_id(run_id), dg_engine_data())
        instance.report_engine_event(
            "Could not load job definition.", instance.get_run_by_id(run_id), dg_engine_data(error)
        )
        instance.report_run_failed(instance.get_run_by_id(run_id))
        (found,) = [one for one in judged_now(instance) if one.check == "run" and not one.passed]
        assert found.message.endswith(": ConfigError: neverwinter.yaml, line 9: this is no YAML")
        assert found.repair == f"`nw config check`; then start run {run_id} in the Dagster UI again"
        (opened,) = step({}, [found], Scope(None, frozenset()), clock(), Policy())
        assert link_to(opened, "http://dagster:3000") == f"http://dagster:3000/runs/{run_id}"

    def test_a_run_that_somebody_marked_as_failed_says_so(self, instance):
        run_id = create_run_for_test(instance, "tick").run_id
        instance.report_run_failed(instance.get_run_by_id(run_id))
        (found,) = [one for one in judged_now(instance) if one.check == "run" and not one.passed]
        assert "marked as failed from outside" in found.message
        assert found.repair == f"see run {run_id} in the Dagster UI, and start it again there"
        (opened,) = step({}, [found], Scope(None, frozenset()), clock(), Policy())
        assert link_to(opened, "http://dagster:3000") == f"http://dagster:3000/runs/{run_id}"

    def test_a_run_that_was_canceled_says_nothing(self, instance):
        run(instance, "tick", ["tick"])
        instance.report_run_canceled(create_run_for_test(instance, "tick"))
        assert set(failing(instance, "run")) == {"tick"}

    def test_of_hundreds_the_newest_are_told_at_a_bounded_cost(self, instance, monkeypatch):
        for number in range(130):
            made = create_run_for_test(instance, "reports", tags={"dagster/partition": f"p{number:03}"})
            instance.report_run_failed(made)
        asked = []
        for name in ("get_run_records", "get_records_for_run"):
            method = getattr(instance, name)
            monkeypatch.setattr(
                instance, name, lambda *a, _m=method, _n=name, **k: asked.append((_n, k["limit"])) or _m(*a, **k)
            )
        told = failing(instance, "run")
        assert set(told) == {f"reports p{number:03}" for number in range(30, 130)}
        assert sum(name == "get_records_for_run" for name, _ in asked) == 40  # twice for those that no step failed in
        assert len(asked) < 250
        assert max(limit for _, limit in asked) == 3000

    def test_a_lane_that_fails_each_minute_hides_no_failure_of_another(self, instance):
        for lane in ("0.0", *["0.1"] * 110):
            instance.report_run_failed(create_run_for_test(instance, "ingest_lane", tags={"neverwinter/lane": lane}))
        assert set(failing(instance, "run")) == {"ingest_lane lane 0.0", "ingest_lane lane 0.1"}

    @staticmethod
    def _succeed(instance, tags):
        made = create_run_for_test(instance, "reports", tags=tags, status=dg.DagsterRunStatus.STARTED)
        instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, "reports"), run_id=made.run_id
        )


FAILED = SerializableErrorInfo("ValueError: no", [], "ValueError")


def ticks(instance, name, *told, status=InstigatorStatus.DECLARED_IN_CODE, kind=InstigatorType.SENSOR):
    """Ticks of a sensor as the daemon writes them: pairs of (microseconds, status) or (..., status, error)."""
    origin = REPOSITORY.get_instigator_origin(name)
    data = (
        SensorInstigatorData(min_interval=60) if kind is InstigatorType.SENSOR else ScheduleInstigatorData("0 3 * * *")
    )
    state = InstigatorState(origin, kind, status, data)
    if not instance.get_instigator_state(origin.get_id(), state.selector_id):
        instance.add_instigator_state(state)
    else:
        instance.update_instigator_state(state)
    for at, result, *error in told:
        failed = {"error": error[0] if error else FAILED} if result is TickStatus.FAILURE else {}
        asked = {"run_ids": ["r"]} if result is TickStatus.SUCCESS else {}
        instance.create_tick(
            TickData(
                origin.get_id(), name, kind, result, at / 1e6, selector_id=state.selector_id, **failed, **asked
            )
        )  # fmt: skip


def skipped(now, minutes, until=0):
    """One skipped tick a minute."""
    return [(now - minute * 60 * S, TickStatus.SKIPPED) for minute in range(minutes, until, -1)]


class TestTicks:
    def test_nothing_is_late_right_after_the_start(self, instance):
        now = clock()
        ticks(instance, "arrivals", (now - 86_400 * S, TickStatus.SKIPPED))
        ticks(instance, OWN_SENSOR, (now - 86_400 * S, TickStatus.SKIPPED), (now, TickStatus.STARTED))
        assert failing(instance, "tick", now) == {}

    def test_a_sensor_that_does_not_tick_while_we_do(self, instance):
        now = clock()
        ticks(instance, OWN_SENSOR, *skipped(now, 20), (now, TickStatus.STARTED))
        ticks(instance, "arrivals", (now - 6 * 60 * S, TickStatus.SUCCESS))
        ticks(instance, "reports", (now - 14 * 60 * S, TickStatus.SKIPPED))  # every 5 min: 15 are allowed
        assert set(failing(instance, "tick", now)) == {"arrivals"}
        assert set(failing(instance, "tick", now + 2 * 60 * S)) == {"arrivals", "reports"}
        ticks(instance, "arrivals", (now - 60 * S, TickStatus.SUCCESS))
        assert failing(instance, "tick", now) == {}

    def test_one_that_never_ticked(self, instance):
        now = clock()
        ticks(instance, OWN_SENSOR, *skipped(now, 20), (now, TickStatus.STARTED))
        told = failing(instance, "tick", now)
        assert told["arrivals"] == "the sensor arrivals does not tick: it has not ticked yet"

    def test_the_newest_tick_that_has_ended_counts(self, instance):
        now = clock()
        error = SerializableErrorInfo("LakeError: the lake is away\n", [], "LakeError")
        outer = SerializableErrorInfo("SensorExecutionError: Error occurred", [], "SensorExecutionError", cause=error)
        ticks(instance, "arrivals", (now - 3 * 60 * S, TickStatus.SUCCESS), (now - 60 * S, TickStatus.FAILURE, outer))
        ticks(instance, "arrivals", (now, TickStatus.STARTED))
        (told,) = failing(instance, "tick", now).values()
        assert told.endswith(": LakeError: the lake is away")
        ticks(instance, "arrivals", (now + S, TickStatus.SKIPPED))
        assert failing(instance, "tick", now) == {}

    def test_one_failed_tick_of_the_own_sensor_is_over_when_it_is_at_work_again(self, instance):
        """Whoever judges is that sensor: the tick failed because the process it ran in was killed."""
        now = clock()
        ticks(instance, OWN_SENSOR, (now - 120 * S, TickStatus.SKIPPED), (now - 60 * S, TickStatus.FAILURE))
        ticks(instance, OWN_SENSOR, (now, TickStatus.STARTED))
        assert failing(instance, "tick", now) == {}
        ticks(instance, OWN_SENSOR, (now + S, TickStatus.FAILURE), (now + 2 * S, TickStatus.STARTED))
        assert set(failing(instance, "tick", now + 2 * S)) == {OWN_SENSOR}
        ticks(instance, OWN_SENSOR, (now + 3 * S, TickStatus.SKIPPED), (now + 4 * S, TickStatus.STARTED))
        assert failing(instance, "tick", now + 4 * S) == {}

    def test_a_schedule_whose_tick_failed(self, instance):
        now = clock()
        ticks(instance, "nightly", (now - 3600 * S, TickStatus.FAILURE), kind=InstigatorType.SCHEDULE)
        assert set(failing(instance, "tick", now)) == {"nightly"}

    def test_one_that_was_stopped_by_hand_is_a_warning(self, instance):
        now = clock()
        ticks(instance, "arrivals", status=InstigatorStatus.STOPPED)
        assert failing(instance, "tick", now) == {
            "arrivals": "the sensor arrivals was stopped by hand: nothing does its work"
        }

    def test_what_is_not_declared_any_more_is_not_judged(self, instance):
        now = clock()
        ticks(instance, "old", (now, TickStatus.FAILURE))
        assert failing(instance, "tick", now) == {}


class TestDaemons:
    def test_one_that_gives_no_sign_of_life(self, instance):
        now = clock()
        ticks(instance, OWN_SENSOR, *skipped(now, 20), (now, TickStatus.STARTED))
        required = sorted(instance.get_required_daemon_types())
        assert {"SENSOR", "SCHEDULER"} <= set(required)
        for name in required:
            instance.add_daemon_heartbeat(DaemonHeartbeat(now / 1e6, name, "d", []))
        assert failing(instance, "daemon", now) == {}
        late = (now - DAEMON_SILENT_US - S) / 1e6
        instance.add_daemon_heartbeat(DaemonHeartbeat(late, "SCHEDULER", "d", []))
        (told,) = failing(instance, "daemon", now).values()
        assert told.startswith("the Dagster daemon has stopped in part (SCHEDULER): the last sign of life was 20")
        for name in required:
            instance.add_daemon_heartbeat(DaemonHeartbeat(late, name, "d", []))
        (told,) = failing(instance, "daemon", now).values()  # one process, one alert
        assert told.startswith("the Dagster daemon has stopped: the last sign of life was 20")

    def test_what_nw_up_tells_of_its_processes_is_judged_if_it_tells_something(self, instance, tmp_path, monkeypatch):
        place = tmp_path / "processes.json"
        monkeypatch.setenv(TOLD_VARIABLE, str(place))
        repository = DEFINITIONS.get_repository_def()
        assert health(instance, clock(), repository)[1] == CHECKS
        write_news(place, [ProcessNews("daemon", works=False, message="it hung", repair="see its log")])
        found, judged = health(instance, clock(), repository)
        assert judged == CHECKS | {"process"}
        assert [(one.subject, one.passed) for one in found if one.check == "process"] == [("daemon", False)]

    def test_after_a_standstill_nothing_is_late_at_once(self, instance):
        now = clock()
        ticks(instance, OWN_SENSOR, (now, TickStatus.STARTED))
        instance.add_daemon_heartbeat(DaemonHeartbeat(now / 1e6 - 86_400, "SCHEDULER", "d", []))
        assert failing(instance, "daemon", now) == {}
