"""When two names are one host: names of hosts are compared without case (RFC 4343) and without a dot at the end.

Records and the configuration get the plain form when they are read, so that everything behind them compares texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

__all__ = ["center_of", "plain_host", "plain_host_sql"]

_DOT_AT_END: Final = r"(.)\.$"


def plain_host(name: str) -> str:
    """The plain form of a host's name: in lower case, without a dot at the end."""
    return name.lower().removesuffix(".") or name


def plain_host_sql(column: str) -> str:
    """The plain form of a column of names, for DuckDB: records that were parsed by older rules do not have it yet."""
    return f"regexp_replace(lower({column}), '{_DOT_AT_END}', '\\1')"


def center_of(host: str, centers: Iterable[str]) -> str | None:
    """The data centre of a declared host: `web-01.east` is in the one that is named `east` in any case.

    A host of no data centre's name belongs to the only one there is, else to none that is known (None).
    """
    by_name: Mapping[str, str] = {center.lower(): center for center in sorted(centers)}
    only = next(iter(by_name.values())) if len(by_name) == 1 else None
    return by_name.get(host.rpartition(".")[2].lower(), only)
