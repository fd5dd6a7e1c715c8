"""The job `maintain` and its schedule, with a platform in memory; on a real lake see test_real_platform.py."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster import DagsterRunStatus

from assets.jobs import TICK_PRIORITY
from assets.upkeep import MAINTAIN


@pytest.fixture
def due(definitions, instance):
    schedule = definitions.get_schedule_def("maintain_hourly")

    def evaluate():
        return schedule.evaluate_tick(dg.build_schedule_context(instance=instance))

    return evaluate


def test_it_is_due_hourly_by_itself_after_ticks_and_for_long(definitions, due):
    schedule = definitions.get_schedule_def("maintain_hourly")
    assert (schedule.cron_schedule, schedule.execution_timezone) == ("20 * * * *", "UTC")
    assert schedule.default_status == dg.DefaultScheduleStatus.RUNNING
    assert len(due().run_requests) == 1
    job = definitions.get_job_def(MAINTAIN)
    assert int(job.tags["dagster/priority"]) < int(TICK_PRIORITY)
    assert int(job.tags["dagster/max_runtime"]) > 3600
    assert next(iter(job.nodes)).definition.pool == MAINTAIN


@pytest.mark.parametrize("status", [DagsterRunStatus.QUEUED, DagsterRunStatus.STARTED])
def test_it_is_not_started_while_one_is_under_way(definitions, due, instance, status):
    from dagster._core.remote_origin import (  # noqa: PLC0415  (only here)
        GrpcServerCodeLocationOrigin,
        RemoteJobOrigin,
        RemoteRepositoryOrigin,
    )

    place = GrpcServerCodeLocationOrigin(host="localhost", socket="/nowhere", location_name="neverwinter")
    origin = RemoteJobOrigin(RemoteRepositoryOrigin(place, "__repository__"), MAINTAIN)
    run = instance.create_run_for_job(definitions.get_job_def(MAINTAIN), status=status, remote_job_origin=origin)
    assert due().run_requests == []
    assert "the run before" in due().skip_message
    instance.report_run_failed(run)
    assert len(due().run_requests) == 1


def test_what_it_did_is_told_as_counts(definitions, instance, platform):
    done = definitions.get_job_def(MAINTAIN).execute_in_process(instance=instance)
    assert platform.calls == [("maintain",)]
    logged = [event.user_message for event in instance.all_logs(done.run_id) if "streams" in event.user_message]
    assert logged == ["all streams: merged_files 5, deleted_files 1"]


def test_a_stream_that_fails_fails_the_run_after_the_others(definitions, instance, platform):
    platform.failures = {"old": "the source cannot be reached"}
    job = definitions.get_job_def(MAINTAIN)
    done = job.execute_in_process(instance=instance, raise_on_error=False)
    assert not done.success
    (event,) = [event for event in done.all_events if event.is_step_failure]
    assert "old: the source cannot be reached" in str(event.step_failure_data.error_display_string)
