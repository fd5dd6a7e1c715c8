"""Fetches the jars of a service with Maven, once for all checkouts of this user.

They lie in `<cache>/<service>-<digest of its POM>/`, which exists only when it is whole. `python -m
nw_platform.services.artefacts` fetches all of them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from nw_platform.errors import NeverwinterError, RequirementError
from nw_platform.services.java import find_maven
from nw_platform.services.locks import locked

ServiceName = Literal["kafka", "hdfs"]
NAMES: Final[tuple[ServiceName, ...]] = ("kafka", "hdfs")

_FETCH_SECONDS: Final = 900.0
_GOAL: Final = "org.apache.maven.plugins:maven-dependency-plugin:copy-dependencies"
_LAST_LINES: Final = 3


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where the jars are kept: below XDG_CACHE_HOME, default ~/.cache."""
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "neverwinter" / "services"


def pom(name: ServiceName) -> bytes:
    """The POM that lists what the service is made of."""
    return resources.files("nw_platform.services").joinpath("poms", f"{name}.xml").read_bytes()


def jars(name: ServiceName, *, timeout: float = _FETCH_SECONDS) -> Path:
    """The folder with the jars; fetched first if it is not there.

    Args:
        name: the service.
        timeout: seconds that Maven may take.

    Raises:
        RequirementError: Maven is missing, or cannot fetch them.
    """
    folder = _folder(name)
    if folder.is_dir():
        return folder
    with locked(folder.with_name(f"{name}.lock")):
        if not folder.is_dir():
            _fetch(name, folder, timeout)
    return folder


def is_fetched(name: ServiceName) -> bool:
    """Whether the jars are here."""
    return _folder(name).is_dir()


def classpath(name: ServiceName) -> str:
    """The class path of a service, as `java -cp` takes it.

    Raises:
        RequirementError: as `jars`.
    """
    return str(jars(name) / "*")


def _folder(name: ServiceName) -> Path:
    return cache_folder() / f"{name}-{hashlib.sha256(pom(name)).hexdigest()[:12]}"


def _fetch(name: ServiceName, folder: Path, timeout: float) -> None:
    maven = find_maven()
    unfinished = folder.with_name(f"{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    described = unfinished / "pom.xml"
    described.write_bytes(pom(name))
    # --strict-checksums: a download that was cut short must not be started.
    command = [maven, "--batch-mode", "--no-transfer-progress", "--quiet", "--strict-checksums", "-f", str(described)]
    command += [_GOAL, f"-DoutputDirectory={unfinished}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(  # noqa: S603  (our own arguments)
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise RequirementError(f"mvn did not fetch {name} within {timeout:.0f} s: is the network there?") from error
    if done.returncode:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if "ERROR" in line] or ["no message"]
        told = " ".join(" ".join(lines[:_LAST_LINES]).replace("[ERROR]", "").split())
        raise RequirementError(f"mvn could not fetch {name} (needs access to a Maven repository): {told}")
    unfinished.replace(folder)


def main() -> int:
    """Fetch what all services need and print where it is."""
    try:
        for name in NAMES:
            print(jars(name))  # noqa: T201  (the result)
    except NeverwinterError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201  (the result)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
