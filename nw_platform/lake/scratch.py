"""The work folder holds hints and what is in the making. If it cannot be written, that costs time and nothing else.

What a step needs a folder for is then put below the temporary folder; hints are not kept. Said once by each process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
from pathlib import Path
from typing import Final

from nw_platform.errors import LakeError

_LOG: Final = logging.getLogger(__name__)
_SAID: Final[set[str]] = set()


def scratch(work: Path, name: str) -> Path:
    """A local folder that can be written: `name` in the work folder, else one below the temporary folder.

    Raises:
        LakeError: neither can be written; both are named.
    """
    folder = work / name
    try:
        _make(folder)
    except OSError as error:
        say_not_kept(work, error)
        mine = hashlib.sha256(str(work).encode()).hexdigest()[:12]
        other = Path(tempfile.gettempdir()) / f"neverwinter-{os.getuid()}-{mine}" / name
        try:
            _make(other)
        except OSError as second:
            raise not_writable(other, second) from error
        return other
    return folder


def say_not_kept(work: Path, error: OSError) -> None:
    """Say, once in this process, that hints are not kept."""
    if str(work) not in _SAID:
        _SAID.add(str(work))
        reason = error.strerror or str(error)
        _LOG.warning("the work folder %s cannot be written (%s): nothing is lost, but runs take longer", work, reason)


def not_writable(folder: Path, error: OSError) -> LakeError:
    """What to raise if a folder that is needed cannot be written."""
    return LakeError(f"the folder {folder} cannot be written ({error.strerror or error}); make room there, or writable")


def _make(folder: Path) -> None:
    """Make a folder and try to write there. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as probe:
        probe.write(b"x" * 4096)
        probe.flush()
