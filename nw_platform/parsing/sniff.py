"""The best guess at a format, from the first bytes of a stream.

Each candidate really parses the sample; the first that most of it fits is taken, the strictest being asked first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from nw_platform.parsing.contract import ParseOptions
from nw_platform.parsing.csv import header_names
from nw_platform.parsing.csv_fields import split
from nw_platform.parsing.framing import make_framer
from nw_platform.parsing.log4j_layout import DEFAULT_LAYOUT, compile_layout
from nw_platform.parsing.registry import make_format
from nw_platform.record.envelope import SEVERITIES, TIMESTAMP
from nw_platform.record.hours import hour_start

__all__ = ["LAYOUTS", "sniff"]

SAMPLE_BYTES: Final = 256 << 10
SAMPLE_LINES: Final = 500
ENOUGH_LINES: Final = 2  # so that an unterminated line behind them is not needed
ENOUGH: Final = 0.8  # of the sample's records have to fit

# Layouts of log4j that are met often, the more particular first.
LAYOUTS: Final = (
    DEFAULT_LAYOUT,
    "[%d{ISO8601}] %-5p %m (%c)%n",
    "%d{yyyy-MM-dd HH:mm:ss.SSS} %5p %pid --- [%15.15t] %-40.40c : %m%n",
    "%d{yyyy-MM-dd'T'HH:mm:ss.SSSXXX} %5p %pid --- [%15.15t] %-40.40c : %m%n",
    "%d{ISO8601} [myid:%X{myid}] - %-5p [%t:%C{1}@%L] - %m%n",
    "%d{ISO8601} [%t] %-5p %c - %m%n",
    "%d{ISO8601} [%t] %-5p %c: %m%n",
    "%d{ISO8601} %-5p [%t] %c - %m%n",
    "%d{ISO8601} %-5p [%t] %c: %m%n",
    "%d{ISO8601} %-5p %c{1}:%L - %m%n",
    "%d{ISO8601} %-5p %c - %m%n",
    "%d{ISO8601} %-5p %c: %m%n",
    "%d{yyyy-MM-dd HH:mm:ss} %-5p %c{1}:%L - %m%n",
    "%d{yyyy-MM-dd HH:mm:ss} %-5p %c: %m%n",
    "%d{yy/MM/dd HH:mm:ss} %-5p %c: %m%n",
    "%d{ISO8601} %-5p %m%n",
    "%d{yyyy-MM-dd HH:mm:ss} %-5p %m%n",
)

_RECEIVED: Final = pa.scalar(hour_start("2200-01-01T00"), pa.int64()).cast(TIMESTAMP)
_DELIMITERS: Final = (",", "\t", ";", "|")
_COLUMN_NAME: Final = re.compile(r"[^\W\d][\w .@/()#%:-]*\Z")
_BOM: Final = b"\xef\xbb\xbf"


def sniff(sample: bytes) -> tuple[str, dict[str, Any]]:
    """Guess the format of a stream from its beginning, unpacked; a few hundred lines are enough.

    Returns:
        The name of a format and the options it needs: log4j's `layout` where it is not the default, csv's `delimiter`
        and `names`. `("lines", {})` where nothing fits, also for an empty or a binary sample.
    """
    lines = _lines(sample)
    if not lines:
        return "lines", {}
    text = b"\n".join(lines) + b"\n"
    if _is_json(lines):
        return "json", {}
    if _fits("combined", {}, text):
        return "combined", {}
    for layout in LAYOUTS:
        options = {} if layout == DEFAULT_LAYOUT else {"layout": layout}
        starts = re.compile(compile_layout(layout).start.encode())
        if any(starts.match(line) for line in lines) and _fits("log4j", options, text):
            return "log4j", options
    if _fits("syslog", {}, text):
        return "syslog", {}
    return _csv(lines) or ("lines", {})


def _lines(sample: bytes) -> list[bytes]:
    """The first lines that are not blank; without the last one if that is unterminated and there are others enough."""
    cut = sample[:SAMPLE_BYTES].removeprefix(_BOM)
    found = cut.split(b"\n", SAMPLE_LINES)[:SAMPLE_LINES]
    if not cut.endswith(b"\n") and len(found) > ENOUGH_LINES:
        found.pop()
    return [line.removesuffix(b"\r") for line in found if line.strip()]


def _enough(good: int, count: int) -> bool:
    """Whether so many good records of `count` speak for a format. One broken one never speaks against it."""
    return good >= ENOUGH * count or (good == count - 1 and good > 1)


def _is_json(lines: list[bytes]) -> bool:
    return _enough(sum(_is_object(line) for line in lines), len(lines))


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _fits(name: str, own: Mapping[str, Any], text: bytes) -> bool:
    """Whether most records of the sample parse, and look like what the format is for."""
    options = ParseOptions(stream="sample", format=name, options=own)
    framer = make_framer(options, None, 0)
    framed = [framer.feed(text), framer.finish(whole=True)]
    value = pa.concat_arrays([rows.value for rows in framed])
    count = len(value)
    if not count:
        return False
    rows = pa.table(
        {
            "value": value,
            "received_time": pa.repeat(_RECEIVED, count),
            "source": pa.repeat("sample", count),
            "source_partition": pa.repeat(pa.scalar(0, pa.int32()), count),
            "source_start": pa.concat_arrays([rows.start for rows in framed]),
            "source_end": pa.concat_arrays([rows.end for rows in framed]),
            "incarnation": pa.repeat("sample", count),
        }
    )
    parsed = make_format(options).parse(rows)
    good = pc.is_null(parsed.column("reject_reason"))
    if name == "log4j":
        good = pc.and_(good, pc.is_in(parsed.column("severity"), pa.array(sorted(set(SEVERITIES.values())))))
    if name == "syslog":
        named = pc.or_(parsed.column("process").is_valid(), parsed.column("priority").is_valid())
        good = pc.and_(good, named)
    return _enough(int(pc.sum(good).as_py() or 0), count)


def _csv(lines: list[bytes]) -> tuple[str, dict[str, Any]] | None:
    """csv, if the first line looks like names and the others have as many fields."""
    text = [line.decode("utf-8", "replace") for line in lines]
    for delimiter in _DELIMITERS:
        options = {"delimiter": delimiter}
        names = header_names(text[0], ParseOptions(stream="sample", format="csv", options=options))
        if len(names) < 2 or len(text) < 2 or not _are_names(names, text[0], delimiter):  # noqa: PLR2004  (one is no table)
            continue
        good = split(pa.array(text[1:], pa.string()), len(names), delimiter).good
        if _enough(int(good.sum()), len(good)):
            return "csv", ({} if delimiter == "," else options) | {"names": names}
    return None


def _are_names(names: list[str], header: str, delimiter: str) -> bool:
    """Whether a first line can be the names of columns: words, all different, none missing."""
    given: Iterator[str] = (field.strip().strip('"').strip() for field in header.split(delimiter))
    return list(given) == names and all(_COLUMN_NAME.match(name) for name in names)
