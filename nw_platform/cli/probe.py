"""Previews every stream of a configuration side by side, each in bounded time. Nothing is written."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from nw_platform.deadlines import Patience
from nw_platform.errors import NeverwinterError
from nw_platform.ingest.preview.model import Preview
from nw_platform.ingest.preview.stream_preview import begin_preview, preview_stream, without_secrets
from nw_platform.ingest.resolving import is_open, kept_format
from nw_platform.lake.store import Lake
from nw_platform.settings import Settings
from nw_platform.streams.declaration import StreamDecl

__all__ = ["TIMEOUT_S", "probe_all"]

TIMEOUT_S: Final = 15.0
_AT_ONCE: Final = 8  # streams
_LAKE_S: Final = 5.0  # for all that is looked for in the lake

Look = Callable[[StreamDecl], Preview]


class _Worker:
    """A thread that looks at one stream after the other: what native libraries keep of a thread is made once."""

    def __init__(self, look: Look, results: queue.SimpleQueue[tuple[_Worker, Preview]]) -> None:
        self._look, self._results = look, results
        self._inbox: queue.SimpleQueue[StreamDecl | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def give(self, stream: StreamDecl | None) -> None:
        """Have it look at a stream next; None: have it end."""
        self._inbox.put(stream)

    def end(self) -> None:
        """Have it end, and wait for that: native libraries do not survive an exit of the process beside a thread."""
        self.give(None)
        self._thread.join()

    def _work(self) -> None:
        while (stream := self._inbox.get()) is not None:
            self._results.put((self, self._look(stream)))


@dataclass(slots=True)
class _Task:
    """A stream that is being looked at until `deadline` (monotonic seconds)."""

    stream: StreamDecl
    worker: _Worker
    deadline: float


def probe_all(settings: Settings, now: int, *, timeout_s: float = TIMEOUT_S) -> list[Preview]:
    """Preview every stream, in the order of the configuration.

    A stream whose source does not answer within `timeout_s` is a problem of that one only. Further streams of the same
    source are then not waited for.
    """
    streams = list(settings.streams.values())
    kept = _kept_formats(settings, streams)
    previews = {stream.name: begin_preview(stream) for stream in streams}

    def look(stream: StreamDecl) -> Preview:
        return _preview(stream, kept.get(stream.name), now)

    previews.update(_look_at_all(streams, look, timeout_s))
    return list(previews.values())


def _look_at_all(streams: Sequence[StreamDecl], look: Look, timeout_s: float) -> dict[str, Preview]:
    """Look at some streams at a time. One that takes too long makes room for the next, and is left behind."""
    waiting = deque(streams)
    tasks: dict[str, _Task] = {}
    idle: list[_Worker] = []
    silent: dict[object, str] = {}  # sources that did not answer -> the stream that waited for them
    done: dict[str, Preview] = {}
    results: queue.SimpleQueue[tuple[_Worker, Preview]] = queue.SimpleQueue()
    while waiting or tasks:
        while waiting and len(tasks) < _AT_ONCE:
            stream = waiting.popleft()
            if _source_of(stream) in silent:
                reason = f"not looked at: its source did not answer for stream {silent[_source_of(stream)]}"
                done[stream.name] = replace(begin_preview(stream), problems=(reason,))
                continue
            worker = idle.pop() if idle else _Worker(look, results)
            tasks[stream.name] = _Task(stream, worker, time.monotonic() + timeout_s)
            worker.give(stream)
        for worker, preview in _arrived(results, tasks):
            if tasks.pop(preview.stream, None) is not None:
                done[preview.stream] = preview
                idle.append(worker)
        for name in [name for name, task in tasks.items() if task.deadline <= time.monotonic()]:
            late = tasks.pop(name)
            late.worker.give(None)
            done[name] = replace(begin_preview(late.stream), problems=(f"no answer within {timeout_s:g} s",))
            if late.stream.source.name is not None:
                silent.setdefault(_source_of(late.stream), name)
    for worker in idle:
        worker.end()
    return done


def _arrived(
    results: queue.SimpleQueue[tuple[_Worker, Preview]], tasks: Mapping[str, _Task]
) -> list[tuple[_Worker, Preview]]:
    """The next result, if one comes before the next deadline."""
    if not tasks:
        return []
    wait = min(task.deadline for task in tasks.values()) - time.monotonic()
    try:
        return [results.get(timeout=max(0.0, wait))]
    except queue.Empty:
        return []


def _preview(stream: StreamDecl, kept: Mapping[str, Any] | None, now: int) -> Preview:
    """A preview, or one that says why there is none."""
    try:
        return preview_stream(stream, kept, now)
    except NeverwinterError as error:
        problem = str(error)
    except Exception as error:  # noqa: BLE001  (whatever a file system raises is what is wrong with the source)
        problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
    return replace(begin_preview(stream), problems=(_shown(stream, problem),))


def _shown(stream: StreamDecl, problem: str) -> str:
    """A problem without secrets that a client may have put into its message."""
    try:
        return without_secrets(stream, problem)
    except NeverwinterError:
        return problem  # a secret that cannot be read stands nowhere


def _source_of(stream: StreamDecl) -> object:
    return stream.source.name or stream.name


def _kept_formats(settings: Settings, streams: Sequence[StreamDecl]) -> dict[str, Mapping[str, Any]]:
    """Stream -> what receipts hold of its format, for streams that leave it open. A lake that is away is no problem."""
    wanted = [stream.name for stream in streams if is_open(stream)]
    is_local = "://" not in settings.lake
    if not wanted or (is_local and not (Path(settings.lake) / "receipts").exists()):
        return {}
    found: dict[str, Mapping[str, Any]] = {}

    def read() -> None:
        lake = Lake(settings.lake, work=settings.work)
        receipts = lake.receipts().snapshot()
        for name in wanted:
            kept = kept_format(lake, name, receipts)
            if kept is not None:
                found[name] = kept

    try:
        Patience("the lake").wait(_LAKE_S, read)
    except (NeverwinterError, OSError):
        return dict(found)
    return dict(found)
