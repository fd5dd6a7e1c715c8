"""Lanes: groups of a source's partitions, each with receipts of its own.

Lane `<epoch>.<i>` has the partitions p with p mod n = i, n being the number of lanes of its epoch.
Which lanes there are is read off raw's transactions: every lane of an epoch has a genesis, all in one commit. A stream
whose number of lanes was changed starts a new epoch where the lanes of the one before have stopped. The commit names
their transactions too, so that a run that still reads by the old lanes cannot get anything in after it.
"""

from __future__ import annotations

from collections.abc import Sequence

from nw_platform.ingest.raw import commit_raw, genesis, missing_receipts
from nw_platform.lake.receipts import ReceiptLog, append_receipts
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import Snapshot
from nw_platform.sources.contract import Source


def lane_name(epoch: int, index: int) -> str:
    """`<epoch>.<i>`."""
    return f"{epoch}.{index}"


def lanes_by_epoch(raw: Snapshot | None) -> list[list[str]]:
    """The lanes of every epoch, oldest first."""
    epochs: list[list[str]] = []
    while raw is not None and raw.transaction(lane_name(len(epochs), 0)) >= 0:
        lanes = [lane_name(len(epochs), 0)]
        while raw.transaction(lane_name(len(epochs), len(lanes))) >= 0:
            lanes.append(lane_name(len(epochs), len(lanes)))
        epochs.append(lanes)
    return epochs


def start_epoch(lake: Lake, stream: str, sources: Sequence[Source], now: int) -> None:
    """Begin to read by as many lanes as there are sources, unless that is how the stream is read already.

    Raises:
        CommitConflictError: another run was faster.
        SourceError: the source cannot be reached.
    """
    raw = lake.raw(stream).ensure()
    epochs = lanes_by_epoch(raw)
    before = epochs[-1] if epochs else []
    if len(before) == len(sources):
        return
    lasts = []
    for lane in before:
        append_receipts(lake, missing_receipts(lake, raw, stream, lane), now)
        lasts.append(ReceiptLog(lake, lake.receipts().snapshot(), stream, lane)[raw.transaction(lane)])
    planned = max([now, *(last.planned_time for last in lasts)])
    receipts = [
        genesis(source, stream, lane_name(len(epochs), index), planned, lasts) for index, source in enumerate(sources)
    ]
    commit_raw(lake, raw, receipts, transactions={last.lane: last.sequence for last in lasts}, now=now)
