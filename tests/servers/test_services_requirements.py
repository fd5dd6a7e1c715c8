"""What is missing is said in one line, and a download is there whole or not at all."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from nw_platform.cli.main import main
from nw_platform.errors import RequirementError
from nw_platform.services import artefacts, java

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A machine with an empty PATH, no Java anywhere, and an empty cache. Returns the folder on the PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(java, "_PLACES", (f"{tmp_path}/jvm/*/bin/java",))
    return tmp_path / "bin"


def program(path, script):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


def fake_java(path, version):
    return program(path, f"echo 'openjdk version \"{version}\" 2025-01-01' >&2")


# A Maven that writes down each call and puts one jar where it is told to.
MAVEN = """echo x >> "{calls}"
for word; do case "$word" in -DoutputDirectory=*) echo jar > "${{word#*=}}/a.jar";; esac; done"""


def test_without_java_nothing_is_started_and_one_line_says_what_to_do(bare, tmp_path, capsys):
    program(bare / "mvn", MAVEN.format(calls=tmp_path / "calls"))
    assert main(["services", "up", "kafka", "--dir", str(tmp_path / "s")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("nw: Java 17 to 23 is needed")
    assert "apt-get install" in told
    assert main(["services", "status", "--dir", str(tmp_path / "s")]) == 0


def test_without_maven_one_line_says_what_to_do(bare, tmp_path, capsys):
    fake_java(bare / "java", "17.0.15")
    assert main(["services", "up", "--dir", str(tmp_path / "s")]) == 2
    assert [line for line in capsys.readouterr().err.splitlines() if "mvn (Maven) is needed" in line]
    assert not (tmp_path / "s").exists()


def test_a_java_of_the_wrong_age_is_named(bare):
    old = fake_java(bare / "java", "1.8.0_402")
    with pytest.raises(RequirementError, match=f"found only: {old} is 8"):
        java.find_java()


def test_the_first_java_that_fits_is_taken(bare, tmp_path, monkeypatch):
    fake_java(bare / "java", "11.0.2")
    installed = fake_java(tmp_path / "jvm" / "java-21" / "bin" / "java", "21.0.3")
    fake_java(tmp_path / "jvm" / "java-25" / "bin" / "java", "25")
    program(tmp_path / "jvm" / "java-1broken" / "bin" / "java", "exit 1")
    assert java.find_java() == installed
    home = fake_java(tmp_path / "home" / "bin" / "java", "17.0.15")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    assert java.find_java() == home


def test_what_maven_says_is_one_line_and_nothing_is_left(bare, tmp_path):
    program(bare / "mvn", "echo '[INFO] hello'; echo '[ERROR] no such host'; echo '[ERROR]'; exit 1")
    with pytest.raises(RequirementError, match=r"could not fetch kafka .*: no such host$"):
        artefacts.jars("kafka")
    assert not [path for path in (tmp_path / "cache").rglob("kafka-*") if not path.name.endswith(".unfinished")]
    program(bare / "mvn", MAVEN.format(calls=tmp_path / "calls"))
    assert (artefacts.jars("kafka") / "a.jar").exists()


@pytest.mark.parametrize(("required", "outcome"), [("", "skipped"), ("1", "errors")])
@pytest.mark.usefixtures("bare")
def test_tests_that_need_a_service_are_skipped_or_fail_where_it_is_required(monkeypatch, required, outcome):
    monkeypatch.setenv("NW_REQUIRE_SERVICES", required)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    tests = [str(Path(__file__).with_name("test_services_fixtures.py")), "-rs", "-p", "no:cacheprovider"]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", *tests], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert re.search(rf"^\d+ {outcome} in", told.stdout, re.MULTILINE), told.stdout  # all of them, and nothing else
    assert "is needed" in told.stdout


def test_many_at_once_fetch_once(bare, tmp_path):
    program(bare / "mvn", MAVEN.format(calls=tmp_path / "calls"))
    with ThreadPoolExecutor(8) as pool:
        folders = set(pool.map(lambda _: artefacts.jars("hdfs"), range(8)))
    assert len(folders) == 1
    assert Path(tmp_path / "calls").read_text() == "x\n"
