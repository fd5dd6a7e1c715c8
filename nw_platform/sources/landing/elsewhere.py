"""Files that the glob does not match, but which may hold what was rotated out of it.

They are the other files in the folder of a lost content, and those below the stream's `rotated:` patterns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from nw_platform.errors import SourceError
from nw_platform.files.names import key_of, originals
from nw_platform.sources.landing.files import Files, Listing, Stamp
from nw_platform.sources.landing.globs import Glob
from nw_platform.sources.landing.identity import Judgement, judge
from nw_platform.sources.landing.ledger import Content, Ledger
from nw_platform.sources.landing.settling import Settling
from nw_platform.sources.landing.unpack import codec_of


class Candidate(NamedTuple):
    """A file out of sight."""

    path: str
    stamp: Stamp
    is_declared: bool  # below one of the patterns of `rotated:`


class Elsewhere:
    """What lies out of the glob's sight; looked at only where something is searched."""

    def __init__(self, files: Files, ledger: Ledger, listing: Listing, rotated: Sequence[Glob]) -> None:
        self._files, self._ledger, self._listing, self._rotated = files, ledger, listing, rotated
        self._declared: dict[str, Stamp] | None = None
        self._stamps: dict[str, Stamp | None] = {}

    def stamp_of(self, content: Content) -> Stamp | None:
        """The stamp of the file that a content was found in before, out of sight; None: it is not there."""
        path = content.path
        if path in self._listing.files or self._ledger.by_path.get(path) is not content:
            return None
        return self._stat(path)

    def holders(self, wanted: Sequence[Content]) -> Iterator[tuple[Candidate, Content, Judgement]]:
        """Each lost content that was found, with the file that holds it now."""
        if not wanted:
            return
        candidates = self._candidates({_folder(path) for content in wanted for path in (content.path, content.name)})
        by_tag: defaultdict[int | str, list[Candidate]] = defaultdict(list)
        by_name: defaultdict[str, list[Candidate]] = defaultdict(list)
        packed: list[Candidate] = []
        for candidate in candidates:
            if candidate.stamp.tag:
                by_tag[candidate.stamp.tag].append(candidate)
            for name in originals(candidate.path):
                by_name[name].append(candidate)
            if candidate.is_declared and codec_of(candidate.path) is not None:
                packed.append(candidate)
        taken: set[str] = set()
        for content in sorted(wanted, key=lambda content: (content.stamp.mtime_ns, content.end)):
            likely = list(by_tag.get(content.stamp.tag, ())) if content.stamp.tag else []
            for name in {key_of(content.path), key_of(content.name)}:
                likely += _oldest_after(content.stamp.mtime_ns, by_name.get(name, ()))
            likely += _oldest_after(content.stamp.mtime_ns, packed)
            for candidate in dict.fromkeys(likely):
                judgement = None if candidate.path in taken else self._judged(candidate, content)
                if judgement is not None and judgement.is_same:
                    taken.add(candidate.path)
                    yield candidate, content, judgement
                    break

    def never_read(self, settling: Settling) -> Iterator[Candidate]:
        """Files that were under a name of the glob, and rotated out of it, while nobody looked.

        They have the name of a rotated file, and are newer than the last content that was read under the name itself.
        """
        newest = self._last_rotated()
        if not newest:
            return
        for candidate in self._candidates({_folder(name) for _, name in newest.values()}):
            path, stamp = candidate.path, candidate.stamp
            times = [newest[name][0] for name in originals(path) if name in newest and newest[name][1] != path]
            if not times or stamp.mtime_ns <= min(times) or not stamp.size or self._is_packed_twin(path):
                continue
            if codec_of(path) is not None and settling.is_fresh(stamp):
                continue
            known = self._ledger.nothing_in.get(path)
            if known is None or not settling.waits(path, *known, stamp):
                yield candidate

    def _last_rotated(self) -> dict[str, tuple[int, str]]:
        """Key of a name -> time of the newest content that was read under it and has left it; and the name."""
        contents = self._ledger.contents
        found: dict[str, tuple[int, str]] = {}
        for name, generation in self._ledger.generations.items():
            newest = contents.get((name, generation - 1))
            if newest is not None and self._ledger.by_path.get(name) is newest and name in self._listing.files:
                newest = contents.get((name, generation - 2))
            if newest is not None:
                found[key_of(name)] = (newest.stamp.mtime_ns, name)
        return found

    def _is_packed_twin(self, path: str) -> bool:
        """Return True for an archive whose original is still there."""
        codec = codec_of(path)
        original = path[: -len(codec) - 1] if codec else ""
        return bool(original) and (original in self._listing.files or self._stat(original) is not None)

    def _candidates(self, folders: set[str]) -> list[Candidate]:
        """Files out of sight that are not known to hold something else."""
        declared = self._declared_files()
        beside = [path for path in self._listing.others if _folder(path) in folders and path not in declared]
        found = [Candidate(path, stamp, is_declared=True) for path, stamp in declared.items()]
        for path in beside:
            stamp = self._stat(path)
            if stamp is not None:
                found.append(Candidate(path, stamp, is_declared=False))
        return [candidate for candidate in found if not self._is_known(candidate)]

    def _is_known(self, candidate: Candidate) -> bool:
        content = self._ledger.by_path.get(candidate.path)
        return content is not None and content.stamp == candidate.stamp

    def _declared_files(self) -> dict[str, Stamp]:
        if self._declared is None:
            self._declared = {}
            for glob in self._rotated:
                try:
                    self._declared |= self._files.listing(glob).files
                except SourceError:
                    continue  # nothing was rotated there yet, or what is missing says so
            for path in self._listing.files:
                self._declared.pop(path, None)
        return self._declared

    def _judged(self, candidate: Candidate, content: Content) -> Judgement | None:
        path, stamp = candidate.path, candidate.stamp
        old = self._ledger.old_of(content)
        try:
            return judge(self._files, path, stamp, content, old=old, is_declared=candidate.is_declared)
        except SourceError:
            return None

    def _stat(self, path: str) -> Stamp | None:
        if path not in self._stamps:
            known = self._listing.other_stamps.get(path)
            try:
                self._stamps[path] = known or self._files.stat(path)
            except SourceError:
                self._stamps[path] = None
        return self._stamps[path]


def _oldest_after(time_ns: int, candidates: Sequence[Candidate]) -> list[Candidate]:
    """Files that were written to last after this time, the oldest first; then those from before."""
    return sorted(candidates, key=lambda c: (c.stamp.mtime_ns < time_ns, c.stamp.mtime_ns, c.path))


def _folder(path: str) -> str:
    return path.rpartition("/")[0]
