from __future__ import annotations

import shutil
import sys
from pathlib import Path

import dagster as dg
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fakes import GRAPH, FakePlatform

from definitions import build_definitions
from nw_platform.settings import parse

CONFIGURATION = """
lake: ./lake
streams:
  web: {path: "in/web*.log", format: lines, history: {from: 2024-03-10}, expect: [{kind: volume, min_lines: 1}]}
  old: {path: "in/old*.log", format: lines, history: {from: 2015-05-17, until: 2015-05-21}}
"""


@pytest.fixture
def platform(tmp_path):
    return FakePlatform(parse(CONFIGURATION, base=str(tmp_path), origin=str(tmp_path / "neverwinter.yaml")))


@pytest.fixture
def definitions(platform):
    return build_definitions(platform.settings, {"platform": platform, "dbt": GRAPH})


@pytest.fixture(scope="session")
def empty_storage(tmp_path_factory):
    """An instance's folder with its databases made, and nothing in them: making them takes a second or two."""
    home = tmp_path_factory.mktemp("empty")
    with dg.instance_for_test(temp_dir=str(home)) as made:
        assert made.get_run_records(limit=1) == []
        assert made.all_asset_keys() == []
        assert made.all_instigator_state() == []
    return home


@pytest.fixture
def instance(tmp_path, empty_storage):
    home = shutil.copytree(empty_storage, tmp_path / "home")
    with dg.instance_for_test(temp_dir=str(home)) as made:
        yield made
