"""Landing zones on any file system that fsspec knows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

from nw_platform.errors import SourceError
from nw_platform.record.hours import to_us
from nw_platform.sources.landing.files import (
    GuardedFile,
    Identity,
    Listing,
    RawFile,
    Stamp,
    guarded,
    no_file,
    reason_of,
)
from nw_platform.sources.landing.globs import Glob, is_ready, ready_name

_TIME_KEYS: Final = ("mtime", "LastModified", "last_modified", "modificationTime", "modified", "modify", "created")
_TAG_KEYS: Final = ("ETag", "etag", "md5Hash", "checksum", "fileId")
_MILLISECONDS_FROM: Final = 100_000_000_000  # a larger number of seconds would be after the year 5138


class RemoteFiles:
    """A file system that fsspec knows."""

    local = False
    tags_are_ids = False  # they are ETags

    def __init__(self, system: Any, root: str, url: str) -> None:  # noqa: ANN401  (fsspec has no types)
        self._system = system
        self._root = root.rstrip("/")
        self._url = url

    def listing(self, glob: Glob) -> Listing:
        """See Files."""
        listing = Listing()
        base = self._full(glob.base)
        depth = None if glob.recursive else glob.depth
        try:
            self._system.invalidate_cache()
            there = self._system.exists(self._root or "/")
            found = self._system.find(base, maxdepth=depth, withdirs=True, detail=True) if there else {}
        except Exception as error:  # noqa: BLE001  (every file system raises its own kinds)
            raise SourceError(f"{self._url} cannot be listed: {reason_of(error)}") from None
        if not there:
            raise SourceError(f"{self._url} cannot be listed: there is no such folder; create it or correct the URL")
        start = len(base.rstrip("/")) + 1 if base else 0
        prefix = f"{glob.base}/" if glob.base else ""
        for full, info in found.items():
            below = full[start:]
            if not below:
                continue
            path = prefix + below
            if not all(is_ready(part) for part in below.split("/")):
                folder, slash, name = below.rpartition("/")
                is_file = info.get("type") != "directory"
                if is_file and (glob.matches(below) or glob.matches(folder + slash + ready_name(name))):
                    listing.ignored.append(path)
                continue
            if info.get("type") == "directory":
                *folders, name = below.split("/")
                if _named(glob, folders, name):
                    listing.problems.append(no_file(path, "a folder"))
            elif glob.matches(below):
                listing.files[path] = _stamp_of(info)
            else:
                listing.others.append(path)
                listing.other_stamps[path] = _stamp_of(info)
        return listing

    def stat(self, path: str) -> Stamp:
        """See Files."""
        return guarded(path, lambda: _stamp_of(self._system.info(self._full(path))))

    def identify(self, path: str, stamp: Stamp) -> Identity:
        """See Files. An ETag names a content and not a file: it is another one as soon as the file has grown."""
        del path, stamp
        return Identity("")

    def open(self, path: str) -> RawFile:
        """See Files."""
        full = self._full(path)
        return GuardedFile(path, guarded(path, lambda: self._system.open(full, "rb", compression=None)))

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/") if path else self._root


def _named(glob: Glob, folders: list[str], name: str) -> bool:
    states = glob.start()
    for folder in folders:
        states = glob.enter(states, folder)
    return glob.names_it(states, name)


def _stamp_of(info: Mapping[str, Any]) -> Stamp:
    """The stamp of an fsspec entry; every file system names and types the time in its own way."""
    time = next((info[key] for key in _TIME_KEYS if info.get(key) is not None), None)
    tag = next((str(info[key]) for key in _TAG_KEYS if info.get(key)), "")
    return Stamp(int(info.get("size") or 0), _nanoseconds(time), tag)


def _nanoseconds(time: object) -> int:
    if isinstance(time, datetime):
        return to_us(time if time.tzinfo else time.replace(tzinfo=UTC)) * 1000
    if isinstance(time, int | float):
        return int(time) * 1_000_000 if time >= _MILLISECONDS_FROM else int(time * 1_000_000) * 1000
    if isinstance(time, str):
        for parse in _TIME_READERS:
            try:
                return _nanoseconds(parse(time))
            except ValueError:
                continue
    return 0


def _compact_time(text: str) -> datetime:
    """The time of an FTP server (RFC 3659): `20261122050000[.123]`, UTC."""
    return datetime.strptime(f"{text[:14]}+0000", "%Y%m%d%H%M%S%z")


_TIME_READERS: Final = (_compact_time, datetime.fromisoformat, parsedate_to_datetime)
