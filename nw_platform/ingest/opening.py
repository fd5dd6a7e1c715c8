"""The lake of a configuration, which remembers which lake it is."""

from __future__ import annotations

import os
from pathlib import Path

from nw_platform.lake.identity import LakeMemory
from nw_platform.lake.store import Lake
from nw_platform.settings import Settings


def open_lake(settings: Settings) -> Lake:
    """The lake at `lake:`. Does no I/O."""
    return Lake(settings.lake, work=settings.work, memory=memory_of(settings))


def memory_of(settings: Settings) -> LakeMemory:
    """What the configuration remembers of its lake: in the work folder, and in Dagster's home if that is elsewhere."""
    folders = [settings.work]
    if home := os.environ.get("DAGSTER_HOME"):
        folders.append(Path(home).expanduser())
    return LakeMemory(folders, settings.path, settings.streams)
