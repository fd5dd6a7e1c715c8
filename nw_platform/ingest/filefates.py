"""What the receipts of a stream of files prove of its files, and what they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from nw_platform.record.spans import Receipt

_SHOWN: Final = 3
_Key = tuple[str, int]  # name that a content was first read under, and its number among those of the name


@dataclass(slots=True)
class FileFates:
    """The contents of a stream's files, by what is known of them."""

    contents: int = 0
    unread: dict[_Key, str] = field(default_factory=dict)  # found, and not read to the end -> what is left
    vanished: dict[_Key, str] = field(default_factory=dict)  # gone, and something may be unread -> what a receipt says
    doubts: list[str] = field(default_factory=list)  # what may have been read twice
    holes: dict[_Key, tuple[str, int]] = field(default_factory=dict)  # path it was read at last, bytes of NUL skipped

    def count_hole(self, key: _Key, state: dict[str, Any]) -> None:
        """Add what a span skipped of its file."""
        if skipped := state.get("skipped_bytes", 0):
            _, before = self.holes.get(key, ("", 0))
            self.holes[key] = (state["path"], before + skipped)

    def told(self) -> str:
        """One line: what is proven and what is not."""
        parts = ["read to the end of every file that was found"]
        if self.unread:
            left = _few(self.unread.values())
            parts = [f"{len(self.unread):,} files were not read to their end when they were read last ({left})"]
        if self.vanished:
            count = "one file" if len(self.vanished) == 1 else f"{len(self.vanished):,} files"
            parts.append(f"{count} vanished with bytes that may be unread: {_few(self.vanished.values())}")
        if self.doubts:
            count = "one file" if len(self.doubts) == 1 else f"{len(self.doubts):,} files"
            parts.append(f"{count} may hold repeats: {_few(self.doubts)}")
        if self.holes:
            parts.append(_skipped(list(self.holes.values())))
        return "; ".join(parts)


def fates_of_files(receipts: Sequence[Receipt]) -> FileFates | None:
    """Fold the receipts of a stream, oldest first. None: it does not read files."""
    if not any(receipt.kind == "genesis" and "files" in receipt.positions for receipt in receipts):
        return None
    fates = FileFates()
    seen: set[_Key] = set()
    looked_for: dict[_Key, str] = {}
    for receipt in receipts:
        if receipt.kind != "batch":
            continue
        for span in receipt.spans:
            key = (span.source, span.partition)
            seen.add(key)
            fates.vanished.pop(key, None)
            fates.unread.pop(key, None)
            fates.count_hole(key, span.state)
            if left := _left(span.end, span.state):
                fates.unread[key] = f"{span.state['path']}: {left}"
        looked_for = {}  # the next receipt says it again, or what became of it
        for problem in receipt.detail.get("problems", ()):
            key = (problem["source"], problem.get("partition") or 0)
            if problem["kind"] == "vanished":
                fates.vanished[key] = problem["reason"]
                fates.unread.pop(key, None)
            elif problem["kind"] == "missing":
                looked_for[key] = problem["reason"]
            elif problem["kind"] == "repeat":
                fates.doubts.append(problem["reason"])
    fates.vanished.update(looked_for)
    fates.contents = len(seen)
    return fates


def _left(end: int, state: dict[str, Any]) -> str:
    """What of a file was not read when its last span was; where a file is damaged is said elsewhere."""
    if state.get("damaged") or "stamp" not in state:
        return ""
    if state.get("codec"):
        return "" if state.get("exhausted") else f"what is packed behind byte {end:,}"
    size = int(state["stamp"][0])
    return f"bytes {end:,} to {size:,}" if size > end else ""


def _skipped(holes: list[tuple[str, int]]) -> str:
    """What was left out of files because it is a hole: its bytes, and the files."""
    total = sum(skipped for _, skipped in holes)
    if len(holes) == 1:
        return f"{total:,} bytes of NUL were skipped in {holes[0][0]}"
    largest = sorted(holes, key=lambda hole: -hole[1])
    files = _few(f"{path}: {skipped:,}" for path, skipped in largest)
    return f"{total:,} bytes of NUL were skipped in {len(holes):,} files ({files})"


def _few(texts: Iterable[str]) -> str:
    shown = list(texts)
    more = f"; and {len(shown) - _SHOWN:,} more" if len(shown) > _SHOWN else ""
    return "; ".join(shown[:_SHOWN]) + more
