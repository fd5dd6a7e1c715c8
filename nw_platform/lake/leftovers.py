"""Files in the making that a dead run left behind: no commit names them, no reader looks at them, but they take room.

    .<name>.tmp.<n>              the storage client of remote lakes, before it renames a file it has written
    _commit_<id>.json.tmp        a commit, before it is renamed to its version
    _<name>.<process>.tmp        a report file on local disk, before it is renamed

Files that were finished and never committed are another matter: `LakeTable.orphans`.
"""

from __future__ import annotations

import contextlib
import re
from typing import Final

import pyarrow.fs as pafs

from nw_platform.errors import LakeError
from nw_platform.lake.store import Lake

_IN_THE_MAKING: Final = re.compile(r"\..+\.tmp\.\d+|_commit_.+\.json\.tmp|_.+\.\d+\.tmp")


def delete_leftovers(lake: Lake, folder: str, before: int) -> int:
    """Delete such files below a folder of the lake that were begun before an instant (microseconds since the epoch).

    Returns:
        how many there were. One that is gone by now, or cannot be deleted, is left to the next time.

    Raises:
        LakeError: the storage fails.
    """
    try:
        infos = lake.files.get_file_info(pafs.FileSelector(folder, allow_not_found=True, recursive=True))
    except OSError as error:
        raise LakeError(f"cannot list {folder} of the lake {lake.url}: {error}") from None
    old = [
        info.path
        for info in infos
        if info.type == pafs.FileType.File
        and _IN_THE_MAKING.fullmatch(info.base_name)
        and (info.mtime_ns or 0) // 1000 < before
    ]
    deleted = 0
    for path in old:
        with contextlib.suppress(OSError):
            lake.files.delete_file(path)
            deleted += 1
    return deleted
