"""After the clock was set back, sensors do not wait until it has caught up."""

from __future__ import annotations

import pytest
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import (
    InstigatorState,
    InstigatorStatus,
    InstigatorType,
    SensorInstigatorData,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.sensor import get_elapsed

from resources.sensor_clock import forget_future_ticks, main

HOUR = 3600.0
NOW = 1_800_000_000.0


def state_of(name, tick, started):
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(python_file="x.py"), location_name="neverwinter")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    data = SensorInstigatorData(
        last_tick_timestamp=tick, last_tick_start_timestamp=started, cursor="here", min_interval=60
    )
    return InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING, data)


def stored(instance):
    return {state.instigator_name: state.instigator_data for state in instance.all_instigator_state()}


@pytest.mark.parametrize("shift", [3 * HOUR, 48 * HOUR])
def test_a_last_tick_that_lies_in_the_future_is_forgotten(instance, shift):
    for name, tick, started in (
        ("late", NOW + shift, NOW + shift), ("started", NOW - 60, NOW + shift), ("right", NOW - 60, NOW - 30),
        ("new", None, None),
    ):  # fmt: skip
        instance.add_instigator_state(state_of(name, tick, started))
    assert forget_future_ticks(instance, NOW) == 2
    found = stored(instance)
    assert {name for name, data in found.items() if data.last_tick_timestamp is None} == {"late", "started", "new"}
    assert {data.cursor for data in found.values()} == {"here"}
    assert found["right"].last_tick_start_timestamp == NOW - 30
    states = {state.instigator_name: state for state in instance.all_instigator_state()}
    assert get_elapsed(states["late"]) is None  # to Dagster: it is due
    assert forget_future_ticks(instance, NOW) == 0


def test_the_command_mends_the_instance_of_the_home(instance, monkeypatch):
    instance.add_instigator_state(state_of("late", 99_000_000_000.0, None))
    monkeypatch.setenv("DAGSTER_HOME", instance.root_directory)
    assert main() == 0
    assert stored(instance)["late"].last_tick_timestamp is None
