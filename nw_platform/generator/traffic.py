"""Makes the traffic of a specification: files in a landing zone, and the truth about them.

How it keeps its promises:
    1. Every minute's records are spread evenly over the senders, and their total is exactly rate * seconds.
    2. Each sender makes its own lines (sender_traffic.py), a file's worth at a time, from the seed alone.
    3. Files get ready by rename, and on a local disk bear the time at which such a sender would have closed them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from nw_platform.generator.files import LandingFolder
from nw_platform.generator.sender_traffic import SenderTraffic
from nw_platform.generator.spec import MINUTE_US, SECOND_US, TrafficSpec, senders
from nw_platform.generator.truth import TRUTH_FILE, Truth


def generate(
    spec: TrafficSpec,
    out: str,
    *,
    storage_options: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
) -> dict[str, Any]:
    """Write the traffic of `spec` to the folder or URL `out`, with its truth file; return the truth.

    `progress` is told the number of minutes done after every file's worth of them.

    Raises:
        UsageError: an option is out of its range.
        SourceError: `out` cannot be written.
    """
    spec.check()
    folder = LandingFolder(out, storage_options)
    truth = Truth(spec)
    everyone = [SenderTraffic(spec, sender, truth) for sender in senders(spec.hosts, spec.processes)]
    minutes = list(spec.minutes())
    for first in range(0, len(minutes), spec.minutes_per_file):
        window = minutes[first : first + spec.minutes_per_file]
        shares = [_shares(spec, minute, len(everyone)) for minute in window]
        for at, traffic in enumerate(everyone):
            traffic.write_file(window, [share[at] for share in shares], folder)
        if progress is not None:
            progress(first + len(window))
    report = truth.as_json()
    folder.write(TRUTH_FILE, json.dumps(report, indent=1).encode() + b"\n")
    return report


def _shares(spec: TrafficSpec, minute: int, count: int) -> list[int]:
    """How many records each of `count` senders sends in a minute; their sum over all minutes is rate * seconds."""
    start_s, end_s = ((at - spec.start) // SECOND_US for at in (minute, min(minute + MINUTE_US, spec.end)))
    records = int(spec.rate * end_s) - int(spec.rate * start_s)
    share, rest = divmod(records, count)
    turn = (minute // MINUTE_US) % count
    return [share + ((at - turn) % count < rest) for at in range(count)]
