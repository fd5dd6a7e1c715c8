"""What all tests may use."""

from typing import Final

import pytest
from hypothesis import settings

pytest_plugins = ["services"]

# How long an example takes says nothing on a machine that does other things too.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

# Files that take minutes begin first, so that no worker is left alone with one at the end.
_LONG: Final = (
    "test_services_crash_on_hdfs.py", "test_services_crash.py", "test_crash.py", "test_alert_crash.py",
    "test_watched_platform.py", "test_up_supervision.py", "test_on_hdfs.py", "test_hdfs_promises.py",
)  # fmt: skip


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Order the files, not the tests in them; `make test` tells xdist to keep it. What soaks is asked for by name."""
    if "soak" not in config.option.markexpr:
        soaking = [item for item in items if item.get_closest_marker("soak")]
        config.hook.pytest_deselected(items=soaking)
        items[:] = [item for item in items if item not in soaking]
    ranks = {name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(_LONG)))
