"""A look at a landing zone for people: its files, those that are ignored, and spans of the oldest and the newest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from nw_platform.record.spans import Span
from nw_platform.sources.contract import Budget, Problem, Survey
from nw_platform.sources.landing.files import Files, Listing
from nw_platform.sources.landing.globs import Glob
from nw_platform.sources.landing.ledger import Ledger
from nw_platform.sources.landing.planning import Planner

_TRIED: Final = 4  # files from either end that are looked into for one that has a whole record
_MOST_NAMED: Final = 10


def survey(files: Files, glob: Glob, now: int, budget: Budget, *, growing: bool) -> Survey:
    """Look at the files of a glob. Only a few of them are opened, whatever their number.

    `now` should be later than anything was written, so that nothing is held back as still being written.

    Raises:
        SourceError: the zone cannot be listed.
    """
    listing = files.listing(glob)
    filled = [path for path, stamp in listing.files.items() if stamp.size]
    by_age = sorted(filled, key=lambda path: (listing.files[path].mtime_ns, path))
    spans: list[Span] = []
    problems: list[Problem] = list(listing.problems)
    for candidates in (by_age[:_TRIED], by_age[: -_TRIED - 1 : -1]):
        sampled = {span.source for span in spans}
        span = _first_with_records(files, listing, candidates, problems, now, budget, growing=growing)
        if span is not None and span.source not in sampled:
            spans.append(span)
    return Survey(
        found=len(listing.files),
        empty=len(listing.files) - len(filled),
        spans=tuple(spans),
        problems=tuple(dict.fromkeys(problems)),
        ignored=tuple(listing.ignored[:_MOST_NAMED]),
        beside=tuple(sorted(listing.others)[:_MOST_NAMED]) if not listing.files else (),
    )


def _first_with_records(
    files: Files,
    listing: Listing,
    candidates: Sequence[str],
    problems: list[Problem],
    now: int,
    budget: Budget,
    *,
    growing: bool,
) -> Span | None:
    """The beginning of the first candidate that has a whole record. Adds to `problems` what cannot be read."""
    for path in candidates:
        alone = Listing(files={path: listing.files[path]})
        plan = Planner(files, Ledger(), alone, now, budget, growing=growing).plan()
        problems += plan.problems
        if plan.spans:
            return plan.spans[0]
    return None
