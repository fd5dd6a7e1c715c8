"""FROM and TO on the command line: UTC hours or days, TO exclusive."""

from __future__ import annotations

import argparse
from typing import Final

from nw_platform.errors import UsageError
from nw_platform.record.hours import parse_bound

FROM_HELP: Final = "first UTC hour or day: 2026-11-22T05 or 2026-11-22"
TO_HELP: Final = "the UTC hour or day after the last"


def add_range(parser: argparse.ArgumentParser) -> None:
    """Add the required arguments FROM and TO."""
    parser.add_argument("first", metavar="FROM", help=FROM_HELP)
    parser.add_argument("last", metavar="TO", help=TO_HELP)


def parse_range(first: str, last: str) -> tuple[str, str]:
    """(first hour, hour after the last).

    Raises:
        UsageError: a bound is no hour or day, or the range is empty.
    """
    start, end = parse_bound(first), parse_bound(last)
    if end <= start:
        raise UsageError(f"the range {first} to {last} is empty: TO is exclusive and must be after FROM")
    return start, end
