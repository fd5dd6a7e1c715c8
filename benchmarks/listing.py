"""What 100,000 old files cost a tick: listing, comparing, restoring. `python -m benchmarks.listing [files]`.

Prints seconds, and as yardstick how often a plain `os.scandir` with `stat` over the same folder fits into each.
"""

from __future__ import annotations

import functools
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.framing import make_framer
from nw_platform.record.spans import FIRST_DIGEST, Receipt, Span
from nw_platform.sources.contract import Budget
from nw_platform.sources.landing import LandingSource

_FOLDERS = 50


def main(files: int) -> None:
    """Make the files, read them once, then measure."""
    with tempfile.TemporaryDirectory() as folder:
        zone, hint = Path(folder, "zone"), Path(folder, "work", "hint")
        _make(zone, files)
        opened = functools.partial(LandingSource, url=str(zone), path="**/*.log*", cache=hint)
        now = time.time_ns() // 1000
        first = opened()
        receipts = _read_all(first, now)
        first.close()

        yardstick = _seconds(lambda: _scan(zone))
        print(f"{files:,} files; plain scandir and stat: {yardstick:.2f} s")  # noqa: T201  (the result)

        def show(what: str, seconds: float) -> None:
            print(f"{what:<48} {seconds:6.2f} s  {seconds / yardstick:5.1f} x")  # noqa: T201  (the result)

        warm = opened()
        show("restore with the hint file", _seconds(lambda: warm.restore(receipts)))
        show("first plan, nothing new", _seconds(lambda: _nothing(warm, now)))
        show("next plan, nothing new", _seconds(lambda: _nothing(warm, now)))
        hint.unlink()
        cold = opened()
        show("restore from receipts alone", _seconds(lambda: cold.restore(receipts)))
        show("first plan, nothing new", _seconds(lambda: _nothing(cold, now)))
        show("write the hint file", _seconds(cold.close))


def _make(zone: Path, files: int) -> None:
    for number in range(_FOLDERS):
        (zone / f"{number:03d}").mkdir(parents=True)
    for number in range(files):
        path = zone / f"{number % _FOLDERS:03d}" / f"host-{number:06d}.log"
        path.write_bytes(b"line %d of an old file\n" % number)


def _read_all(source: LandingSource, now: int) -> list[Receipt]:
    options = ParseOptions(stream="old", format="lines")
    receipts = [_receipt(0, (), FIRST_DIGEST, now)]
    source.restore(receipts)
    while spans := source.plan(now, Budget()).spans:
        read = []
        for span in spans:
            reader = source.read(span, functools.partial(make_framer, options))
            for _ in reader.batches:
                pass
            read.append(reader.span)
        receipts.append(_receipt(len(receipts), tuple(read), receipts[-1].self_digest(), now))
        source.advance(receipts[-1])
    return receipts


def _receipt(sequence: int, spans: tuple[Span, ...], previous: str, now: int) -> Receipt:
    return Receipt(
        stream="old",
        lane="0.0",
        sequence=sequence,
        kind="batch" if sequence else "genesis",
        arrival_hour="2026-11-22T05",
        spans=spans,
        positions={},
        records=0,
        bytes=0,
        skipped_lines=0,
        digest="",
        previous_digest=previous,
        event_hours={},
        planned_time=now,
    )


def _nothing(source: LandingSource, now: int) -> None:
    if source.plan(now, Budget()).spans:
        raise SystemExit("something was planned though nothing is new")


def _scan(zone: Path) -> int:
    return sum(entry.stat().st_size for folder in os.scandir(zone) for entry in os.scandir(folder))


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
