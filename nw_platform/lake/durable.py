"""What is committed to a lake on local disk stays through a power cut: files are synced, and the folders naming them.

deltalake writes a commit and gives it its name, but syncs neither. A power cut could then leave a commit that is empty
while the receipt behind it is there. So after a commit its file and its folder are synced before anything depends on
it; data files are synced before the commit that names them.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

_SYNCED: Final[set[str]] = set()  # folders whose own names were synced by this process


def sync_file(root: str, path: str) -> None:
    """Sync a file below `root`, the folder that names it, and the folders above it up to `root`. Raises OSError."""
    _sync(f"{root}/{path}")
    _sync_folders(root, path)


def sync_commits(root: str, table: str, after: int) -> None:
    """Sync the commits of a table that are newer than the version `after`, and checkpoints made with them.

    Raises:
        OSError: the disk fails; whether the commits stay is then not known.
    """
    folder = Path(root, table, "_delta_log")
    version = after + 1
    while (commit := folder / f"{version:020}.json").exists():
        _sync(str(commit))
        version += 1
    for checkpoint in folder.glob(f"{version - 1:020}.checkpoint*"):
        _sync(str(checkpoint))
        with contextlib.suppress(FileNotFoundError):
            _sync(str(folder / "_last_checkpoint"))
    _sync_folders(root, f"{table}/_delta_log/{after + 1:020}.json")


def _sync_folders(root: str, path: str) -> None:
    """Sync the folder of a file; those above it once for each process, for they change when a folder is made."""
    folders = path.split("/")[:-1]
    _sync(f"{root}/{'/'.join(folders)}")
    for depth in range(len(folders) - 1, -1, -1):
        above, name = "/".join(folders[:depth]), "/".join(folders[: depth + 1])
        if f"{root}/{name}" in _SYNCED:
            return
        _sync(f"{root}/{above}" if above else root)
        _SYNCED.add(f"{root}/{name}")
    _sync(str(Path(root).parent))


def _sync(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
