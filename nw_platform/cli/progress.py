"""A progress bar for a terminal, drawn by rich. Imported only when there is a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn


class _RichBar:
    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def advance(self, done: float = 1) -> None:
        """So much more is done."""
        self._progress.advance(self._task, done)

    def total(self, total: float) -> None:
        """There is so much to do in all."""
        self._progress.update(self._task, total=total)

    def report(self, done: int, total: int, what: str) -> None:
        """So much of so much is done, at `what` now."""
        self._progress.update(self._task, completed=done, total=total or None, description=escape(what))


@contextmanager
def running_bar(stream: TextIO, total: float | None, label: str) -> Iterator[_RichBar]:
    """A bar that disappears when it is done."""
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(file=stream), transient=True) as progress:
        yield _RichBar(progress, progress.add_task(escape(label), total=total))
