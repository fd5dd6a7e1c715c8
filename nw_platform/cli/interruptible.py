"""A query that Ctrl-C ends at once, whatever it is doing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Final, NoReturn, TypeVar

from nw_platform.cli.output import Output
from nw_platform.lake.spill import remove_all

Result = TypeVar("Result")

INTERRUPTED: Final = 130


def interruptible(read: Callable[[], Result], out: Output) -> Result:
    """Return what `read` returns, or raise what it raises. Ctrl-C meanwhile ends the process with one line.

    DuckDB looks for an interrupt between pieces of work only, and some queries are one piece. So it works in a thread
    of its own, and is not waited for: `read` must change nothing.
    """
    results: list[Result] = []
    errors: list[BaseException] = []
    ended = threading.Event()

    def work() -> None:
        try:
            results.append(read())
        except BaseException as error:  # noqa: BLE001  (raised again in the thread that waits)
            errors.append(error)
        finally:
            ended.set()

    threading.Thread(target=work, name="query", daemon=True).start()
    try:
        ended.wait()
    except KeyboardInterrupt:
        _end(out)
    if errors:
        raise errors[0]
    return results[0]


def _end(out: Output) -> NoReturn:
    remove_all()
    out.error("the query was interrupted")
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(INTERRUPTED)
