"""Landing zones on file systems that list a folder a call, with sizes and times; only what the glob needs is listed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from nw_platform.errors import SourceError
from nw_platform.sources.contract import Problem
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
from nw_platform.sources.landing.globs import Glob, States, is_ready, ready_name


class Entry(NamedTuple):
    """One name in a folder."""

    name: str
    stamp: Stamp | None  # None: a folder


class Tree(Protocol):
    """A file system by absolute paths. Its errors are its own; FileNotFoundError where there is nothing."""

    def entries(self, folder: str) -> Iterable[Entry]:
        """What is in a folder, in one call."""

    def stamp(self, path: str) -> Stamp:
        """The stamp of a file."""

    def open(self, path: str) -> RawFile:
        """A file for reading; every `read` and `seek` may fail in the file system's own way."""


class TreeFiles:
    """See Files."""

    local = False
    tags_are_ids = True

    def __init__(self, tree: Tree, root: str, url: str) -> None:
        self._tree = tree
        self._root = root.rstrip("/")
        self._url = url

    def listing(self, glob: Glob) -> Listing:
        """See Files."""
        listing = Listing()
        try:
            if glob.base:  # the zone itself must be there, a folder inside it may come later
                self._tree.entries(self._root or "/")
            self._folder(glob, glob.base, glob.start(), listing)
        except FileNotFoundError:
            message = f"{self._url} cannot be listed: there is no such folder; create it or correct the URL"
            raise SourceError(message) from None
        except Exception as error:  # noqa: BLE001  (every client raises its own kinds)
            raise SourceError(f"{self._url} cannot be listed: {reason_of(error)}") from None
        return listing

    def stat(self, path: str) -> Stamp:
        """See Files."""
        return guarded(path, lambda: self._tree.stamp(self._full(path)))

    def identify(self, path: str, stamp: Stamp) -> Identity:
        """See Files."""
        del path
        return Identity(str(stamp.tag))

    def open(self, path: str) -> RawFile:
        """See Files."""
        return GuardedFile(path, guarded(path, lambda: self._tree.open(self._full(path))))

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}".rstrip("/") or "/"

    def _folder(self, glob: Glob, folder: str, states: States, listing: Listing) -> None:
        prefix = f"{folder}/" if folder else ""
        accepts = glob.matcher(states)
        for name, stamp in self._entries(folder, listing):
            if not is_ready(name):
                if stamp is not None and (accepts(name) or accepts(ready_name(name))):
                    listing.ignored.append(prefix + name)
                continue
            if stamp is None:
                if glob.names_it(states, name):
                    listing.problems.append(no_file(prefix + name, "a folder"))
                if inside := glob.enter(states, name):
                    self._folder(glob, prefix + name, inside, listing)
            elif accepts(name) is not None:
                listing.files[prefix + name] = stamp
            else:
                listing.others.append(prefix + name)
                listing.other_stamps[prefix + name] = stamp

    def _entries(self, folder: str, listing: Listing) -> Iterable[Entry]:
        """What is in a folder. One below the root may be gone since it was listed, or may be forbidden."""
        try:
            return self._tree.entries(self._full(folder))
        except FileNotFoundError:
            if not folder:
                raise
        except PermissionError as error:
            if not folder:
                raise
            reason = f"{folder} cannot be read: {reason_of(error)}; check its permissions"
            listing.problems.append(Problem("unreadable", folder, 0, reason))
        return ()
