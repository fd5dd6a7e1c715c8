"""One measured thing in a process of its own: nothing is warm from what was measured before.

The process prints what it took as JSON. Its start and imports are not counted; its peak memory is of all its life.
"""

from __future__ import annotations

import importlib
import json
import resource
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nw_platform.cli.allocation import keep_memory

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Taken:
    """What one call took."""

    seconds: float  # wall clock
    cpu: float  # seconds, all threads
    peak: int  # bytes resident
    result: Any  # what it returned, as JSON


def run_alone(function: str, **arguments: Any) -> Taken:  # noqa: ANN401  (whatever JSON can hold)
    """Call `module:function` with keyword arguments in a new process.

    Raises:
        subprocess.CalledProcessError: it failed; its own message is on standard error.
    """
    command = [sys.executable, "-m", "benchmarks.alone", function, json.dumps(arguments)]
    done = subprocess.run(command, cwd=_ROOT, stdout=subprocess.PIPE, check=True)  # noqa: S603  (our own module)
    return Taken(**json.loads(done.stdout))


def _main(function: str, arguments: str) -> None:
    module, _, name = function.partition(":")
    keep_memory()  # as the command line does
    call = getattr(importlib.import_module(module), name)
    given = json.loads(arguments)
    started, cpu = time.perf_counter(), time.process_time()
    result = call(**given)
    taken = Taken(time.perf_counter() - started, time.process_time() - cpu, _peak(), result)
    sys.stdout.write(json.dumps(asdict(taken)))


def _peak() -> int:
    """Bytes. Linux counts what the parent had before the exec in `ru_maxrss`, so its own account goes first."""
    status = Path("/proc/self/status")
    if status.exists():
        fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(fields["VmHWM"].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
