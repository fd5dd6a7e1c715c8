from __future__ import annotations

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


@pytest.fixture
def instance(tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    with dg.instance_for_test(temp_dir=str(home)) as made:
        yield made
