"""Which lake this is: an id that the lake holds, and that its users remember.

A folder that is empty can be a new lake, a wrong path, a disk that is not mounted or a lake that was deleted. So a lake
has an id: that of the empty Delta table `_identity`, whose first commit is made by one of all who want to begin the
lake, on every storage. A configuration that has met a lake remembers its id, in its work folder and in Dagster's home,
with the streams that had receipts. It then refuses any other lake, and none, until `nw init --new-lake`.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from nw_platform.errors import LakeError

FILE: Final = "known-lakes.json"
_NEW: Final = "bring it back, or say that another lake is meant: nw init --new-lake"


@dataclass(frozen=True, slots=True)
class KnownLake:
    """A lake that was met."""

    id: str
    url: str
    streams: tuple[str, ...] = ()  # those that had receipts


class LakeMemory:
    """What one configuration remembers of its lake, in the folders that can be written. Construction does no I/O."""

    def __init__(self, folders: Sequence[Path], configuration: str, streams: Iterable[str]) -> None:
        """`configuration`: where it was read from; several may share a folder. `streams`: those that it declares."""
        self._folders, self._configuration = tuple(folders), configuration
        self.streams = tuple(streams)

    def known(self) -> list[KnownLake]:
        """The lake as each folder remembers it; usually they agree. Nothing, if it was never met."""
        found = []
        for folder in self._folders:
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                told = self._read(folder)[self._configuration]
                streams = tuple(str(name) for name in told["streams"])
                found.append(KnownLake(str(told["id"]), str(told["url"]), streams))
        return found

    def remember(self, lake: KnownLake | None) -> None:
        """Remember a lake (None: forget it) wherever that can be written; a folder that cannot costs this only."""
        for folder in self._folders:
            with contextlib.suppress(OSError):
                lakes: dict[str, object] = {}
                with contextlib.suppress(ValueError, FileNotFoundError):
                    lakes = dict(self._read(folder))
                before = dict(lakes)
                lakes.pop(self._configuration, None)
                if lake is not None:
                    lakes[self._configuration] = {**asdict(lake), "streams": list(lake.streams)}
                if lakes != before:
                    _write(folder, json.dumps(lakes, indent=1))

    def _read(self, folder: Path) -> dict[str, dict[str, Any]]:
        found: dict[str, dict[str, Any]] = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return found


def refuse_other_lake(url: str, found: str | None, known: Sequence[KnownLake]) -> None:
    """Stop, if a lake is not the one that is known.

    Args:
        url: where the lake is looked for.
        found: the id of the lake there; None: there is none, or none with an id.
        known: what is remembered; nothing: any lake will do.

    Raises:
        LakeError: it is another lake, or none.
    """
    if known and found is None:
        raise LakeError(
            f"the lake {known[0].id[:8]} that was at {known[0].url} is gone: there is none at {url} "
            f"(a wrong path, a disk that is not mounted, a deleted folder?); {_NEW}"
        )
    if known and found not in {lake.id for lake in known}:
        raise LakeError(
            f"the lake at {url} is another one ({str(found)[:8]}) than the one that was used before "
            f"({known[0].id[:8]}, at {known[0].url}); {_NEW}"
        )


def refuse_gone_streams(url: str, gone: Iterable[str]) -> None:
    """Stop, if all tables of a stream went away. Raises LakeError."""
    if names := sorted(gone):
        raise LakeError(f"all tables of stream {', '.join(names[:5])} are gone from the lake at {url}; {_NEW}")


def _write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{FILE}.{os.getpid()}"
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(folder / FILE)
