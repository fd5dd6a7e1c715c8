"""Commands keep memory from the start, and say so to the processes of `nw up`."""

import os
import subprocess
import sys

from nw_platform.cli import allocation


def test_it_is_said_before_pyarrow_is_loaded():
    script = (
        "import sys; from nw_platform.cli import allocation; allocation.keep_memory(); "
        "assert 'pyarrow' not in sys.modules; import os, pyarrow; print(os.environ['MIMALLOC_PURGE_DELAY'])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIMALLOC")}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "-1"


def test_new_processes_are_told_the_same():
    assert allocation.environment() == {
        "MIMALLOC_PURGE_DELAY": "-1",
        "MALLOC_MMAP_THRESHOLD_": "33554432",
        "MALLOC_TRIM_THRESHOLD_": "2147483647",
        "MALLOC_ARENA_MAX": "1",
    }
