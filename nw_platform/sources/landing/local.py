"""The local file system, listed by `os.scandir`: 100,000 files cost a fraction of a second."""

from __future__ import annotations

import os
import stat as modes

from nw_platform.errors import SourceError
from nw_platform.files.evidence import file_id
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
    unreadable,
)
from nw_platform.sources.landing.globs import Glob, States, is_ready, ready_name


class LocalFiles:
    """Files below a root, or anywhere where the root is empty. Paths are text here, as on every file system."""

    local = True
    tags_are_ids = True

    def __init__(self, root: str, *, follow_links: bool = True) -> None:
        self._root = root.rstrip("/")
        self._follow_links = follow_links

    def listing(self, glob: Glob) -> Listing:
        """See Files."""
        base = self._full(glob.base)
        # A folder inside the landing zone may come later; the zone itself must be there.
        zone = self._root or base
        try:
            os.scandir(zone).close()
        except OSError as error:
            raise SourceError(f"{zone} cannot be listed: {reason_of(error)}; create it or correct the stream") from None
        # Links may lead anywhere below the zone and below the folder that the glob itself names.
        inside = None if self._follow_links else (os.path.realpath(zone), os.path.realpath(base))
        walk = _Walk(glob, inside)
        try:
            above = frozenset({_identity(os.stat(base))})  # noqa: PTH116  (a path is text)
        except FileNotFoundError:
            return walk.listing
        except OSError as error:
            walk.listing.problems.append(unreadable(glob.base, error))
            return walk.listing
        walk.folder(base, f"{glob.base.rstrip('/')}/" if glob.base else "", glob.start(), above)
        walk.drop_second_names()
        return walk.listing

    def stat(self, path: str) -> Stamp:
        """See Files."""
        return guarded(path, lambda: _stamp(os.stat(self._full(path))))  # noqa: PTH116  (a path is text)

    def identify(self, path: str, stamp: Stamp) -> Identity:
        """See Files."""
        full = self._full(path)
        try:
            status = os.stat(full)  # noqa: PTH116  (a path is text)
        except OSError:
            return Identity("")
        if status.st_ino != stamp.tag:
            return Identity("")
        identity = file_id(full, status)
        # A time that was set by hand (`touch -d`) says nothing: then the file seems older than its own birth.
        is_own_time = 0 < int(identity.rpartition(":")[2]) <= status.st_mtime_ns
        return Identity(identity, is_own_time and status.st_ctime_ns > status.st_mtime_ns)

    def open(self, path: str) -> RawFile:
        """See Files."""
        full = self._full(path)
        return GuardedFile(path, guarded(path, lambda: open(full, "rb", buffering=0)))  # noqa: PTH123  (a path is text)

    def _full(self, path: str) -> str:
        return path if path.startswith("/") else f"{self._root}/{path}".rstrip("/")


