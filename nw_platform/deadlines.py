"""Deadlines for calls into clients that have none of their own.

The storage client of remote lakes waits for ever for a server that accepts a connection and then says nothing. Its
calls cannot be cancelled, but they can be left behind: each runs on a thread of its own, and whoever waits for it goes
on without it. What the call was to change may still change later, so after a `DeadlineError` read again.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

Result = TypeVar("Result")

_REMEMBERED: Final = 20.0  # seconds during which a server that was silent once is not waited for again


class DeadlineError(OSError):
    """A server did not answer in time."""


class Patience:
    """How long one server is waited for. All that talks to the server shares one, so that it is waited for once."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._silent_since: float | None = None
        self._seconds = 0.0

    def wait(self, seconds: float, call: Callable[[], Result]) -> Result:
        """What `call` returns or raises, if that takes no longer than this.

        Raises:
            DeadlineError: it takes longer, or another call to the same server did a moment ago.
        """
        self.refuse_if_silent()
        answers: queue.SimpleQueue[tuple[Result | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                answers.put((call(), None))
            except BaseException as error:  # noqa: BLE001  (raised again by the one that waits)
                answers.put((None, _panic(error) or error))
            else:
                self._silent_since = None  # it answers, if late

        threading.Thread(target=run, name=f"call to {self._server}", daemon=True).start()
        try:
            result, error = answers.get(timeout=seconds)
        except queue.Empty:
            raise self.was_silent(seconds) from None
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # of the two one is there

    def was_silent(self, seconds: float) -> DeadlineError:
        """The server did not answer for so long; the error that says so."""
        self._silent_since, self._seconds = time.monotonic(), seconds
        return self._error()

    def refuse_if_silent(self) -> None:
        """Do not wait for a server again that was silent a moment ago.

        Raises:
            DeadlineError: it was.
        """
        since = self._silent_since
        if since is not None and time.monotonic() - since < _REMEMBERED:
            raise self._error()

    def _error(self) -> DeadlineError:
        return DeadlineError(f"{self._server} did not answer within {self._seconds:g} s; is it running, and reachable?")


def _panic(error: BaseException) -> OSError | None:
    """A client that is written in Rust may give up in a way that no `except Exception` stops: an error like others."""
    return OSError(f"the storage client gave up: {error}") if type(error).__module__ == "pyo3_runtime" else None


_SHARED: Final[dict[str, Patience]] = {}


def patience_with(server: str) -> Patience:
    """The one `Patience` of this process with a server, named `host:port`."""
    return _SHARED.setdefault(server, Patience(server))
