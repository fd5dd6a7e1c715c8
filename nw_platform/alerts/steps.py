"""Every step of an evaluation after which a crash would leave a state of its own.

The crash tests kill a process at each of these, as those of ingestion do (nw_platform/ingest/steps.py), and a step
without a crash test fails a test.
"""

from __future__ import annotations

from enum import StrEnum


class AlertStep(StrEnum):
    """Points in time, each named for what has just been done."""

    TABLE_CREATED = "alerts_table_created"
    JUDGED = "alerts_judged"  # transitions are computed, nothing is written
    WRITTEN = "alerts_written"  # their file is there, and no commit names it
    CLAIMED = "alerts_claimed"  # committed: pending, and ours to send
    SENT = "alerts_sent"  # one message is out, and nothing says so
    OUTCOME_WRITTEN = "alerts_outcome_written"
    OUTCOME_COMMITTED = "alerts_outcome_committed"
    REMEMBERED = "alerts_remembered"  # the hint is written, the watch has not committed
