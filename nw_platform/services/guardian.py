"""Services that end with their users, however those end.

Every user holds a shared lock on `FOLDER/users`. A process of its own, the guardian, waits for that lock alone: it gets
it when the last user has let go or has died, and then stops every service in FOLDER and deletes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nw_platform.errors import NeverwinterError
from nw_platform.services.hdfs import Hdfs
from nw_platform.services.kafka import Kafka
from nw_platform.services.locks import locked


@contextmanager
def guarded(folder: Path) -> Iterator[Path]:
    """Use `folder` for services (in it, or in folders of it) that end after its last user.

    Any number of processes may do so at once. A user that comes while the last one's services are being stopped waits
    until they are.
    """
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
        except FileNotFoundError:
            continue  # a guardian deleted the folder just now
        fcntl.flock(handle, fcntl.LOCK_SH)
        if _is_at(handle, folder / "users"):
            break
        os.close(handle)
    try:
        with locked(folder / "guardian.start"):
            _appoint(folder)
        yield folder
    finally:
        os.close(handle)


def guard(folder: Path) -> None:
    """Wait until nobody uses `folder`; then stop what runs there and delete it."""
    own = os.open(folder / "guardian", os.O_RDWR | os.O_CREAT, 0o600)
    users = os.open(folder / "users", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(own, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    _say_ready()
    fcntl.flock(users, fcntl.LOCK_EX)
    for place in {lock.parent for lock in folder.rglob("*.lock")}:
        for service in (Kafka(place), Hdfs(place)):
            with contextlib.suppress(NeverwinterError):  # the others are to be stopped all the same
                service.kill()
    shutil.rmtree(folder, ignore_errors=True)


def _appoint(folder: Path) -> None:
    handle = os.open(folder / "guardian", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return  # there is one
    finally:
        os.close(handle)
    guardian = subprocess.Popen(  # noqa: S603  (our own arguments)
        [sys.executable, "-m", "nw_platform.services.guardian", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    assert guardian.stdout is not None  # noqa: S101  (asked for above)
    with guardian.stdout as said:
        said.readline()


def _say_ready() -> None:
    print("ready", flush=True)  # noqa: T201  (whoever started this waits for it)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _is_at(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


if __name__ == "__main__":
    guard(Path(sys.argv[1]))
