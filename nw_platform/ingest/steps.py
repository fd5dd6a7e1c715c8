"""Every step of the protocol after which a crash would leave a state of its own.

The crash tests kill a run at each of these (`NW_CRASH_AT=<step>[:n]`, the n-th time it is reached, by SIGKILL), let
the next run finish, and compare with an undisturbed run. A new step that has no crash test fails a test. A batch is
applied while the next one is read: `<step>:n+<step>:n` kills when both threads are there at once.
"""

from __future__ import annotations

import os
import signal
import threading
from enum import StrEnum

_VARIABLE = "NW_CRASH_AT"
_MEETING_S = 20.0  # so long one thread waits for the other
_seen: dict[str, int] = {}
_there: set[str] = set()
_together = threading.Condition()


class Step(StrEnum):
    """Points in time, each named for what has just been done."""

    TABLE_CREATED = "table_created"
    GENESIS_COMMITTED = "genesis_committed"
    PLANNED = "planned"
    SPAN_READ = "span_read"
    RAW_WRITTEN = "raw_written"
    RAW_COMMITTED = "raw_committed"
    RECEIPT_APPENDED = "receipt_appended"
    DUPLICATES_WRITTEN = "duplicates_written"
    DUPLICATES_COMMITTED = "duplicates_committed"
    LOGS_WRITTEN = "logs_written"
    LOGS_COMMITTED = "logs_committed"
    DEDUPE_MARKED = "dedupe_marked"
    DEDUPE_SAVED = "dedupe_saved"
    SOURCE_ADVANCED = "source_advanced"  # Kafka: the group's offsets are committed
    COMPACTION_WRITTEN = "compaction_written"
    COMPACTION_COMMITTED = "compaction_committed"
    REPLAY_WRITTEN = "replay_written"
    REPLAY_COMMITTED = "replay_committed"
    REPAIR_WRITTEN = "repair_written"
    REPAIR_COMMITTED = "repair_committed"
    REPAIR_CAUGHT_UP = "repair_caught_up"
    DUPLICATES_REPLACED = "duplicates_replaced"
    REBUILD_WRITTEN = "rebuild_written"
    REBUILD_COMMITTED = "rebuild_committed"
    RETENTION_RAW_COMMITTED = "retention_raw_committed"
    RETENTION_LOGS_COMMITTED = "retention_logs_committed"
    REPORT_WRITTEN = "report_written"
    REPORT_REPLACED = "report_replaced"


def reached(step: StrEnum) -> None:
    """Say that a step (of any protocol) is done. Does nothing, unless a crash test asked for a crash here."""
    wanted = os.environ.get(_VARIABLE)
    if not wanted:
        return
    places = {name: int(count or 1) for name, _, count in (each.partition(":") for each in wanted.split("+"))}
    if step not in places:
        return
    with _together:
        _seen[step] = _seen.get(step, 0) + 1
        if _seen[step] != places[step]:
            return
        _there.add(step)
        _together.notify_all()
        if _together.wait_for(lambda: _there == set(places), _MEETING_S):
            os.kill(os.getpid(), signal.SIGKILL)
