"""Becomes another program that gets SIGTERM from the kernel when its parent goes: a script, run by its path.

    python -I -S bound_to_parent.py PARENT PROGRAM ARGUMENTS...

The request has to be made by the child itself. Code between fork and exec is not safe in a process with threads, and
`nw up` has some; so the child is this small program first, and then the other one, under the same process id.
"""

import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, program: list[str]) -> None:
    """Ask the kernel for the signal (Linux only; elsewhere only an orderly end takes the children along), then exec."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it went before the request was made
        sys.exit(1)
    os.execv(program[0], program)  # noqa: S606  (the arguments are those of `nw up`)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
