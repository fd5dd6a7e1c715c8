"""Memory that is given back to the system and taken again costs a fifth of the CPU of ingestion: keep it instead.

A run's memory is bounded by its batches; what one batch has used, the next one uses again. Measured in
docs/benchmarks.md. Does nothing where there is no glibc.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Final

_ARROW: Final = {"MIMALLOC_PURGE_DELAY": "-1"}
# mallopt(3): parameter, value, and the variable that says the same to a new process.
_GLIBC: Final = (
    (-3, 32 << 20, "MALLOC_MMAP_THRESHOLD_"),  # the largest that glibc takes
    (-1, (1 << 31) - 1, "MALLOC_TRIM_THRESHOLD_"),
    (-8, 1, "MALLOC_ARENA_MAX"),
)


def keep_memory() -> None:
    """For this process; to be called before pyarrow is imported."""
    for name, told in _ARROW.items():
        os.environ.setdefault(name, told)
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        for parameter, value, _ in _GLIBC:
            libc.mallopt(parameter, value)


def environment() -> dict[str, str]:
    """Variables that make new processes do the same."""
    return {**_ARROW, **{name: str(value) for _, value, name in _GLIBC}}
