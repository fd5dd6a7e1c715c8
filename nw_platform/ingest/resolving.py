"""What a stream's format is where the declaration leaves it open: found out once, kept in the stream's receipts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nw_platform.lake.agreement import last_receipts
from nw_platform.lake.receipts import ReceiptLog
from nw_platform.lake.store import Lake
from nw_platform.lake.tables import Snapshot
from nw_platform.parsing.csv import header_names
from nw_platform.parsing.framing import has_header, make_framer
from nw_platform.parsing.sniff import sniff
from nw_platform.streams.declaration import StreamDecl
from nw_platform.streams.sniffing import resolve_format

__all__ = ["is_open", "kept_format", "resolve", "to_be_kept"]


def is_open(declared: StreamDecl) -> bool:
    """Return True if the stream's columns are known only after a look at its first bytes."""
    options = declared.parse_options().options
    is_headed = declared.format == "csv" and has_header("csv", options) and "names" not in options
    return is_headed or declared.format == "auto"


def kept_format(lake: Lake, stream: str, receipts: Snapshot | None) -> Mapping[str, Any] | None:
    """Fields of the declaration that were found out before, as receipts hold them; None: nothing was yet."""
    for lane in last_receipts(receipts, stream):  # raw may have lost what it knew of lanes
        log = ReceiptLog(lake, receipts, stream, lane)
        for receipt in (*log[1:9], *reversed(log[-8:])):
            if "format" in receipt.detail:
                kept: Mapping[str, Any] = receipt.detail["format"]
                return kept
    return None


def to_be_kept(resolved: StreamDecl) -> dict[str, Any]:
    """What receipts keep of a declaration whose format was found out."""
    return {"format": resolved.format, "options": dict(resolved.options)}


def resolve(declared: StreamDecl, sample: bytes) -> StreamDecl:
    """The declaration with its format and, for csv, the names in its header, by the first bytes of the stream."""
    resolved = resolve_format(declared, sample, sniff)
    return _with_header(resolved, sample) if is_open(resolved) else resolved


def _with_header(declared: StreamDecl, sample: bytes) -> StreamDecl:
    """A csv stream's declaration with the names in the header of its first file."""
    options = declared.parse_options()
    framer = make_framer(options, None, 0)
    framer.feed(sample)
    framer.finish(whole=True)
    names = header_names(framer.header or "", options)
    return declared.with_changes(options={**declared.options, "names": names})
