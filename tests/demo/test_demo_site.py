"""The demo's folder: whole or not there, and its faults where the findings look for them."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nw_platform.cli.demo_findings import Times
from nw_platform.errors import UsageError
from nw_platform.generator import demo_site
from nw_platform.generator.faults import demo_traffic
from nw_platform.generator.spec import host_names, senders
from nw_platform.record.hours import HOUR_US, hour_of, hour_start
from nw_platform.settings import load

NOW = hour_start("2026-11-22T12") + 17 * 60_000_000 + 123_456


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "site"
    demo_site.prepare(folder, NOW)
    return folder


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_configuration_is_valid_and_names_what_is_there(site):
    settings = load(str(site / "neverwinter.yaml"))
    assert list(settings.streams) == ["apache_access", "broker", "app"]
    assert settings.hosts == tuple(host_names(4))
    assert settings.lake == str(site / "lake")
    assert (site / "landing" / "apache" / "access.log.gz").is_file()
    assert (site / "landing" / "broker" / "server.log.gz").is_file()


def test_preparing_again_changes_nothing(site):
    before = content(site)
    demo_site.prepare(site, NOW + 5 * HOUR_US)
    assert content(site) == before


def test_a_folder_that_was_left_half_way_is_started_afresh(site, tmp_path):
    (tmp_path / "landing" / "app").mkdir(parents=True)
    (tmp_path / "landing" / "app" / "half.json").write_text("{")
    assert not demo_site.is_ready(tmp_path)
    demo_site.prepare(tmp_path, NOW)
    assert content(tmp_path) == content(site)


def test_what_is_somebody_elses_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(UsageError, match="--dir"):
        demo_site.prepare(tmp_path, NOW)
    (tmp_path / "thesis.tex").unlink()
    (tmp_path / "neverwinter.yaml").write_text("streams: {web: {path: x}}")
    with pytest.raises(UsageError, match="not the demo's"):
        demo_site.prepare(tmp_path, NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["neverwinter.yaml"]


def test_the_truth_knows_the_faults(site):
    truth = demo_site.truth_of(site)
    assert truth["rejects"] == {"bad_format": 40}
    assert truth["late"] > 500
    assert truth["duplicates"] > 50
    hours = Counter((entry["minute"][:13], entry["host"]) for entry in truth["minutes"])
    times = Times.of(hour_start("2026-11-21T06"))
    quiet = {hour for hour, host in hours if host == "web-02.west"}
    assert max(quiet) < times.silent <= max(hour for hour, host in hours if host == "web-01.east")


@given(st.integers(hour_start("2026-01-01T00"), hour_start("2027-01-01T00")))
def test_whenever_it_is_started_the_faults_lie_within_the_traffic(now):
    spec = demo_traffic(now)
    spec.check()
    hosts = {sender.host for sender in senders(spec.hosts, spec.processes)}
    assert spec.end <= now < spec.end + 60_000_000
    (late,) = spec.faults.late_files
    assert late.host in hosts
    assert late.arrives - (late.covers + HOUR_US) > 24 * HOUR_US  # every record of it is late
    (silence,) = spec.faults.silences
    assert silence.host in hosts
    assert spec.start < silence.start < spec.end == silence.end
    (broken,) = spec.faults.broken_lines
    (renamed,) = spec.faults.renamed_keys
    assert spec.start < broken.minute < spec.end
    assert spec.start < renamed.start < spec.end - 2 * HOUR_US
    times = Times.of(spec.start)
    assert (times.late, times.silent, times.renamed) == tuple(map(hour_of, (late.covers, silence.start, renamed.start)))
