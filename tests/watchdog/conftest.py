"""Fixtures of the watchdog's tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.watchdog.simulated import Platform


@pytest.fixture
def make(tmp_path: Path):
    made = []

    def start(streams: dict[str, Any], **top: Any) -> Platform:
        made.append(Platform(tmp_path, streams, **top))
        return made[-1]

    yield start
    for platform in made:
        platform.session.close()
