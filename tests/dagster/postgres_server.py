"""A PostgreSQL server of the tests' own, on a socket in a temporary folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest


def program(name):
    """A PostgreSQL program, on the path or where Debian puts it."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((str(place / name) for place in places if (place / name).exists()), shutil.which(name))


@pytest.fixture(scope="module")
def server():
    initdb, postgres = program("initdb"), program("pg_ctl")
    if not initdb or not postgres:
        if os.environ.get("NW_REQUIRE_SERVICES") == "1":
            pytest.fail("NW_REQUIRE_SERVICES=1, but there is no PostgreSQL here: apt-get install postgresql")
        pytest.skip("no PostgreSQL on this machine")
    folder = Path(tempfile.mkdtemp(prefix="nw-pg-"))
    user = {"user": "nobody", "group": "nogroup"} if os.geteuid() == 0 else {}  # PostgreSQL refuses to run as root
    if user:
        shutil.chown(folder, **user)
    data = folder / "data"

    def run(*command):
        subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=120, **user)

    run(initdb, "-D", str(data), "-U", "nw", "-A", "trust", "--no-sync", "-E", "UTF8")
    run(
        postgres,
        "-D",
        str(data),
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        f"-c listen_addresses='' -k {folder} -F",
        "start",
    )
    try:
        yield f"postgresql://nw@/postgres?host={folder}"
    finally:
        run(postgres, "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)
