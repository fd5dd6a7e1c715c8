"""What `nw up` does before it starts a code server (`python -m resources.prepare SOCKET`).

The dbt project is translated once here, and not by three processes at the same time. Runs that a predecessor left
behind when it was killed are marked as failed: Dagster would show them as started for ever. Sensors that ticked last
in the future, by a clock that was set back since, are let tick again.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Final

import dagster as dg

from nw_platform.errors import NeverwinterError
from nw_platform.settings import load
from resources.dbt_graph import load_graph
from resources.sensor_clock import forget_future_ticks

_SERVER_TAG: Final = ".dagster/grpc_info"
_UNFINISHED: Final = (
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
)


def fail_leftovers(instance: dg.DagsterInstance, socket: str) -> int:
    """Mark as failed what the code server at `socket` was running when it went; return how many.

    Runs of other machines that share the storage have another socket, and are left alone.
    """
    failed = 0
    for run in instance.get_runs(dg.RunsFilter(statuses=list(_UNFINISHED))):
        server = json.loads(run.tags.get(_SERVER_TAG, "{}"))
        if server.get("socket", socket) == socket:
            instance.report_run_failed(
                run, "the process of this run is gone: it was ended with `nw up` or the code server"
            )
            failed += 1
    return failed


def main(socket: str) -> int:
    """Prepare; the exit code."""
    try:
        load_graph(load().work)
    except NeverwinterError as error:
        print(error, file=sys.stderr)  # noqa: T201  (`nw up` reads it)
        return error.exit_code
    with dg.DagsterInstance.get() as instance:
        fail_leftovers(instance, socket)
        forget_future_ticks(instance, time.time())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
