"""Finds a Java that runs the services, and Maven that fetches them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from nw_platform.errors import RequirementError

# Kafka 4 needs 17. Hadoop 3.4 asks a security manager for the user, which Java 24 no longer has.
OLDEST: Final = 17
NEWEST: Final = 23

_GET: Final = "(Debian, Ubuntu: apt-get install openjdk-17-jre-headless maven)"
_ANSWER_SECONDS: Final = 30
_PLACES: Final = ("/usr/lib/jvm/*/bin/java", "/Library/Java/JavaVirtualMachines/*/Contents/Home/bin/java")


def find_java(environ: Mapping[str, str] | None = None) -> str:
    """The path of a `java` of a version that fits: JAVA_HOME, then PATH, then where distributions put them.

    Raises:
        RequirementError: there is none.
    """
    environ = os.environ if environ is None else environ
    seen: list[str] = []
    for candidate in _candidates(environ):
        version = java_version(candidate)
        if version is not None and OLDEST <= version <= NEWEST:
            return candidate
        if version is not None:
            seen.append(f"{candidate} is {version}")
    found = f"; found only: {', '.join(seen)}" if seen else ""
    raise RequirementError(f"Java {OLDEST} to {NEWEST} is needed to run Kafka or HDFS here: install it {_GET}{found}")


def find_maven(environ: Mapping[str, str] | None = None) -> str:
    """The path of `mvn`.

    Raises:
        RequirementError: there is none.
    """
    environ = os.environ if environ is None else environ
    maven = shutil.which("mvn", path=environ.get("PATH", ""))
    if maven is None:
        raise RequirementError(f"mvn (Maven) is needed once to fetch Kafka or HDFS: install it {_GET}")
    return maven


def java_version(java: str) -> int | None:
    """The major version of a `java`; None where it does not run."""
    try:
        told = subprocess.run(  # noqa: S603  (a java that was found)
            [java, "-version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=True
        ).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', told)
    return int(found[1]) if found else None


def _candidates(environ: Mapping[str, str]) -> Iterator[str]:
    if home := environ.get("JAVA_HOME"):
        yield str(Path(home) / "bin" / "java")
    if (on_path := shutil.which("java", path=environ.get("PATH", ""))) is not None:
        yield on_path
    for pattern in _PLACES:
        yield from sorted(str(java) for java in Path("/").glob(pattern.removeprefix("/")))