class _Walk:
    """One listing in the making."""

    def __init__(self, glob: Glob, inside: tuple[str, ...] | None) -> None:
        self.listing = Listing()
        self._inside = inside  # folders that links may lead into; None: anywhere
        self._glob = glob
        self._links: list[tuple[str, int]] = []  # path, inode of what it leads to

    def folder(self, folder: str, prefix: str, states: States, above: frozenset[tuple[int, int]]) -> None:
        """List a folder and those below; `above` are the folders that it is in."""
        try:
            with os.scandir(folder) as entries:
                found = list(entries)
        except OSError as error:
            self.listing.problems.append(unreadable(prefix.rstrip("/"), error))
            return
        accepts = self._glob.matcher(states)
        files, others = self.listing.files, self.listing.others
        for entry in found:
            name = entry.name
            if not is_ready(name):
                if accepts(name) is not None or accepts(ready_name(name)) is not None:
                    self.listing.ignored.append(prefix + name)
                continue
            accepted = accepts(name) is not None
            try:
                if (
                    entry.is_file(follow_symlinks=False) and name.isascii()
                ):  # nearly all; this loop is what a tick costs
                    if accepted:
                        status = entry.stat()
                        files[prefix + name] = Stamp(status.st_size, status.st_mtime_ns, status.st_ino)
                        if status.st_nlink > 1:
                            self.listing.twins.append((prefix + name, _identity(status)))
                    else:
                        others.append(prefix + name)
                else:
                    self._other(entry, prefix, states, above, accepted=accepted)
            except OSError as error:
                if accepted:
                    self.listing.problems.append(unreadable(prefix + name, error))

    def _other(
        self,
        entry: os.DirEntry[str],
        prefix: str,
        states: States,
        above: frozenset[tuple[int, int]],
        *,
        accepted: bool,
    ) -> None:
        """What is no plain file with a plain name."""
        if not _is_text(entry.name):
            self._refuse_name(prefix, entry.name)
        elif entry.is_symlink() and (accepted or entry.is_dir()) and self._leads_out(entry, states, prefix):
            return
        elif entry.is_file():
            self._file(entry, prefix + entry.name, accepted=accepted)
        elif entry.is_dir():
            self._enter(entry, prefix, states, above)
        elif accepted:
            self.listing.problems.append(no_file(prefix + entry.name, "no file (a link to nothing, a pipe, a device?)"))

    def _leads_out(self, entry: os.DirEntry[str], states: States, prefix: str) -> bool:
        """Return True for a link that leads out of the landing zone, and name it. One that `path` spells out may."""
        if self._inside is None or self._glob.spells_out(prefix + entry.name):
            return False
        if entry.is_dir() and not self._glob.enter(states, entry.name):
            return False
        target = os.path.realpath(entry.path)
        if any(target == folder or target.startswith(f"{folder.rstrip('/')}/") for folder in self._inside):
            return False
        path = prefix + entry.name
        reason = (
            f"{path} is a link that leads out of the landing zone, to {target}: it is not followed; "
            "set `follow_links: true` on the stream, or move it away"
        )
        self.listing.problems.append(Problem("not_followed", path, 0, reason))
        return True

    def drop_second_names(self) -> None:
        """A symbolic link to a file that is listed anyway is the same file."""
        if not self._links:
            return
        linked = {path for path, _ in self._links}
        real = {stamp.tag for path, stamp in self.listing.files.items() if path not in linked}
        for path, inode in self._links:
            if inode in real:
                del self.listing.files[path]

    def _file(self, entry: os.DirEntry[str], path: str, *, accepted: bool) -> None:
        if not accepted:
            self.listing.others.append(path)
            return
        status = entry.stat()
        self.listing.files[path] = Stamp(status.st_size, status.st_mtime_ns, status.st_ino)
        if status.st_nlink > 1 and not entry.is_symlink():
            self.listing.twins.append((path, _identity(status)))
        if entry.is_symlink():
            self._links.append((path, status.st_ino))

    def _enter(self, entry: os.DirEntry[str], prefix: str, states: States, above: frozenset[tuple[int, int]]) -> None:
        if self._glob.names_it(states, entry.name):
            self.listing.problems.append(no_file(prefix + entry.name, "a folder"))
        inside = self._glob.enter(states, entry.name)
        if inside:
            identity = _identity(entry.stat())
            if identity not in above:  # a link to a folder above would never end
                self.folder(entry.path, f"{prefix}{entry.name}/", inside, above | {identity})

    def _refuse_name(self, prefix: str, name: str) -> None:
        shown = prefix + name.encode(errors="surrogateescape").decode(errors="replace")
        self.listing.problems.append(Problem("unreadable", shown, 0, f"{shown}: its name is not UTF-8; rename it"))


def _stamp(status: os.stat_result) -> Stamp:
    if not modes.S_ISREG(status.st_mode):
        raise FileNotFoundError("it is no file")
    return Stamp(status.st_size, status.st_mtime_ns, status.st_ino)


def _identity(status: os.stat_result) -> tuple[int, int]:
    return (status.st_dev, status.st_ino)


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
